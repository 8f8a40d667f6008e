// Containers through the socket, in one pod.

#include <signal.h>
#include <sys/mount.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <thread>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "base/file.h"
#include "e2e/test_node.h"
#include "gmock/gmock.h"
#include "grpcpp/create_channel.h"
#include "grpcpp/security/credentials.h"
#include "gtest/gtest.h"

namespace podvisor::e2e {
namespace {

using testing::HasSubstr;
using testing::Not;

constexpr char kForever[] = "trap 'exit 7' TERM; while :; do sleep 0.1; done";

class ContainerE2eTest : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    node_ = new TestNode();
    node_->PullImage();
    config_ = new cri::PodSandboxConfig(node_->PodConfig("containers"));
    pod_ = new std::string(node_->RunPod(*config_));
  }
  static void TearDownTestSuite() {
    delete node_;
    delete config_;
    delete pod_;
  }

  static std::string Create(const cri::ContainerConfig& config) {
    return node_->CreateContainer(*pod_, config, *config_);
  }
  static std::string Start(const std::string& name, const std::string& script) {
    const std::string id = Create(node_->ContainerConfig(name, script));
    node_->StartContainer(id);
    return id;
  }
  static grpc::Status Stop(const std::string& id, int64_t timeout) {
    cri::StopContainerRequest request;
    request.set_container_id(id);
    request.set_timeout(timeout);
    cri::StopContainerResponse response;
    Call call;
    return node_->runtime().StopContainer(&call, request, &response);
  }
  static grpc::Status Remove(const std::string& id) {
    cri::RemoveContainerRequest request;
    request.set_container_id(id);
    cri::RemoveContainerResponse response;
    Call call;
    return node_->runtime().RemoveContainer(&call, request, &response);
  }
  static std::string Log(const std::string& name) {
    return ReadFile(absl::StrCat(node_->directory(), "/logs/", name, ".log"))
        .value_or("no log");
  }

  static TestNode* node_;
  static cri::PodSandboxConfig* config_;
  static std::string* pod_;
};

TestNode* ContainerE2eTest::node_ = nullptr;
cri::PodSandboxConfig* ContainerE2eTest::config_ = nullptr;
std::string* ContainerE2eTest::pod_ = nullptr;

TEST_F(ContainerE2eTest, RunsToItsEndWithCodeReasonAndCompleteLog) {
  const std::string id =
      Start("end", "echo out; echo err >&2; printf unfinished; exit 3");

  const cri::ContainerStatus status =
      node_->AwaitState(id, cri::CONTAINER_EXITED);

  EXPECT_EQ(status.exit_code(), 3);
  EXPECT_EQ(status.reason(), "Error");
  EXPECT_GE(status.finished_at(), status.started_at());
  EXPECT_GE(status.started_at(), status.created_at());
  EXPECT_THAT(Log("end"), HasSubstr(" stdout F out\n"));
  EXPECT_THAT(Log("end"), HasSubstr(" stderr F err\n"));
  EXPECT_THAT(Log("end"), HasSubstr("unfinished"));
  EXPECT_TRUE(Remove(id).ok());
}

TEST_F(ContainerE2eTest, TheStopSignalComesBeforeTheKill) {
  const std::string gentle = Start("gentle", kForever);
  EXPECT_EQ(node_->Exec(gentle, {"echo", "ready"}), "ready\n");
  EXPECT_TRUE(Stop(gentle, 20).ok());
  EXPECT_EQ(node_->Status(gentle).exit_code(), 7);

  const std::string deaf =
      Start("deaf", "trap '' TERM; while :; do sleep 1; done");
  EXPECT_EQ(node_->Exec(deaf, {"echo", "ready"}), "ready\n");
  EXPECT_TRUE(Stop(deaf, 1).ok());
  EXPECT_EQ(node_->Status(deaf).exit_code(), 137);
  EXPECT_TRUE(Stop(deaf, 1).ok());  // again

  EXPECT_TRUE(Remove(gentle).ok());
  EXPECT_TRUE(Remove(deaf).ok());
  EXPECT_TRUE(Remove(deaf).ok());  // again
}

