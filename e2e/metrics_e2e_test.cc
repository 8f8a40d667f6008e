// What Prometheus sees.

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "base/process.h"
#include "e2e/test_node.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "metrics/metric_names.h"

namespace podvisor::e2e {
namespace {

using testing::HasSubstr;

std::string Get(const std::string& url) {
  CommandOptions curl;
  curl.argv = {"curl", "-s", "-S", "--max-time", "5", url};
  curl.deadline = absl::Now() + absl::Seconds(10);
  return RunCommand(curl).value().stdout_data;
}

// The value of the first series of the family whose labels have the text; -1
// without one.
double Value(const std::string& scrape, const std::string& family,
             absl::string_view labels) {
  for (const absl::string_view line : absl::StrSplit(scrape, '\n')) {
    double value = 0;
    if (absl::StartsWith(line, family + "{") &&
        absl::StrContains(line, labels) &&
        absl::SimpleAtod(line.substr(line.rfind(' ') + 1), &value)) {
      return value;
    }
  }
  return -1;
}

class MetricsE2eTest : public testing::Test {
 protected:
  MetricsE2eTest() {
    node_.PullImage();
    base_ = absl::StrCat("http://", node_.metrics_address());
  }
  std::string Scrape() { return Get(base_ + "/metrics"); }

  TestNode node_;
  std::string base_;
};

TEST_F(MetricsE2eTest, AScrapeShowsEveryVmPassesPromtoolAndForgetsRemovedPods) {
  const cri::PodSandboxConfig config = node_.PodConfig("measured");
  const std::string pod = node_.RunPod(config);
  cri::ContainerConfig container = node_.ContainerConfig("main", "sleep 1000");
  *container.mutable_linux()->mutable_resources() = Resources(3000, 512);
  node_.CreateContainer(pod, container, config);

  const std::string scrape = Scrape();

  size_t bytes = 0;
  for (const absl::string_view line : absl::StrSplit(scrape, '\n')) {
    if (absl::StrContains(line, pod)) bytes += line.size() + 1;
  }
  EXPECT_EQ(Value(scrape, "podvisor_vm_vcpus", "state=\"online\""), 3);
  for (const char* series : {
           "resource=\"cpu\",direction=\"grow\",result=\"ok\"} 1",
           "resource=\"memory\",direction=\"grow\",result=\"ok\"} 1",
           "{resource=\"cpu\",direction=\"grow\",phase=\"vm\",",
           "{resource=\"cpu\",direction=\"grow\",phase=\"guest\",",
           "{resource=\"memory\",direction=\"grow\",phase=\"total\",",
           "state=\"used\"} 0",
           "resource=\"cpu\"} 0",
       }) {
    EXPECT_THAT(scrape, HasSubstr(series));
  }
  RecordProperty("bytes_per_vm", static_cast<int>(bytes));

  CommandOptions promtool;
  promtool.argv = {"promtool", "check", "metrics"};
  promtool.stdin_data = scrape;
  promtool.deadline = absl::Now() + absl::Seconds(30);
  const CommandResult checked = RunCommand(promtool).value();
  EXPECT_EQ(checked.exit_code, 0) << checked.stderr_data;

  EXPECT_THAT(Get(base_ + "/healthz"), HasSubstr("ok"));
  node_.RemovePod(pod);
  EXPECT_THAT(Scrape(), testing::Not(HasSubstr(pod)));
}

// A family that nobody fills has no HELP line in a scrape.
TEST_F(MetricsE2eTest, EveryFamilyOfTheTableIsFilled) {
  cri::PodSandboxConfig config = node_.PodConfig("filled");
  // A pod without a memory limit has nothing to exceed.
  *config.mutable_linux()->mutable_resources() = Resources(2000, 512);
  const std::string pod = node_.RunPod(config);
  cri::ContainerConfig container = node_.ContainerConfig("main", "sleep 1000");
  *container.mutable_linux()->mutable_resources() = Resources(2000, 512);
  const std::string main = node_.CreateContainer(pod, container, config);
  node_.StartContainer(main);
  node_.Exec(main, {"sh", "-c",
                    "ping -c 1 -W 5 $(ip route | sed -n "
                    "'s/^default via \\([^ ]*\\).*/\\1/p')"});
  const std::string lost = node_.RunPod(node_.PodConfig("lost"));
  node_.KillProcess(node_.PodInfo(lost, "/pid"));

  std::string scrape;
  // The samples of the guest and the end of the other VM come by themselves.
  EXPECT_TRUE(AwaitTrue(absl::Seconds(40), [&] {
    scrape = Scrape();
    return Value(scrape, "podvisor_vm_block_read_bytes_total", pod) > 0 &&
           Value(scrape, "podvisor_vm_network_receive_bytes_total", pod) > 0 &&
           Value(scrape, "podvisor_vm_exits_total", "reason") == 1;
  }));
  for (const MetricFamilyInfo* family : kAllMetrics) {
    EXPECT_THAT(scrape, HasSubstr(absl::StrCat("# HELP ", family->name, " ")));
  }
  EXPECT_GT(Value(scrape, "podvisor_vm_network_transmit_bytes_total", pod), 0);
  EXPECT_GT(Value(scrape, "podvisor_vm_block_written_bytes_total", pod), 0);
}

TEST_F(MetricsE2eTest, CallsOfBothServicesAreCountedBuiltOrNot) {
  Call call;
  cri::CheckpointContainerResponse response;
  ASSERT_EQ(
      node_.runtime().CheckpointContainer(&call, {}, &response).error_code(),
      grpc::StatusCode::UNIMPLEMENTED);

  const std::string scrape = Scrape();

  EXPECT_EQ(Value(scrape, "podvisor_cri_requests_total",
                  "method=\"PullImage\",code=\"OK\""),
            1);
  EXPECT_EQ(Value(scrape, "podvisor_cri_requests_total",
                  "method=\"CheckpointContainer\",code=\"UNIMPLEMENTED\""),
            1);
  EXPECT_EQ(Value(scrape, "podvisor_cri_request_seconds_count",
                  "method=\"PullImage\""),
            1);
}

}  // namespace
}  // namespace podvisor::e2e
