#include "sandbox/parts/disk_traffic.h"

#include "gtest/gtest.h"

namespace podvisor {
namespace {

TEST(DiskTrafficTest, TheSumNeverFallsWhileDisksComeAndGo) {
  DiskTraffic traffic;
  EXPECT_EQ(traffic.total(), DiskBytes());

  traffic.Observe({{"scratch", {10, 100}}});
  EXPECT_EQ(traffic.total(), (DiskBytes{10, 100}));
  traffic.Observe({{"scratch", {10, 100}}});
  EXPECT_EQ(traffic.total(), (DiskBytes{10, 100}));
  traffic.Observe({{"scratch", {11, 105}}, {"image", {50, 0}}});
  EXPECT_EQ(traffic.total(), (DiskBytes{61, 105}));
  traffic.Observe({{"scratch", {11, 105}}});
  EXPECT_EQ(traffic.total(), (DiskBytes{61, 105}));
  // Plugged again, and counted from the start again.
  traffic.Observe({{"scratch", {11, 105}}, {"image", {20, 0}}});
  EXPECT_EQ(traffic.total(), (DiskBytes{81, 105}));
  // Unplugged and plugged between two looks.
  traffic.Observe({{"scratch", {11, 105}}, {"image", {5, 0}}});
  EXPECT_EQ(traffic.total(), (DiskBytes{86, 105}));
}

}  // namespace
}  // namespace podvisor