TEST_F(ContainerE2eTest,
       ContainersSeeEachOthersProcessesWhereThePodSharesThem) {
  const auto start = [](const std::string& seconds, cri::NamespaceMode mode) {
    cri::ContainerConfig config = node_->ContainerConfig(
        absl::StrCat("sleeps-", seconds), absl::StrCat("exec sleep ", seconds));
    config.mutable_linux()
        ->mutable_security_context()
        ->mutable_namespace_options()
        ->set_pid(mode);
    const std::string id = Create(config);
    node_->StartContainer(id);
    return id;
  };
  const std::string one = start("41001", cri::POD);
  const std::string two = start("41002", cri::POD);
  const std::string alone = start("41003", cri::CONTAINER);
  // What sleeps there, and for how long; sleeping is all that they do.
  const auto sleepers = [](const std::string& id) {
    return node_->Exec(
        id, {"sh", "-c", "ps -o args | sed -n 's/^sleep //p' | sort"});
  };

  EXPECT_EQ(sleepers(one), "41001\n41002\n");
  EXPECT_EQ(sleepers(two), "41001\n41002\n");
  EXPECT_EQ(sleepers(alone), "41003\n");
  // Its own process is the first; of a shared namespace the pod's is.
  EXPECT_EQ(node_->Exec(alone, {"cat", "/proc/1/comm"}), "sleep\n");
  EXPECT_NE(node_->Exec(one, {"cat", "/proc/1/comm"}), "sleep\n");
  // One can signal the other, as sidecars do that make it read its files anew.
  node_->Exec(one, {"sh", "-c",
                    "kill $(ps -o pid,args | "
                    "awk '$2 == \"sleep\" && $3 == 41002 {print $1}')"});
  EXPECT_EQ(node_->AwaitState(two, cri::CONTAINER_EXITED).exit_code(), 143);
  EXPECT_EQ(sleepers(one), "41001\n");
  for (const std::string& id : {one, two, alone}) EXPECT_TRUE(Remove(id).ok());
}

TEST_F(ContainerE2eTest, ExecSyncGivesOutputsAndCodeAndKillsAtItsTimeout) {
  const std::string id = Start("exec", kForever);
  cri::ExecSyncRequest request;
  request.set_container_id(id);
  for (const char* word : {"sh", "-c", "echo a; echo b >&2; exit 5"}) {
    request.add_cmd(word);
  }
  cri::ExecSyncResponse response;
  Call call;
  ASSERT_TRUE(node_->runtime().ExecSync(&call, request, &response).ok());
  EXPECT_EQ(response.exit_code(), 5);
  EXPECT_EQ(response.stdout(), "a\n");
  EXPECT_EQ(response.stderr(), "b\n");

  request.clear_cmd();
  for (const char* word : {"sleep", "4711"}) request.add_cmd(word);
  request.set_timeout(1);
  Call slow;
  EXPECT_EQ(node_->runtime().ExecSync(&slow, request, &response).error_code(),
            grpc::StatusCode::DEADLINE_EXCEEDED);
  EXPECT_THAT(node_->Exec(id, {"ps"}), Not(HasSubstr("sleep 4711")));
  EXPECT_TRUE(Remove(id).ok());
}

