// Bad input and broken surroundings: a clear error with the right code in time,
// nothing left behind, and a bystander pod that does not notice.

#include <signal.h>

#include <atomic>
#include <filesystem>
#include <functional>
#include <set>
#include <system_error>
#include <thread>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/time/clock.h"
#include "base/file.h"
#include "base/process.h"
#include "e2e/test_node.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace podvisor::e2e {
namespace {

using testing::HasSubstr;

// Without it a new guest image has the daemon look for the best accelerator.
constexpr char kTcg[] = "s|^\\[image\\]|accelerator = \"tcg\"\\n[image]|";
constexpr char kForever[] = "while :; do sleep 0.1; done";

grpc::Status TryRun(TestNode& node, const cri::PodSandboxConfig& config,
                    absl::Duration timeout = absl::Seconds(20)) {
  cri::RunPodSandboxRequest request;
  *request.mutable_config() = config;
  cri::RunPodSandboxResponse response;
  Call call(timeout);
  return node.runtime().RunPodSandbox(&call, request, &response);
}

// The user time of a process in hundredths of a second; proc(5).
int64_t CpuTicks(pid_t pid) {
  const std::string stat =
      ReadFile(absl::StrCat("/proc/", pid, "/stat")).value_or("");
  // After the name, which ends with the last parenthesis; utime is field 14.
  const std::vector<std::string> fields =
      absl::StrSplit(stat.substr(stat.rfind(')') + 1), ' ');
  int64_t ticks = 0;
  return fields.size() > 12 && absl::SimpleAtoi(fields[12], &ticks) ? ticks : 0;
}

size_t Threads(pid_t pid) {
  std::error_code gone;
  std::filesystem::directory_iterator tasks(
      absl::StrCat("/proc/", pid, "/task"), gone);
  return gone ? 0 : std::distance(begin(tasks), end(tasks));
}

size_t MemoryMappings(pid_t pid) {
  const std::string maps =
      ReadFile(absl::StrCat("/proc/", pid, "/maps"), 4 << 20).value_or("");
  size_t count = 0;
  for (size_t at = maps.find("/memfd:"); at != std::string::npos;
       at = maps.find("/memfd:", at + 1)) {
    ++count;
  }
  return count;
}

grpc::Status TryCreateIn(TestNode& node, const std::string& pod,
                         const cri::ContainerConfig& container,
                         const cri::PodSandboxConfig& config) {
  cri::CreateContainerRequest request;
  request.set_pod_sandbox_id(pod);
  *request.mutable_config() = container;
  *request.mutable_sandbox_config() = config;
  cri::CreateContainerResponse response;
  Call call(absl::Seconds(30));
  return node.runtime().CreateContainer(&call, request, &response);
}

class FaultE2eTest : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    node_ = new TestNode();
    node_->PullImage();
    config_ = new cri::PodSandboxConfig(node_->PodConfig("bystander"));
    bystander_ = new std::string(node_->RunPod(*config_));
    witness_ = new std::string(node_->CreateContainer(
        *bystander_, node_->ContainerConfig("witness", kForever), *config_));
    node_->StartContainer(*witness_);
  }
  static void TearDownTestSuite() {
    delete node_;
    delete config_;
    delete bystander_;
    delete witness_;
  }
  void TearDown() override {
    EXPECT_EQ(node_->Exec(*witness_, {"echo", "undisturbed"}), "undisturbed\n");
  }

  grpc::Status TryCreate(
      const std::function<void(cri::ContainerConfig&)>& spoil) {
    cri::CreateContainerRequest request;
    request.set_pod_sandbox_id(*bystander_);
    *request.mutable_config() = node_->ContainerConfig("bad", kForever);
    *request.mutable_sandbox_config() = *config_;
    spoil(*request.mutable_config());
    cri::CreateContainerResponse response;
    Call call(absl::Seconds(20));
    const grpc::Status status =
        node_->runtime().CreateContainer(&call, request, &response);
    cri::ListContainersResponse all;
    Call list;
    EXPECT_TRUE(node_->runtime().ListContainers(&list, {}, &all).ok());
    EXPECT_EQ(all.containers_size(), 1);  // the witness
    return status;
  }

  static TestNode* node_;
  static cri::PodSandboxConfig* config_;
  static std::string* bystander_;
  static std::string* witness_;
};

