#include "cri/node_health.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "base/log.h"
#include "sandbox/vm/qemu_launcher.h"

namespace podvisor {
namespace {

// As often as kubelet asks.
constexpr absl::Duration kInterval = absl::Seconds(5);
// Every timer has a deadline of its own, the longest of half a minute.
constexpr absl::Duration kTooOld = absl::Seconds(60);

void LogChange(const NodeHealth::Verdict& verdict) {
  if (verdict.reason.empty()) {
    Log(LogLevel::kInfo, "the node runs pods again");
    return;
  }
  Log(LogLevel::kError, "the node cannot run pods",
      {{"reason", verdict.reason}, {"error", verdict.message}});
}

}  // namespace

std::vector<NodeCheck> NodeChecks(StateStore* store, const VmSpec& vm) {
  return {{"StateStoreBroken",
           [store] {
             const absl::Status written = store->Probe();
             return absl::IsResourceExhausted(written) ? absl::OkStatus()
                                                       : written;
           }},
          {"HypervisorMissing", [vm] { return CheckVmParts(vm); }}};
}

NodeHealth::NodeHealth(std::vector<NodeCheck> checks, TimerQueue* timers,
                       Clock* clock)
    : checks_(std::move(checks)), timers_(timers), clock_(clock) {}

std::shared_ptr<NodeHealth> NodeHealth::Start(std::vector<NodeCheck> checks,
                                              TimerQueue* timers,
                                              Clock* clock) {
  const std::shared_ptr<NodeHealth> health(
      new NodeHealth(std::move(checks), timers, clock));
  health->Check();
  return health;
}

void NodeHealth::Check() {
  Verdict verdict;
  for (const NodeCheck& check : checks_) {
    const absl::Status status = check.run();
    if (status.ok()) continue;
    verdict = {check.reason, std::string(status.message())};
    break;
  }
  std::string before;
  {
    absl::MutexLock lock(&mutex_);
    before = last_.reason;
    last_ = verdict;
    checked_at_ = clock_->Elapsed();
  }
  if (verdict.reason != before) LogChange(verdict);
  timers_->Schedule(kInterval, [weak = weak_from_this()] {
    if (const std::shared_ptr<NodeHealth> health = weak.lock()) {
      health->Check();
    }
  });
}

NodeHealth::Verdict NodeHealth::verdict() const {
  absl::MutexLock lock(&mutex_);
  const absl::Duration age = clock_->Elapsed() - checked_at_;
  if (age > kTooOld) {
    return {"ChecksHang", absl::StrCat("no check has come to an end for ",
                                       absl::FormatDuration(age))};
  }
  return last_;
}

}  // namespace podvisor
