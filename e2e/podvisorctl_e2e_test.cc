// The operator's tool against a running daemon.

#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "base/file.h"
#include "base/unique_fd.h"
#include "e2e/test_node.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace podvisor::e2e {
namespace {

using testing::AllOf;
using testing::HasSubstr;

constexpr char kManifest[] = R"(apiVersion: v1
kind: Pod
metadata:
  name: web
  labels: {app: web}
spec:
  containers:
  - name: main
    image: busybox:1.36
    command: [sh, -c, "echo ready; while :; do sleep 0.1; done"]
    resources:
      limits: {cpu: "2", memory: 128Mi}
)";

class PodvisorctlE2eTest : public testing::Test {
 protected:
  CommandResult Ctl(std::vector<std::string> arguments) {
    arguments.insert(arguments.begin(),
                     {"--config", node_.directory() + "/podvisor.toml"});
    return RunProgram("cri/podvisorctl", std::move(arguments));
  }
  std::string Write(const std::string& name, absl::string_view text) {
    const std::string path = absl::StrCat(node_.directory(), "/", name);
    EXPECT_TRUE(WriteFileAtomically(path, text).ok());
    return path;
  }
  int Pods() {
    cri::ListPodSandboxResponse pods;
    Call call;
    EXPECT_TRUE(node_.runtime().ListPodSandbox(&call, {}, &pods).ok());
    return pods.items_size();
  }

  TestNode node_;
};

TEST_F(PodvisorctlE2eTest, RunStartsAPodThatVmsAndConsoleThenShow) {
  const CommandResult run = Ctl({"run", Write("web.yaml", kManifest)});

  ASSERT_EQ(run.exit_code, 0) << run.stderr_data;
  EXPECT_THAT(run.stdout_data, HasSubstr("default/web"));
  const CommandResult vms = Ctl({"vms"});
  EXPECT_EQ(vms.exit_code, 0) << vms.stderr_data;
  EXPECT_THAT(vms.stdout_data,
              AllOf(HasSubstr("default/web"), HasSubstr("ready"),
                    HasSubstr("2/2/2"), HasSubstr("256/256/256")));
  const CommandResult console = Ctl({"console", "--lines", "5", "web"});
  EXPECT_EQ(console.exit_code, 0) << console.stderr_data;
  // A guest that boots well says nothing, which is said beside the output.
  EXPECT_TRUE(!console.stdout_data.empty() ||
              absl::StrContains(console.stderr_data, "has written nothing"))
      << console.stderr_data;
  EXPECT_LE(std::vector<std::string>(absl::StrSplit(console.stdout_data, '\n'))
                .size(),
            6u);
  CommandResult logs;
  EXPECT_TRUE(AwaitTrue(absl::Seconds(10), [&] {
    logs = Ctl({"logs", "web"});
    return logs.stdout_data == "ready\n";
  })) << logs.stderr_data;
  EXPECT_EQ(logs.exit_code, 0);
}

TEST_F(PodvisorctlE2eTest, RmLeavesNothingOfARun) {
  const std::string logs = node_.directory() + "/root/logs";
  const CommandResult run = Ctl({"run", Write("web.yaml", kManifest)});
  ASSERT_EQ(run.exit_code, 0) << run.stderr_data;
  ASSERT_THAT(run.stdout_data, HasSubstr(absl::StrCat(" log ", logs, "/")));

  const CommandResult removed = Ctl({"rm", "web"});

  EXPECT_EQ(removed.exit_code, 0) << removed.stderr_data;
  EXPECT_EQ(Pods(), 0);
  EXPECT_EQ(node_.Leftovers(), "");
  // Only an empty directory can be removed.
  EXPECT_EQ(rmdir(logs.c_str()), 0);
}

TEST_F(PodvisorctlE2eTest, LogsFollowAContainerToItsEnd) {
  node_.PullImage();
  const cri::PodSandboxConfig config = node_.PodConfig("talker");
  const std::string pod = node_.RunPod(config);
  node_.StartContainer(node_.CreateContainer(
      pod, node_.ContainerConfig("main", "echo one; sleep 1; echo two >&2"),
      config));

  const CommandResult logs = Ctl({"logs", "--follow", "talker", "main"});

  EXPECT_EQ(logs.exit_code, 0) << logs.stderr_data;
  EXPECT_EQ(logs.stdout_data, "one\n");
  EXPECT_EQ(logs.stderr_data, "two\n");
}

