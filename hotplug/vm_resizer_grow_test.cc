// What growing must not wait for, and what a failed one leaves.

#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "hotplug/vm_resizer_fixture.h"

namespace podvisor {
namespace {

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
