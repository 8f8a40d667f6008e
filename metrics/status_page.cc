#include "metrics/status_page.h"

#include <optional>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_replace.h"
#include "base/clean_text.h"

namespace podvisor {
namespace {

constexpr char kHead[] =
    "<!DOCTYPE html><html lang=\"en\"><head><meta charset=\"utf-8\">"
    "<title>podvisord</title><style>"
    "body{font-family:sans-serif;margin:2em}"
    "table{border-collapse:collapse}"
    "th,td{padding:.2em .8em;border-bottom:1px solid #ccc;text-align:right}"
    "th:first-child,td:first-child{text-align:left}"
    ".bad{color:#b00020}</style></head><body><h1>podvisord</h1>";

constexpr char kTableHead[] =
    "<table><tr><th>pod</th><th>sandbox</th>"
    "<th>vCPUs: target</th><th>plugged</th><th>online</th><th>max</th>"
    "<th>MiB: target</th><th>plugged</th><th>online</th><th>max</th>"
    "<th>shortfall</th><th>sample age</th></tr>";

std::string Escape(absl::string_view text) {
  return absl::StrReplaceAll(CleanText(text, 512), {{"&", "&amp;"},
                                                    {"<", "&lt;"},
                                                    {">", "&gt;"},
                                                    {"\"", "&quot;"},
                                                    {"'", "&#39;"}});
}

std::string MebiBytes(std::optional<int64_t> bytes) {
  return bytes.has_value() ? absl::StrCat(*bytes >> 20) : "?";
}

std::string Count(std::optional<int> count) {
  return count.has_value() ? absl::StrCat(*count) : "?";
}

void AppendRow(const VmSnapshot& vm, absl::Time now, std::string* page) {
  const std::vector<std::string> cells = {
      absl::StrCat(Escape(vm.name_space), "/", Escape(vm.pod)),
      Escape(vm.id.value().substr(0, 13)),
      absl::StrCat(vm.target_vcpus),
      Count(vm.plugged_vcpus),
      Count(vm.online_vcpus),
      absl::StrCat(vm.max_vcpus),
      MebiBytes(vm.target_memory_bytes),
      MebiBytes(vm.plugged_memory_bytes),
      MebiBytes(vm.online_memory_bytes),
      MebiBytes(vm.max_memory_bytes),
      MebiBytes(vm.shortfall_bytes),
      vm.sampled_at.has_value()
          ? absl::StrFormat("%.0f s",
                            absl::ToDoubleSeconds(now - *vm.sampled_at))
          : "?",
  };
  absl::StrAppend(page, "<tr>");
  for (const std::string& cell : cells) {
    absl::StrAppend(page, "<td>", cell, "</td>");
  }
  absl::StrAppend(page, "</tr>");
}

}  // namespace

std::string RenderStatusPage(const PodMetrics& metrics,
                             const absl::Status& health, absl::Time now) {
  const DaemonInfo info = metrics.daemon_info();
  const std::vector<VmMetrics> vms = metrics.Vms();
  std::string page = kHead;
  absl::StrAppend(&page, "<p>version ", Escape(info.version), ", accelerator ",
                  Escape(info.accelerator), ", QEMU ",
                  Escape(info.qemu_version), "</p>");
  if (health.ok()) {
    absl::StrAppend(&page, "<p>healthy</p>");
  } else {
    absl::StrAppend(&page,
                    "<p class=\"bad\">not healthy: ", Escape(health.message()),
                    "</p>");
  }
  absl::StrAppend(&page, "<h2>", vms.size(), " VMs</h2>", kTableHead);
  for (const VmMetrics& vm : vms) AppendRow(vm.snapshot, now, &page);
  absl::StrAppend(&page,
                  "</table><p><a href=\"/metrics\">metrics</a>, "
                  "<a href=\"/healthz\">health</a></p></body></html>\n");
  return page;
}

}  // namespace podvisor
