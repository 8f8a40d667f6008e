// The published behaviour of a base of 1 vCPU and 1 GiB, and of the annotations
// that replace it.

#include <signal.h>

#include <array>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "e2e/test_node.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace podvisor::e2e {
namespace {

using testing::AllOf;
using testing::HasSubstr;

constexpr char kForever[] = "trap 'exit 0' TERM; while :; do sleep 0.1; done";
constexpr char kCpu[] = "com.github.containers.virtcontainers.sandbox_cpu";
constexpr char kMem[] = "com.github.containers.virtcontainers.sandbox_mem";
constexpr int64_t kGiB = int64_t{1} << 30;

// The configuration in which the published figures hold.
const std::vector<std::string> kPublished = {
    "s/^default_memory.*/default_memory = 1024/",
    "s/^guest_overhead_memory.*/guest_overhead_memory = 0/",
};

// Starts a container with these requests and limits in the pod.
std::string RunIn(TestNode& node, const std::string& pod,
                  const cri::PodSandboxConfig& config, const std::string& name,
                  int64_t milli_cpu, int64_t memory_mib) {
  cri::ContainerConfig container = node.ContainerConfig(name, kForever);
  *container.mutable_linux()->mutable_resources() =
      Resources(milli_cpu, memory_mib);
  const std::string id = node.CreateContainer(pod, container, config);
  node.StartContainer(id);
  return id;
}

void RemoveFrom(TestNode& node, const std::string& id) {
  cri::RemoveContainerRequest request;
  request.set_container_id(id);
  cri::RemoveContainerResponse response;
  Call call;
  EXPECT_TRUE(node.runtime().RemoveContainer(&call, request, &response).ok());
}

class SizingE2eTest : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    node_ = new TestNode(kPublished);
    node_->PullImage();
  }
  static void TearDownTestSuite() { delete node_; }

  std::string Run(const std::string& pod, const cri::PodSandboxConfig& config,
                  const std::string& name, int64_t milli_cpu,
                  int64_t memory_mib) {
    return RunIn(*node_, pod, config, name, milli_cpu, memory_mib);
  }
  void Remove(const std::string& id) { RemoveFrom(*node_, id); }
  static grpc::Status TryRun(TestNode& node,
                             const cri::PodSandboxConfig& config) {
    cri::RunPodSandboxRequest request;
    *request.mutable_config() = config;
    cri::RunPodSandboxResponse response;
    Call call;
    return node.runtime().RunPodSandbox(&call, request, &response);
  }

  static TestNode* node_;
};

TestNode* SizingE2eTest::node_ = nullptr;

TEST_F(SizingE2eTest, FourCpusAreFourAndOneAgainWhenTheContainerIsGone) {
  const cri::PodSandboxConfig config = node_->PodConfig("four-cpus");
  const std::string pod = node_->RunPod(config);
  EXPECT_EQ(node_->PodInfo(pod, "/vcpus/online"), 1);

  const std::string id = Run(pod, config, "main", 4000, 0);
  EXPECT_EQ(node_->PodInfo(pod, "/vcpus/online"), 4);
  EXPECT_EQ(node_->Exec(id, {"nproc"}), "4\n");

  Remove(id);
  EXPECT_EQ(node_->AwaitPodInfo(pod, "/vcpus/online", 1), 1);
  node_->RemovePod(pod);
}

TEST_F(SizingE2eTest, FourGibibytesAreFourAndOneAgainWhenTheContainerIsGone) {
  const cri::PodSandboxConfig config = node_->PodConfig("four-gib");
  const std::string pod = node_->RunPod(config);
  EXPECT_EQ(node_->PodInfo(pod, "/memoryBytes/online"), kGiB);

  const std::string id = Run(pod, config, "main", 0, 4096);
  EXPECT_EQ(node_->PodInfo(pod, "/memoryBytes/online"), 4 * kGiB);

  Remove(id);
  EXPECT_EQ(node_->AwaitPodInfo(pod, "/memoryBytes/online", kGiB), kGiB);
  node_->RemovePod(pod);
}

TEST_F(SizingE2eTest, TenContainersOfTwoTenthsMakeExactlyTwoCpus) {
  const cri::PodSandboxConfig config = node_->PodConfig("ten");
  const std::string pod = node_->RunPod(config);

  for (int i = 0; i < 10; ++i) {
    Run(pod, config, absl::StrCat("c", i), 200, 16);
  }

  EXPECT_EQ(node_->PodInfo(pod, "/vcpus/online"), 2);
  EXPECT_EQ(node_->PodInfo(pod, "/memoryBytes/online"), kGiB);
  node_->RemovePod(pod);
}

