// presize = true: a pod has what its own resources ask for when RunPodSandbox
// returns, and can still shrink.

#include <signal.h>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "base/process.h"
#include "e2e/test_node.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace podvisor::e2e {
namespace {

using testing::AllOf;
using testing::HasSubstr;

constexpr char kForever[] = "trap 'exit 0' TERM; while :; do sleep 0.1; done";
constexpr int64_t kGiB = int64_t{1} << 30;

cri::PodSandboxConfig Sized(const TestNode& node, const std::string& name,
                            int64_t milli_cpu, int64_t memory_mib) {
  cri::PodSandboxConfig config = node.PodConfig(name);
  *config.mutable_linux()->mutable_resources() =
      Resources(milli_cpu, memory_mib);
  return config;
}

// The counters of all resizes so far.
std::string Resizes(const TestNode& node) {
  CommandOptions curl;
  curl.argv = {"curl", "-s", "--max-time", "5",
               absl::StrCat("http://", node.metrics_address(), "/metrics")};
  curl.deadline = absl::Now() + absl::Seconds(10);
  const std::string scrape = RunCommand(curl).value().stdout_data;
  std::string counters;
  for (const absl::string_view line : absl::StrSplit(scrape, '\n')) {
    if (absl::StartsWith(line, "podvisor_vm_resize_total{")) {
      absl::StrAppend(&counters, line, "\n");
    }
  }
  return counters;
}

std::string Create(TestNode& node, const std::string& pod,
                   const cri::PodSandboxConfig& config, const std::string& name,
                   int64_t milli_cpu, int64_t memory_mib) {
  cri::ContainerConfig container = node.ContainerConfig(name, kForever);
  *container.mutable_linux()->mutable_resources() =
      Resources(milli_cpu, memory_mib);
  const std::string id = node.CreateContainer(pod, container, config);
  node.StartContainer(id);
  return id;
}

void Remove(TestNode& node, const std::string& id) {
  cri::RemoveContainerRequest request;
  request.set_container_id(id);
  cri::RemoveContainerResponse response;
  Call call;
  EXPECT_TRUE(node.runtime().RemoveContainer(&call, request, &response).ok());
}

grpc::Status TryRun(TestNode& node, const cri::PodSandboxConfig& config) {
  cri::RunPodSandboxRequest request;
  *request.mutable_config() = config;
  cri::RunPodSandboxResponse response;
  Call call;
  return node.runtime().RunPodSandbox(&call, request, &response);
}

TEST(PresizeE2eTest, APodHasItsSizeFromTheStartUntilAllOfItHasEnded) {
  TestNode node({"/^shrink_delay/a presize = true",
                 "s/^guest_overhead_memory.*/guest_overhead_memory = 0/"});
  node.PullImage();
  const cri::PodSandboxConfig config = Sized(node, "presized", 3000, 1024);
  const std::string pod = node.RunPod(config);
  EXPECT_EQ(node.PodInfo(pod, "/vcpus/base"), 1);
  EXPECT_EQ(node.PodInfo(pod, "/vcpus/online"), 3);
  EXPECT_EQ(node.PodInfo(pod, "/memoryBytes/online"), kGiB);
  const std::string booted = Resizes(node);
  EXPECT_THAT(booted, HasSubstr("direction=\"grow\""));

  const std::string first = Create(node, pod, config, "first", 2000, 512);
  EXPECT_EQ(node.Exec(first, {"nproc"}), "3\n");
  const std::string second = Create(node, pod, config, "second", 1000, 512);
  EXPECT_EQ(Resizes(node), booted);

  node.EndDaemon(SIGKILL);
  node.StartDaemon();
  Remove(node, first);
  EXPECT_EQ(node.AwaitPodInfo(pod, "/vcpus/target", 3), 3);
  EXPECT_EQ(node.PodInfo(pod, "/vcpus/online"), 3);
  EXPECT_EQ(node.PodInfo(pod, "/memoryBytes/online"), kGiB);

  Remove(node, second);
  EXPECT_EQ(node.AwaitPodInfo(pod, "/vcpus/online", 1), 1);
  EXPECT_EQ(node.AwaitPodInfo(pod, "/memoryBytes/online", 256 * kMiB),
            256 * kMiB);
  node.EndDaemon(SIGKILL);
  node.StartDaemon();
  EXPECT_EQ(node.AwaitPodInfo(pod, "/vcpus/target", 1), 1);
  EXPECT_EQ(node.PodInfo(pod, "/vcpus/online"), 1);
  node.RemovePod(pod);
  EXPECT_EQ(node.Leftovers(), "");
}

TEST(PresizeE2eTest, WithoutHotplugALargerPodIsRefusedWithBothFigures) {
  TestNode node({"/^shrink_delay/a presize = true",
                 "/^shrink_delay/a enable_cpu_memory_hotplug = false"});

  const grpc::Status status = TryRun(node, Sized(node, "large", 1000, 512));

  EXPECT_EQ(status.error_code(), grpc::StatusCode::INVALID_ARGUMENT);
  EXPECT_THAT(status.error_message(),
              AllOf(HasSubstr("536870912"), HasSubstr("268435456")));
  const std::string pod = node.RunPod(Sized(node, "fits", 1000, 256));
  EXPECT_EQ(node.PodInfo(pod, "/memoryBytes/online"), 256 * kMiB);
  node.RemovePod(pod);
  EXPECT_EQ(node.Leftovers(), "");
}

}  // namespace
}  // namespace podvisor::e2e
