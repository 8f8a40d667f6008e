// File systems without room: what needs room fails with RESOURCE_EXHAUSTED,
// what frees it works, and running containers do not notice.

#include <signal.h>
#include <sys/mount.h>
#include <unistd.h>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "base/file.h"
#include "e2e/test_node.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace podvisor::e2e {
namespace {

constexpr char kForever[] = "while :; do sleep 0.1; done";

// A small file system over a directory, taken away by the destructor.
class SmallDisk {
 public:
  SmallDisk(std::string path, int64_t mebibytes) : path_(std::move(path)) {
    const std::string options = absl::StrCat("size=", mebibytes, "m,mode=0755");
    EXPECT_EQ(mount("small", path_.c_str(), "tmpfs", 0, options.c_str()), 0);
  }
  ~SmallDisk() { EXPECT_EQ(umount2(path_.c_str(), MNT_DETACH), 0); }

  void Fill() {
    CommandOptions fill;
    fill.argv = {"dd", "if=/dev/zero", "of=" + Ballast(), "bs=4k"};
    EXPECT_NE(RunCommand(fill)->exit_code, 0);
  }
  void Free() { EXPECT_EQ(unlink(Ballast().c_str()), 0); }

 private:
  std::string Ballast() const { return path_ + "/ballast"; }

  const std::string path_;
};

class FullDiskE2eTest : public testing::Test {
 protected:
  // The daemon's or the containers' directory becomes a small disk.
  std::unique_ptr<SmallDisk> MakeSmall(const std::string& name,
                                       int64_t mebibytes) {
    node_.EndDaemon(SIGTERM);
    auto disk = std::make_unique<SmallDisk>(
        absl::StrCat(node_.directory(), "/", name), mebibytes);
    node_.StartDaemon();
    return disk;
  }
  grpc::StatusCode TryPull() {
    cri::PullImageRequest request;
    request.mutable_image()->set_image(kImage);
    cri::PullImageResponse response;
    Call call;
    return node_.images().PullImage(&call, request, &response).error_code();
  }
  grpc::StatusCode TryRun(const std::string& name) {
    cri::RunPodSandboxRequest request;
    *request.mutable_config() = node_.PodConfig(name);
    cri::RunPodSandboxResponse response;
    Call call;
    return node_.runtime()
        .RunPodSandbox(&call, request, &response)
        .error_code();
  }

  TestNode node_;
};

TEST_F(FullDiskE2eTest, APullWithoutRoomIsResourceExhaustedAndWorksAfterwards) {
  const auto disk = MakeSmall("root", 32);
  disk->Fill();

  EXPECT_EQ(TryPull(), grpc::StatusCode::RESOURCE_EXHAUSTED);
  disk->Free();

  EXPECT_EQ(TryPull(), grpc::StatusCode::OK);
  node_.EndDaemon(SIGTERM);
}

TEST_F(FullDiskE2eTest, APodCanBeStoppedAndRemovedButNotMadeOnAFullDisk) {
  const auto disk = MakeSmall("root", 32);
  node_.PullImage();
  const cri::PodSandboxConfig config = node_.PodConfig("early");
  const std::string pod = node_.RunPod(config);
  const std::string id = node_.CreateContainer(
      pod, node_.ContainerConfig("main", kForever), config);
  node_.StartContainer(id);
  disk->Fill();

  EXPECT_EQ(TryRun("late"), grpc::StatusCode::RESOURCE_EXHAUSTED);
  EXPECT_EQ(node_.Exec(id, {"echo", "undisturbed"}), "undisturbed\n");
  node_.RemovePod(pod);

  disk->Free();
  node_.RemovePod(node_.RunPod(node_.PodConfig("late")));
  node_.EndDaemon(SIGTERM);
}

TEST_F(FullDiskE2eTest, AContainerThatFillsTheDiskGetsAnErrorAndItsPodGoesOn) {
  const auto disk = MakeSmall("root", 48);
  node_.PullImage();
  const cri::PodSandboxConfig config = node_.PodConfig("writes");
  const std::string pod = node_.RunPod(config);
  const std::string id = node_.CreateContainer(
      pod, node_.ContainerConfig("main", kForever), config);
  node_.StartContainer(id);

  // Its own disk has room, the host's below it has not.
  EXPECT_EQ(node_.Exec(id, {"sh", "-c",
                            "dd if=/dev/zero of=/big bs=1M count=100 "
                            "conv=fsync 2>/dev/null || echo failed"}),
            "failed\n");
  EXPECT_EQ(node_.Exec(id, {"echo", "goes on"}), "goes on\n");
  EXPECT_EQ(node_.Exec(id, {"sh", "-c", "rm /big && fstrim / ; echo ok"}),
            "ok\n");
  node_.RemovePod(pod);

  node_.RemovePod(node_.RunPod(node_.PodConfig("later")));
  node_.EndDaemon(SIGTERM);
}

TEST_F(FullDiskE2eTest, ADaemonStartsOnAFullDiskAndItsPodsCanBeRemoved) {
  const auto disk = MakeSmall("root", 32);
  const std::string pod = node_.RunPod(node_.PodConfig("survivor"));
  disk->Fill();

  node_.EndDaemon(SIGKILL);
  node_.StartDaemon();

  node_.RemovePod(pod);
  node_.EndDaemon(SIGTERM);
}

TEST_F(FullDiskE2eTest, ALogWithoutRoomLosesLinesButNeverBlocksItsContainer) {
  const auto disk = MakeSmall("logs", 1);
  node_.PullImage();
  const cri::PodSandboxConfig config = node_.PodConfig("talks");
  const std::string pod = node_.RunPod(config);
  disk->Fill();
  const std::string id = node_.CreateContainer(
      pod,
      node_.ContainerConfig(
          "main",
          // More than the disk, and more than the guest keeps.
          "yes a line of a flood | head -c 4000000; "
          "touch /done; while :; do echo later; sleep 0.2; done"),
      config);
  node_.StartContainer(id);

  EXPECT_TRUE(AwaitTrue(absl::Seconds(60), [&] {
    cri::ExecSyncRequest request;
    request.set_container_id(id);
    request.add_cmd("test");
    request.add_cmd("-e");
    request.add_cmd("/done");
    cri::ExecSyncResponse response;
    Call call;
    return node_.runtime().ExecSync(&call, request, &response).ok() &&
           response.exit_code() == 0;
  }));
  disk->Free();

  EXPECT_TRUE(AwaitTrue(absl::Seconds(20), [&] {
    return absl::StrContains(
        ReadFile(node_.directory() + "/logs/main.log").value_or(""),
        "stdout F later");
  }));
  node_.RemovePod(pod);
  node_.EndDaemon(SIGTERM);
}

}  // namespace
}  // namespace podvisor::e2e
