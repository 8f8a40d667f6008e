// The daemon dies; pods, containers and log lines do not.

#include <signal.h>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "base/file.h"
#include "e2e/test_node.h"
#include "google/protobuf/util/message_differencer.h"
#include "gtest/gtest.h"

namespace podvisor::e2e {
namespace {

class RestartE2eTest : public testing::Test {
 protected:
  RestartE2eTest() { node_.PullImage(); }

  // The numbers 1, 2, 3, ... as the container printed them, each exactly once;
  // returns the last one, or fails.
  int64_t CheckNumbers(const std::string& name) {
    const std::string log =
        ReadFile(absl::StrCat(node_.directory(), "/logs/", name, ".log"))
            .value_or("");
    int64_t expected = 1;
    for (const absl::string_view line :
         absl::StrSplit(log, '\n', absl::SkipEmpty())) {
      const std::vector<absl::string_view> words = absl::StrSplit(line, ' ');
      int64_t number = 0;
      EXPECT_EQ(words.size(), 4u) << line;
      EXPECT_TRUE(absl::SimpleAtoi(words.back(), &number)) << line;
      EXPECT_EQ(number, expected) << line;
      if (number != expected) return -1;
      ++expected;
    }
    return expected - 1;
  }

  // The lists' one item.
  cri::PodSandbox OnlyPod() {
    cri::ListPodSandboxResponse all;
    Call call;
    EXPECT_TRUE(node_.runtime().ListPodSandbox(&call, {}, &all).ok());
    EXPECT_EQ(all.items_size(), 1);
    return all.items_size() == 1 ? all.items(0) : cri::PodSandbox();
  }
  cri::Container OnlyContainer() {
    cri::ListContainersResponse all;
    Call call;
    EXPECT_TRUE(node_.runtime().ListContainers(&call, {}, &all).ok());
    EXPECT_EQ(all.containers_size(), 1);
    return all.containers_size() == 1 ? all.containers(0) : cri::Container();
  }

  TestNode node_;
};

bool Same(const google::protobuf::Message& a,
          const google::protobuf::Message& b) {
  return google::protobuf::util::MessageDifferencer::Equals(a, b);
}

TEST_F(RestartE2eTest, PodsContainersAndEveryLineSurviveKilledDaemons) {
  // At one address from now on, as in production: no VM may keep it.
  node_.EditConfig(absl::StrCat("s/^metrics_address.*/metrics_address = \"",
                                node_.metrics_address(), "\"/"));
  node_.EndDaemon(SIGTERM);
  node_.StartDaemon();
  const cri::PodSandboxConfig config = node_.PodConfig("survivor");
  const std::string pod = node_.RunPod(config);
  cri::ContainerConfig counter =
      node_.ContainerConfig("counter",
                            "trap 'exit 0' TERM; "
                            "i=0; while :; do i=$((i + 1)); echo $i; done");
  *counter.mutable_linux()->mutable_resources() = Resources(2000, 64);
  const std::string id = node_.CreateContainer(pod, counter, config);
  node_.StartContainer(id);
  const cri::ContainerStatus before = node_.Status(id);
  const cri::PodSandbox pod_before = OnlyPod();
  const cri::Container container_before = OnlyContainer();

  for (int kills = 0; kills < 3; ++kills) {
    node_.Exec(id, {"true"});
    node_.EndDaemon(SIGKILL);
    node_.StartDaemon();
  }

  EXPECT_EQ(before.state(), cri::CONTAINER_RUNNING);
  EXPECT_TRUE(Same(node_.Status(id), before)) << node_.Status(id).DebugString();
  EXPECT_TRUE(Same(OnlyPod(), pod_before)) << OnlyPod().DebugString();
  EXPECT_TRUE(Same(OnlyContainer(), container_before))
      << OnlyContainer().DebugString();
  EXPECT_EQ(node_.PodInfo(pod, "/vcpus/online"), 2);
  // Nothing of the container outlives its first process, so no exec can both
  // tell it to end and see its own end.
  node_.StopContainer(id);
  EXPECT_EQ(node_.AwaitState(id, cri::CONTAINER_EXITED).exit_code(), 0);
  EXPECT_GT(CheckNumbers("counter"), 10);
  // And the pod takes new work.
  const std::string second = node_.CreateContainer(
      pod, node_.ContainerConfig("second", "echo 1"), config);
  node_.StartContainer(second);
  node_.AwaitState(second, cri::CONTAINER_EXITED);
  EXPECT_EQ(CheckNumbers("second"), 1);
}

TEST_F(RestartE2eTest, WhatEndedWhileNoDaemonRanIsKnownAfterwards) {
  const cri::PodSandboxConfig config = node_.PodConfig("ended");
  const std::string pod = node_.RunPod(config);
  const std::string shared = node_.directory() + "/shared";
  ASSERT_TRUE(MakeDirectories(shared).ok());
  cri::ContainerConfig late = node_.ContainerConfig(
      "late",
      "until [ -e /shared/end ]; do sleep 0.1; done; echo 1; "
      "touch /shared/ended; exit 9");
  cri::Mount* mount = late.add_mounts();
  mount->set_host_path(shared);
  mount->set_container_path("/shared");
  const std::string id = node_.CreateContainer(pod, late, config);
  node_.StartContainer(id);

  node_.EndDaemon(SIGKILL);
  ASSERT_TRUE(WriteFileAtomically(shared + "/end", "").ok());
  ASSERT_TRUE(AwaitTrue(absl::Seconds(20),
                        [&] { return ReadFile(shared + "/ended").ok(); }));
  node_.StartDaemon();

  const cri::ContainerStatus status =
      node_.AwaitState(id, cri::CONTAINER_EXITED);
  EXPECT_EQ(status.exit_code(), 9);
  EXPECT_EQ(CheckNumbers("late"), 1);
  // The share that an earlier daemon has made takes further mounts.
  cri::ContainerConfig next =
      node_.ContainerConfig("next", "[ -e /shared/ended ] && echo 1");
  *next.add_mounts() = *mount;
  const std::string second = node_.CreateContainer(pod, next, config);
  node_.StartContainer(second);
  node_.AwaitState(second, cri::CONTAINER_EXITED);
  EXPECT_EQ(CheckNumbers("next"), 1);
}

TEST_F(RestartE2eTest, APodWhoseVmDiedMeanwhileIsNotReadyAndCanBeRemoved) {
  const std::string pod = node_.RunPod(node_.PodConfig("lost"));
  const int64_t qemu = node_.PodInfo(pod, "/pid");

  node_.EndDaemon(SIGKILL);
  node_.KillProcess(qemu);
  node_.StartDaemon();

  cri::PodSandboxStatusRequest request;
  request.set_pod_sandbox_id(pod);
  cri::PodSandboxStatusResponse response;
  Call call;
  ASSERT_TRUE(node_.runtime().PodSandboxStatus(&call, request, &response).ok());
  EXPECT_EQ(response.status().state(), cri::SANDBOX_NOTREADY);
  node_.RemovePod(pod);
}

}  // namespace
}  // namespace podvisor::e2e
