#ifndef PODVISOR_METRICS_METRICS_SERVER_H_
#define PODVISOR_METRICS_METRICS_SERVER_H_

#include <functional>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/clock.h"
#include "metrics/http_server.h"
#include "metrics/pod_metrics.h"
#include "metrics/prometheus_exporter.h"

namespace podvisor {

struct MetricsServerOptions {
  std::string address = "127.0.0.1:9539";  // [server] metrics_address
  VmLabels vm_labels = VmLabels::kEverySeries;
};

// Serves /metrics (Prometheus), /healthz (200 "ok", or 503 and why) and a page
// for people at /. `health` is asked for each request and must not wait; it
// and the others outlive the server. Errors: those of HttpServer::Start().
absl::StatusOr<std::unique_ptr<HttpServer>> StartMetricsServer(
    const MetricsServerOptions& options, const PodMetrics* metrics,
    std::function<absl::Status()> health, Clock* clock);

}  // namespace podvisor

#endif  // PODVISOR_METRICS_METRICS_SERVER_H_
