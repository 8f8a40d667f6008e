#include "guestagent/agent/cpu_online.h"

#include <errno.h>
#include <fcntl.h>

#include <utility>

#include "absl/strings/str_cat.h"
#include "base/errno_status.h"
#include "base/file.h"
#include "base/status_macros.h"
#include "base/unique_fd.h"
#include "guestagent/agent/poll_until.h"

namespace podvisor {

CpuStep NextCpuStep(const CpuSet& cpus, int count) {
  const int online = static_cast<int>(cpus.online.size());
  if (online == count) return {CpuStep::Action::kDone};
  if (online > count) {
    const int highest = *cpus.online.rbegin();
    if (highest == 0) return {CpuStep::Action::kDone};
    return {CpuStep::Action::kOffline, highest};
  }
  for (const int cpu : cpus.present) {
    if (!cpus.online.contains(cpu)) return {CpuStep::Action::kOnline, cpu};
  }
  return {CpuStep::Action::kWaitForCpu};
}

CpuOnline::CpuOnline(std::string sys)
    : directory_(absl::StrCat(sys, "/devices/system/cpu")),
      pod_cpuset_(absl::StrCat(sys, "/fs/cgroup/pod/cpuset.cpus")) {}

absl::StatusOr<CpuSet> CpuOnline::Observe() const {
  CpuSet cpus;
  ASSIGN_OR_RETURN(cpus.online,
                   ReadCpuList(absl::StrCat(directory_, "/online")));
  ASSIGN_OR_RETURN(cpus.present,
                   ReadCpuList(absl::StrCat(directory_, "/present")));
  return cpus;
}

absl::Status CpuOnline::Write(int cpu, bool online) const {
  const std::string path = absl::StrCat(directory_, "/cpu", cpu, "/online");
  const UniqueFd file(open(path.c_str(), O_WRONLY | O_CLOEXEC));
  if (!file.valid()) return ErrnoStatus(errno, path);
  return Annotate(WriteAll(file.get(), online ? "1" : "0"), path);
}

// A kernel before 6.9 tells the cgroups of a CPU that came or went in a work
// item, some time after the CPU is there. Whoever writes to a cpuset waits for
// that work (flush_work() in cpuset_write_resmask()); an empty line is what the
// file has anyway.
absl::Status CpuOnline::AwaitCpusets() const {
  const UniqueFd file(open(pod_cpuset_.c_str(), O_WRONLY | O_CLOEXEC));
  if (!file.valid() && errno == ENOENT)
    return absl::OkStatus();  // no container
  if (!file.valid()) return ErrnoStatus(errno, pod_cpuset_);
  return Annotate(WriteAll(file.get(), "\n"), pod_cpuset_);
}

absl::Status CpuOnline::SetOnline(int count, absl::Duration timeout,
                                  const std::function<bool()>& cancelled) {
  if (count < 1) return absl::InvalidArgumentError("at least one CPU");
  absl::MutexLock lock(&steps_);
  absl::Status refused;
  int online = 0;
  const absl::Status status =
      PollUntil(timeout, cancelled, [&]() -> absl::StatusOr<bool> {
        // Several steps at once, as long as they succeed.
        while (!cancelled || !cancelled()) {
          ASSIGN_OR_RETURN(const CpuSet cpus, Observe());
          online = static_cast<int>(cpus.online.size());
          const CpuStep step = NextCpuStep(cpus, count);
          if (step.action == CpuStep::Action::kDone) return true;
          if (step.action == CpuStep::Action::kWaitForCpu) return false;
          refused = Write(step.cpu, step.action == CpuStep::Action::kOnline);
          if (!refused.ok()) return false;
        }
        return false;
      });
  if (status.ok()) return AwaitCpusets();
  if (!absl::IsDeadlineExceeded(status)) return status;
  return absl::DeadlineExceededError(
      absl::StrCat(online, " CPUs online instead of ", count,
                   refused.ok() ? "" : ": ", refused.message()));
}

}  // namespace podvisor
