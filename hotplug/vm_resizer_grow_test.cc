// What growing must not wait for, and what a failed one leaves.

#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "hotplug/vm_resizer_fixture.h"

namespace podvisor {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::StartsWith;
using ::testing::UnorderedElementsAre;

using VmResizerGrowTest = VmResizerFixture;

TEST_F(VmResizerGrowTest, WhatTheVmHasAboveTheTargetStays) {
  ResizeOrDie({4, kBoot + 2 * kGiB});
  const std::vector<std::string> before = Changes();

  const auto outcome = Grow({2, kBoot + kGiB});

  ASSERT_TRUE(outcome.ok()) << outcome.status();
  EXPECT_EQ(outcome->observed.vcpus_online, 4);
  EXPECT_EQ(outcome->observed.hotplug_online_bytes, 2 * kGiB);
  EXPECT_EQ(Changes(), before);
}

TEST_F(VmResizerGrowTest, AShrinkThatTheGuestHoldsUpIsNotWaitedFor) {
  ResizeOrDie({1, kBoot + 2 * kGiB});
  guest_.SetFaults({.keeps_memory_bytes = guest_.size().memory_total_bytes});
  ASSERT_EQ(Resize({1, kBoot})->shortfall_bytes, 2 * kGiB);
  const absl::Time before = clock_.Now();

  const auto outcome = Grow({2, kBoot + kGiB});

  ASSERT_TRUE(outcome.ok()) << outcome.status();
  EXPECT_EQ(clock_.Now(), before);
  EXPECT_EQ(outcome->observed.vcpus_online, 2);
  // It goes on, and no further than what is needed now.
  EXPECT_EQ(qemu_.memory_requested_bytes(), kGiB);
}

TEST_F(VmResizerGrowTest, AFailedGrowTakesBackTheNewDimmsAndNoOther) {
  UseDimms(/*unplug=*/true);
  ResizeOrDie({1, kBoot + kGiB});
  guest_.SetFaults({.cpu_never_onlines = true});

  EXPECT_FALSE(Grow({4, kBoot + 2 * kGiB}).ok());

  EXPECT_THAT(qemu_.memory_backends(), UnorderedElementsAre("dimmbackend0"));
  EXPECT_EQ(Observe()->dimms, (std::vector<Dimm>{{0, kGiB}}));
}

TEST_F(VmResizerGrowTest, WhereNotAllComesInTimeTheLeastDoes) {
  for (const bool dimms : {false, true}) {
    if (dimms) UseDimms(/*unplug=*/true);
    // All would take 32 s, the least 16, and there are 30.
    guest_.SetFaults({.memory_per_gib = absl::Seconds(16)});
    const absl::Time begin = clock_.Now();

    const auto outcome = Grow({3, kBoot + 2 * kGiB}, {2, kBoot + kGiB});

    ASSERT_TRUE(outcome.ok()) << outcome.status();
    EXPECT_THAT(std::string(outcome->missing.message()),
                StartsWith("guest online: memory"));
    EXPECT_EQ(outcome->observed.hotplug_online_bytes, kGiB);
    EXPECT_EQ(clock_.Now() - begin, absl::Seconds(16));
    // The rest is on its way, for those who want it.
    EXPECT_EQ(outcome->observed.hotplug_requested_bytes, 2 * kGiB);
    guest_.SetFaults({});
    ResizeOrDie({1, kBoot});
  }
}

TEST_F(VmResizerGrowTest, WhatQemuRefusesOfAllDoesNotKeepTheLeast) {
  limits_.max_vcpus = 16;  // and QEMU has 8

  const auto outcome = Grow({12, kBoot}, {4, kBoot});

  ASSERT_TRUE(outcome.ok()) << outcome.status();
  EXPECT_GE(outcome->observed.vcpus_online, 4);
  EXPECT_TRUE(absl::IsResourceExhausted(outcome->missing));
}

TEST_F(VmResizerGrowTest, WhereNotEvenTheLeastComesAllIsPutBack) {
  for (const bool dimms : {false, true}) {
    if (dimms) UseDimms(/*unplug=*/false);
    guest_.SetFaults({.memory_per_gib = absl::Seconds(40)});

    const auto outcome = Grow({1, kBoot + 2 * kGiB}, {1, kBoot + kGiB});

    EXPECT_TRUE(absl::IsDeadlineExceeded(outcome.status()));
    EXPECT_THAT(std::string(outcome.status().message()),
                HasSubstr("was put back"));
    EXPECT_EQ(Observe()->hotplug_plugged_bytes, 0);
    guest_.SetFaults({});
  }
}

TEST_F(VmResizerGrowTest, AFailedGrowLeavesWhatWasUnderWay) {
  guest_.SetFaults({.memory_per_gib = absl::Seconds(20)});
  ASSERT_FALSE(Resize({1, kBoot + 2 * kGiB}, absl::Seconds(10))->missing.ok());
  const int64_t had = Observe()->hotplug_online_bytes;
  ASSERT_GT(had, 0);
  const absl::Time begin = clock_.Now();

  EXPECT_FALSE(Grow({3, kBoot + 4 * kGiB}).ok());

  EXPECT_EQ(clock_.Now() - begin, absl::Seconds(30)) << "its own time";
  EXPECT_EQ(qemu_.memory_requested_bytes(), 2 * kGiB);
  EXPECT_EQ(guest_.size().cpus_online, 1);
  EXPECT_GT(Observe()->hotplug_online_bytes, had);
}

TEST_F(VmResizerGrowTest, AnErrorNamesTheStageAndWhatRanOut) {
  struct Case {
    QemuFaults qemu;
    GuestFaults guest;
    VmSize target;
    std::string begins;
  };
  for (const Case& c : std::vector<Case>{
           {{.device_add_refused = true}, {}, {4, kBoot}, "VM: vCPUs: "},
           {{.device_add_refused = true}, {}, {1, kBoot + kGiB}, "VM: memory"},
           {{}, {}, {9, kBoot}, "VM: vCPUs: 9 wanted"},
           {{}, {}, {1, kBoot + 5 * kGiB}, "VM: memory: "},
           {{}, {.cpu_never_onlines = true}, {4, kBoot}, "guest online: vCPUs"},
           {{},
            {.memory_never_arrives = true},
            {1, kBoot + kGiB},
            "guest online: memory"}}) {
    for (const bool dimms : {false, true}) {
      if (dimms) UseDimms(/*unplug=*/true);
      qemu_.SetFaults(c.qemu);
      guest_.SetFaults(c.guest);

      const auto outcome = Grow(c.target);

      EXPECT_THAT(std::string(outcome.status().message()),
                  StartsWith(c.begins));
      qemu_.SetFaults({});
      guest_.SetFaults({});
      ResizeOrDie({1, kBoot});
    }
    limits_ = Limits(VcpuUnplug::kPark);
  }
}

TEST_F(VmResizerGrowTest, ABackendOfAKilledDaemonGoesThoughNothingElseIsToDo) {
  for (const bool dimms : {false, true}) {
    if (dimms) UseDimms(/*unplug=*/false);
    // Killed between object-add and device_add.
    for (int commands = 0; qemu_.memory_backends().empty(); ++commands) {
      ASSERT_LT(commands, 20);
      qemu_.SetFaults({.commands_until_connection_lost = commands});
      ASSERT_FALSE(Grow({1, kBoot + kGiB}).ok());
    }
    qemu_.SetFaults({});

    ResizeOrDie({1, kBoot});

    EXPECT_THAT(qemu_.memory_backends(), IsEmpty());
  }
}

}  // namespace
}  // namespace podvisor
