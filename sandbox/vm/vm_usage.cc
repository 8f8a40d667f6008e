#include "sandbox/vm/vm_usage.h"

#include <dirent.h>
#include <unistd.h>

#include <cerrno>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "base/errno_status.h"
#include "base/file.h"
#include "base/status_macros.h"

namespace podvisor {

absl::StatusOr<ThreadTime> ParseThreadStat(absl::string_view text,
                                           int64_t ticks_per_second) {
  const size_t open = text.find('(');
  const size_t close = text.rfind(')');
  if (open == text.npos || close == text.npos || close < open) {
    return absl::DataLossError("stat has no command name");
  }
  const std::vector<absl::string_view> fields =
      absl::StrSplit(text.substr(close + 1), ' ', absl::SkipEmpty());
  int64_t user = 0, system = 0;
  // Fields 14 and 15 of proc(5); fields[0] is field 3.
  if (fields.size() < 13 || !absl::SimpleAtoi(fields[11], &user) ||
      !absl::SimpleAtoi(fields[12], &system)) {
    return absl::DataLossError("stat is too short");
  }
  ThreadTime thread;
  thread.is_vcpu =
      absl::StartsWith(text.substr(open + 1, close - open - 1), "CPU ");
  thread.time = absl::Seconds(1) * (user + system) / ticks_per_second;
  return thread;
}

absl::StatusOr<ProcessUsage> ParseSmapsRollup(absl::string_view text) {
  ProcessUsage usage;
  int found = 0;
  for (const absl::string_view line : absl::StrSplit(text, '\n')) {
    const std::vector<absl::string_view> words =
        absl::StrSplit(line, ' ', absl::SkipEmpty());
    int64_t kilobytes = 0;
    if (words.size() != 3 || !absl::SimpleAtoi(words[1], &kilobytes)) continue;
    if (words[0] == "Rss:") {
      usage.rss_bytes = kilobytes << 10;
      ++found;
    } else if (words[0] == "Pss:") {
      usage.pss_bytes = kilobytes << 10;
      ++found;
    }
  }
  if (found != 2) return absl::DataLossError("smaps_rollup has no Rss or Pss");
  return usage;
}

absl::StatusOr<ProcessUsage> MeasureProcess(const ProcessIdentity& process) {
  if (!IsAlive(process)) return absl::NotFoundError("the process has ended");
  const std::string proc = absl::StrCat("/proc/", process.pid);
  ASSIGN_OR_RETURN(const std::string rollup, ReadFile(proc + "/smaps_rollup"));
  ASSIGN_OR_RETURN(ProcessUsage usage, ParseSmapsRollup(rollup));
  const int64_t ticks = sysconf(_SC_CLK_TCK);
  const std::string tasks = proc + "/task";
  std::unique_ptr<DIR, int (*)(DIR*)> threads(opendir(tasks.c_str()), closedir);
  if (threads == nullptr) return ErrnoStatus(errno, tasks);
  while (const dirent* entry = readdir(threads.get())) {
    int id = 0;
    if (!absl::SimpleAtoi(entry->d_name, &id)) continue;
    const absl::StatusOr<std::string> stat =
        ReadFile(absl::StrCat(tasks, "/", id, "/stat"), 4096);
    if (!stat.ok()) continue;  // the thread has just ended
    ASSIGN_OR_RETURN(const ThreadTime thread, ParseThreadStat(*stat, ticks));
    if (thread.is_vcpu) usage.vcpu_times[id] = thread.time;
  }
  // After its threads, so that none of them has had more than all.
  ASSIGN_OR_RETURN(const std::string stat, ReadFile(proc + "/stat", 4096));
  ASSIGN_OR_RETURN(const ThreadTime all, ParseThreadStat(stat, ticks));
  usage.time = all.time;
  return usage;
}

}  // namespace podvisor
