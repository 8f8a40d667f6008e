// Image volumes through the socket, in one pod.

#include <signal.h>

#include "absl/strings/str_cat.h"
#include "e2e/test_node.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace podvisor::e2e {
namespace {

using testing::HasSubstr;
using testing::StartsWith;

constexpr char kForever[] = "while :; do sleep 1; done";

class ImageVolumeE2eTest : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    node_ = new TestNode();
    node_->PullImage();
    node_->PullImage(kVolumeImage);
    config_ = new cri::PodSandboxConfig(node_->PodConfig("volumes"));
    pod_ = new std::string(node_->RunPod(*config_));
  }
  static void TearDownTestSuite() {
    delete node_;
    delete config_;
    delete pod_;
  }

  static void AddVolume(const std::string& container_path,
                        const std::string& sub_path,
                        cri::ContainerConfig* config) {
    cri::Mount* mount = config->add_mounts();
    mount->set_container_path(container_path);
    mount->set_readonly(true);
    mount->mutable_image()->set_image(kVolumeImage);
    mount->set_image_sub_path(sub_path);
  }
  std::string Start(const cri::ContainerConfig& config) {
    const std::string id = node_->CreateContainer(*pod_, config, *config_);
    node_->StartContainer(id);
    return id;
  }
  grpc::Status TryToCreate(const cri::ContainerConfig& config) {
    cri::CreateContainerRequest request;
    request.set_pod_sandbox_id(*pod_);
    *request.mutable_config() = config;
    *request.mutable_sandbox_config() = *config_;
    cri::CreateContainerResponse response;
    Call call;
    return node_->runtime().CreateContainer(&call, request, &response);
  }
  grpc::Status Remove(const std::string& id) {
    cri::RemoveContainerRequest request;
    request.set_container_id(id);
    cri::RemoveContainerResponse response;
    Call call;
    return node_->runtime().RemoveContainer(&call, request, &response);
  }

  static TestNode* node_;
  static cri::PodSandboxConfig* config_;
  static std::string* pod_;
};

TestNode* ImageVolumeE2eTest::node_ = nullptr;
cri::PodSandboxConfig* ImageVolumeE2eTest::config_ = nullptr;
std::string* ImageVolumeE2eTest::pod_ = nullptr;

TEST_F(ImageVolumeE2eTest, ItsFilesAreThereAndRunAndCannotBeChanged) {
  cri::ContainerConfig config = node_->ContainerConfig("main", kForever);
  AddVolume("/volume", "", &config);
  AddVolume("/deep/data", "data", &config);
  AddVolume("/text", "data/text", &config);
  const std::string id = Start(config);

  EXPECT_EQ(
      node_->Exec(id, {"cat", "/volume/data/text", "/deep/data/text", "/text"}),
      "of the image\nof the image\nof the image\n");
  EXPECT_EQ(node_->Exec(id, {"/volume/data/tool"}), "it runs\n");
  EXPECT_THAT(node_->Exec(id, {"sh", "-c", "touch /volume/x 2>&1 || :"}),
              HasSubstr("Read-only file system"));
  const cri::ContainerStatus status = node_->Status(id);
  ASSERT_EQ(status.mounts_size(), 3);
  EXPECT_EQ(status.mounts(1).image().image(), kVolumeImage);
  EXPECT_THAT(status.mounts(1).image().image_ref(), StartsWith("sha256:"));
  EXPECT_EQ(status.mounts(1).image_sub_path(), "data");
  EXPECT_TRUE(Remove(id).ok());
}

TEST_F(ImageVolumeE2eTest, WhatCannotBeMountedIsToldByTheWord) {
  // The link leads to the guest's own /etc, were it not for the image's root.
  for (const char* sub_path : {"none", "out", "out/passwd"}) {
    cri::ContainerConfig config = node_->ContainerConfig("bad", kForever);
    AddVolume("/volume", sub_path, &config);
    const grpc::Status status = TryToCreate(config);
    EXPECT_EQ(status.error_code(), grpc::StatusCode::NOT_FOUND) << sub_path;
    EXPECT_THAT(status.error_message(), StartsWith("ImageVolumeMountFailed"));
  }
  cri::ContainerConfig config = node_->ContainerConfig("missing", kForever);
  AddVolume("/volume", "", &config);
  config.mutable_mounts(0)->mutable_image()->set_image("none:1");
  const grpc::Status status = TryToCreate(config);
  EXPECT_EQ(status.error_code(), grpc::StatusCode::NOT_FOUND);
  EXPECT_THAT(status.error_message(), StartsWith("ImageVolumeMountFailed"));
}

TEST_F(ImageVolumeE2eTest, ItOutlivesTheDaemonAndTheImagesNameAndItsDiskToo) {
  const std::string watcher =
      Start(node_->ContainerConfig("watcher", kForever));
  const auto disks = [&] {
    return node_->Exec(watcher, {"sh", "-c", "ls /sys/block | grep ^vd"});
  };
  const std::string without = disks();
  cri::ContainerConfig config = node_->ContainerConfig("stays", kForever);
  AddVolume("/volume", "data", &config);
  const std::string id = Start(config);
  const std::string with = disks();
  EXPECT_GT(with.size(), without.size());
  node_->EndDaemon(SIGKILL);
  node_->StartDaemon();
  cri::RemoveImageRequest request;
  request.mutable_image()->set_image(kVolumeImage);
  cri::RemoveImageResponse response;
  Call call;
  ASSERT_TRUE(node_->images().RemoveImage(&call, request, &response).ok());

  EXPECT_EQ(node_->Exec(id, {"cat", "/volume/text"}), "of the image\n");
  EXPECT_EQ(disks(), with);
  EXPECT_TRUE(Remove(id).ok());
  // The disk goes with its last user, and comes again with the image.
  EXPECT_EQ(disks(), without);
  node_->PullImage(kVolumeImage);
  config.mutable_metadata()->set_name("again");
  const std::string again = Start(config);
  EXPECT_EQ(node_->Exec(again, {"cat", "/volume/text"}), "of the image\n");
  EXPECT_EQ(disks(), with);
}

}  // namespace
}  // namespace podvisor::e2e
