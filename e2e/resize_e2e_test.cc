// The heart: the VM follows what its containers ask for, and says what it has.

#include "absl/strings/numbers.h"
#include "absl/strings/str_split.h"
#include "e2e/test_node.h"
#include "gtest/gtest.h"

namespace podvisor::e2e {
namespace {

constexpr char kForever[] = "trap 'exit 0' TERM; while :; do sleep 0.1; done";
constexpr int64_t kBaseMiB = 256;
// What guest_overhead_memory of the test node and 3/128 of 1 or 2 GiB come to,
// rounded to the block.
constexpr int64_t kOverheadMiB = 128;

class ResizeE2eTest : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    node_ = new TestNode();
    node_->PullImage();
  }
  static void TearDownTestSuite() { delete node_; }

  void SetUp() override {
    config_ = node_->PodConfig(
        testing::UnitTest::GetInstance()->current_test_info()->name());
    pod_ = node_->RunPod(config_);
  }
  void TearDown() override { node_->RemovePod(pod_); }

  std::string Create(const std::string& name, int64_t milli_cpu,
                     int64_t memory_mib) {
    cri::ContainerConfig config = node_->ContainerConfig(name, kForever);
    *config.mutable_linux()->mutable_resources() =
        Resources(milli_cpu, memory_mib);
    return node_->CreateContainer(pod_, config, config_);
  }
  std::string Run(const std::string& name, int64_t milli_cpu,
                  int64_t memory_mib) {
    const std::string id = Create(name, milli_cpu, memory_mib);
    node_->StartContainer(id);
    return id;
  }
  grpc::Status Update(const std::string& id, int64_t milli_cpu,
                      int64_t memory_mib) {
    cri::UpdateContainerResourcesRequest request;
    request.set_container_id(id);
    *request.mutable_linux() = Resources(milli_cpu, memory_mib);
    cri::UpdateContainerResourcesResponse response;
    Call call;
    return node_->runtime().UpdateContainerResources(&call, request, &response);
  }
  void Remove(const std::string& id) {
    cri::RemoveContainerRequest request;
    request.set_container_id(id);
    cri::RemoveContainerResponse response;
    Call call;
    EXPECT_TRUE(
        node_->runtime().RemoveContainer(&call, request, &response).ok());
  }
  // What the guest's kernel says.
  int64_t GuestCpus(const std::string& id) {
    int64_t cpus = 0;
    EXPECT_TRUE(absl::SimpleAtoi(
        std::string(absl::StripAsciiWhitespace(node_->Exec(id, {"nproc"}))),
        &cpus));
    return cpus;
  }
  int64_t GuestMemoryMiB(const std::string& id) {
    const std::string text = node_->Exec(
        id, {"awk", "/^MemTotal:/ {print int($2 / 1024)}", "/proc/meminfo"});
    int64_t mib = 0;
    EXPECT_TRUE(
        absl::SimpleAtoi(std::string(absl::StripAsciiWhitespace(text)), &mib));
    return mib;
  }
  int64_t OnlineMiB() {
    return node_->PodInfo(pod_, "/memoryBytes/online") / kMiB;
  }

  static TestNode* node_;
  cri::PodSandboxConfig config_;
  std::string pod_;
};

TestNode* ResizeE2eTest::node_ = nullptr;

TEST_F(ResizeE2eTest,
       TheVmGrowsBeforeTheContainerExistsAndIsBackAtBaseAfterIt) {
  const std::string id = Create("main", 4000, 2048);
  EXPECT_EQ(node_->PodInfo(pod_, "/vcpus/online"), 4);
  EXPECT_EQ(OnlineMiB(), 2048 + kOverheadMiB);
  node_->StartContainer(id);
  EXPECT_EQ(GuestCpus(id), 4);
  EXPECT_GE(GuestMemoryMiB(id), 2048);

  Remove(id);

  EXPECT_EQ(node_->AwaitPodInfo(pod_, "/memoryBytes/online", kBaseMiB * kMiB),
            kBaseMiB * kMiB);
  EXPECT_EQ(node_->AwaitPodInfo(pod_, "/vcpus/online", 1), 1);
}

