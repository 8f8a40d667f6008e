// What a request says of cgroups reaches the container in the guest, or is
// refused by name.

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "e2e/test_node.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace podvisor::e2e {
namespace {

using testing::HasSubstr;

constexpr char kForever[] = "trap 'exit 0' TERM; while :; do sleep 0.1; done";

class GuestCgroupE2eTest : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    node_ = new TestNode;
    node_->PullImage();
    config_ = new cri::PodSandboxConfig(node_->PodConfig("cgroups"));
    // To mount a hugetlbfs, below.
    config_->mutable_linux()->mutable_security_context()->set_privileged(true);
    pod_ = new std::string(node_->RunPod(*config_));
  }
  static void TearDownTestSuite() {
    node_->RemovePod(*pod_);
    EXPECT_EQ(node_->Leftovers(), "");
    delete pod_;
    delete config_;
    delete node_;
  }

  static cri::ContainerConfig Container(const std::string& name) {
    cri::ContainerConfig config = node_->ContainerConfig(name, kForever);
    *config.mutable_linux()->mutable_resources() = Resources(500, 64);
    return config;
  }
  static std::string Start(const cri::ContainerConfig& config) {
    const std::string id = node_->CreateContainer(*pod_, config, *config_);
    node_->StartContainer(id);
    return id;
  }
  static grpc::Status TryCreate(const cri::ContainerConfig& config) {
    cri::CreateContainerRequest request;
    request.set_pod_sandbox_id(*pod_);
    *request.mutable_config() = config;
    *request.mutable_sandbox_config() = *config_;
    cri::CreateContainerResponse response;
    Call call;
    return node_->runtime().CreateContainer(&call, request, &response);
  }
  static grpc::Status Update(const std::string& id,
                             const cri::LinuxContainerResources& resources) {
    cri::UpdateContainerResourcesRequest request;
    request.set_container_id(id);
    *request.mutable_linux() = resources;
    cri::UpdateContainerResourcesResponse response;
    Call call;
    return node_->runtime().UpdateContainerResources(&call, request, &response);
  }
  static std::string File(const std::string& id, const std::string& name) {
    return node_->Exec(id, {"cat", "/sys/fs/cgroup/" + name});
  }

  static TestNode* node_;
  static cri::PodSandboxConfig* config_;
  static std::string* pod_;
};

TestNode* GuestCgroupE2eTest::node_ = nullptr;
cri::PodSandboxConfig* GuestCgroupE2eTest::config_ = nullptr;
std::string* GuestCgroupE2eTest::pod_ = nullptr;

TEST_F(GuestCgroupE2eTest, FilesOfCgroupV2AndSwapAreApplied) {
  cri::ContainerConfig config = Container("unified");
  auto* resources = config.mutable_linux()->mutable_resources();
  resources->set_memory_swap_limit_in_bytes(65 * kMiB);
  (*resources->mutable_unified())["memory.high"] = "33554432";
  const std::string id = Start(config);
  EXPECT_EQ(File(id, "memory.high"), "33554432\n");
  EXPECT_EQ(File(id, "memory.swap.max"), absl::StrCat(kMiB, "\n"));

  cri::LinuxContainerResources update;
  (*update.mutable_unified())["memory.high"] = "max";
  (*update.mutable_unified())["memory.max"] = "50331648";
  const grpc::Status updated = Update(id, update);

  EXPECT_TRUE(updated.ok()) << updated.error_message();
  EXPECT_EQ(File(id, "memory.high"), "max\n");
  // The limit that was given as one wins, as it does in the VM's size.
  EXPECT_EQ(File(id, "memory.max"), absl::StrCat(64 * kMiB, "\n"));
  const auto shown = node_->Status(id).resources().linux();
  EXPECT_EQ(shown.unified().at("memory.high"), "max");
  EXPECT_EQ(shown.memory_limit_in_bytes(), 64 * kMiB);
  EXPECT_EQ(shown.memory_swap_limit_in_bytes(), 65 * kMiB);
}

TEST_F(GuestCgroupE2eTest, AFileThatIsNoneOfAContainersIsRefusedByName) {
  for (const char* file : {"cgroup.procs", "memory.nonsense", "io.what"}) {
    cri::ContainerConfig config = Container("refused");
    (*config.mutable_linux()->mutable_resources()->mutable_unified())[file] =
        "1";

    const grpc::Status status = TryCreate(config);

    EXPECT_FALSE(status.ok()) << file;
    EXPECT_THAT(status.error_message(), HasSubstr(file));
  }
}

