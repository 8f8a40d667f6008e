#include "guestagent/agent/cgroup_directory.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <memory>
#include <optional>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/time/clock.h"
#include "base/errno_status.h"
#include "base/log.h"
#include "base/status_macros.h"
#include "base/unique_fd.h"
#include "guestagent/agent/cgroup_resources.h"
#include "guestagent/agent/stats_parser.h"

namespace podvisor {
namespace {

constexpr size_t kMaxFileBytes = 64 << 10;
// What is longer is no value that anybody sets.
constexpr size_t kMaxLineBytes = 4096;
constexpr int kMaxDepth = 16;
constexpr int kReclaimAttempts = 5;

absl::Status RemoveBelow(const std::string& path, int depth) {
  if (rmdir(path.c_str()) == 0 || errno == ENOENT) return absl::OkStatus();
  if (depth == 0) return ErrnoStatus(errno, "remove a cgroup");
  std::unique_ptr<DIR, int (*)(DIR*)> directory(opendir(path.c_str()),
                                                closedir);
  if (directory == nullptr) return absl::OkStatus();
  while (const dirent* entry = readdir(directory.get())) {
    const absl::string_view name = entry->d_name;
    if (entry->d_type != DT_DIR || name == "." || name == "..") continue;
    RETURN_IF_ERROR(RemoveBelow(absl::StrCat(path, "/", name), depth - 1));
  }
  if (rmdir(path.c_str()) == 0 || errno == ENOENT) return absl::OkStatus();
  return ErrnoStatus(errno, "remove a cgroup");
}

}  // namespace

std::string CgroupDirectory::Read(absl::string_view file) const {
  UniqueFd fd(
      open(absl::StrCat(path_, "/", file).c_str(), O_RDONLY | O_CLOEXEC));
  std::string text;
  char buffer[4096];
  while (fd.valid()) {
    const ssize_t count = read(fd.get(), buffer, sizeof(buffer));
    if (count < 0 && errno == EINTR) continue;
    if (count <= 0) return count == 0 ? text : std::string();
    text.append(buffer, static_cast<size_t>(count));
    if (text.size() > kMaxFileBytes) return std::string();
  }
  return text;
}

absl::Status CgroupDirectory::Write(absl::string_view file,
                                    absl::string_view value) const {
  UniqueFd fd(
      open(absl::StrCat(path_, "/", file).c_str(), O_WRONLY | O_CLOEXEC));
  if (!fd.valid()) {
    if (errno != ENOENT) return ErrnoStatus(errno, absl::StrCat("open ", file));
    if (access(path_.c_str(), F_OK) != 0) {
      return absl::NotFoundError("the container's cgroup is gone");
    }
    return absl::FailedPreconditionError(
        absl::StrCat("the guest's kernel has no ", file));
  }
  // One write: the kernel takes each one as a whole value.
  const ssize_t count = write(fd.get(), value.data(), value.size());
  if (count == static_cast<ssize_t>(value.size())) return absl::OkStatus();
  if (count >= 0) {
    return absl::InternalError(absl::StrCat(file, " took a part of a value"));
  }
  if (errno == EINVAL || errno == ERANGE) {
    return absl::InvalidArgumentError(
        absl::StrCat("the kernel refuses \"", value, "\" for ", file));
  }
  return ErrnoStatus(errno, absl::StrCat("write ", file));
}

absl::Status CgroupDirectory::Reclaim(uint64_t limit_bytes) const {
  for (int attempt = 0; attempt < kReclaimAttempts; ++attempt) {
    const uint64_t usage = ParseNumber(Read("memory.current")).value_or(0);
    if (usage <= limit_bytes) return absl::OkStatus();
    // EAGAIN: the kernel got back less than was asked; the next round sees it.
    (void)Write("memory.reclaim", absl::StrCat(usage - limit_bytes));
  }
  const uint64_t usage = ParseNumber(Read("memory.current")).value_or(0);
  if (usage <= limit_bytes) return absl::OkStatus();
  return absl::FailedPreconditionError(absl::StrCat(
      "the container uses ", usage,
      " bytes of memory that cannot be reclaimed, more than ", limit_bytes));
}

absl::Status CgroupDirectory::SetMemoryLimit(int64_t limit_bytes) const {
  if (limit_bytes < 0) return Write("memory.max", "max");
  const uint64_t limit = static_cast<uint64_t>(limit_bytes);
  if (ParseNumber(Read("memory.current")).value_or(0) > limit) {
    // memory.high holds new allocations back meanwhile.
    std::string high = Read("memory.high");
    if (high.empty()) high = "max";
    RETURN_IF_ERROR(Write("memory.high", absl::StrCat(limit)));
    const absl::Status reclaimed = Reclaim(limit);
    const absl::Status lowered =
        reclaimed.ok() ? Write("memory.max", absl::StrCat(limit)) : reclaimed;
    const absl::Status restored = Write("memory.high", high);
    return lowered.ok() ? restored : lowered;
  }
  return Write("memory.max", absl::StrCat(limit));
}

// Writes to the files of a cgroup, taken back by the destructor unless Commit()
// was called. A file of several lines (one for each device) or that cannot be
// read (a command) is not taken back.
class CgroupDirectory::Changes {
 public:
  explicit Changes(const CgroupDirectory& cgroup) : cgroup_(cgroup) {}
  Changes(const Changes&) = delete;
  Changes& operator=(const Changes&) = delete;
  ~Changes() {
    for (auto change = before_.rbegin(); change != before_.rend(); ++change) {
      const absl::Status undone = Undo(*change);
      if (undone.ok()) continue;
      Log(LogLevel::kError, "a change of a cgroup is not taken back",
          {{"file", change->file}, {"error", undone.message()}});
    }
  }

