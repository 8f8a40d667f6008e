#include "sandbox/vm/vcpu_affinity.h"

#include <sched.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <limits>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>

#include "absl/strings/str_cat.h"
#include "base/errno_status.h"
#include "base/status_macros.h"
#include "nlohmann/json.hpp"

namespace podvisor {
namespace {

using Json = nlohmann::json;

constexpr size_t kMaxVcpus = 4096;

std::optional<int> FindNumber(const Json& object, const char* key) {
  const auto member = object.find(key);
  if (member == object.end() || !member->is_number_unsigned() ||
      member->get<uint64_t>() > std::numeric_limits<int>::max()) {
    return std::nullopt;
  }
  return member->get<int>();
}

// What sched_setaffinity(2) takes, for as many CPUs as any kernel has.
class CpuMask {
 public:
  CpuMask() : set_(CPU_ALLOC(kHighestCpu + 1), &Free) {
    CPU_ZERO_S(bytes(), set_.get());
  }

  void Add(int cpu) { CPU_SET_S(cpu, bytes(), set_.get()); }
  size_t bytes() const { return CPU_ALLOC_SIZE(kHighestCpu + 1); }
  const cpu_set_t* get() const { return set_.get(); }

 private:
  static void Free(cpu_set_t* set) { CPU_FREE(set); }

  std::unique_ptr<cpu_set_t, void (*)(cpu_set_t*)> set_;
};

CpuMask MaskOf(const CpuList& cpus) {
  CpuMask mask;
  for (const int cpu : cpus) mask.Add(cpu);
  // The kernel leaves out what is not there or not allowed.
  for (int cpu = 0; cpus.empty() && cpu <= kHighestCpu; ++cpu) mask.Add(cpu);
  return mask;
}

}  // namespace

std::vector<CpuList> DecideVcpuAffinity(const CpuList& cpus, int plugged,
                                        int online) {
  std::vector<CpuList> affinity(plugged, cpus);
  if (online > plugged || static_cast<size_t>(online) != cpus.size()) {
    return affinity;
  }
  auto cpu = cpus.begin();
  for (int i = 0; i < online; ++i) affinity[i] = {*cpu++};
  return affinity;
}

absl::StatusOr<std::vector<pid_t>> ParseVcpuThreads(absl::string_view json) {
  const absl::Status nonsense =
      absl::DataLossError("query-cpus-fast: QEMU's answer makes no sense");
  const Json list = Json::parse(json.begin(), json.end(), nullptr, false);
  if (!list.is_array() || list.empty() || list.size() > kMaxVcpus) {
    return nonsense;
  }
  std::map<int, pid_t> threads;
  std::set<pid_t> seen;
  for (const Json& entry : list) {
    if (!entry.is_object()) return nonsense;
    const std::optional<int> index = FindNumber(entry, "cpu-index");
    const std::optional<int> thread = FindNumber(entry, "thread-id");
    if (!index.has_value() || !thread.has_value() || *thread == 0 ||
        !seen.insert(*thread).second ||
        !threads.emplace(*index, *thread).second) {
      return nonsense;
    }
  }
  std::vector<pid_t> ordered;
  for (const auto& [index, thread] : threads) ordered.push_back(thread);
  return ordered;
}

absl::StatusOr<std::vector<pid_t>> QueryVcpuThreads(QmpClient& qmp,
                                                    absl::Time deadline) {
  ASSIGN_OR_RETURN(const std::string json,
                   qmp.Execute("query-cpus-fast", "", deadline));
  return ParseVcpuThreads(json);
}

// Between the look and the call the thread may end and its number come round
// to another process, which then runs on CPUs that it did not choose. No guest
// can hurry that: it cannot make the host count through all of its pids.
absl::Status KeepThreadTo(const ProcessIdentity& process, pid_t thread,
                          const CpuList& cpus) {
  if (!IsAlive(process)) return absl::UnavailableError("QEMU has ended");
  const std::string task =
      absl::StrCat("/proc/", process.pid, "/task/", thread);
  if (access(task.c_str(), F_OK) != 0) {
    return absl::DataLossError(
        absl::StrCat("QEMU has no thread ", thread, " for a vCPU"));
  }
  const CpuMask mask = MaskOf(cpus);
  if (sched_setaffinity(thread, mask.bytes(), mask.get()) == 0) {
    return absl::OkStatus();
  }
  if (errno == ESRCH)
    return absl::UnavailableError("a vCPU's thread has ended");
  if (errno == EINVAL) {
    return absl::FailedPreconditionError(
        absl::StrCat("the VM's cgroup allows none of the host's CPUs ",
                     FormatCpuList(cpus)));
  }
  return ErrnoStatus(errno, "sched_setaffinity");
}

}  // namespace podvisor