TEST_F(PodvisorctlE2eTest, AWatchShowsChangesAndOutlivesTheDaemon) {
  node_.PullImage();
  const cri::PodSandboxConfig config = node_.PodConfig("watched");
  const std::string pod = node_.RunPod(config);
  const std::string path = node_.directory() + "/watch.out";
  const UniqueFd output(
      open(path.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600));
  SpawnOptions options;
  options.argv = {"--config",   node_.directory() + "/podvisor.toml",
                  "vms",        "--watch",
                  "--interval", "100ms"};
  options.stdout_fd = output.get();
  const ProcessIdentity watch = StartProgram("cri/podvisorctl", options);
  const auto shows = [&](const std::string& text) {
    return AwaitTrue(absl::Seconds(20), [&] {
      return absl::StrContains(ReadFile(path).value_or(""), text);
    });
  };
  EXPECT_TRUE(shows("1/1/1"));

  cri::ContainerConfig container = node_.ContainerConfig("main", "sleep 1000");
  *container.mutable_linux()->mutable_resources() = Resources(3000, 64);
  node_.CreateContainer(pod, container, config);
  EXPECT_TRUE(shows("3/3/3"));
  node_.EndDaemon(SIGTERM);
  EXPECT_TRUE(shows("podvisord does not answer"));
  EXPECT_EQ(truncate(path.c_str(), 0), 0);
  node_.StartDaemon();
  EXPECT_TRUE(shows("3/3/3"));

  kill(watch.pid, SIGTERM);
  const auto ended = WaitProcess(watch, absl::Now() + absl::Seconds(20));
  ASSERT_TRUE(ended.ok()) << ended.status();
  EXPECT_TRUE(WIFEXITED(*ended) && WEXITSTATUS(*ended) == 0) << *ended;
  EXPECT_FALSE(absl::StrContains(ReadFile(path).value_or(""), "\x1b"));
}

TEST_F(PodvisorctlE2eTest, RunThatFailsHalfWayLeavesNoPod) {
  std::string text = kManifest;
  text.append(
      "  - {name: second, image: \"busybox:1.36\", volumeMounts: "
      "[{name: v, mountPath: /v}]}\n"
      "  volumes: [{name: v, hostPath: {path: /no/such/path}}]\n");

  const CommandResult run = Ctl({"run", Write("bad.yaml", text)});

  EXPECT_EQ(run.exit_code, 1);
  EXPECT_THAT(run.stderr_data, HasSubstr("/no/such/path"));
  EXPECT_EQ(Pods(), 0);
}

TEST_F(PodvisorctlE2eTest, AnUnknownPodOrADaemonThatIsNotThereIsAClearError) {
  const CommandResult unknown = Ctl({"console", "nothing"});
  EXPECT_EQ(unknown.exit_code, 1);
  EXPECT_THAT(unknown.stderr_data, HasSubstr("there is no pod \"nothing\""));

  const CommandResult nobody =
      Ctl({"--socket", node_.directory() + "/none.sock", "vms"});
  EXPECT_EQ(nobody.exit_code, 1);
  EXPECT_THAT(nobody.stderr_data, HasSubstr("none.sock"));
}