TEST_F(GuestCgroupE2eTest, AnUpdateThatFailsHalfWayChangesNothing) {
  const std::string id = Start(Container("half-way"));
  const std::string cpu = File(id, "cpu.max");
  cri::LinuxContainerResources update = Resources(700, 96);
  (*update.mutable_unified())["memory.nonsense"] = "1";

  const grpc::Status status = Update(id, update);

  EXPECT_FALSE(status.ok());
  EXPECT_THAT(status.error_message(), HasSubstr("memory.nonsense"));
  EXPECT_EQ(File(id, "cpu.max"), cpu);
  EXPECT_EQ(File(id, "memory.max"), absl::StrCat(64 * kMiB, "\n"));
  const auto shown = node_->Status(id).resources().linux();
  EXPECT_EQ(shown.cpu_quota(), 50'000);
  EXPECT_EQ(shown.memory_limit_in_bytes(), 64 * kMiB);
}

TEST_F(GuestCgroupE2eTest, ALimitBelowAContainersPageCacheIsApplied) {
  cri::ContainerConfig config = Container("cache");
  *config.mutable_linux()->mutable_resources() = Resources(2000, 192);
  const std::string id = Start(config);
  node_->Exec(id, {"dd", "if=/dev/zero", "of=/cached", "bs=1M", "count=80"});
  const auto current = [&] {
    int64_t bytes = 0;
    EXPECT_TRUE(absl::SimpleAtoi(File(id, "memory.current"), &bytes));
    return bytes;
  };
  ASSERT_GT(current(), 64 * kMiB);
  const int64_t before = node_->PodInfo(*pod_, "/memoryBytes/target");

  const grpc::Status updated = Update(id, Resources(2000, 48));

  EXPECT_TRUE(updated.ok()) << updated.error_message();
  EXPECT_EQ(File(id, "memory.max"), absl::StrCat(48 * kMiB, "\n"));
  EXPECT_LE(current(), 48 * kMiB);
  EXPECT_EQ(node_->Status(id).resources().linux().memory_limit_in_bytes(),
            48 * kMiB);
  EXPECT_EQ(node_->Exec(id, {"stat", "-c", "%s", "/cached"}),
            absl::StrCat(80 * kMiB, "\n"));
  EXPECT_EQ(node_->Status(id).state(), cri::CONTAINER_RUNNING);
  const int64_t after = node_->PodInfo(*pod_, "/memoryBytes/target");
  EXPECT_LT(after, before);
  EXPECT_EQ(node_->AwaitPodInfo(*pod_, "/memoryBytes/online", after), after);
}

TEST_F(GuestCgroupE2eTest, HugePagesAreThereUpToTheLimitAndNoneWithoutOne) {
  const std::string take =
      "mkdir -p /tmp/huge && mount -t hugetlbfs none /tmp/huge && "
      "for i in 1 2 3; do fallocate -l 2097152 /tmp/huge/$i 2>/dev/null && "
      "echo $i; done; umount /tmp/huge";
  cri::ContainerConfig config = Container("huge");
  config.mutable_linux()->mutable_security_context()->set_privileged(true);
  auto* none = config.mutable_linux()->mutable_resources();
  for (const char* size : {"1GB", "64KB"}) {
    none->add_hugepage_limits()->set_page_size(size);
  }
  const std::string without = Start(config);
  EXPECT_EQ(node_->Exec(without, {"sh", "-c", take}), "");

  config.mutable_metadata()->set_name("huge-granted");
  auto* granted =
      config.mutable_linux()->mutable_resources()->add_hugepage_limits();
  granted->set_page_size("2MB");
  granted->set_limit(4 * kMiB);
  const std::string with = Start(config);
  EXPECT_EQ(node_->Exec(with, {"sh", "-c", take}), "1\n2\n");
  EXPECT_EQ(node_->Status(with).resources().linux().hugepage_limits_size(), 3);
}

TEST_F(GuestCgroupE2eTest, HugePagesThatTheGuestCannotMakeAreRefusedByName) {
  cri::ContainerConfig config = Container("gigantic");
  auto* limit =
      config.mutable_linux()->mutable_resources()->add_hugepage_limits();
  limit->set_page_size("1GB");
  limit->set_limit(1024 * kMiB);

  const grpc::Status status = TryCreate(config);

  EXPECT_EQ(status.error_code(), grpc::StatusCode::INVALID_ARGUMENT);
  EXPECT_THAT(status.error_message(), HasSubstr("1GB"));
}

}  // namespace
}  // namespace podvisor::e2e
