// Pods with user namespaces through the socket: volumes of the host above all.

#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include "absl/strings/str_cat.h"
#include "base/file.h"
#include "e2e/test_node.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace podvisor::e2e {
namespace {

using testing::ContainsRegex;
using testing::HasSubstr;

constexpr uint32_t kHostId = 70000;
constexpr uint32_t kLength = 65536;

void FillMapping(cri::IDMapping* mapping) {
  mapping->set_host_id(kHostId);
  mapping->set_length(kLength);
}

cri::PodSandboxConfig WithUserNamespace(cri::PodSandboxConfig config) {
  auto* userns = config.mutable_linux()
                     ->mutable_security_context()
                     ->mutable_namespace_options()
                     ->mutable_userns_options();
  FillMapping(userns->add_uids());
  FillMapping(userns->add_gids());
  return config;
}

class UserNamespaceE2eTest : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    node_ = new TestNode();
    node_->PullImage();
    node_->PullImage(kVolumeImage);
    config_ = new cri::PodSandboxConfig(
        WithUserNamespace(node_->PodConfig("mapped")));
    pod_ = new std::string(node_->RunPod(*config_));
  }
  static void TearDownTestSuite() {
    delete node_;
    delete config_;
    delete pod_;
  }

  static std::string Start(const cri::ContainerConfig& config) {
    const std::string id = node_->CreateContainer(*pod_, config, *config_);
    node_->StartContainer(id);
    return id;
  }

  static grpc::Status TryToCreate(const cri::ContainerConfig& config) {
    cri::CreateContainerRequest request;
    request.set_pod_sandbox_id(*pod_);
    *request.mutable_config() = config;
    *request.mutable_sandbox_config() = *config_;
    cri::CreateContainerResponse response;
    Call call;
    return node_->runtime().CreateContainer(&call, request, &response);
  }

  // A directory of the host with a file of user `owner`.
  static std::string MakeVolume(const std::string& name, uid_t owner) {
    const std::string path = absl::StrCat(node_->directory(), "/", name);
    EXPECT_TRUE(MakeDirectories(path, 0755).ok());
    EXPECT_TRUE(WriteFileAtomically(path + "/old", "old\n", 0644).ok());
    EXPECT_EQ(chown(path.c_str(), owner, owner), 0);
    EXPECT_EQ(chown((path + "/old").c_str(), owner, owner), 0);
    return path;
  }

  static uid_t OwnerOf(const std::string& path) {
    struct stat info = {};
    EXPECT_EQ(stat(path.c_str(), &info), 0) << path;
    return info.st_uid;
  }

  static TestNode* node_;
  static cri::PodSandboxConfig* config_;
  static std::string* pod_;
};

TestNode* UserNamespaceE2eTest::node_ = nullptr;
cri::PodSandboxConfig* UserNamespaceE2eTest::config_ = nullptr;
std::string* UserNamespaceE2eTest::pod_ = nullptr;

TEST_F(UserNamespaceE2eTest, TheMappingIsInTheContainerAndInTheStatus) {
  const std::string id =
      Start(node_->ContainerConfig("map", "while :; do sleep 1; done"));

  EXPECT_THAT(node_->Exec(id, {"cat", "/proc/self/uid_map"}),
              ContainsRegex("^ +0 +70000 +65536\n"));
  EXPECT_THAT(node_->Exec(id, {"stat", "-c", "%u", "/bin/busybox", "/"}),
              HasSubstr("0\n0\n"));
  cri::PodSandboxStatusRequest request;
  request.set_pod_sandbox_id(*pod_);
  cri::PodSandboxStatusResponse response;
  Call call;
  ASSERT_TRUE(
      node_->runtime().PodSandboxStatus(&call, request, &response).ok());
  const auto& userns =
      response.status().linux().namespaces().options().userns_options();
  EXPECT_EQ(userns.mode(), cri::POD);
  ASSERT_EQ(userns.uids_size(), 1);
  EXPECT_EQ(userns.uids(0).host_id(), kHostId);
}

TEST_F(UserNamespaceE2eTest, AMappedVolumeHasTheHostsOwnersInsideAndOutside) {
  const std::string volume = MakeVolume("volume", 0);
  cri::ContainerConfig config = node_->ContainerConfig(
      "volume",
      "stat -c '%u %g' /data/old && echo changed >>/data/old && "
      "touch /data/new && chown 33:33 /data/new && mkdir /data/made && "
      "stat -c %u /data/new /data/made && while :; do sleep 1; done");
  auto* mount = config.add_mounts();
  mount->set_container_path("/data");
  mount->set_host_path(volume);
  FillMapping(mount->add_uidmappings());
  FillMapping(mount->add_gidmappings());
  const std::string id = Start(config);

  ASSERT_TRUE(AwaitTrue(absl::Seconds(30), [&] {
    return access((volume + "/made").c_str(), F_OK) == 0;
  })) << node_->Status(id).DebugString();
  EXPECT_EQ(node_->Exec(id, {"stat", "-c", "%u %g", "/data/old", "/data/new",
                             "/data/made"}),
            "0 0\n33 33\n0 0\n");
  EXPECT_EQ(ReadFile(volume + "/old").value(), "old\nchanged\n");
  EXPECT_EQ(OwnerOf(volume + "/old"), 0u);
  EXPECT_EQ(OwnerOf(volume + "/new"), 33u);
  EXPECT_EQ(OwnerOf(volume + "/made"), 0u);
  EXPECT_EQ(node_->Status(id).mounts(0).uidmappings_size(), 1);
}