TEST_F(SizingE2eTest, AnnotationsSetWhatThePodBootsWithAndComesBackTo) {
  cri::PodSandboxConfig config = node_->PodConfig("annotated");
  (*config.mutable_annotations())[kCpu] = "4";
  (*config.mutable_annotations())[kMem] = "4G";

  const std::string pod = node_->RunPod(config);
  EXPECT_EQ(node_->PodInfo(pod, "/vcpus/online"), 4);
  EXPECT_EQ(node_->PodInfo(pod, "/memoryBytes/online"), 4 * kGiB);
  const std::string id = Run(pod, config, "main", 5000, 5120);
  EXPECT_EQ(node_->PodInfo(pod, "/vcpus/online"), 5);
  EXPECT_EQ(node_->PodInfo(pod, "/memoryBytes/online"), 5 * kGiB);

  Remove(id);
  EXPECT_EQ(node_->AwaitPodInfo(pod, "/vcpus/online", 4), 4);
  EXPECT_EQ(node_->AwaitPodInfo(pod, "/memoryBytes/online", 4 * kGiB),
            4 * kGiB);
  node_->RemovePod(pod);
}

TEST_F(SizingE2eTest, ResourcesOfThePodCapItsContainersAndOutliveTheDaemon) {
  const cri::PodSandboxConfig config = node_->PodConfig("capped");
  const std::string pod = node_->RunPod(config);
  Run(pod, config, "main", 4000, 4096);
  cri::UpdatePodSandboxResourcesRequest request;
  request.set_pod_sandbox_id(pod);
  *request.mutable_resources() = Resources(2000, 2048);
  cri::UpdatePodSandboxResourcesResponse response;
  {
    Call call;
    const grpc::Status status =
        node_->runtime().UpdatePodSandboxResources(&call, request, &response);
    EXPECT_TRUE(status.ok()) << status.error_message();
  }
  EXPECT_EQ(node_->AwaitPodInfo(pod, "/vcpus/online", 2), 2);
  EXPECT_EQ(node_->AwaitPodInfo(pod, "/memoryBytes/online", 2 * kGiB),
            2 * kGiB);

  node_->EndDaemon(SIGKILL);
  node_->StartDaemon();

  EXPECT_EQ(node_->AwaitPodInfo(pod, "/vcpus/target", 2), 2);
  EXPECT_EQ(node_->PodInfo(pod, "/vcpus/online"), 2);
  EXPECT_EQ(node_->PodInfo(pod, "/memoryBytes/online"), 2 * kGiB);
  node_->RemovePod(pod);
}

TEST_F(SizingE2eTest, AnnotationsThatCannotBeAreRefusedWithTheReason) {
  const std::vector<std::array<std::string, 3>> kRefused = {
      {kCpu, "0.4", kCpu},
      {kCpu, "9", "base of 9 vCPUs is above the maximum of 8"},
      {kMem, "4G ", kMem},
      {kMem, "16G", "base of 17179869184 bytes is above the maximum of"},
  };
  for (const auto& [name, value, text] : kRefused) {
    cri::PodSandboxConfig config = node_->PodConfig("refused");
    (*config.mutable_annotations())[name] = value;

    const grpc::Status status = TryRun(*node_, config);

    EXPECT_EQ(status.error_code(), grpc::StatusCode::INVALID_ARGUMENT)
        << name << "=" << value;
    EXPECT_THAT(status.error_message(), HasSubstr(text));
  }
}

TEST(AdditiveSizingE2eTest, TenContainersOfTwoTenthsMakeExactlyThreeCpus) {
  TestNode node({"s/^default_memory.*/default_memory = 256/",
                 "s/^shrink_delay.*/sizing = \"additive\"/"});
  node.PullImage();
  const cri::PodSandboxConfig config = node.PodConfig("ten");
  const std::string pod = node.RunPod(config);

  for (int i = 0; i < 10; ++i) {
    cri::ContainerConfig container =
        node.ContainerConfig(absl::StrCat("c", i), kForever);
    *container.mutable_linux()->mutable_resources() = Resources(200, 0);
    node.CreateContainer(pod, container, config);
  }

  EXPECT_EQ(node.PodInfo(pod, "/vcpus/online"), 3);
}

TEST(FixedSizeE2eTest, WithoutHotplugALargerContainerIsRefusedWithBothFigures) {
  TestNode node({"s/^shrink_delay.*/enable_cpu_memory_hotplug = false/"});
  node.PullImage();
  const cri::PodSandboxConfig config = node.PodConfig("fixed");
  const std::string pod = node.RunPod(config);
  cri::CreateContainerRequest request;
  request.set_pod_sandbox_id(pod);
  *request.mutable_config() = node.ContainerConfig("large", kForever);
  *request.mutable_config()->mutable_linux()->mutable_resources() =
      Resources(0, 512);
  *request.mutable_sandbox_config() = config;
  cri::CreateContainerResponse response;
  Call call;

  const grpc::Status status =
      node.runtime().CreateContainer(&call, request, &response);

  EXPECT_EQ(status.error_code(), grpc::StatusCode::INVALID_ARGUMENT);
  EXPECT_THAT(status.error_message(),
              AllOf(HasSubstr("536870912"), HasSubstr("268435456")));
  cri::ContainerConfig small = node.ContainerConfig("small", kForever);
  *small.mutable_linux()->mutable_resources() = Resources(2000, 64);
  node.StartContainer(node.CreateContainer(pod, small, config));
  EXPECT_EQ(node.PodInfo(pod, "/vcpus/online"), 1);
}