TestNode* FaultE2eTest::node_ = nullptr;
cri::PodSandboxConfig* FaultE2eTest::config_ = nullptr;
std::string* FaultE2eTest::bystander_ = nullptr;
std::string* FaultE2eTest::witness_ = nullptr;

TEST_F(FaultE2eTest, NamesThatCannotBeAreRefused) {
  const std::string kBad[] = {"", "../../etc", std::string("a\0b", 3),
                              "two\nlines", std::string(65536, 'x')};
  for (const std::string& name : kBad) {
    cri::PodSandboxConfig config = node_->PodConfig("name");
    config.mutable_metadata()->set_name(name);
    EXPECT_EQ(TryRun(*node_, config).error_code(),
              grpc::StatusCode::INVALID_ARGUMENT)
        << name.substr(0, 20);
  }
}

TEST_F(FaultE2eTest, OddButLegalNamesWork) {
  cri::PodSandboxConfig config = node_->PodConfig("odd");
  config.mutable_metadata()->set_name("a,b,,path:x");
  const std::string pod = node_->RunPod(config);
  node_->RemovePod(pod);
}

TEST_F(FaultE2eTest, ResourcesThatCannotBeAreRefused) {
  const std::function<void(cri::LinuxContainerResources&)> kBad[] = {
      [](auto& r) { r.set_memory_limit_in_bytes(-2); },
      [](auto& r) { r.set_memory_limit_in_bytes(INT64_MAX); },
      [](auto& r) { r.set_cpu_quota(-2); },
      [](auto& r) { r.set_cpu_quota(INT64_MAX); },
      [](auto& r) { r.set_cpu_period(-1); },
      [](auto& r) { r.set_cpu_shares(-1); },
      [](auto& r) { r.set_cpuset_mems("1"); },
  };
  for (const auto& spoil : kBad) {
    const grpc::Status status = TryCreate([&](cri::ContainerConfig& config) {
      spoil(*config.mutable_linux()->mutable_resources());
    });
    EXPECT_EQ(status.error_code(), grpc::StatusCode::INVALID_ARGUMENT)
        << status.error_message();
  }
}

TEST_F(FaultE2eTest, HostNamespacesAreRefusedWithTheReason) {
  cri::PodSandboxConfig config = node_->PodConfig("host");
  config.mutable_linux()
      ->mutable_security_context()
      ->mutable_namespace_options()
      ->set_network(cri::NODE);

  const grpc::Status status = TryRun(*node_, config);

  EXPECT_EQ(status.error_code(), grpc::StatusCode::INVALID_ARGUMENT);
  EXPECT_THAT(status.error_message(), HasSubstr("host"));
}

TEST_F(FaultE2eTest, AMissingImageOrHostPathIsNotFound) {
  EXPECT_EQ(TryCreate([](auto& c) {
              c.mutable_image()->set_image("none:1");
            }).error_code(),
            grpc::StatusCode::NOT_FOUND);
  const grpc::Status status = TryCreate([](cri::ContainerConfig& config) {
    cri::Mount* mount = config.add_mounts();
    mount->set_host_path("/no/such/path");
    mount->set_container_path("/x");
  });
  EXPECT_EQ(status.error_code(), grpc::StatusCode::NOT_FOUND)
      << status.error_message();
}

TEST_F(FaultE2eTest, OurOwnDirectoriesCannotBeMounted) {
  for (const char* path : {"/root", "/run"}) {
    const grpc::Status status = TryCreate([&](cri::ContainerConfig& config) {
      cri::Mount* mount = config.add_mounts();
      mount->set_host_path(node_->directory() + path);
      mount->set_container_path("/x");
    });
    EXPECT_EQ(status.error_code(), grpc::StatusCode::INVALID_ARGUMENT) << path;
  }
}

TEST_F(FaultE2eTest, UnknownIdsAndWrongStatesHaveTheirCodes) {
  cri::StartContainerRequest start;
  start.set_container_id("nothing");
  cri::StartContainerResponse started;
  Call unknown;
  EXPECT_EQ(
      node_->runtime().StartContainer(&unknown, start, &started).error_code(),
      grpc::StatusCode::NOT_FOUND);
  start.set_container_id(*witness_);
  Call twice;
  EXPECT_EQ(
      node_->runtime().StartContainer(&twice, start, &started).error_code(),
      grpc::StatusCode::FAILED_PRECONDITION);
}

