#include "hotplug/vm_resizer.h"

#include <algorithm>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "hotplug/property_seed.h"
#include "hotplug/vm_resizer_fixture.h"

namespace podvisor {
namespace {

using ::testing::Contains;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::StartsWith;
using ::testing::UnorderedElementsAre;

using VmResizerTest = VmResizerFixture;

TEST_F(VmResizerTest, GrowsAndReportsWhatTheGuestHas) {
  const auto outcome = Resize({4, kBoot + kGiB});

  ASSERT_TRUE(outcome.ok()) << outcome.status();
  const VmState expected = {
      .vcpus_plugged = 4,
      .vcpus_removable = 3,
      .vcpus_online = 4,
      .hotplug_requested_bytes = kGiB,
      .hotplug_plugged_bytes = kGiB,
      .hotplug_online_bytes = kGiB,
      .guest_boot_bytes = guest_.size().memory_total_at_boot_bytes,
      .guest_available_bytes = guest_.size().memory_available_bytes,
      .guest_free_bytes = guest_.size().memory_free_bytes,
      .guest_block_bytes = 128 * kMiB};
  EXPECT_EQ(outcome->observed, expected);
  EXPECT_EQ(guest_.size().cpus_online, 4);
  EXPECT_EQ(outcome->timings.size(), 4u);
  EXPECT_THAT(qemu_.devices(),
              UnorderedElementsAre("cpu1", "cpu2", "cpu3", "virtiomem0"));
}

TEST_F(VmResizerTest, AsksForMemoryFirstAndUsesTheLowestSlots) {
  ResizeOrDie({2, kBoot + kGiB});

  const std::vector<std::string> changes = Changes();
  ASSERT_EQ(changes.size(), 3u);
  EXPECT_THAT(changes[0], StartsWith("object-add"));
  EXPECT_THAT(changes[0], HasSubstr("\"reserve\":false"));
  EXPECT_THAT(changes[0], HasSubstr("\"size\":4294967296"));
  EXPECT_THAT(changes[1], HasSubstr("\"bus\":\"pb1\""));
  EXPECT_THAT(changes[2], HasSubstr("\"socket-id\":1"));
}

TEST_F(VmResizerTest, LeavesAVmAloneThatHasTheSize) {
  ResizeOrDie({4, kBoot + kGiB});
  const std::vector<std::string> before = Changes();

  const auto outcome = Resize({4, kBoot + kGiB});

  ASSERT_TRUE(outcome.ok());
  EXPECT_THAT(outcome->timings, IsEmpty());
  EXPECT_EQ(Changes(), before);
}

TEST_F(VmResizerTest, ParksVcpusAndBringsThemBackWithoutPlugging) {
  ResizeOrDie({4, kBoot});
  ResizeOrDie({1, kBoot});
  EXPECT_EQ(qemu_.vcpus(), 4);
  EXPECT_EQ(guest_.size().cpus_online, 1);
  const std::vector<std::string> before = Changes();

  ResizeOrDie({3, kBoot});

  EXPECT_EQ(guest_.size().cpus_online, 3);
  EXPECT_EQ(Changes(), before);
}

TEST_F(VmResizerTest, RemovesVcpusHighestSlotFirst) {
  UseDeviceRemoval();
  ResizeOrDie({4, kBoot});

  ResizeOrDie({2, kBoot});

  EXPECT_EQ(qemu_.vcpus(), 2);
  EXPECT_THAT(qemu_.devices(), UnorderedElementsAre("cpu1"));
}

TEST_F(VmResizerTest, GoesBackToTheBootSize) {
  UseDeviceRemoval();
  ResizeOrDie({8, kBoot + 4 * kGiB});

  ResizeOrDie({1, kBoot});

  EXPECT_EQ(qemu_.vcpus(), 1);
  EXPECT_EQ(qemu_.memory_plugged_bytes(), 0);
  EXPECT_EQ(guest_.size().memory_total_bytes,
            guest_.size().memory_total_at_boot_bytes);
}

// A size that nobody waits for comes in many short runs, whatever a single one
// can do.
TEST_F(VmResizerTest, ASlowGuestGrowsALittleWithEachRunAndKeepsWhatItHas) {
  for (const bool dimms : {false, true}) {
    if (dimms) UseDimms(/*unplug=*/true);
    guest_.SetFaults({.memory_per_gib = absl::Seconds(4)});
    int64_t had = 0;
    int runs = 0;
    for (bool reached = false; !reached; ++runs) {
      guest_.SetMemoryAvailable(32 * kMiB);  // carries DIMMs of 1 GiB
      const auto outcome = Resize({4, kBoot + 3 * kGiB}, absl::Seconds(1));

      ASSERT_TRUE(outcome.ok()) << outcome.status();
      reached = outcome->missing.ok();
      if (!reached) {
        EXPECT_THAT(std::string(outcome->missing.message()),
                    StartsWith("guest online: memory"));
      }
      const VmState& has = outcome->observed;
      ASSERT_GE(has.hotplug_online_bytes, had);
      had = has.hotplug_online_bytes;
      if (dimms) {
        // Those of the next run wait for those of the last one, too.
        ASSERT_LE(has.hotplug_plugged_bytes - had, kGiB);
      } else {
        ASSERT_EQ(has.hotplug_requested_bytes, 3 * kGiB);
      }
      ASSERT_LT(runs, 20);
    }
    EXPECT_GE(runs, 11);
    EXPECT_THAT(Changes(), Not(Contains(StartsWith("device_del"))));
    guest_.SetFaults({});
    guest_.SetMemoryAvailable(4 * kGiB);
    ResizeOrDie({1, kBoot});
  }
}

TEST_F(VmResizerTest, WhatOneRunWasRefusedTakesNothingFromTheNext) {
  guest_.SetFaults({.cpu_never_onlines = true});

  const auto outcome = Resize({4, kBoot + kGiB});

  ASSERT_TRUE(outcome.ok()) << outcome.status();
  EXPECT_TRUE(absl::IsDeadlineExceeded(outcome->missing));
  EXPECT_EQ(outcome->observed.hotplug_online_bytes, kGiB);
  guest_.SetFaults({});
  ResizeOrDie({4, kBoot + kGiB});
}

TEST_F(VmResizerTest, AFailedGrowIsPutBackAndNamesTheGuest) {
  UseDeviceRemoval();
  ResizeOrDie({2, kBoot + kGiB});
  for (const GuestFaults& faults :
       {GuestFaults{.cpu_never_onlines = true},
        GuestFaults{.memory_never_arrives = true}}) {
    guest_.SetFaults(faults);

    const auto outcome = Grow({4, kBoot + 2 * kGiB});

    EXPECT_TRUE(absl::IsDeadlineExceeded(outcome.status()));
    EXPECT_THAT(std::string(outcome.status().message()),
                StartsWith("guest online: "));
    EXPECT_THAT(std::string(outcome.status().message()),
                HasSubstr("was put back"));
    guest_.SetFaults({});
    EXPECT_EQ(qemu_.vcpus(), 2);
    EXPECT_EQ(guest_.size().cpus_online, 2);
    EXPECT_EQ(qemu_.memory_plugged_bytes(), kGiB);
    EXPECT_EQ(qemu_.memory_requested_bytes(), kGiB);
  }
}

TEST_F(VmResizerTest, AFailedGrowLeavesNewVcpusParkedWhereRemovalIsNotSafe) {
  guest_.SetFaults({.memory_never_arrives = true});

  EXPECT_FALSE(Grow({4, kBoot + kGiB}).ok());

  EXPECT_EQ(qemu_.vcpus(), 4);
  EXPECT_EQ(guest_.size().cpus_online, 1);
}

TEST_F(VmResizerTest, WhatQemuRefusesIsResourceExhaustedAndLeavesNothing) {
  qemu_.SetFaults({.device_add_refused = true});
  for (const VmSize& target : {VmSize{4, kBoot}, VmSize{1, kBoot + kGiB}}) {
    const auto outcome = Grow(target);

    EXPECT_TRUE(absl::IsResourceExhausted(outcome.status()));
    EXPECT_THAT(std::string(outcome.status().message()), StartsWith("VM: "));
    EXPECT_THAT(qemu_.devices(), IsEmpty());
    EXPECT_THAT(qemu_.memory_backends(), IsEmpty());
    EXPECT_EQ(qemu_.vcpus(), 1);
  }
}

TEST_F(VmResizerTest, AQemuWithFewerSlotsThanTheLimitsIsResourceExhausted) {
  limits_.max_vcpus = 16;

  EXPECT_TRUE(absl::IsResourceExhausted(Resize({9, kBoot}).status()));
}

TEST_F(VmResizerTest, ATargetOutOfBoundsTouchesNothing) {
  EXPECT_TRUE(absl::IsResourceExhausted(Resize({9, kBoot}).status()));
  EXPECT_TRUE(
      absl::IsResourceExhausted(Resize({1, kBoot + 5 * kGiB}).status()));
  EXPECT_TRUE(absl::IsInvalidArgument(Resize({0, kBoot}).status()));
  EXPECT_THAT(Changes(), IsEmpty());
}

TEST_F(VmResizerTest, WaitsForASizeThatQemuShowsLate) {
  qemu_.SetFaults({.looks_until_size_changes = 20});
  ResizeOrDie({1, kBoot + kGiB});

  EXPECT_EQ(Observe()->hotplug_plugged_bytes, kGiB);
}

TEST_F(VmResizerTest, LostEventsDoNotMatter) {
  UseDeviceRemoval();
  qemu_.SetFaults({.events_lost = true});

  ResizeOrDie({4, kBoot + kGiB});
  ResizeOrDie({1, kBoot});
}

TEST_F(VmResizerTest, ABackendOfAnotherSizeIsReplaced) {
  const auto qmp = qemu_.Connect();
  ASSERT_TRUE(qmp->Execute("object-add",
                           R"({"qom-type":"memory-backend-memfd",)"
                           R"("id":"virtiomembackend0","size":4194304})",
                           absl::InfiniteFuture())
                  .ok());

  ResizeOrDie({1, kBoot + kGiB});
}

TEST_F(VmResizerTest, AnAgentThatIsGoneIsUnavailable) {
  ResizeOrDie({2, kBoot + kGiB});
  guest_.SetFaults({.agent_gone = true});

  const auto outcome = Resize({4, kBoot + 2 * kGiB});

  EXPECT_TRUE(absl::IsUnavailable(outcome.status()));
  EXPECT_THAT(std::string(outcome.status().message()),
              StartsWith("guest online: "));
  EXPECT_TRUE(absl::IsUnavailable(Observe().status()));
}

TEST_F(VmResizerTest, ParkingSparesAQemuThatRemovalsKill) {
  qemu_.SetFaults({.dies_at_plug_after_vcpu_removal = true});
  ResizeOrDie({4, kBoot});
  ResizeOrDie({1, kBoot});

  ResizeOrDie({5, kBoot + kGiB});
  EXPECT_TRUE(qemu_.alive());

  UseDeviceRemoval();
  ResizeOrDie({1, kBoot + kGiB});
  EXPECT_TRUE(absl::IsUnavailable(Resize({2, kBoot + kGiB}).status()));
  EXPECT_FALSE(qemu_.alive());
}

TEST_F(VmResizerTest, AGuestCannotClaimMoreThanItWasGiven) {
  guest_.SetPresentCpus(64);
  ASSERT_TRUE(guest_.SetOnlineCpus(64, absl::InfiniteFuture()).ok());
  guest_.SetMemoryTotal(int64_t{1} << 60);

  const auto state = Observe();

  ASSERT_TRUE(state.ok());
  EXPECT_EQ(state->vcpus_online, 1);
  EXPECT_EQ(state->hotplug_online_bytes, 0);
}

TEST_F(VmResizerTest, DimmsArePluggedWithABackendOfTheirOwn) {
  UseDimms(false);

  const auto outcome = Resize({2, kBoot + 3 * kGiB});

  ASSERT_TRUE(outcome.ok()) << outcome.status();
  EXPECT_EQ(outcome->observed.hotplug_online_bytes, 3 * kGiB);
  EXPECT_EQ(outcome->observed.dimms, (std::vector<Dimm>{{0, 3 * kGiB}}));
  EXPECT_THAT(qemu_.devices(), UnorderedElementsAre("cpu1", "dimm0"));
  EXPECT_THAT(qemu_.memory_backends(), UnorderedElementsAre("dimmbackend0"));
}

TEST_F(VmResizerTest, DimmsThatStayAreNoShortfall) {
  UseDimms(false);
  ResizeOrDie({1, kBoot + 3 * kGiB});

  ResizeOrDie({1, kBoot});

  EXPECT_EQ(guest_.size().memory_total_bytes -
                guest_.size().memory_total_at_boot_bytes,
            3 * kGiB);
  ResizeOrDie({1, kBoot + 4 * kGiB});
  EXPECT_THAT(qemu_.devices(), UnorderedElementsAre("dimm0", "dimm1"));
}

TEST_F(VmResizerTest, WholeDimmsAreRemovedWithTheirBackends) {
  UseDimms(true);
  ResizeOrDie({1, kBoot + 3 * kGiB});
  EXPECT_THAT(qemu_.devices(), UnorderedElementsAre("dimm0", "dimm1"));

  ResizeOrDie({1, kBoot + kGiB});
  EXPECT_THAT(qemu_.devices(), UnorderedElementsAre("dimm1"));
  ResizeOrDie({1, kBoot});

  EXPECT_THAT(qemu_.devices(), IsEmpty());
  EXPECT_THAT(qemu_.memory_backends(), IsEmpty());
}

TEST_F(VmResizerTest, ADimmThatTheGuestKeepsIsAShortfallOfItsSize) {
  UseDimms(true);
  ResizeOrDie({1, kBoot + 3 * kGiB});
  const int64_t boot_total = guest_.size().memory_total_at_boot_bytes;
  guest_.SetFaults({.keeps_memory_bytes = boot_total + 3 * kGiB - kMiB});

  const auto outcome = Resize({1, kBoot});

  ASSERT_TRUE(outcome.ok()) << outcome.status();
  EXPECT_EQ(outcome->shortfall_bytes, 3 * kGiB);
  EXPECT_EQ(outcome->observed.hotplug_plugged_bytes, 3 * kGiB);
  guest_.SetFaults({});
  ResizeOrDie({1, kBoot});
}

TEST_F(VmResizerTest, ADimmThatQemuRefusesLeavesNoBackend) {
  UseDimms(false);
  qemu_.SetFaults({.device_add_refused = true});

  EXPECT_TRUE(absl::IsResourceExhausted(Resize({1, kBoot + kGiB}).status()));

  EXPECT_THAT(qemu_.memory_backends(), IsEmpty());
}

TEST_F(VmResizerTest, ADimmThatTheGuestDoesNotTakeIsRemovedAlsoWhereTheyStay) {
  UseDimms(false);
  ResizeOrDie({1, kBoot + kGiB});
  guest_.SetFaults({.memory_never_arrives = true});

  const auto outcome = Grow({2, kBoot + 2 * kGiB});

  EXPECT_TRUE(absl::IsDeadlineExceeded(outcome.status()));
  EXPECT_THAT(std::string(outcome.status().message()),
              HasSubstr("was put back"));
  EXPECT_THAT(qemu_.memory_backends(), UnorderedElementsAre("dimmbackend0"));
  EXPECT_EQ(guest_.size().cpus_online, 1);
}

TEST_F(VmResizerTest, PuttingBackRemovesTheNewDimmAndNoneThatWasInUse) {
  UseDimms(true);
  ResizeOrDie({1, kBoot + kGiB});
  guest_.SetFaults({.memory_never_arrives = true});

  const auto outcome = Grow({2, kBoot + 2 * kGiB});

  EXPECT_TRUE(absl::IsDeadlineExceeded(outcome.status()));
  EXPECT_THAT(std::string(outcome.status().message()),
              HasSubstr("was put back"));
  EXPECT_EQ(Observe()->dimms, (std::vector<Dimm>{{0, kGiB}}));
}

TEST_F(VmResizerTest, ADimmThatCannotBePutBackDoesNotKeepTheVcpus) {
  UseDimms(false);
  guest_.SetFaults({.memory_never_arrives = true});
  qemu_.SetFaults({.guest_refuses_unplug = true});

  const auto outcome = Grow({2, kBoot + kGiB});

  EXPECT_THAT(std::string(outcome.status().message()),
              HasSubstr("could not be put back"));
  EXPECT_EQ(guest_.size().cpus_online, 1);
}

TEST_F(VmResizerTest, SlotsThatRunOutAreNamedAndNothingIsTouched) {
  UseDimms(false);
  limits_.memory_slots = 2;
  ResizeOrDie({1, kBoot + kGiB});
  ResizeOrDie({1, kBoot + 2 * kGiB});
  const std::vector<std::string> before = Changes();

  const auto outcome = Resize({4, kBoot + 3 * kGiB});

  EXPECT_TRUE(absl::IsResourceExhausted(outcome.status()));
  EXPECT_THAT(std::string(outcome.status().message()),
              HasSubstr("0 of 2 slots are free"));
  EXPECT_EQ(Changes(), before);
}

TEST_F(VmResizerTest, ADimmOfAKilledDaemonIsFinishedOrForgotten) {
  UseDimms(true);
  for (const bool takes_effect : {false, true}) {
    bool lost = true;
    for (int commands = 0; lost; ++commands) {
      lost = false;
      for (const VmSize& target : {VmSize{1, kBoot + 3 * kGiB},
                                   VmSize{1, kBoot + kGiB}, VmSize{1, kBoot}}) {
        qemu_.SetFaults({.commands_until_connection_lost = commands,
                         .last_command_takes_effect = takes_effect});
        lost = !Resize(target).ok() || lost;
        qemu_.SetFaults({});
        ResizeOrDie(target);
        const int64_t hotplugged = guest_.size().memory_total_bytes -
                                   guest_.size().memory_total_at_boot_bytes;
        ASSERT_EQ(hotplugged, target.memory_bytes - kBoot);
      }
      // Something else to do, so that what was left is noticed.
      ResizeOrDie({1, kBoot + 128 * kMiB});
      ASSERT_EQ(qemu_.memory_backends().size(), 1u) << commands;
      ResizeOrDie({1, kBoot});
      ASSERT_THAT(qemu_.memory_backends(), IsEmpty()) << commands;
      ASSERT_LT(commands, 100);
    }
  }
}

// Where a daemon, or a QEMU, can end: at every command, done or not.
class VmResizerCrashTest : public VmResizerTest,
                           public testing::WithParamInterface<bool> {};

TEST_P(VmResizerCrashTest, AnotherDaemonFinishesWhatOneBegan) {
  UseDeviceRemoval();
  const std::vector<VmSize> walk = {
      {4, kBoot + kGiB}, {2, kBoot + 2 * kGiB}, {3, kBoot}, {1, kBoot}};
  bool lost = true;
  for (int commands = 0; lost; ++commands) {
    lost = false;
    for (const VmSize& target : walk) {
      qemu_.SetFaults({.commands_until_connection_lost = commands,
                       .last_command_takes_effect = GetParam()});
      const auto outcome = Resize(target);
      lost = lost || !outcome.ok();
      if (!outcome.ok()) {
        EXPECT_TRUE(absl::IsUnavailable(outcome.status())) << outcome.status();
        qemu_.SetFaults({});
        ResizeOrDie(target);
      }
      qemu_.SetFaults({});
      const auto state = Observe();
      ASSERT_TRUE(state.ok());
      EXPECT_EQ(state->vcpus_plugged, target.vcpus);
      EXPECT_EQ(state->vcpus_online, target.vcpus);
      EXPECT_EQ(state->hotplug_online_bytes, target.memory_bytes - kBoot);
    }
    ASSERT_LT(commands, 100);
  }
  EXPECT_THAT(qemu_.memory_backends(),
              UnorderedElementsAre("virtiomembackend0"));
}

TEST_P(VmResizerCrashTest, AQemuThatDiesInTheMiddleIsUnavailable) {
  for (int commands = 0; commands < 10; ++commands) {
    FakeGuestAgent guest;
    FakeQemu qemu({.faults = {.commands_until_death = commands,
                              .last_command_takes_effect = GetParam()}},
                  &guest, &clock_);
    const auto qmp = qemu.Connect();
    VmResizer resizer(qmp.get(), &guest, &clock_, limits_, {});

    const auto outcome =
        resizer.Resize({4, kBoot + kGiB}, clock_.Now() + absl::Seconds(30));

    EXPECT_TRUE(absl::IsUnavailable(outcome.status())) << commands;
    EXPECT_THAT(std::string(outcome.status().message()), StartsWith("VM: "));
  }
}

INSTANTIATE_TEST_SUITE_P(LastCommandTakesEffect, VmResizerCrashTest,
                         testing::Bool());

TEST_F(VmResizerTest, AnyWalkThroughFaultsEndsWhereItShould) {
  const uint64_t seed = PropertySeed();
  SCOPED_TRACE(testing::Message() << "PODVISOR_SEED=" << seed);
  std::mt19937_64 random(seed);
  const auto chance = [&](int one_in) { return random() % one_in == 0; };
  const int64_t boot_total = guest_.size().memory_total_at_boot_bytes;
  for (int i = 0; i < 2000; ++i) {
    limits_ = Limits(chance(2) ? VcpuUnplug::kPark : VcpuUnplug::kDevice);
    const VmSize target = {
        1 + static_cast<int>(random() % 8),
        kBoot + static_cast<int64_t>(random() % 33) * 128 * kMiB};
    QemuFaults qemu;
    qemu.guest_ignores_unplug = chance(8);
    qemu.guest_refuses_unplug = chance(8);
    qemu.device_add_refused = chance(8);
    qemu.events_lost = chance(4);
    qemu.looks_until_size_changes = static_cast<int>(random() % 4);
    if (chance(3)) {
      qemu.commands_until_connection_lost = static_cast<int>(random() % 30);
      qemu.last_command_takes_effect = chance(2);
    }
    GuestFaults guest;
    guest.cpu_never_onlines = chance(8);
    guest.cpu_never_offlines = chance(8);
    guest.memory_never_arrives = chance(8);
    if (chance(8)) guest.keeps_memory_bytes = boot_total + 512 * kMiB;
    qemu_.SetFaults(qemu);
    guest_.SetFaults(guest);

    const auto outcome = Resize(target);

    qemu_.SetFaults({});
    guest_.SetFaults({});
    const auto state = Observe();
    ASSERT_TRUE(state.ok()) << state.status();
    ASSERT_GE(state->vcpus_plugged, 1);
    ASSERT_LE(state->vcpus_plugged, 8);
    ASSERT_LE(qemu_.memory_backends().size(), 1u);
    if (outcome.ok() && outcome->missing.ok()) {
      // A success never has less than was asked for.
      ASSERT_GE(state->vcpus_online, target.vcpus);
      ASSERT_GE(state->hotplug_online_bytes, target.memory_bytes - kBoot);
      if (qemu.looks_until_size_changes == 0) {
        ASSERT_EQ(outcome->observed, *state);
      }
    }
  }
  ResizeOrDie({3, kBoot + kGiB});
}

}  // namespace
}  // namespace podvisor
