#ifndef PODVISOR_METRICS_POD_METRICS_H_
#define PODVISOR_METRICS_POD_METRICS_H_

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/strings/string_view.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "base/ids.h"
#include "metrics/labeled_series.h"
#include "metrics/vm_snapshot.h"

namespace podvisor {

enum class MetricResource { kCpu, kMemory };
enum class ResizeDirection { kGrow, kShrink };

absl::string_view NameOf(MetricResource resource);    // "cpu", "memory"
absl::string_view NameOf(ResizeDirection direction);  // "grow", "shrink"

struct DaemonInfo {
  std::string version;
  std::string accelerator;
  std::string qemu_version;
};

// One VM and the resizes that were counted for it.
struct VmMetrics {
  VmSnapshot snapshot;
  std::map<LabelValues, uint64_t> resizes;
};

// What the daemon measures: others bump it, the exporter reads it. No names and
// no text format here; metric_names.h and prometheus_exporter.h have them.
//
// Thread-safe; every method is a map access under a lock, and none waits for a
// guest. Labels (method, code, phase, result, reason) come from our own small
// sets of words, never from a client or a guest.
class PodMetrics {
 public:
  PodMetrics();

  void CountCriRequest(absl::string_view method, absl::string_view code,
                       absl::Duration took);

  // `phase`: "qmp", "hello", ...; "total" for all of it.
  void ObserveBoot(absl::string_view phase, absl::Duration took);
  void CountVmExit(absl::string_view reason);

  // `result`: "ok", "partial" or "failed". Counted for the pod until
  // RemoveVm(); before its first snapshot too.
  void CountResize(const PodId& pod, MetricResource resource,
                   ResizeDirection direction, absl::string_view result)
      ABSL_LOCKS_EXCLUDED(mutex_);
  // `phase`: "vm" or "guest"; "total" for all of it.
  void ObserveResize(MetricResource resource, ResizeDirection direction,
                     absl::string_view phase, absl::Duration took);

  void CountDroppedLogLines(uint64_t lines);
  void CountBrokenRecords(uint64_t records);

  void SetDaemonInfo(const DaemonInfo& info) ABSL_LOCKS_EXCLUDED(mutex_);

  // Replaces what is known of snapshot.id. A stale sampler cannot bring a VM
  // back: only the caller knows that it is gone, so stop sampling before
  // RemoveVm().
  void SetVm(const VmSnapshot& snapshot) ABSL_LOCKS_EXCLUDED(mutex_);
  void RemoveVm(const PodId& pod) ABSL_LOCKS_EXCLUDED(mutex_);

  // For the exporter and the page for people. VMs in order of id.
  std::vector<VmMetrics> Vms() const ABSL_LOCKS_EXCLUDED(mutex_);
  DaemonInfo daemon_info() const ABSL_LOCKS_EXCLUDED(mutex_);
  const CounterSeries& cri_requests() const { return cri_requests_; }
  const HistogramSeries& cri_request_seconds() const {
    return cri_request_seconds_;
  }
  const HistogramSeries& boot_seconds() const { return boot_seconds_; }
  const HistogramSeries& resize_seconds() const { return resize_seconds_; }
  const CounterSeries& vm_exits() const { return vm_exits_; }
  const CounterSeries& dropped_log_lines() const { return dropped_log_lines_; }
  const CounterSeries& broken_records() const { return broken_records_; }

 private:
  CounterSeries cri_requests_;
  HistogramSeries cri_request_seconds_;
  HistogramSeries boot_seconds_;
  HistogramSeries resize_seconds_;
  CounterSeries vm_exits_;
  CounterSeries dropped_log_lines_;
  CounterSeries broken_records_;

  mutable absl::Mutex mutex_;
  DaemonInfo daemon_info_ ABSL_GUARDED_BY(mutex_);
  std::map<PodId, VmSnapshot> vms_ ABSL_GUARDED_BY(mutex_);
  std::map<PodId, std::map<LabelValues, uint64_t>> resizes_
      ABSL_GUARDED_BY(mutex_);
};

}  // namespace podvisor

#endif  // PODVISOR_METRICS_POD_METRICS_H_