TEST_F(ContainerE2eTest, AnExecSyncEndsWithItsClient) {
  const std::string id = Start("left", kForever);
  const auto runs = [&] {
    return absl::StrContains(node_->Exec(id, {"ps"}), "sleep 4712");
  };
  cri::ExecSyncRequest request;
  request.set_container_id(id);
  for (const char* word : {"sleep", "4712"}) request.add_cmd(word);
  grpc::ClientContext without_deadline;
  cri::ExecSyncResponse response;
  grpc::Status status;
  std::thread client([&] {
    status = node_->runtime().ExecSync(&without_deadline, request, &response);
  });
  EXPECT_TRUE(AwaitTrue(absl::Seconds(60), runs));

  without_deadline.TryCancel();

  client.join();
  EXPECT_EQ(status.error_code(), grpc::StatusCode::CANCELLED);
  // At once: the guest looks for that four times a second, and nothing else
  // would end it.
  EXPECT_TRUE(AwaitTrue(absl::Seconds(3), [&] { return !runs(); }));
  EXPECT_TRUE(Remove(id).ok());
}

TEST_F(ContainerE2eTest,
       SigtermEndsTheDaemonThoughAnExecSyncWithoutATimeoutRuns) {
  const std::string id = Start("endless", kForever);
  const auto runs = [&] {
    return absl::StrContains(node_->Exec(id, {"ps"}), "sleep 4713");
  };
  // Of its own: the node lets go of its stubs before it ends the daemon.
  const auto stub = cri::RuntimeService::NewStub(grpc::CreateChannel(
      absl::StrCat("unix://", node_->directory(), "/run/podvisor.sock"),
      grpc::InsecureChannelCredentials()));
  cri::ExecSyncRequest request;
  request.set_container_id(id);
  for (const char* word : {"sleep", "4713"}) request.add_cmd(word);
  grpc::ClientContext without_deadline;
  cri::ExecSyncResponse response;
  grpc::Status status;
  std::thread client(
      [&] { status = stub->ExecSync(&without_deadline, request, &response); });
  EXPECT_TRUE(AwaitTrue(absl::Seconds(60), runs));
  const absl::Time begin = absl::Now();

  node_->EndDaemon(SIGTERM);  // in order, and within 30 s

  // Five seconds are for calls to end by themselves.
  EXPECT_LT(absl::Now() - begin, absl::Seconds(10));
  client.join();
  EXPECT_FALSE(status.ok());
  node_->StartDaemon();
  EXPECT_TRUE(AwaitTrue(absl::Seconds(3), [&] { return !runs(); }));
  EXPECT_EQ(node_->Status(id).state(), cri::CONTAINER_RUNNING);
  EXPECT_TRUE(Remove(id).ok());
}

TEST_F(ContainerE2eTest, MountsOfFilesAndDirectoriesAreWrittenThrough) {
  const std::string host = node_->directory() + "/volume";
  ASSERT_TRUE(MakeDirectories(host, 0755).ok());
  ASSERT_TRUE(WriteFileAtomically(host + "/in", "from the host", 0644).ok());
  const std::string file = node_->directory() + "/termination-log";
  ASSERT_TRUE(WriteFileAtomically(file, "", 0666).ok());
  cri::ContainerConfig config = node_->ContainerConfig("mounts", kForever);
  cri::Mount* directory = config.add_mounts();
  directory->set_container_path("/data");
  directory->set_host_path(host);
  cri::Mount* single = config.add_mounts();
  single->set_container_path("/dev/termination-log");
  single->set_host_path(file);
  cri::Mount* read_only = config.add_mounts();
  read_only->set_container_path("/ro");
  read_only->set_host_path(host);
  read_only->set_readonly(true);
  const std::string id = Create(config);
  node_->StartContainer(id);

  EXPECT_EQ(node_->Exec(id, {"cat", "/data/in"}), "from the host");
  node_->Exec(id, {"sh", "-c",
                   "echo back > /data/out; echo bye > /dev/termination-log"});
  EXPECT_EQ(ReadFile(host + "/out").value_or("nothing"), "back\n");
  EXPECT_EQ(ReadFile(file).value_or("nothing"), "bye\n");
  EXPECT_THAT(node_->Exec(id, {"sh", "-c", "touch /ro/x 2>&1 || true"}),
              HasSubstr("Read-only file system"));
  const cri::ContainerStatus status = node_->Status(id);
  ASSERT_EQ(status.mounts_size(), 3);
  EXPECT_EQ(status.mounts(1).host_path(), file);
  EXPECT_TRUE(Remove(id).ok());
}

