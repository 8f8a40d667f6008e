#include "sandbox/vm/pci_layout.h"

#include "gtest/gtest.h"

namespace podvisor {
namespace {

TEST(PciLayoutTest, ADiskIsFoundByItsWholeSerial) {
  const std::vector<std::string> ids = {"nic", "disk-a-b-0-4", "disk-a-0-5",
                                        "disk-", "disk-x"};

  EXPECT_EQ(FindDisk(ids, "a"), "disk-a-0-5");
  EXPECT_EQ(FindDisk(ids, "a-b"), "disk-a-b-0-4");
  EXPECT_EQ(FindDisk(ids, "b"), std::nullopt);
  EXPECT_EQ(FindDisk(ids, "x"), std::nullopt);
}

TEST(PciLayoutTest, FixedPlacesAreNeverGivenToADisk) {
  EXPECT_EQ(FreeDiskSlot({}, 1), (PciSlot{0, 4}));
}

TEST(PciLayoutTest, SlotsAreReusedAndDiffer) {
  std::vector<std::string> ids;
  for (int i = 0; i < 28 + 31; ++i) {
    const std::optional<PciSlot> slot = FreeDiskSlot(ids, 2);
    ASSERT_TRUE(slot.has_value()) << i;
    ids.push_back(DiskId("s" + std::to_string(i), *slot));
  }
  EXPECT_EQ(FreeDiskSlot(ids, 2), std::nullopt);

  ids.erase(ids.begin() + 3);

  EXPECT_EQ(FreeDiskSlot(ids, 2), (PciSlot{0, 7}));
}

TEST(PciLayoutTest, PlacesAreWrittenAsQemuReadsThem) {
  EXPECT_EQ((PciSlot{1, 31}.Bus()), "pb1");
  EXPECT_EQ((PciSlot{1, 31}.Addr()), "0x1f");
}

}  // namespace
}  // namespace podvisor
