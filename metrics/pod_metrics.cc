#include "metrics/pod_metrics.h"

namespace podvisor {
namespace {

// CRI calls take from a tenth of a millisecond to the minutes of a pull.
std::vector<double> RequestBounds() {
  return {0.0005, 0.002, 0.01, 0.05, 0.2, 1, 4, 15, 60};
}

std::vector<double> BootBounds() {
  return {0.05, 0.1, 0.2, 0.5, 1, 1.5, 2, 3, 5, 10, 30};
}

std::vector<double> ResizeBounds() {
  return {0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30};
}

}  // namespace

absl::string_view NameOf(MetricResource resource) {
  return resource == MetricResource::kCpu ? "cpu" : "memory";
}

absl::string_view NameOf(ResizeDirection direction) {
  return direction == ResizeDirection::kGrow ? "grow" : "shrink";
}

PodMetrics::PodMetrics()
    : cri_request_seconds_(RequestBounds()),
      boot_seconds_(BootBounds()),
      resize_seconds_(ResizeBounds()) {
  // Counters begin at zero, so that the first increment shows in a rate().
  dropped_log_lines_.Add({}, 0);
  broken_records_.Add({}, 0);
}

void PodMetrics::CountCriRequest(absl::string_view method,
                                 absl::string_view code, absl::Duration took) {
  cri_requests_.Add({std::string(method), std::string(code)});
  cri_request_seconds_.Observe({std::string(method)},
                               absl::ToDoubleSeconds(took));
}

void PodMetrics::ObserveBoot(absl::string_view phase, absl::Duration took) {
  boot_seconds_.Observe({std::string(phase)}, absl::ToDoubleSeconds(took));
}

void PodMetrics::CountVmExit(absl::string_view reason) {
  vm_exits_.Add({std::string(reason)});
}

void PodMetrics::CountResize(const PodId& pod, MetricResource resource,
                             ResizeDirection direction,
                             absl::string_view result) {
  LabelValues labels = {std::string(NameOf(resource)),
                        std::string(NameOf(direction)), std::string(result)};
  absl::MutexLock lock(&mutex_);
  ++resizes_[pod][std::move(labels)];
}

void PodMetrics::ObserveResize(MetricResource resource,
                               ResizeDirection direction,
                               absl::string_view phase, absl::Duration took) {
  resize_seconds_.Observe({std::string(NameOf(resource)),
                           std::string(NameOf(direction)), std::string(phase)},
                          absl::ToDoubleSeconds(took));
}

void PodMetrics::CountDroppedLogLines(uint64_t lines) {
  dropped_log_lines_.Add({}, lines);
}

void PodMetrics::CountBrokenRecords(uint64_t records) {
  broken_records_.Add({}, records);
}

void PodMetrics::SetDaemonInfo(const DaemonInfo& info) {
  absl::MutexLock lock(&mutex_);
  daemon_info_ = info;
}

void PodMetrics::SetVm(const VmSnapshot& snapshot) {
  absl::MutexLock lock(&mutex_);
  vms_[snapshot.id] = snapshot;
}

void PodMetrics::RemoveVm(const PodId& pod) {
  absl::MutexLock lock(&mutex_);
  vms_.erase(pod);
  resizes_.erase(pod);
}

std::vector<VmMetrics> PodMetrics::Vms() const {
  absl::MutexLock lock(&mutex_);
  std::vector<VmMetrics> vms;
  vms.reserve(vms_.size());
  for (const auto& [id, snapshot] : vms_) {
    VmMetrics& vm = vms.emplace_back();
    vm.snapshot = snapshot;
    auto it = resizes_.find(id);
    if (it != resizes_.end()) vm.resizes = it->second;
  }
  return vms;
}

DaemonInfo PodMetrics::daemon_info() const {
  absl::MutexLock lock(&mutex_);
  return daemon_info_;
}

}  // namespace podvisor