TEST_F(ContainerE2eTest, AMountBelowAReadOnlyOneIsAsTheHostHasIt) {
  const std::string host = node_->directory() + "/read-only";
  const std::string below = host + "/below";
  ASSERT_TRUE(MakeDirectories(below, 0755).ok());
  ASSERT_EQ(mount("t", below.c_str(), "tmpfs", 0, "size=64k"), 0);
  cri::ContainerConfig config = node_->ContainerConfig("below", kForever);
  for (const bool recursive : {false, true}) {
    cri::Mount* mount = config.add_mounts();
    mount->set_container_path(recursive ? "/all" : "/top");
    mount->set_host_path(host);
    mount->set_readonly(true);
    mount->set_recursive_read_only(recursive);
  }
  const std::string id = Create(config);
  node_->StartContainer(id);

  node_->Exec(id, {"sh", "-c", "echo written > /top/below/x"});
  EXPECT_EQ(ReadFile(below + "/x").value_or("nothing"), "written\n");
  for (const char* file : {"/top/x", "/all/x", "/all/below/y"}) {
    EXPECT_THAT(node_->Exec(id, {"sh", "-c",
                                 absl::StrCat("touch ", file, " 2>&1 || :")}),
                HasSubstr("Read-only file system"))
        << file;
  }
  // Nothing of the host is busy for the container's sake.
  ASSERT_EQ(umount2(below.c_str(), 0), 0);
  EXPECT_EQ(rmdir(below.c_str()), 0) << strerror(errno);
  EXPECT_TRUE(Remove(id).ok());
}

TEST_F(ContainerE2eTest, OutputAfterAReopenGoesToTheNewFile) {
  const std::string id = Start("reopen",
                               "while :; do if [ -e /go ]; then echo second; "
                               "rm /go; fi; sleep 0.1; done");
  const std::string log = node_->directory() + "/logs/reopen.log";
  ASSERT_EQ(rename(log.c_str(), (log + ".1").c_str()), 0);
  cri::ReopenContainerLogRequest request;
  request.set_container_id(id);
  cri::ReopenContainerLogResponse response;
  Call call;
  ASSERT_TRUE(
      node_->runtime().ReopenContainerLog(&call, request, &response).ok());

  // The container removes the file after it has written.
  node_->Exec(id,
              {"sh", "-c", "touch /go; while [ -e /go ]; do sleep 0.05; done"});
  EXPECT_TRUE(Stop(id, 1).ok());

  EXPECT_THAT(Log("reopen"), HasSubstr("second"));
  EXPECT_THAT(ReadFile(log + ".1").value_or(""),
              testing::Not(HasSubstr("second")));
  EXPECT_TRUE(Remove(id).ok());
}

TEST_F(ContainerE2eTest, RuntimeDefaultDeniesWhatTheNodesProfileDenies) {
  const auto output = [](const std::string& name,
                         cri::SecurityProfile::ProfileType type) {
    // The capability that swapoff needs: what is denied is denied by seccomp.
    cri::ContainerConfig config = node_->ContainerConfig(
        name, "swapoff /etc/passwd 2>&1; chroot / echo allowed");
    auto* security = config.mutable_linux()->mutable_security_context();
    security->mutable_capabilities()->add_add_capabilities("SYS_ADMIN");
    security->mutable_seccomp()->set_profile_type(type);
    const std::string id = Create(config);
    node_->StartContainer(id);
    node_->AwaitState(id, cri::CONTAINER_EXITED);
    EXPECT_TRUE(Remove(id).ok());
    return Log(name);
  };

  const std::string confined =
      output("confined", cri::SecurityProfile::RuntimeDefault);
  const std::string unconfined =
      output("unconfined", cri::SecurityProfile::Unconfined);

  EXPECT_THAT(confined, HasSubstr("Operation not permitted"));
  EXPECT_THAT(confined, HasSubstr("allowed"));
  EXPECT_THAT(unconfined, HasSubstr("Invalid argument"));
}

