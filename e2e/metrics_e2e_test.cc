// What Prometheus sees.

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "base/process.h"
#include "e2e/test_node.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace podvisor::e2e {
namespace {

using testing::HasSubstr;

std::string Get(const std::string& url) {
  CommandOptions curl;
  curl.argv = {"curl", "-s", "-S", "--max-time", "5", url};
  curl.deadline = absl::Now() + absl::Seconds(10);
  return RunCommand(curl).value().stdout_data;
}

TEST(MetricsE2eTest, AScrapeShowsEveryVmPassesPromtoolAndForgetsRemovedPods) {
  TestNode node;
  node.PullImage();
  const std::string base = absl::StrCat("http://", node.metrics_address());
  const cri::PodSandboxConfig config = node.PodConfig("measured");
  const std::string pod = node.RunPod(config);
  cri::ContainerConfig container = node.ContainerConfig("main", "sleep 1000");
  *container.mutable_linux()->mutable_resources() = Resources(3000, 512);
  node.CreateContainer(pod, container, config);

  const std::string scrape = Get(base + "/metrics");

  for (const char* family :
       {"podvisor_vm_info", "podvisor_vm_vcpus", "podvisor_vm_memory_bytes",
        "podvisor_vm_resize_total", "podvisor_vm_resize_seconds",
        "podvisor_vm_boot_seconds", "podvisor_cri_requests_total",
        "podvisor_cri_request_seconds"}) {
    EXPECT_THAT(scrape, HasSubstr(absl::StrCat("# HELP ", family, " ")));
  }
  size_t bytes = 0;
  bool online_is_three = false;
  for (const absl::string_view line : absl::StrSplit(scrape, '\n')) {
    if (!absl::StrContains(line, pod)) continue;
    bytes += line.size() + 1;
    if (absl::StartsWith(line, "podvisor_vm_vcpus{") &&
        absl::StrContains(line, "state=\"online\"")) {
      online_is_three = absl::EndsWith(line, " 3");
    }
  }
  EXPECT_TRUE(online_is_three) << scrape;
  RecordProperty("bytes_per_vm", static_cast<int>(bytes));

  CommandOptions promtool;
  promtool.argv = {"promtool", "check", "metrics"};
  promtool.stdin_data = scrape;
  promtool.deadline = absl::Now() + absl::Seconds(30);
  const CommandResult checked = RunCommand(promtool).value();
  EXPECT_EQ(checked.exit_code, 0) << checked.stderr_data;

  EXPECT_THAT(Get(base + "/healthz"), HasSubstr("ok"));
  node.RemovePod(pod);
  EXPECT_THAT(Get(base + "/metrics"), testing::Not(HasSubstr(pod)));
}

}  // namespace
}  // namespace podvisor::e2e
