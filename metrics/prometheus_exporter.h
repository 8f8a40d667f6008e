#ifndef PODVISOR_METRICS_PROMETHEUS_EXPORTER_H_
#define PODVISOR_METRICS_PROMETHEUS_EXPORTER_H_

#include <string>

#include "metrics/pod_metrics.h"

namespace podvisor {

// Which labels tell a VM's series apart.
enum class VmLabels {
  // Every series carries namespace, pod, uid and sandbox_id: queries need no
  // join. Under 8 KiB for a VM, half a KiB with gzip.
  kEverySeries,
  // podvisor_vm_info carries them; the others only a sandbox_id of 13 digits,
  // as crictl shows it, for a join. Under 3 KiB for a VM.
  kInfoOnly,
};

// The text that Prometheus scrapes (exposition format 0.0.4), made of what
// `metrics` holds at this moment; waits for no guest. The only user of
// prometheus-cpp. Thread-safe.
std::string RenderPrometheus(const PodMetrics& metrics,
                             VmLabels labels = VmLabels::kEverySeries);

}  // namespace podvisor

#endif  // PODVISOR_METRICS_PROMETHEUS_EXPORTER_H_
