#include "guestagent/client/fake_guest_agent.h"

#include <csignal>
#include <string>
#include <thread>
#include <vector>

#include "absl/synchronization/notification.h"
#include "gtest/gtest.h"

namespace podvisor {
namespace {

using agent::v1::ContainerExit;
using agent::v1::ContainerState;
using agent::v1::OutputChunk;

const absl::Time kNever = absl::InfiniteFuture();
const ContainerId kId(std::string(64, 'a'));

FakeGuestOptions With(GuestFaults faults) {
  FakeGuestOptions options;
  options.faults = faults;
  return options;
}

void RunContainer(FakeGuestAgent& guest) {
  ASSERT_TRUE(guest.Create(kId, {}, kNever).ok());
  ASSERT_TRUE(guest.Start(kId, kNever).ok());
}

TEST(FakeGuestAgentTest, PluggedCpusAreOfflineUntilTheyAreBroughtOnline) {
  FakeGuestAgent guest;

  guest.SetPresentCpus(4);

  EXPECT_EQ(guest.Observe(kNever)->cpus_online, 1);
  EXPECT_EQ(guest.Observe(kNever)->cpus_present, 4);
  EXPECT_EQ(guest.SetOnlineCpus(3, kNever)->cpus_online, 3);
}

TEST(FakeGuestAgentTest, CpusThatAreNotPresentNeverComeOnline) {
  FakeGuestAgent guest;

  EXPECT_TRUE(
      absl::IsDeadlineExceeded(guest.SetOnlineCpus(2, kNever).status()));
  EXPECT_EQ(guest.size().cpus_online, 1);
}

TEST(FakeGuestAgentTest, UnpluggedCpusAreGone) {
  FakeGuestAgent guest;
  guest.SetPresentCpus(4);
  ASSERT_TRUE(guest.SetOnlineCpus(4, kNever).ok());

  guest.SetPresentCpus(2);

  EXPECT_EQ(guest.Observe(kNever)->cpus_online, 2);
}

TEST(FakeGuestAgentTest, GuestMayKeepCpusOfflineOrOnline) {
  FakeGuestAgent guest(With({.cpu_never_onlines = true}));
  guest.SetPresentCpus(2);
  EXPECT_TRUE(
      absl::IsDeadlineExceeded(guest.SetOnlineCpus(2, kNever).status()));

  guest.SetFaults({.cpu_never_offlines = true});
  ASSERT_TRUE(guest.SetOnlineCpus(2, kNever).ok());
  EXPECT_TRUE(
      absl::IsDeadlineExceeded(guest.SetOnlineCpus(1, kNever).status()));
  EXPECT_EQ(guest.size().cpus_online, 2);
}

TEST(FakeGuestAgentTest, GuestMayKeepMemory) {
  constexpr int64_t kMiB = 1 << 20;
  FakeGuestOptions options = With({.keeps_memory_bytes = 768 * kMiB});
  options.boot_memory_bytes = 256 * kMiB;
  FakeGuestAgent guest(options);

  EXPECT_EQ(guest.SetMemoryTotal(1024 * kMiB), 1024 * kMiB);
  EXPECT_TRUE(guest.AwaitMemoryAtLeast(1024 * kMiB, kNever).ok());
  EXPECT_EQ(guest.SetMemoryTotal(512 * kMiB), 768 * kMiB);
  EXPECT_TRUE(absl::IsDeadlineExceeded(
      guest.AwaitMemoryAtMost(512 * kMiB, kNever).status()));
  EXPECT_EQ(guest.Observe(kNever)->memory_total_at_boot_bytes, 256 * kMiB);
}

TEST(FakeGuestAgentTest, CacheIsDroppedUnlessItStays) {
  constexpr int64_t kMiB = 1 << 20;
  FakeGuestOptions options;
  options.boot_memory_bytes = 256 * kMiB;
  FakeGuestAgent guest(options);
  guest.SetMemoryAvailable(200 * kMiB);
  guest.SetMemoryFree(10 * kMiB);

  guest.SetFaults({.reclaims_nothing = true});
  EXPECT_EQ(guest.ReclaimMemory(50 * kMiB, kNever)->memory_free_bytes,
            10 * kMiB);
  guest.SetFaults({.reclaim_hangs = true});
  EXPECT_TRUE(absl::IsDeadlineExceeded(
      guest.ReclaimMemory(50 * kMiB, kNever).status()));
  guest.SetFaults({});
  EXPECT_EQ(guest.ReclaimMemory(50 * kMiB, kNever)->memory_free_bytes,
            50 * kMiB);
  EXPECT_EQ(guest.ReclaimMemory(300 * kMiB, kNever)->memory_free_bytes,
            200 * kMiB);
}

TEST(FakeGuestAgentTest, PluggedMemoryMayNeverArrive) {
  FakeGuestAgent guest(With({.memory_never_arrives = true}));
  const int64_t before = guest.size().memory_total_bytes;

  EXPECT_EQ(guest.SetMemoryTotal(2 * before), before);

  EXPECT_TRUE(absl::IsDeadlineExceeded(
      guest.AwaitMemoryAtLeast(2 * before, kNever).status()));
}

TEST(FakeGuestAgentTest, ContainerGoesFromCreatedToRunningToExited) {
  FakeGuestAgent guest;
  RunContainer(guest);
  EXPECT_EQ(guest.List(kNever)->at(0).state(), ContainerState::RUNNING);

  ASSERT_TRUE(guest.Signal(kId, SIGTERM, false, kNever).ok());

  const ContainerState state = guest.List(kNever)->at(0);
  EXPECT_EQ(state.state(), ContainerState::EXITED);
  EXPECT_EQ(state.exit().exit_code(), 143);
  EXPECT_TRUE(guest.Signal(kId, SIGKILL, false, kNever).ok());
  EXPECT_TRUE(guest.Delete(kId, kNever).ok());
  EXPECT_TRUE(guest.Delete(kId, kNever).ok());
  EXPECT_TRUE(absl::IsNotFound(guest.Signal(kId, 9, false, kNever)));
}

TEST(FakeGuestAgentTest, ContainerMayIgnoreSigterm) {
  FakeGuestAgent guest(With({.ignores_sigterm = true}));
  RunContainer(guest);

  ASSERT_TRUE(guest.Signal(kId, SIGTERM, false, kNever).ok());
  EXPECT_EQ(guest.List(kNever)->at(0).state(), ContainerState::RUNNING);
  ASSERT_TRUE(guest.Signal(kId, SIGKILL, false, kNever).ok());

  EXPECT_EQ(guest.List(kNever)->at(0).exit().exit_code(), 137);
}

TEST(FakeGuestAgentTest, UpdateKeepsFieldsThatAreNotGiven) {
  FakeGuestAgent guest;
  agent::v1::ContainerSpec spec;
  spec.mutable_resources()->set_cpu_shares(512);
  (*spec.mutable_resources()->mutable_unified())["memory.high"] = "1";
  ASSERT_TRUE(guest.Create(kId, spec, kNever).ok());

  agent::v1::LinuxResources change;
  change.set_memory_limit_bytes(64 << 20);
  (*change.mutable_unified())["memory.high"] = "2";
  ASSERT_TRUE(guest.Update(kId, change, kNever).ok());

  const agent::v1::LinuxResources now = guest.spec(kId)->resources();
  EXPECT_EQ(now.cpu_shares(), 512);
  EXPECT_EQ(now.memory_limit_bytes(), 64 << 20);
  EXPECT_EQ(now.unified().at("memory.high"), "2");
}

TEST(FakeGuestAgentTest, FaultsHaveTheCodesOfTheirKind) {
  FakeGuestAgent guest(With({.create_fails = true, .stats_hang = true}));

  EXPECT_TRUE(absl::IsInvalidArgument(guest.Create(kId, {}, kNever).status()));
  EXPECT_TRUE(absl::IsDeadlineExceeded(guest.Stats(kNever).status()));
  guest.SetFaults({.agent_gone = true});
  EXPECT_TRUE(absl::IsUnavailable(guest.Observe(kNever).status()));
  guest.SetFaults({.agent_hangs = true});
  EXPECT_TRUE(absl::IsDeadlineExceeded(guest.List(kNever).status()));
  guest.Disconnect();
  EXPECT_TRUE(absl::IsCancelled(guest.Observe(kNever).status()));
}

TEST(FakeGuestAgentTest, OutputArrivesInOrderAndIsAcknowledged) {
  FakeGuestAgent guest;
  RunContainer(guest);
  guest.WriteOutput(kId, OutputChunk::STDOUT, std::string(100'000, 'x'));
  guest.WriteOutput(kId, OutputChunk::STDERR, "err");
  guest.Exit(kId, 3);

  OutputOffsets stored;
  bool eof[2] = {false, false};
  const absl::Status status = guest.StreamOutput(
      kId, {}, [&](const OutputChunk& chunk) -> absl::StatusOr<OutputOffsets> {
        const bool err = chunk.stream() == OutputChunk::STDERR;
        uint64_t& at = err ? stored.stderr_bytes : stored.stdout_bytes;
        EXPECT_EQ(chunk.offset(), at);
        at += chunk.data().size();
        eof[err] = chunk.eof();
        return stored;
      });

  EXPECT_TRUE(status.ok()) << status;
  EXPECT_TRUE(eof[0] && eof[1]);
  EXPECT_EQ(guest.acknowledged(kId), (OutputOffsets{100'000, 3}));
}

TEST(FakeGuestAgentTest, BrokenConnectionEndsAStreamAndTheNextGoesOn) {
  FakeGuestAgent guest;
  RunContainer(guest);
  guest.WriteOutput(kId, OutputChunk::STDOUT, "one");
  OutputOffsets stored;

  const absl::Status first = guest.StreamOutput(
      kId, {}, [&](const OutputChunk& chunk) -> absl::StatusOr<OutputOffsets> {
        stored.stdout_bytes += chunk.data().size();
        guest.BreakConnection();
        return stored;
      });
  guest.WriteOutput(kId, OutputChunk::STDOUT, "two");
  std::string rest;
  const absl::Status second = guest.StreamOutput(
      kId, stored,
      [&](const OutputChunk& chunk) -> absl::StatusOr<OutputOffsets> {
        rest += chunk.data();
        return absl::ResourceExhaustedError("disk full");
      });

  EXPECT_TRUE(absl::IsUnavailable(first));
  EXPECT_TRUE(absl::IsResourceExhausted(second));
  EXPECT_EQ(rest, "two");
}

TEST(FakeGuestAgentTest, WatcherHearsEarlierAndLaterExitsUntilDisconnect) {
  FakeGuestAgent guest;
  RunContainer(guest);
  guest.Exit(kId, 7);
  const ContainerId second(std::string(64, 'b'));
  ASSERT_TRUE(guest.Create(second, {}, kNever).ok());
  ASSERT_TRUE(guest.Start(second, kNever).ok());
  absl::Notification heard_first;
  absl::Notification heard_second;
  absl::Status over;

  std::thread watcher([&] {
    over = guest.WatchExits([&](const ContainerExit& exit) {
      if (exit.container_id() == kId.value()) {
        EXPECT_EQ(exit.exit_code(), 7);
        heard_first.Notify();
      } else {
        EXPECT_TRUE(exit.oom_killed());
        heard_second.Notify();
      }
    });
  });
  heard_first.WaitForNotification();
  guest.Exit(second, 137, true);
  heard_second.WaitForNotification();
  guest.Disconnect();
  watcher.join();

  EXPECT_TRUE(absl::IsCancelled(over));
}

TEST(FakeGuestAgentTest, ExecAnswersByScriptWithinTheLimit) {
  FakeGuestAgent guest;
  RunContainer(guest);
  guest.SetExecHandler([](const ExecSyncRequest& request) {
    return ExecSyncResult{1, request.args[0], ""};
  });

  const auto result = guest.ExecSync(
      {.container = kId, .args = {"abcdef"}, .max_output_bytes = 3}, kNever);

  EXPECT_EQ(result->exit_code, 1);
  EXPECT_EQ(result->stdout_data, "abc");
}

TEST(FakeGuestAgentTest, RemembersWhatItWasAsked) {
  FakeGuestAgent guest;
  RunContainer(guest);
  ASSERT_TRUE(guest.MountImage("disk1", "img", "squashfs", kNever).ok());
  ASSERT_TRUE(guest.PowerOff(kNever).ok());

  EXPECT_EQ(guest.calls(), (std::vector<std::string>{
                               "Create " + kId.value(), "Start " + kId.value(),
                               "MountImage img", "PowerOff"}));
  EXPECT_EQ(guest.mounted_images().at("disk1"), "img");
  EXPECT_TRUE(guest.powered_off());
  EXPECT_TRUE(absl::IsUnavailable(guest.Observe(kNever).status()));
}

}  // namespace
}  // namespace podvisor
