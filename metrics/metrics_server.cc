#include "metrics/metrics_server.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "base/clean_text.h"
#include "metrics/status_page.h"

namespace podvisor {

absl::StatusOr<std::unique_ptr<HttpServer>> StartMetricsServer(
    const MetricsServerOptions& options, const PodMetrics* metrics,
    std::function<absl::Status()> health, Clock* clock) {
  HttpServerOptions server;
  server.address = options.address;
  return HttpServer::Start(
      server, [=, labels = options.vm_labels,
               health = std::move(health)](const std::string& path) {
        HttpResponse response;
        if (path == "/metrics") {
          response.content_type = "text/plain; version=0.0.4; charset=utf-8";
          response.body = RenderPrometheus(*metrics, labels);
        } else if (path == "/healthz") {
          const absl::Status status = health();
          response.status = status.ok() ? 200 : 503;
          response.body = status.ok()
                              ? "ok\n"
                              : absl::StrCat(CleanText(status.message()), "\n");
        } else if (path == "/") {
          response.content_type = "text/html; charset=utf-8";
          response.body = RenderStatusPage(*metrics, health(), clock->Now());
        } else {
          response.status = 404;
          response.body = "not found\n";
        }
        return response;
      });
}

}  // namespace podvisor