// kPublished with DIMMs, and more edits.
std::vector<std::string> WithDimms(const std::vector<std::string>& more) {
  std::vector<std::string> edits = kPublished;
  edits.push_back("/^shrink_delay/a memory_hotplug = \"pc-dimm\"");
  edits.insert(edits.end(), more.begin(), more.end());
  return edits;
}

// The kernel then keeps the page descriptors of a block, 2 MiB for 128, in the
// block itself: it is all there, and a part of it is not for others.
TEST(DimmE2eTest, ADimmThatHoldsItsOwnPageDescriptorsIsWholeAllTheSame) {
  TestNode node(
      WithDimms({"s|^\\[image\\]|kernel_params = "
                 "\"memory_hotplug.memmap_on_memory=1\"\\n[image]|"}));
  node.PullImage();
  const cri::PodSandboxConfig config = node.PodConfig("self-described");
  const std::string pod = node.RunPod(config);
  const std::string id = RunIn(node, pod, config, "main", 1000, 1024);
  const auto mem_total_kib = [&] {
    int64_t kib = 0;
    EXPECT_TRUE(absl::SimpleAtoi(
        node.Exec(id, {"awk", "/^MemTotal/{print $2}", "/proc/meminfo"}),
        &kib));
    return kib;
  };
  const int64_t before = mem_total_kib();
  cri::UpdateContainerResourcesRequest request;
  request.set_container_id(id);
  *request.mutable_linux() = Resources(1000, 1024 + 128);
  cri::UpdateContainerResourcesResponse response;
  Call call;

  const grpc::Status updated =
      node.runtime().UpdateContainerResources(&call, request, &response);

  ASSERT_TRUE(updated.ok()) << updated.error_message();
  EXPECT_EQ(node.PodInfo(pod, "/memoryBytes/online"), (1024 + 128) * kMiB);
  EXPECT_EQ(node.PodInfo(pod, "/memorySlots/used"), 1);
  EXPECT_EQ(mem_total_kib() - before, 126 << 10);
}

TEST(DimmE2eTest, DimmsStayWithThePodAndSlotsThatRunOutAreNamed) {
  TestNode node(WithDimms({"/^shrink_delay/a memory_slots = 1"}));
  node.PullImage();
  const cri::PodSandboxConfig config = node.PodConfig("dimms");
  const std::string pod = node.RunPod(config);
  const std::string id = RunIn(node, pod, config, "main", 2000, 4096);
  EXPECT_EQ(node.PodInfo(pod, "/memoryBytes/online"), 4 * kGiB);
  EXPECT_EQ(node.PodInfo(pod, "/memorySlots/used"), 1);
  EXPECT_EQ(node.Exec(id, {"sh", "-c",
                           "test $(awk '/MemTotal/{print $2}' /proc/meminfo) "
                           "-gt 4000000 && echo yes"}),
            "yes\n");

  cri::CreateContainerRequest request;
  request.set_pod_sandbox_id(pod);
  *request.mutable_sandbox_config() = config;
  *request.mutable_config() = node.ContainerConfig("more", kForever);
  *request.mutable_config()->mutable_linux()->mutable_resources() =
      Resources(100, 1024);
  {
    cri::CreateContainerResponse response;
    Call call;
    const grpc::Status status =
        node.runtime().CreateContainer(&call, request, &response);
    EXPECT_EQ(status.error_code(), grpc::StatusCode::RESOURCE_EXHAUSTED);
    EXPECT_THAT(status.error_message(), HasSubstr("0 of 1 slots are free"));
  }

  RemoveFrom(node, id);
  // The vCPUs show when the VM has settled.
  EXPECT_EQ(node.AwaitPodInfo(pod, "/vcpus/online", 1), 1);
  EXPECT_EQ(node.PodInfo(pod, "/memoryBytes/online"), 4 * kGiB);
  EXPECT_EQ(node.PodInfo(pod, "/memoryBytes/shortfall"), 0);
  node.RemovePod(pod);
  EXPECT_EQ(node.Leftovers(), "");
}

TEST(DimmE2eTest, DimmsThatMayBeRemovedGoBackAlsoAfterARestart) {
  TestNode node(WithDimms({"/^shrink_delay/a pc_dimm_unplug = true"}));
  node.PullImage();
  const cri::PodSandboxConfig config = node.PodConfig("coins");
  const std::string pod = node.RunPod(config);
  const std::string id = RunIn(node, pod, config, "main", 2000, 4096);
  EXPECT_EQ(node.PodInfo(pod, "/memoryBytes/online"), 4 * kGiB);
  EXPECT_EQ(node.PodInfo(pod, "/memorySlots/used"), 2);

  node.EndDaemon(SIGKILL);
  node.StartDaemon();
  RemoveFrom(node, id);

  EXPECT_EQ(node.AwaitPodInfo(pod, "/memoryBytes/online", kGiB), kGiB);
  EXPECT_EQ(node.PodInfo(pod, "/memorySlots/used"), 0);
  node.RemovePod(pod);
  EXPECT_EQ(node.Leftovers(), "");
}

}  // namespace
}  // namespace podvisor::e2e