TEST_F(PodvisorctlE2eTest, APlanIsWhatCreateContainerThenDoes) {
  node_.PullImage();
  const cri::PodSandboxConfig config = node_.PodConfig("planned");
  const std::string pod = node_.RunPod(config);

  const CommandResult plan =
      Ctl({"plan", "--pod", "planned", "--container", "cpus=3,memory=512Mi"});
  cri::ContainerConfig container = node_.ContainerConfig("main", "sleep 1000");
  *container.mutable_linux()->mutable_resources() = Resources(3000, 512);
  node_.CreateContainer(pod, container, config);

  EXPECT_EQ(plan.exit_code, 0) << plan.stderr_data;
  EXPECT_THAT(plan.stdout_data,
              AllOf(HasSubstr("1 of 1 vCPUs online"),
                    HasSubstr("target of the VM:  3 vCPUs, 640 MiB"),
                    HasSubstr("plug vCPUs to 3")));
  EXPECT_EQ(node_.PodInfo(pod, "/vcpus/online"), 3);
  EXPECT_EQ(node_.PodInfo(pod, "/memoryBytes/online"), 640 * kMiB);
  // Nothing is left to do.
  const CommandResult after = Ctl({"plan", "--pod", "planned"});
  EXPECT_EQ(after.exit_code, 0) << after.stderr_data;
  EXPECT_THAT(after.stdout_data, HasSubstr("nothing to do"));
}

TEST(PlanE2eTest, APlanRefusesWhatCreateContainerRefusesInTheSameWords) {
  TestNode node({"/^shrink_delay/a memory_hotplug = \"pc-dimm\"",
                 "/^shrink_delay/a memory_slots = 1"});
  node.PullImage();
  const cri::PodSandboxConfig config = node.PodConfig("slots");
  const std::string pod = node.RunPod(config);
  const auto plan = [&] {
    return RunProgram("cri/podvisorctl",
                      {"--config", node.directory() + "/podvisor.toml", "plan",
                       "--pod", pod, "--container", "memory=512Mi"});
  };
  cri::CreateContainerRequest request;
  request.set_pod_sandbox_id(pod);
  *request.mutable_sandbox_config() = config;
  *request.mutable_config() = node.ContainerConfig("first", "sleep 1000");
  *request.mutable_config()->mutable_linux()->mutable_resources() =
      Resources(0, 512);
  cri::CreateContainerResponse response;

  const CommandResult first = plan();
  EXPECT_EQ(first.exit_code, 0) << first.stdout_data;
  EXPECT_THAT(first.stdout_data,
              HasSubstr("plug a DIMM of 384 MiB into slot 0"));
  {
    Call call;
    ASSERT_TRUE(node.runtime().CreateContainer(&call, request, &response).ok());
  }
  EXPECT_EQ(node.PodInfo(pod, "/memorySlots/used"), 1);

  const CommandResult second = plan();
  request.mutable_config()->mutable_metadata()->set_name("second");
  Call call;
  const grpc::Status refused =
      node.runtime().CreateContainer(&call, request, &response);

  EXPECT_EQ(second.exit_code, 1) << second.stdout_data;
  const std::string words = "0 of 1 slots are free";
  EXPECT_THAT(
      second.stdout_data,
      AllOf(HasSubstr("REFUSED: RESOURCE_EXHAUSTED: "), HasSubstr(words)));
  EXPECT_EQ(refused.error_code(), grpc::StatusCode::RESOURCE_EXHAUSTED);
  EXPECT_THAT(refused.error_message(), HasSubstr(words));
}

TEST_F(PodvisorctlE2eTest, APlanForANewPodNeedsNoDaemon) {
  std::string text = kManifest;
  text.insert(
      text.find("  labels"),
      "  annotations: {com.github.containers.virtcontainers.sandbox_mem:"
      " \"1G\"}\n");

  const CommandResult plan =
      Ctl({"plan", "--socket", "/nowhere", Write("planned.yaml", text)});

  EXPECT_EQ(plan.exit_code, 0) << plan.stderr_data;
  EXPECT_THAT(plan.stdout_data,
              AllOf(HasSubstr("boots with 1 vCPUs, 1024 MiB"),
                    HasSubstr("container main"),
                    HasSubstr("target of the VM:  2 vCPUs, 1024 MiB"),
                    HasSubstr("bring vCPUs online to 2")));
  EXPECT_EQ(Pods(), 0);
}

TEST_F(PodvisorctlE2eTest, CheckAndConfigTellAboutThisNode) {
  const CommandResult check = Ctl({"check"});
  EXPECT_EQ(check.exit_code, 0) << check.stdout_data;
  const CommandResult config = Ctl({"config"});
  EXPECT_THAT(config.stdout_data, HasSubstr(node_.directory() + "/root"));
}

}  // namespace
}  // namespace podvisor::e2e
