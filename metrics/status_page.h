#ifndef PODVISOR_METRICS_STATUS_PAGE_H_
#define PODVISOR_METRICS_STATUS_PAGE_H_

#include <string>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "metrics/pod_metrics.h"

namespace podvisor {

// The page at / for people: the daemon, its health, and a table of the VMs with
// what each asked for, has plugged and has online. HTML with no script, no
// style sheet and no image from elsewhere; every text is escaped. Pure.
std::string RenderStatusPage(const PodMetrics& metrics,
                             const absl::Status& health, absl::Time now);

}  // namespace podvisor

#endif  // PODVISOR_METRICS_STATUS_PAGE_H_
