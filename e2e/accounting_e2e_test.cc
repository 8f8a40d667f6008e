// The accounting guard: a VM that can use more of its host than its pod is
// accounted for.

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "base/file.h"
#include "base/process.h"
#include "e2e/test_node.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace podvisor::e2e {
namespace {

using testing::AllOf;
using testing::HasSubstr;

constexpr int64_t kGiB = int64_t{1} << 30;

cri::PodSandboxConfig Limited(const TestNode& node, const std::string& name,
                              int64_t limit, int64_t overhead) {
  cri::PodSandboxConfig config = node.PodConfig(name);
  auto* linux = config.mutable_linux();
  linux->mutable_resources()->set_memory_limit_in_bytes(limit);
  linux->mutable_overhead()->set_memory_limit_in_bytes(overhead);
  return config;
}

// The pod's excess as Prometheus sees it; empty without one.
std::string ExcessMetric(const TestNode& node, const std::string& pod) {
  CommandOptions curl;
  curl.argv = {"curl", "-s", "--max-time", "5",
               absl::StrCat("http://", node.metrics_address(), "/metrics")};
  curl.deadline = absl::Now() + absl::Seconds(10);
  const std::string scrape = RunCommand(curl).value().stdout_data;
  for (const absl::string_view line : absl::StrSplit(scrape, '\n')) {
    if (absl::StartsWith(line, "podvisor_vm_accounting_excess_bytes{") &&
        absl::StrContains(line, pod)) {
      return std::string(line.substr(line.rfind(' ') + 1));
    }
  }
  return "";
}

TEST(AccountingE2eTest, AnExcessIsShownAndThePodRuns) {
  TestNode node;
  const std::string small =
      node.RunPod(Limited(node, "small", 64 * kMiB, 16 * kMiB));
  const int64_t cost = node.PodInfo(small, "/accountedBytes/vmm");
  EXPECT_GT(cost, 0);
  EXPECT_EQ(node.PodInfo(small, "/accountedBytes/guest"), 256 * kMiB);
  EXPECT_EQ(node.PodInfo(small, "/accountedBytes/limit"), 64 * kMiB);
  EXPECT_EQ(node.PodInfo(small, "/accountedBytes/overhead"), 16 * kMiB);
  const int64_t excess = 256 * kMiB + cost - 80 * kMiB;
  EXPECT_EQ(node.PodInfo(small, "/accountedBytes/excess"), excess);
  EXPECT_NE(ExcessMetric(node, small), "");
  EXPECT_THAT(ReadFile(node.directory() + "/podvisord.log").value(),
              HasSubstr("the host may kill this VM for want of memory"));
  node.RemovePod(small);

  const std::string free = node.RunPod(node.PodConfig("free"));
  EXPECT_EQ(node.PodInfo(free, "/accountedBytes/excess"), 0);
  EXPECT_EQ(ExcessMetric(node, free), "");
  node.RemovePod(free);
  EXPECT_EQ(node.Leftovers(), "");
}

TEST(AccountingE2eTest, EnforcedItRefusesPodAndGrowWithFiguresAndWhatToDo) {
  TestNode node({"/^shrink_delay/a accounting_guard = \"enforce\""});
  node.PullImage();
  {
    cri::RunPodSandboxRequest request;
    *request.mutable_config() = Limited(node, "small", 64 * kMiB, 16 * kMiB);
    cri::RunPodSandboxResponse response;
    Call call;
    const grpc::Status status =
        node.runtime().RunPodSandbox(&call, request, &response);
    EXPECT_EQ(status.error_code(), grpc::StatusCode::RESOURCE_EXHAUSTED);
    EXPECT_THAT(status.error_message(),
                AllOf(HasSubstr("memory limit 64 MiB, overhead 16 MiB"),
                      HasSubstr("overhead.podFixed")));
    EXPECT_EQ(node.Leftovers(), "");
  }

  // At its base it is within its account, with the whole container it is not:
  // guest_overhead_memory of 128 MiB and the VMM come on top.
  const cri::PodSandboxConfig config = Limited(node, "grow", 2 * kGiB, kMiB);
  const std::string pod = node.RunPod(config);
  cri::CreateContainerRequest request;
  request.set_pod_sandbox_id(pod);
  *request.mutable_sandbox_config() = config;
  *request.mutable_config() = node.ContainerConfig("main", "sleep 1000");
  *request.mutable_config()->mutable_linux()->mutable_resources() =
      Resources(1000, 2048);
  const auto create = [&] {
    cri::CreateContainerResponse response;
    Call call;
    return node.runtime().CreateContainer(&call, request, &response);
  };
  const grpc::Status refused = create();
  EXPECT_EQ(refused.error_code(), grpc::StatusCode::RESOURCE_EXHAUSTED);
  EXPECT_THAT(refused.error_message(), HasSubstr("overhead.podFixed"));
  EXPECT_EQ(node.PodInfo(pod, "/memoryBytes/online"), 256 * kMiB);

  cri::UpdatePodSandboxResourcesRequest update;
  update.set_pod_sandbox_id(pod);
  update.mutable_overhead()->set_memory_limit_in_bytes(2 * kGiB);
  {
    cri::UpdatePodSandboxResourcesResponse response;
    Call call;
    EXPECT_TRUE(node.runtime()
                    .UpdatePodSandboxResources(&call, update, &response)
                    .ok());
  }
  const grpc::Status created = create();
  EXPECT_TRUE(created.ok()) << created.error_message();
  EXPECT_EQ(node.PodInfo(pod, "/accountedBytes/excess"), 0);
  node.RemovePod(pod);
  EXPECT_EQ(node.Leftovers(), "");
}

}  // namespace
}  // namespace podvisor::e2e