TEST_F(ContainerE2eTest, StatsGrowAndCountTheWritableLayer) {
  const std::string id = Start("stats", kForever);
  node_->Exec(id, {"dd", "if=/dev/zero", "of=/big", "bs=1048576", "count=4"});
  // A file of the pod's that is bound into it.
  node_->Exec(id,
              {"dd", "if=/dev/zero", "of=/etc/hosts", "bs=1048576", "count=4"});
  cri::ContainerStatsRequest request;
  request.set_container_id(id);
  cri::ContainerStatsResponse response;
  // Stats are samples of the daemon; the one with the file may be the next.
  const bool counted = AwaitTrue(absl::Seconds(30), [&] {
    Call call;
    EXPECT_TRUE(
        node_->runtime().ContainerStats(&call, request, &response).ok());
    return response.stats().writable_layer().used_bytes().value() >= 8u << 20;
  });

  EXPECT_TRUE(counted) << response.DebugString();
  EXPECT_GT(response.stats().cpu().timestamp(), 0);
  EXPECT_GT(response.stats().cpu().usage_core_nano_seconds().value(), 0u);
  EXPECT_GT(response.stats().memory().working_set_bytes().value(), 0u);
  EXPECT_EQ(response.stats().writable_layer().fs_id().mountpoint(),
            node_->directory() + "/root");
  EXPECT_TRUE(Remove(id).ok());
}

TEST_F(ContainerE2eTest,
       AContainerThatFillsItsMemoryIsOomKilledAndTheGuestLives) {
  cri::ContainerConfig config =
      node_->ContainerConfig("oom", "exec dd if=/dev/zero of=/dev/null bs=64M");
  *config.mutable_linux()->mutable_resources() = Resources(0, 16);
  const std::string id = Create(config);
  node_->StartContainer(id);

  const cri::ContainerStatus status =
      node_->AwaitState(id, cri::CONTAINER_EXITED);

  EXPECT_EQ(status.reason(), "OOMKilled") << status.DebugString();
  EXPECT_EQ(status.exit_code(), 137);
  EXPECT_TRUE(Remove(id).ok());
}

TEST_F(ContainerE2eTest, AMissingProgramFailsTheStartWithAnExitOf128) {
  cri::ContainerConfig config = node_->ContainerConfig("missing", "");
  config.clear_command();
  config.add_command("/no/such/program");
  const std::string id = Create(config);
  cri::StartContainerRequest start;
  start.set_container_id(id);
  cri::StartContainerResponse response;
  Call call;

  const grpc::Status started =
      node_->runtime().StartContainer(&call, start, &response);

  EXPECT_FALSE(started.ok());
  EXPECT_THAT(started.error_message(), HasSubstr("/no/such/program"));
  const cri::ContainerStatus status = node_->Status(id);
  EXPECT_EQ(status.state(), cri::CONTAINER_EXITED);
  EXPECT_EQ(status.exit_code(), 128);
  EXPECT_EQ(status.reason(), "StartError");
  EXPECT_TRUE(Remove(id).ok());
}

TEST_F(ContainerE2eTest, ANameAndAttemptAreUniqueInThePod) {
  const cri::ContainerConfig config = node_->ContainerConfig("twin", kForever);
  const std::string first = Create(config);
  cri::CreateContainerRequest request;
  request.set_pod_sandbox_id(*pod_);
  *request.mutable_config() = config;
  cri::CreateContainerResponse response;
  Call call;

  EXPECT_EQ(
      node_->runtime().CreateContainer(&call, request, &response).error_code(),
      grpc::StatusCode::ALREADY_EXISTS);
  EXPECT_TRUE(Remove(first).ok());
}

}  // namespace
}  // namespace podvisor::e2e
