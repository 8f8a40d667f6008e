#include "cri/convert_status.h"

#include <string>

#include "gtest/gtest.h"
#include "nlohmann/json.hpp"

namespace podvisor {
namespace {

PodSnapshot ReadyPod() {
  PodSnapshot pod;
  pod.id = PodId(std::string(64, 'a'));
  pod.spec.metadata = {"web", "uid-1", "default", 3};
  pod.spec.labels = {{"app", "web"}};
  pod.spec.annotations = {{"note", "x\ny"}};
  pod.spec.pid_namespace = NamespaceMode::kContainer;
  pod.state = SandboxState::kReady;
  pod.created_at = absl::FromUnixNanos(1'700'000'000'000'000'001);
  pod.ips = {"10.1.0.4", "fd00::4"};
  pod.vm.target_vcpus = 4;
  pod.vm.online_vcpus = 3;
  pod.vm.shortfall_bytes = 7;
  pod.account = {100, 30, 80, 20};
  return pod;
}

ContainerSnapshot RunningContainer() {
  ContainerSnapshot container;
  container.id = ContainerId(std::string(64, 'b'));
  container.pod = PodId(std::string(64, 'a'));
  container.spec.name = "nginx";
  container.spec.attempt = 1;
  container.spec.image = "sha256:1";
  container.spec.user_image = "nginx:1.25";
  container.spec.mounts = {
      {"/dev/termination-log", "/host/log", false, false, true}};
  container.phase = ContainerPhase::kRunning;
  container.created_at = absl::FromUnixNanos(5);
  container.started_at = absl::FromUnixNanos(6);
  container.image_id = "sha256:1";
  container.image_ref = "sha256:1";
  container.user = ResolvedUser{1000, 1001, {5}};
  container.log_path = "/var/log/pods/x/0.log";
  container.stop_signal = "SIGQUIT";
  container.applied.cpu_quota = 200'000;
  return container;
}

TEST(ConvertStatusTest, AnImageVolumeIsShownWithTheImageThatItIs) {
  ContainerSnapshot container = RunningContainer();
  container.spec.mounts[0].host_path.clear();
  container.spec.mounts[0].image = "files:1";
  container.spec.mounts[0].image_sub_path = "data";
  container.spec.mounts[0].image_id = "sha256:2";

  const auto mount = ToContainerStatus(container).mounts(0);

  EXPECT_EQ(mount.image().image(), "files:1");
  EXPECT_EQ(mount.image().image_ref(), "sha256:2");
  EXPECT_EQ(mount.image_sub_path(), "data");
}

TEST(ConvertStatusTest, IdsThatAreMappedAreShownOfPodAndMount) {
  PodSnapshot pod = ReadyPod();
  EXPECT_FALSE(ToPodSandboxStatus(pod)
                   .linux()
                   .namespaces()
                   .options()
                   .has_userns_options());
  pod.spec.ids = IdMapping{70000, 65536};
  ContainerSnapshot container = RunningContainer();
  container.spec.mounts[0].ids = pod.spec.ids;

  const auto userns =
      ToPodSandboxStatus(pod).linux().namespaces().options().userns_options();
  const auto mount = ToContainerStatus(container).mounts(0);

  EXPECT_EQ(userns.mode(), runtime::v1::POD);
  ASSERT_EQ(userns.uids_size(), 1);
  EXPECT_EQ(userns.gids(0).host_id(), 70000u);
  EXPECT_EQ(userns.uids(0).length(), 65536u);
  ASSERT_EQ(mount.uidmappings_size(), 1);
  EXPECT_EQ(mount.gidmappings(0).host_id(), 70000u);
}

TEST(ConvertStatusTest, OnlyAReadyPodIsReady) {
  for (const SandboxState state :
       {SandboxState::kCreating, SandboxState::kReady, SandboxState::kStopping,
        SandboxState::kStopped}) {
    PodSnapshot pod = ReadyPod();
    pod.state = state;
    const auto expected = state == SandboxState::kReady
                              ? runtime::v1::SANDBOX_READY
                              : runtime::v1::SANDBOX_NOTREADY;
    EXPECT_EQ(ToPodSandbox(pod).state(), expected);
    EXPECT_EQ(ToPodSandboxStatus(pod).state(), expected);
  }
}

TEST(ConvertStatusTest, PodStatusHasWhatKubeletReads) {
  const runtime::v1::PodSandboxStatus status = ToPodSandboxStatus(ReadyPod());

  EXPECT_EQ(status.id(), std::string(64, 'a'));
  EXPECT_EQ(status.metadata().name(), "web");
  EXPECT_EQ(status.metadata().uid(), "uid-1");
  EXPECT_EQ(status.metadata().namespace_(), "default");
  EXPECT_EQ(status.metadata().attempt(), 3u);
  EXPECT_EQ(status.created_at(), 1'700'000'000'000'000'001);
  EXPECT_EQ(status.network().ip(), "10.1.0.4");
  ASSERT_EQ(status.network().additional_ips_size(), 1);
  EXPECT_EQ(status.network().additional_ips(0).ip(), "fd00::4");
  const auto& options = status.linux().namespaces().options();
  EXPECT_EQ(options.network(), runtime::v1::POD);
  EXPECT_EQ(options.ipc(), runtime::v1::POD);
  EXPECT_EQ(options.pid(), runtime::v1::CONTAINER);
  EXPECT_EQ(status.annotations().at("note"), "x\ny");
  EXPECT_EQ(status.labels().at("app"), "web");
}

TEST(ConvertStatusTest, APodWithoutAnAddressHasNoNetworkAtAll) {
  PodSnapshot pod = ReadyPod();
  ASSERT_EQ(ToPodSandboxStatus(pod).network().ip(), "10.1.0.4");
  ASSERT_EQ(ToPodSandboxStatus(pod).network().additional_ips_size(), 1);
  pod.ips.clear();

  EXPECT_FALSE(ToPodSandboxStatus(pod).has_network());
}

TEST(ConvertStatusTest, ContainerStatusHasWhatIsApplied) {
  const runtime::v1::ContainerStatus status =
      ToContainerStatus(RunningContainer());

  EXPECT_EQ(status.state(), runtime::v1::CONTAINER_RUNNING);
  EXPECT_EQ(status.image().image(), "nginx:1.25");
  EXPECT_EQ(status.image_ref(), "sha256:1");
  EXPECT_EQ(status.image_id(), "sha256:1");
  EXPECT_EQ(status.finished_at(), 0);
  ASSERT_EQ(status.mounts_size(), 1);
  EXPECT_EQ(status.mounts(0).host_path(), "/host/log");
  EXPECT_EQ(status.mounts(0).propagation(),
            runtime::v1::PROPAGATION_HOST_TO_CONTAINER);
  EXPECT_EQ(status.resources().linux().cpu_quota(), 200'000);
  EXPECT_EQ(status.user().linux().gid(), 1001);
  EXPECT_EQ(status.stop_signal(), runtime::v1::SIGNAL_SIGQUIT);
  EXPECT_EQ(status.log_path(), "/var/log/pods/x/0.log");
}

TEST(ConvertStatusTest, PodInfoIsJsonWithEverySize) {
  PodSnapshot pod = ReadyPod();
  pod.kernel_release = "6.1\n\x1b[31m\xff";
  pod.cgroup_path = "\xff";
  pod.vm.observed_at = absl::FromUnixSeconds(1'700'000'000);
  ObservedSizing sizing;
  sizing.observed.vcpus_online = 3;

  const auto info =
      nlohmann::json::parse(PodInfoJson(pod, sizing), nullptr, false);

  ASSERT_TRUE(info.is_object());
  EXPECT_EQ(info["vcpus"]["target"], 4);
  EXPECT_EQ(info["vcpus"]["online"], 3);
  EXPECT_EQ(info["memoryBytes"]["shortfall"], 7);
  EXPECT_EQ(info["observedAt"], "2023-11-14T22:13:20+00:00");
  EXPECT_EQ(info["sizing"]["observed"]["vcpusOnline"], 3);
  EXPECT_EQ(info["accountedBytes"]["vmm"], 30);
  EXPECT_EQ(info["accountedBytes"]["excess"], 30);
  EXPECT_EQ(info["state"], "ready");
  EXPECT_EQ(info["kernelRelease"].get<std::string>().find('\x1b'),
            std::string::npos);
}

// A figure of its own for each, so that none can stand for another.
TEST(ConvertStatusTest, PodInfoIsThisAndNothingElse) {
  PodSnapshot pod = ReadyPod();
  pod.accelerator = "tcg";
  pod.agent_version = "0.1.0";
  pod.kernel_release = "6.1.0";
  pod.boot_time = absl::Milliseconds(1300);
  pod.vmm_pid = 77;
  pod.console_path = "/run/console";
  pod.cgroup_path = "/pods/a";
  pod.last_error = "VM: memory: no slots";
  pod.vm = {.observed_at = absl::FromUnixSeconds(1'700'000'000),
            .base_vcpus = 1,
            .target_vcpus = 5,
            .plugged_vcpus = 4,
            .online_vcpus = 3,
            .max_vcpus = 6,
            .base_memory_bytes = 10,
            .target_memory_bytes = 50,
            .plugged_memory_bytes = 40,
            .online_memory_bytes = 30,
            .max_memory_bytes = 60,
            .memory_slots_used = 7,
            .memory_slots_total = 8,
            .shortfall_bytes = 9,
            .vcpus_clamped = true,
            .memory_clamped = false,
            .cut_milli_cpu = 1500,
            .cut_memory_bytes = 11};

  const auto info =
      nlohmann::json::parse(PodInfoJson(pod, std::nullopt), nullptr, false);

  auto expected = nlohmann::json::parse(R"json({
    "state": "ready", "pid": 77,
    "vcpus": {"base": 1, "target": 5, "plugged": 4, "online": 3, "max": 6,
              "clamped": true, "cutByPodMilli": 1500},
    "memoryBytes": {"base": 10, "target": 50, "plugged": 40, "online": 30,
                    "max": 60, "clamped": false, "cutByPod": 11,
                    "shortfall": 9},
    "memorySlots": {"used": 7, "total": 8},
    "observedAt": "2023-11-14T22:13:20+00:00",
    "lastError": "VM: memory: no slots",
    "accountedBytes": {"guest": 100, "vmm": 30, "limit": 80, "overhead": 20,
                       "excess": 30},
    "accelerator": "tcg", "agentVersion": "0.1.0", "kernelRelease": "6.1.0",
    "bootSeconds": 1.3, "consolePath": "/run/console", "cgroupPath": "/pods/a"
  })json");
  expected["sandboxId"] = pod.id.value();
  EXPECT_EQ(info, expected) << info.dump(2);
}

TEST(ConvertStatusTest, InfoShowsNoEnvironment) {
  ContainerSnapshot container = RunningContainer();
  container.spec.env = {"TOKEN=hunter2"};

  EXPECT_EQ(ContainerInfoJson(container).find("hunter2"), std::string::npos);
}

TEST(ConvertStatusTest, AContainerWithoutASampleHasNoMemoryThatNobodySaw) {
  ContainerStatsSnapshot snapshot;
  snapshot.started_at = absl::FromUnixNanos(7);

  const runtime::v1::ContainerStats stats =
      ToContainerStats(snapshot, "/var/lib/x");

  EXPECT_EQ(stats.cpu().timestamp(), 7);
  EXPECT_EQ(stats.cpu().usage_core_nano_seconds().value(), 0u);
  EXPECT_EQ(stats.memory().timestamp(), 7);
  EXPECT_FALSE(stats.memory().has_working_set_bytes());
  EXPECT_FALSE(stats.has_writable_layer());
}

TEST(ConvertStatusTest, PressureIsInNanosecondsAndPercentAndOnlyWhenMeasured) {
  ContainerStatsSnapshot snapshot;
  snapshot.usage.timestamp = absl::FromUnixNanos(9);
  snapshot.usage.io_pressure = ResourcePressure{
      .some = {.total_micros = 2, .avg10 = 1, .avg60 = 20, .avg300 = 10'000},
      .full = {.total_micros = 1}};

  const runtime::v1::ContainerStats stats =
      ToContainerStats(snapshot, "/var/lib/x");

  EXPECT_EQ(stats.io().timestamp(), 9);
  EXPECT_EQ(stats.io().psi().some().total(), 2000u);
  EXPECT_EQ(stats.io().psi().some().avg10(), 0.01);
  EXPECT_EQ(stats.io().psi().some().avg60(), 0.2);
  EXPECT_EQ(stats.io().psi().some().avg300(), 100);
  EXPECT_EQ(stats.io().psi().full().total(), 1000u);
  EXPECT_FALSE(stats.cpu().has_psi());
  EXPECT_FALSE(stats.memory().has_psi());
}

TEST(ConvertStatusTest, AvailableMemoryNeverUnderflows) {
  ContainerStatsSnapshot snapshot;
  snapshot.usage.timestamp = absl::FromUnixNanos(9);
  snapshot.usage.memory_limit_bytes = 10;
  snapshot.usage.memory_working_set_bytes = 12;

  const runtime::v1::ContainerStats stats =
      ToContainerStats(snapshot, "/var/lib/x");

  EXPECT_EQ(stats.memory().available_bytes().value(), 0u);
  EXPECT_EQ(stats.cpu().timestamp(), 9);
  EXPECT_EQ(stats.memory().timestamp(), 9);
  EXPECT_EQ(stats.writable_layer().fs_id().mountpoint(), "/var/lib/x");
}

}  // namespace
}  // namespace podvisor