TEST_F(ResizeE2eTest, AnUpdateUpwardsIsThereWhenTheCallReturns) {
  const std::string id = Run("main", 1000, 256);

  ASSERT_TRUE(Update(id, 3000, 1024).ok());

  EXPECT_EQ(GuestCpus(id), 3);
  EXPECT_GE(GuestMemoryMiB(id), 1024);
  const cri::ContainerStatus status = node_->Status(id);
  EXPECT_EQ(status.resources().linux().cpu_quota(), 300'000);
  EXPECT_EQ(status.resources().linux().memory_limit_in_bytes(), 1024 * kMiB);
  EXPECT_EQ(node_->Exec(id, {"cat", "/sys/fs/cgroup/cpu.max"}),
            "300000 100000\n");
}

TEST_F(ResizeE2eTest, AnUpdateDownwardsLowersTheCgroupAndTheVmFollows) {
  const std::string id = Run("main", 4000, 2048);

  ASSERT_TRUE(Update(id, 2000, 1024).ok());

  EXPECT_EQ(node_->Exec(id, {"cat", "/sys/fs/cgroup/memory.max"}),
            "1073741824\n");
  const int64_t target = (1024 + kOverheadMiB) * kMiB;
  EXPECT_EQ(node_->AwaitPodInfo(pod_, "/vcpus/online", 2), 2);
  EXPECT_EQ(node_->AwaitPodInfo(pod_, "/memoryBytes/online", target), target);
  EXPECT_EQ(GuestCpus(id), 2);
}

TEST_F(ResizeE2eTest, CpuDownThenMemoryUpThenADiskDoesNotKillQemu) {
  const std::string first = Run("first", 4000, 256);
  ASSERT_TRUE(Update(first, 1000, 256).ok());
  ASSERT_EQ(node_->AwaitPodInfo(pod_, "/vcpus/online", 1), 1);

  ASSERT_TRUE(Update(first, 1000, 1024).ok());
  const std::string second = Run("second", 2000, 256);

  EXPECT_EQ(GuestCpus(second), 3);
  EXPECT_EQ(node_->Exec(first, {"echo", "alive"}), "alive\n");
}

TEST_F(ResizeE2eTest, AContainerWithoutEndIsStoppedByItsOwnLimit) {
  const std::string neighbour = Run("neighbour", 0, 16);
  // More than the base has, and no more than a guest whose CPU has a busy host
  // fills within a minute, page by page: docs/adr/0011-guest-memory.md.
  cri::ContainerConfig config = node_->ContainerConfig(
      "endless", "exec dd if=/dev/zero of=/dev/null bs=1G count=1");
  *config.mutable_linux()->mutable_resources() = Resources(0, 320);
  const std::string id = node_->CreateContainer(pod_, config, config_);
  node_->StartContainer(id);

  const cri::ContainerStatus status =
      node_->AwaitState(id, cri::CONTAINER_EXITED);

  EXPECT_EQ(status.reason(), "OOMKilled") << status.DebugString();
  EXPECT_EQ(status.exit_code(), 137);
  // The guest had more, and so it is the only one that the kernel stopped.
  EXPECT_EQ(node_->Exec(neighbour, {"echo", "alive"}), "alive\n");
  EXPECT_EQ(node_->Status(neighbour).state(), cri::CONTAINER_RUNNING);
  Remove(id);
  EXPECT_EQ(node_->AwaitPodInfo(pod_, "/memoryBytes/online", kBaseMiB * kMiB),
            kBaseMiB * kMiB);
}

TEST_F(ResizeE2eTest, TenFifthsOfACpuAreTwo) {
  for (int i = 0; i < 10; ++i) {
    Create("c" + std::to_string(i), 200, 16);
  }
  EXPECT_EQ(node_->PodInfo(pod_, "/vcpus/online"), 2);
}

TEST_F(ResizeE2eTest, ATargetAboveTheMaximumIsCutVisibly) {
  Create("huge", 64'000, 64);

  EXPECT_EQ(node_->PodInfo(pod_, "/vcpus/online"), 8);
  EXPECT_EQ(node_->PodInfo(pod_, "/vcpus/target"), 8);
}

}  // namespace
}  // namespace podvisor::e2e
