#ifndef PODVISOR_GUESTAGENT_AGENT_CPU_ONLINE_H_
#define PODVISOR_GUESTAGENT_AGENT_CPU_ONLINE_H_

#include <functional>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "base/cpu_list.h"

namespace podvisor {

struct CpuSet {
  CpuList online;
  CpuList present;

  bool operator==(const CpuSet&) const = default;
};

struct CpuStep {
  enum class Action { kDone, kOnline, kOffline, kWaitForCpu };
  Action action = Action::kDone;
  int cpu = 0;

  bool operator==(const CpuStep&) const = default;
};

// The next step towards exactly `count` online CPUs: the lowest present one
// goes online, the highest online one offline, CPU 0 never. Pure.
CpuStep NextCpuStep(const CpuSet& cpus, int count);

// The guest's CPUs. Thread-safe; two SetOnline() run one after the other.
class CpuOnline {
 public:
  explicit CpuOnline(std::string sys);  // where sysfs is mounted

  absl::StatusOr<CpuSet> Observe() const;

  // Takes steps until exactly `count` are online, and waits for CPUs that are
  // still being plugged. InvalidArgument for a count below 1; a CPU that the
  // kernel refuses is tried until DeadlineExceeded; Cancelled. On OK every
  // process may run on what is online.
  absl::Status SetOnline(int count, absl::Duration timeout,
                         const std::function<bool()>& cancelled);

 private:
  absl::Status Write(int cpu, bool online) const;
  absl::Status AwaitCpusets() const;

  const std::string directory_;
  const std::string pod_cpuset_;
  absl::Mutex steps_;  // Held by the one that takes steps.
};

}  // namespace podvisor

#endif  // PODVISOR_GUESTAGENT_AGENT_CPU_ONLINE_H_