TEST_F(FaultE2eTest, AKilledQemuMakesItsPodNotReadyAndItsContainersExited) {
  const cri::PodSandboxConfig config = node_->PodConfig("victim");
  const std::string pod = node_->RunPod(config);
  const std::string id = node_->CreateContainer(
      pod, node_->ContainerConfig("main", kForever), config);
  node_->StartContainer(id);

  node_->KillProcess(node_->PodInfo(pod, "/pid"));

  const cri::ContainerStatus status =
      node_->AwaitState(id, cri::CONTAINER_EXITED);
  EXPECT_EQ(status.exit_code(), 137);
  EXPECT_THAT(status.message(), HasSubstr("VM"));
  node_->RemovePod(pod);
}

TEST_F(FaultE2eTest, APodWhoseVirtiofsdDiesIsStoppedAndSaysWhy) {
  const cri::PodSandboxConfig config = node_->PodConfig("shareless");
  const std::string pod = node_->RunPod(config);
  cri::ContainerConfig container = node_->ContainerConfig("main", kForever);
  cri::Mount* mount = container.add_mounts();
  mount->set_host_path("/etc/hostname");
  mount->set_container_path("/name");
  const std::string id = node_->CreateContainer(pod, container, config);
  node_->StartContainer(id);

  const std::set<pid_t> virtiofsd =
      node_->Processes({"virtiofsd", absl::StrCat("/pods/", pod, "/share")});
  ASSERT_FALSE(virtiofsd.empty());
  // The server or the parent that waits for it: either is the end.
  node_->KillProcess(*virtiofsd.begin());

  const cri::ContainerStatus status =
      node_->AwaitState(id, cri::CONTAINER_EXITED);
  EXPECT_THAT(status.message(), HasSubstr("virtiofsd"));
  node_->RemovePod(pod);
}

TEST_F(FaultE2eTest, AQemuThatDiesWhileItBootsIsReplacedByAnother) {
  const auto qemus = [] { return node_->Processes({"qemu-system"}); };
  const std::set<pid_t> before = qemus();
  grpc::Status status;
  std::thread boot([&] { status = TryRun(*node_, node_->PodConfig("dying")); });
  pid_t victim = 0;
  // In the middle: the guest has used a third of a second of CPU time, of the
  // second or more that a boot takes.
  EXPECT_TRUE(AwaitTrue(absl::Seconds(10), [&] {
    for (const pid_t pid : qemus()) {
      if (before.count(pid) == 0) victim = pid;
    }
    return victim != 0 && CpuTicks(victim) > 30;
  }));
  node_->KillProcess(victim);
  boot.join();

  EXPECT_TRUE(status.ok()) << status.error_message();
  cri::ListPodSandboxRequest request;
  (*request.mutable_filter()->mutable_label_selector())["app"] = "dying";
  cri::ListPodSandboxResponse pods;
  Call call;
  ASSERT_TRUE(node_->runtime().ListPodSandbox(&call, request, &pods).ok());
  ASSERT_EQ(pods.items_size(), 1);
  EXPECT_NE(node_->PodInfo(pods.items(0).id(), "/pid"), victim);
  node_->RemovePod(pods.items(0).id());
  EXPECT_EQ(qemus(), before);
}

