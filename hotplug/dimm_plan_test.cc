#include "hotplug/dimm_plan.h"

#include <cstdint>
#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace podvisor {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

constexpr int64_t kMiB = int64_t{1} << 20;
constexpr int64_t kGiB = int64_t{1} << 30;
constexpr int64_t kBlock = 128 * kMiB;

VmLimits Limits() {
  VmLimits limits;
  limits.boot_memory_bytes = 256 * kMiB;
  limits.max_memory_bytes = 64 * kGiB + 256 * kMiB;
  limits.memory_block_bytes = kBlock;
  limits.memory_device = MemoryDevice::kPcDimm;
  limits.memory_slots = 10;
  return limits;
}

VmState StateWith(const std::vector<Dimm>& dimms,
                  int64_t available_bytes = 4 * kGiB) {
  VmState state;
  state.dimms = dimms;
  for (const Dimm& dimm : dimms) state.hotplug_plugged_bytes += dimm.bytes;
  state.guest_available_bytes = available_bytes;
  state.guest_block_bytes = kBlock;
  return state;
}

std::vector<Dimm> Choose(const VmLimits& limits, const VmState& state,
                         int64_t bytes) {
  const auto dimms = ChooseDimms(limits, state, bytes);
  EXPECT_TRUE(dimms.ok()) << dimms.status();
  return dimms.value_or(std::vector<Dimm>());
}

std::string Refusal(const VmLimits& limits, const VmState& state,
                    int64_t bytes) {
  const auto dimms = ChooseDimms(limits, state, bytes);
  EXPECT_TRUE(absl::IsResourceExhausted(dimms.status())) << dimms.status();
  return std::string(dimms.status().message());
}

TEST(ChooseDimmsTest, OneDimmIsEnoughAndTakesTheLowestFreeSlot) {
  EXPECT_THAT(Choose(Limits(), StateWith({}), 3 * kGiB),
              ElementsAre(Dimm{0, 3 * kGiB}));
  EXPECT_THAT(Choose(Limits(), StateWith({{0, kGiB}, {2, kGiB}}), kBlock),
              ElementsAre(Dimm{1, kBlock}));
}

TEST(ChooseDimmsTest, DimmsAreNoLargerThanTheGuestCanCarry) {
  // 16 MiB for descriptors, half of 32, describe 1 GiB.
  EXPECT_THAT(Choose(Limits(), StateWith({}, 32 * kMiB), 2 * kGiB + kBlock),
              ElementsAre(Dimm{0, kGiB}, Dimm{1, kGiB}, Dimm{2, kBlock}));
}

TEST(CarriedBytesTest, PluggedMemoryHoldsNoDescriptorsHoweverMuchIsAvailable) {
  VmState state = StateWith({{0, 8 * kGiB}}, 8 * kGiB);
  state.hotplug_online_bytes = 8 * kGiB;
  EXPECT_EQ(CarriedBytes(Limits(), state), 256 * kGiB) << "as if it did";

  state.guest_boot_bytes = 192 * kMiB;
  EXPECT_EQ(CarriedBytes(Limits(), state), 6 * kGiB);
  state.guest_available_bytes = 16 * kMiB;
  state.guest_boot_bytes = kGiB;
  EXPECT_EQ(CarriedBytes(Limits(), state), 512 * kMiB);
}

TEST(ChooseDimmsTest, EightGibibytesFitOntoAnIdleBaseOf256Mebibytes) {
  EXPECT_THAT(Choose(Limits(), StateWith({}, 180 * kMiB), 8 * kGiB),
              ElementsAre(Dimm{0, 5 * kGiB + 5 * kBlock},
                          Dimm{1, 2 * kGiB + 3 * kBlock}));
}

TEST(ChooseDimmsTest, RemovableDimmsAreSizedAsCoins) {
  VmLimits limits = Limits();
  limits.dimm_unplug = true;

  EXPECT_THAT(Choose(limits, StateWith({}), 15 * kBlock),
              ElementsAre(Dimm{0, 8 * kBlock}, Dimm{1, 4 * kBlock},
                          Dimm{2, 2 * kBlock}, Dimm{3, kBlock}));
}

TEST(ChooseDimmsTest, CoinsSpendNoMoreThanHalfOfTheFreeSlots) {
  VmLimits limits = Limits();
  limits.dimm_unplug = true;
  limits.memory_slots = 4;

  EXPECT_THAT(Choose(limits, StateWith({}), 15 * kBlock),
              ElementsAre(Dimm{0, 8 * kBlock}, Dimm{1, 7 * kBlock}));
  limits.memory_slots = 1;
  EXPECT_THAT(Choose(limits, StateWith({}), 15 * kBlock),
              ElementsAre(Dimm{0, 15 * kBlock}));
}

TEST(ChooseDimmsTest, ALargerBlockOfTheGuestCounts) {
  VmState state = StateWith({});
  state.guest_block_bytes = 2 * kGiB;

  EXPECT_THAT(Choose(Limits(), state, kBlock), ElementsAre(Dimm{0, 2 * kGiB}));
}

TEST(ChooseDimmsTest, RefusalsNameWhatRanOut) {
  VmLimits limits = Limits();
  limits.memory_slots = 2;

  EXPECT_THAT(Refusal(limits, StateWith({{0, kGiB}, {1, kGiB}}), kGiB),
              HasSubstr("0 of 2 slots are free"));
  EXPECT_THAT(Refusal(limits, StateWith({}, 32 * kMiB), 4 * kGiB),
              HasSubstr("4 DIMMs, and 2 of 2 slots"));
  EXPECT_THAT(Refusal(limits, StateWith({}, kMiB), kGiB),
              HasSubstr("page descriptors"));
  EXPECT_THAT(Refusal(limits, StateWith({{0, 64 * kGiB}}), kBlock),
              HasSubstr("maximum"));
}

TEST(SpareDimmsTest, LargestThatAreNotNeededGoFirst) {
  VmLimits limits = Limits();
  limits.dimm_unplug = true;
  const std::vector<Dimm> coins = {
      {0, 8 * kBlock}, {1, 4 * kBlock}, {2, 2 * kBlock}, {3, kBlock}};

  EXPECT_THAT(SpareDimms(limits, coins, 5 * kBlock),
              ElementsAre(Dimm{0, 8 * kBlock}, Dimm{2, 2 * kBlock}));
  EXPECT_THAT(SpareDimms(limits, coins, 0),
              ElementsAre(coins[0], coins[1], coins[2], coins[3]));
  EXPECT_THAT(SpareDimms(limits, coins, 15 * kBlock), IsEmpty());
}

TEST(SpareDimmsTest, ADimmThatIsHalfNeededStays) {
  VmLimits limits = Limits();
  limits.dimm_unplug = true;

  EXPECT_THAT(SpareDimms(limits, {{0, 3 * kGiB}}, kGiB), IsEmpty());
}

TEST(SpareDimmsTest, NothingIsSpareWhereDimmsStay) {
  EXPECT_THAT(SpareDimms(Limits(), {{0, 3 * kGiB}}, 0), IsEmpty());
}

}  // namespace
}  // namespace podvisor
