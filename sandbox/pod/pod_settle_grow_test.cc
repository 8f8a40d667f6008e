// A VM that has to grow though no call waits for it: an adopted one, where the
// configuration wants more than the last one did.

#include <algorithm>
#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "sandbox/pod/pod_resize_fixture.h"

namespace podvisor {
namespace {

using testing::Contains;
using testing::HasSubstr;
using testing::Not;
using testing::StartsWith;

class PodSettleGrowTest : public PodResizeFixture,
                          public testing::WithParamInterface<MemoryDevice> {
 protected:
  void SetUp() override {
    PodResizeFixture::SetUp();
    if (IsSkipped()) return;
    settings_.limits.memory_device = GetParam();
    settings_.limits.memory_slots = 8;
  }
  // A pod of 1 vCPU and 1 GiB that is to have 3 and 5 GiB now.
  std::shared_ptr<Pod> Adopted(const GuestFaults& faults) {
    PodId id;
    {
      PodSpec spec = Spec("adopted");
      spec.resources = ContainerOf(3000, 5120).resources;
      const absl::StatusOr<PodId> ran = pods_->RunPod(spec, Soon());
      EXPECT_TRUE(ran.ok()) << ran.status();
      id = *ran;
      Running(pods_->FindPod(id.value()).value(), ContainerOf(1000, 1024));
    }
    settings_.presize = true;
    launcher_.machine(id)->guest().SetFaults(faults);
    Restart();
    return pods_->FindPod(id.value()).value();
  }
  int64_t GuestHas(const std::shared_ptr<Pod>& pod) {
    return Guest(pod).size().memory_total_bytes;
  }
};

TEST_P(PodSettleGrowTest, ASlowGuestGetsThereAndNothingIsUndoneOnTheWay) {
  const std::shared_ptr<Pod> pod =
      Adopted({.memory_per_gib = absl::Seconds(20)});
  const absl::Time begin = clock_.Now();
  int64_t had = GuestHas(pod);

  while (pod->Snapshot().vm.online_memory_bytes < 5120 * kMiB) {
    const absl::Time before = clock_.Now();
    Pass(absl::Milliseconds(200));
    // Nobody waits longer for the pod than for a part of an attempt.
    ASSERT_LE(clock_.Now() - before, absl::Seconds(2));
    ASSERT_GE(GuestHas(pod), had);
    had = GuestHas(pod);
    ASSERT_LT(clock_.Now() - begin, absl::Seconds(100)) << "four times 20 s";
  }

  EXPECT_EQ(pod->Snapshot().vm.online_vcpus, 3);
  EXPECT_THAT(Qemu(pod).commands(), Not(Contains(StartsWith("device_del"))));
  EXPECT_THAT(Qemu(pod).commands(), Not(Contains(StartsWith("object-del"))));
  Pass(absl::Seconds(31));
  EXPECT_EQ(pod->Snapshot().last_error, "");
}

TEST_P(PodSettleGrowTest, ACreateThatHasTooLittleTimeTakesNothingFromIt) {
  const std::shared_ptr<Pod> pod =
      Adopted({.memory_per_gib = absl::Seconds(20)});
  Pass(absl::Seconds(2));
  int64_t had = GuestHas(pod);

  for (int i = 0; i < 2; ++i) {
    const absl::Status created =
        pods_->CreateContainer(pod, Named("early", 100, 0), Soon()).status();

    EXPECT_TRUE(absl::IsResourceExhausted(created)) << created;
    EXPECT_GT(GuestHas(pod), had);
    had = GuestHas(pod);
  }
  // And it needs only the rest of the time.
  Pass(absl::Seconds(10));
  EXPECT_TRUE(pods_->CreateContainer(pod, Named("late", 100, 0), Soon()).ok());
  EXPECT_EQ(Guest(pod).size().cpus_online, 3);
}

TEST_P(PodSettleGrowTest, AGuestThatTakesNothingIsAskedRarelyAndNamed) {
  const std::shared_ptr<Pod> pod = Adopted({.memory_never_arrives = true});
  for (int i = 0; i < 120; ++i) Pass(absl::Seconds(1));

  EXPECT_THAT(pod->Snapshot().last_error, HasSubstr("guest online: memory"));
  EXPECT_EQ(pod->Snapshot().vm.online_vcpus, 3) << "which it can have";
  EXPECT_LT(CountCalls(Guest(pod), "AwaitMemoryAtLeast"), 20);
  EXPECT_THAT(Qemu(pod).commands(), Not(Contains(StartsWith("device_del"))));
}

INSTANTIATE_TEST_SUITE_P(Device, PodSettleGrowTest,
                         testing::Values(MemoryDevice::kVirtioMem,
                                         MemoryDevice::kPcDimm),
                         [](const auto& info) {
                           return info.param == MemoryDevice::kPcDimm
                                      ? "Dimms"
                                      : "VirtioMem";
                         });

}  // namespace
}  // namespace podvisor