  void Remember(const std::string& file) {
    const std::string text = cgroup_.Read(file);
    if (std::count(text.begin(), text.end(), '\n') == 1) {
      before_.push_back({file, text});
    }
  }
  void Commit() { before_.clear(); }

 private:
  absl::Status Undo(const CgroupWrite& change) const {
    const std::optional<uint64_t> limit = ParseNumber(change.value);
    // The container may use more by now than it could before.
    if (change.file == "memory.max" && limit.has_value()) {
      return cgroup_.SetMemoryLimit(static_cast<int64_t>(*limit));
    }
    return cgroup_.Write(change.file, change.value);
  }

  const CgroupDirectory& cgroup_;
  std::vector<CgroupWrite> before_;
};

absl::Status CgroupDirectory::Update(
    const agent::v1::LinuxResources& resources) const {
  ASSIGN_OR_RETURN(const std::vector<CgroupWrite> writes,
                   PlanCgroupUpdate(resources, Read("cpu.max")));
  Changes changes(*this);
  // First what may be refused although the request makes sense.
  if (resources.memory_limit_bytes() != 0) {
    changes.Remember("memory.max");
    RETURN_IF_ERROR(SetMemoryLimit(resources.memory_limit_bytes()));
  }
  for (const CgroupWrite& change : writes) {
    changes.Remember(change.file);
    RETURN_IF_ERROR(Write(change.file, change.value));
  }
  changes.Commit();
  return absl::OkStatus();
}

std::optional<std::string> CgroupDirectory::ReadLine(
    absl::string_view file) const {
  std::string text = Read(file);
  if (text.empty() || text.size() > kMaxLineBytes ||
      text.find('\n') != text.size() - 1) {
    return std::nullopt;
  }
  text.pop_back();
  return text;
}

absl::StatusOr<agent::v1::ReadCgroupResponse> CgroupDirectory::ReadResources(
    const google::protobuf::RepeatedPtrField<std::string>& files) const {
  RETURN_IF_ERROR(CheckCgroupFiles(files));
  if (access(path_.c_str(), F_OK) != 0) {
    return absl::NotFoundError("the container's cgroup is gone");
  }
  agent::v1::ReadCgroupResponse response;
  agent::v1::LinuxResources& resources = *response.mutable_resources();
  ParseCpuMax(Read("cpu.max"), &resources);
  response.set_cpu_weight(
      static_cast<int64_t>(ParseNumber(Read("cpu.weight")).value_or(0)));
  const std::optional<std::string> memory = ReadLine("memory.max");
  int64_t bytes = 0;
  if (memory == "max") {
    resources.set_memory_limit_bytes(-1);
  } else if (memory.has_value() && absl::SimpleAtoi(*memory, &bytes)) {
    resources.set_memory_limit_bytes(bytes);
  }
  resources.set_cpuset_cpus(ReadLine("cpuset.cpus").value_or(""));
  for (const std::string& file : files) {
    std::optional<std::string> line = ReadLine(file);
    if (line.has_value()) {
      (*resources.mutable_unified())[file] = *std::move(line);
    }
  }
  return response;
}

bool CgroupDirectory::HadOomKill() const {
  return ParseKeyedNumber(Read("memory.events"), "oom_kill").value_or(0) > 0;
}

absl::Status CgroupDirectory::KillAll() const {
  if (access(path_.c_str(), F_OK) != 0) return absl::OkStatus();
  const absl::Status killed = Write("cgroup.kill", "1");
  return absl::IsNotFound(killed) ? absl::OkStatus() : killed;
}

absl::Status CgroupDirectory::SignalAll(int signal) const {
  for (absl::string_view line : absl::StrSplit(Read("cgroup.procs"), '\n')) {
    pid_t pid = 0;
    // 0 stands for a process outside our PID namespace: there is none.
    if (!absl::SimpleAtoi(line, &pid) || pid <= 1) continue;
    if (kill(pid, signal) != 0 && errno != ESRCH) {
      return ErrnoStatus(errno, "signal a process of the container");
    }
  }
  return absl::OkStatus();
}

absl::Status CgroupDirectory::Remove(Deadline deadline) const {
  for (;;) {
    if (access(path_.c_str(), F_OK) != 0) return absl::OkStatus();
    const bool populated =
        ParseKeyedNumber(Read("cgroup.events"), "populated").value_or(0) != 0;
    if (!populated) {
      // EBUSY: the last process is still on its way out.
      const absl::Status removed = RemoveBelow(path_, kMaxDepth);
      if (removed.ok() || deadline.IsOver()) return removed;
    } else if (deadline.IsOver()) {
      return absl::DeadlineExceededError(
          "the container's processes do not end");
    }
    absl::SleepFor(absl::Milliseconds(2));
  }
}

}  // namespace podvisor