TEST_F(FaultE2eTest, APodThatHangsInItsGuestDelaysNoOtherPodThatGrows) {
  const cri::PodSandboxConfig hanging = node_->PodConfig("hanging");
  const cri::PodSandboxConfig growing = node_->PodConfig("growing");
  const std::string hangs = node_->RunPod(hanging);
  const std::string grows = node_->RunPod(growing);
  cri::ContainerConfig large = node_->ContainerConfig("main", kForever);
  *large.mutable_linux()->mutable_resources() = Resources(2000, 64);
  const auto qemu = static_cast<pid_t>(node_->PodInfo(hangs, "/pid"));
  ASSERT_GT(qemu, 1);
  ASSERT_EQ(kill(qemu, SIGSTOP), 0);
  std::atomic<bool> answered = false;
  grpc::Status status;
  std::thread caller([&] {
    status = TryCreateIn(*node_, hangs, large, hanging);
    answered = true;
  });

  node_->CreateContainer(grows, large, growing);

  EXPECT_EQ(node_->PodInfo(grows, "/vcpus/online"), 2);
  // Nor is the pod that hangs itself a secret meanwhile.
  EXPECT_EQ(node_->PodInfo(hangs, "/vcpus/online"), 1);
  EXPECT_FALSE(answered) << status.error_message();
  ASSERT_EQ(kill(qemu, SIGCONT), 0);
  caller.join();
  node_->RemovePod(hangs);
  node_->RemovePod(grows);
}

// A grow for a container, and how it is seen from outside that QEMU is in the
// middle of it: what is counted becomes more.
struct GrowToKill {
  std::string stage;
  cri::LinuxContainerResources resources;
  size_t (*count)(pid_t qemu);
};

class KilledGrowE2eTest : public testing::TestWithParam<GrowToKill> {};

TEST_P(KilledGrowE2eTest, NamesTheStageAndEndsThePodWhole) {
  const GrowToKill& grow = GetParam();
  TestNode node({kTcg});
  node.PullImage();
  const cri::PodSandboxConfig config = node.PodConfig("growing");
  const std::string pod = node.RunPod(config);
  cri::ContainerConfig large = node.ContainerConfig("main", kForever);
  *large.mutable_linux()->mutable_resources() = grow.resources;
  const auto qemu = static_cast<pid_t>(node.PodInfo(pod, "/pid"));
  const size_t before = grow.count(qemu);
  std::atomic<bool> answered = false;
  grpc::Status status;
  std::thread caller([&] {
    status = TryCreateIn(node, pod, large, config);
    answered = true;
  });

  const absl::Time end = absl::Now() + absl::Seconds(20);
  while (grow.count(qemu) <= before && absl::Now() < end) {
    std::this_thread::yield();
  }
  EXPECT_FALSE(answered);
  node.KillProcess(qemu);
  caller.join();

  EXPECT_EQ(status.error_code(), grpc::StatusCode::UNAVAILABLE);
  EXPECT_THAT(status.error_message(),
              testing::AllOf(
                  HasSubstr("cannot grow: "),
                  testing::AnyOf(
                      HasSubstr(absl::StrCat("VM: ", grow.stage)),
                      HasSubstr(absl::StrCat("guest online: ", grow.stage)))));
  EXPECT_TRUE(AwaitTrue(absl::Seconds(5), [&] {
    cri::PodSandboxStatusRequest request;
    request.set_pod_sandbox_id(pod);
    cri::PodSandboxStatusResponse response;
    Call call;
    EXPECT_TRUE(
        node.runtime().PodSandboxStatus(&call, request, &response).ok());
    return response.status().state() == cri::SANDBOX_NOTREADY;
  }));
  EXPECT_EQ(node.PodInfo(pod, "/vcpus/plugged"), 0);
  EXPECT_EQ(node.PodInfo(pod, "/memoryBytes/plugged"), 0);
  EXPECT_THAT(node.PodInfoText(pod, "/lastError"), HasSubstr("QEMU"));
  cri::ListContainersResponse all;
  Call list;
  EXPECT_TRUE(node.runtime().ListContainers(&list, {}, &all).ok());
  EXPECT_EQ(all.containers_size(), 0);
  node.RemovePod(pod);
  EXPECT_EQ(node.Leftovers(), "");
}

INSTANTIATE_TEST_SUITE_P(
    Stages, KilledGrowE2eTest,
    testing::Values(
        // A vCPU is a thread; after the first of three it is in the middle.
        GrowToKill{"vCPUs", Resources(4000, 64), Threads},
        // The new memory is mapped before its device is plugged.
        GrowToKill{"memory", Resources(1000, 4096), MemoryMappings}),
    [](const testing::TestParamInfo<GrowToKill>& info) {
      return info.param.stage;
    });