TEST_F(UserNamespaceE2eTest, AVolumeThatIsNotMappedHasTheOwnersNumbers) {
  const std::string strange = MakeVolume("strange", 0);
  const std::string own = MakeVolume("own", kHostId + 5);
  cri::ContainerConfig config =
      node_->ContainerConfig("plain", "while :; do sleep 1; done");
  for (const std::string& path : {strange, own}) {
    auto* mount = config.add_mounts();
    mount->set_container_path(path == own ? "/own" : "/strange");
    mount->set_host_path(path);
  }
  const std::string id = Start(config);

  EXPECT_EQ(node_->Exec(id, {"stat", "-c", "%u", "/strange/old", "/own/old"}),
            "65534\n5\n");
  EXPECT_EQ(node_->Exec(
                id, {"sh", "-c", "touch /strange/new 2>/dev/null || echo no"}),
            "no\n");
}

TEST_F(UserNamespaceE2eTest, AnImageVolumeHasTheImagesOwners) {
  cri::ContainerConfig config =
      node_->ContainerConfig("image", "while :; do sleep 1; done");
  auto* mount = config.add_mounts();
  mount->set_container_path("/image");
  mount->set_readonly(true);
  mount->mutable_image()->set_image(kVolumeImage);
  FillMapping(mount->add_uidmappings());
  FillMapping(mount->add_gidmappings());

  EXPECT_EQ(node_->Exec(Start(config), {"stat", "-c", "%u %g", "/image/data"}),
            "0 0\n");
}

TEST_F(UserNamespaceE2eTest, AMountWithOtherIdsThanThePodsIsRefused) {
  cri::ContainerConfig config = node_->ContainerConfig("other", "true");
  auto* mount = config.add_mounts();
  mount->set_container_path("/data");
  mount->set_host_path(MakeVolume("other", 0));
  FillMapping(mount->add_uidmappings());
  FillMapping(mount->add_gidmappings());
  mount->mutable_uidmappings(0)->set_host_id(5000);
  mount->mutable_gidmappings(0)->set_host_id(5000);

  const grpc::Status status = TryToCreate(config);

  EXPECT_EQ(status.error_code(), grpc::StatusCode::INVALID_ARGUMENT);
  EXPECT_THAT(status.error_message(), HasSubstr("config.mounts[0]"));
}

TEST_F(UserNamespaceE2eTest, AFileSystemThatCannotMapIdsIsAClearError) {
  cri::ContainerConfig config = node_->ContainerConfig("proc", "true");
  auto* mount = config.add_mounts();
  mount->set_container_path("/data");
  mount->set_host_path("/proc/sys");
  FillMapping(mount->add_uidmappings());
  FillMapping(mount->add_gidmappings());

  const grpc::Status status = TryToCreate(config);

  EXPECT_EQ(status.error_code(), grpc::StatusCode::FAILED_PRECONDITION);
  EXPECT_THAT(status.error_message(), HasSubstr("no id-mapped mounts"));
}

TEST_F(UserNamespaceE2eTest, StatusSaysThatPodsCanHaveThem) {
  cri::StatusResponse response;
  Call call;
  ASSERT_TRUE(
      node_->runtime().Status(&call, cri::StatusRequest(), &response).ok());

  ASSERT_GT(response.runtime_handlers_size(), 0);
  for (const cri::RuntimeHandler& handler : response.runtime_handlers()) {
    EXPECT_TRUE(handler.features().user_namespaces());
  }
}

TEST_F(UserNamespaceE2eTest, AnotherDaemonFindsThePodAsItWas) {
  const std::string id =
      Start(node_->ContainerConfig("stays", "while :; do sleep 1; done"));

  node_->EndDaemon(SIGKILL);
  node_->StartDaemon();

  EXPECT_THAT(node_->Exec(id, {"cat", "/proc/self/gid_map"}),
              ContainsRegex("^ +0 +70000 +65536\n"));
  cri::ContainerConfig later =
      node_->ContainerConfig("later", "while :; do sleep 1; done");
  EXPECT_THAT(node_->Exec(Start(later), {"cat", "/proc/self/uid_map"}),
              ContainsRegex("^ +0 +70000 +65536\n"));
}

}  // namespace
}  // namespace podvisor::e2e