TEST(KilledShrinkE2eTest, AQemuThatDiesWhileMemoryGoesDownEndsThePodWhole) {
  TestNode node({kTcg});
  node.PullImage();
  const cri::PodSandboxConfig config = node.PodConfig("shrinking");
  const std::string pod = node.RunPod(config);
  cri::ContainerConfig large = node.ContainerConfig("main", kForever);
  *large.mutable_linux()->mutable_resources() = Resources(1000, 4096);
  const std::string container = node.CreateContainer(pod, large, config);
  const int64_t had = node.PodInfo(pod, "/memoryBytes/plugged");
  const auto qemu = static_cast<pid_t>(node.PodInfo(pod, "/pid"));

  cri::RemoveContainerRequest remove;
  remove.set_container_id(container);
  cri::RemoveContainerResponse removed;
  Call call;
  ASSERT_TRUE(node.runtime().RemoveContainer(&call, remove, &removed).ok());
  int64_t plugged = had;
  EXPECT_TRUE(AwaitTrue(absl::Seconds(30), [&] {
    plugged = node.PodInfo(pod, "/memoryBytes/plugged");
    return plugged < had;
  }));
  ASSERT_GT(plugged, node.PodInfo(pod, "/memoryBytes/target"))
      << "not in the middle of it";
  node.KillProcess(qemu);

  EXPECT_TRUE(AwaitTrue(absl::Seconds(5), [&] {
    return node.PodInfo(pod, "/memoryBytes/plugged") == 0;
  }));
  EXPECT_EQ(node.PodInfo(pod, "/vcpus/plugged"), 0);
  EXPECT_THAT(node.PodInfoText(pod, "/lastError"), HasSubstr("QEMU"));
  node.RemovePod(pod);
  EXPECT_EQ(node.Leftovers(), "");
}

TEST(BrokenNodeE2eTest,
     AGuestThatNeverSaysHelloIsAnErrorInTimeAndLeavesNothing) {
  TestNode node({kTcg});
  node.PullImage();
  const cri::PodSandboxConfig config = node.PodConfig("bystander");
  const std::string bystander = node.RunPod(config);
  const std::string witness = node.CreateContainer(
      bystander, node.ContainerConfig("witness", kForever), config);
  node.StartContainer(witness);
  const std::set<pid_t> before = node.Processes({});
  // From now on kernels wait for a disk that never comes.
  node.EndDaemon(SIGTERM);
  node.EditConfig(
      "s|^\\[image\\]|kernel_params = \"rdinit=/none root=/dev/vda "
      "rootwait\"\\n[image]|");
  node.StartDaemon();

  const grpc::Status status =
      TryRun(node, node.PodConfig("mute"), absl::Seconds(16));

  // The daemon's own words: it answered before its client gave up.
  EXPECT_EQ(status.error_code(), grpc::StatusCode::DEADLINE_EXCEEDED)
      << status.error_message();
  EXPECT_THAT(status.error_message(), HasSubstr("the guest did not come up"));
  EXPECT_TRUE(AwaitTrue(absl::Seconds(15),
                        [&] { return node.Processes({}) == before; }));
  cri::ListPodSandboxResponse pods;
  Call list;
  ASSERT_TRUE(node.runtime().ListPodSandbox(&list, {}, &pods).ok());
  EXPECT_EQ(pods.items_size(), 1);
  EXPECT_EQ(node.Exec(witness, {"echo", "undisturbed"}), "undisturbed\n");
  node.RemovePod(bystander);
  EXPECT_EQ(node.Leftovers(), "");
}

TEST(BrokenNodeE2eTest, AGuestThatPanicsIsUnavailableAndLeavesNothing) {
  // A kernel without its initramfs panics; QEMU ends by itself.
  TestNode node({"s|^initrd = .*|initrd = \"/etc/hostname\"|", kTcg});

  const grpc::Status status =
      TryRun(node, node.PodConfig("panicking"), absl::Seconds(60));

  EXPECT_EQ(status.error_code(), grpc::StatusCode::UNAVAILABLE);
  EXPECT_THAT(status.error_message(), HasSubstr("panic"));
  EXPECT_EQ(node.Leftovers(), "");
}

TEST(BrokenNodeE2eTest, ANodeWithoutItsGuestImageIsNotReadyUntilItIsBack) {
  TestNode node({kTcg});
  const std::string initrd = node.directory() + "/initrd.img";
  CommandOptions copy;
  copy.argv = {"cp", node.ConfigValue("initrd"), initrd};
  ASSERT_EQ(RunCommand(copy)->exit_code, 0);
  node.EndDaemon(SIGTERM);
  node.EditConfig(absl::StrCat("s|^initrd = .*|initrd = \"", initrd, "\"|"));
  node.StartDaemon();
  const auto runtime_ready = [&node] {
    cri::StatusResponse response;
    Call call;
    EXPECT_TRUE(node.runtime().Status(&call, {}, &response).ok());
    return response.status().conditions(0);
  };
  EXPECT_TRUE(runtime_ready().status());

  ASSERT_EQ(rename(initrd.c_str(), (initrd + ".away").c_str()), 0);
  EXPECT_TRUE(
      AwaitTrue(absl::Seconds(30), [&] { return !runtime_ready().status(); }));
  EXPECT_EQ(runtime_ready().reason(), "HypervisorMissing");
  EXPECT_THAT(runtime_ready().message(), HasSubstr(initrd));

  ASSERT_EQ(rename((initrd + ".away").c_str(), initrd.c_str()), 0);
  EXPECT_TRUE(
      AwaitTrue(absl::Seconds(30), [&] { return runtime_ready().status(); }));
}

TEST(BrokenNodeE2eTest, AConfigurationThatCannotBeIsRefusedWithFileAndLine) {
  TestNode node;
  const std::string path = node.directory() + "/bad.toml";
  ASSERT_TRUE(
      WriteFileAtomically(path, "[server]\nsokcet = \"/run/x.sock\"\n").ok());

  const CommandResult result = RunProgram("cri/podvisord", {"--config", path});

  EXPECT_NE(result.exit_code, 0);
  EXPECT_THAT(result.stderr_data, HasSubstr("bad.toml"));
  EXPECT_THAT(result.stderr_data, HasSubstr("did you mean \"socket\""));
}

TEST(BrokenNodeE2eTest, ASecondDaemonOnTheSameDirectoriesIsRefused) {
  TestNode node;

  const CommandResult result = RunProgram(
      "cri/podvisord", {"--config", node.directory() + "/podvisor.toml"});

  EXPECT_NE(result.exit_code, 0);
  EXPECT_THAT(result.stderr_data, HasSubstr("in use"));
  node.RemovePod(node.RunPod(node.PodConfig("undisturbed")));
}

TEST(BrokenNodeE2eTest, ACorruptImageIsRefusedAndLeavesNothing) {
  TestNode node;
  // Every layer of the registry is damaged; its digests stay what they were.
  CommandOptions damage;
  damage.argv = {"sh", "-c",
                 absl::StrCat("find ", node.directory(),
                              "/registry -name data -size +100k -exec sh -c "
                              "'printf damaged | dd of=\"$1\" bs=1 seek=5000 "
                              "conv=notrunc status=none' - {} \\;")};
  ASSERT_EQ(RunCommand(damage)->exit_code, 0);
  cri::PullImageRequest request;
  request.mutable_image()->set_image(kImage);
  cri::PullImageResponse response;
  Call call;

  const grpc::Status status =
      node.images().PullImage(&call, request, &response);

  EXPECT_EQ(status.error_code(), grpc::StatusCode::DATA_LOSS)
      << status.error_message();
  cri::ListImagesResponse images;
  Call list;
  ASSERT_TRUE(node.images().ListImages(&list, {}, &images).ok());
  EXPECT_EQ(images.images_size(), 0);
}

TEST(BrokenNodeE2eTest, ARegistryThatIsDownIsUnavailableForThePullOnly) {
  TestNode node;
  node.StopRegistry();
  cri::PullImageRequest request;
  request.mutable_image()->set_image(kImage);
  cri::PullImageResponse response;
  Call call;

  const grpc::Status status =
      node.images().PullImage(&call, request, &response);

  EXPECT_FALSE(status.ok());
  EXPECT_THAT(status.error_message(), HasSubstr("RegistryUnavailable"));
  node.RemovePod(node.RunPod(node.PodConfig("still-works")));
}

}  // namespace
}  // namespace podvisor::e2e
