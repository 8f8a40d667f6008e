#include "guestagent/agent/memory_view.h"

#include <string>

#include "absl/strings/str_cat.h"
#include "base/file.h"
#include "gtest/gtest.h"

namespace podvisor {
namespace {

constexpr char kMeminfo[] =
    "MemTotal:         204800 kB\nMemFree:  51200 kB\nMemAvailable:  102400 "
    "kB\n";

class MemoryViewTest : public testing::Test {
 protected:
  MemoryViewTest()
      : root_(absl::StrCat(
            testing::TempDir(), "/",
            testing::UnitTest::GetInstance()->current_test_info()->name())),
        blocks_(root_ + "/sys/devices/system/memory") {}

  void SetUp() override {
    ASSERT_TRUE(MakeDirectories(root_ + "/proc").ok());
    ASSERT_TRUE(MakeDirectories(blocks_).ok());
    Write("/proc/meminfo", kMeminfo);
  }
  void Write(const std::string& path, const std::string& text) {
    ASSERT_TRUE(WriteFileAtomically(root_ + path, text).ok());
  }
  void AddBlock(int number, const std::string& state) {
    const std::string path = absl::StrCat(blocks_, "/memory", number);
    ASSERT_TRUE(MakeDirectories(path).ok());
    ASSERT_TRUE(WriteFileAtomically(path + "/state", state).ok());
  }
  MemoryView View() { return MemoryView(root_ + "/proc", root_ + "/sys"); }

  const std::string root_;
  const std::string blocks_;
};

TEST_F(MemoryViewTest, ReadsTotalAvailableAndFree) {
  EXPECT_EQ(*View().Observe(),
            (MemorySize{204800 << 10, 102400 << 10, 51200 << 10}));
}

TEST_F(MemoryViewTest, MeminfoWithoutALineIsDataLoss) {
  EXPECT_TRUE(absl::IsDataLoss(
      ParseMeminfo("MemTotal: 1 kB\nMemAvailable: 1 kB\n").status()));
  EXPECT_TRUE(absl::IsDataLoss(
      ParseMeminfo("MemTotal: x kB\nMemAvailable: 1 kB\nMemFree: 1 kB\n")
          .status()));
  EXPECT_TRUE(absl::IsDataLoss(
      ParseMeminfo("MemTotal: 9223372036854775807 kB\nMemAvailable: 1 kB\n"
                   "MemFree: 1 kB\n")
          .status()));
}

TEST_F(MemoryViewTest, BlockSizeIsHexadecimal) {
  EXPECT_EQ(View().BlockBytes(), 0);
  Write("/sys/devices/system/memory/block_size_bytes", "8000000\n");
  EXPECT_EQ(View().BlockBytes(), 128 << 20);
}

std::string MeminfoOf(int64_t total_bytes) {
  return absl::StrCat("MemTotal: ", total_bytes >> 10,
                      " kB\nMemFree: 1 kB\nMemAvailable: 1 kB\n");
}

TEST_F(MemoryViewTest, DescriptorsThatPluggedMemoryHoldsOfItselfCount) {
  constexpr int64_t kMiB = 1 << 20;
  ASSERT_TRUE(
      MakeDirectories(root_ + "/sys/module/memory_hotplug/parameters").ok());
  const std::string kSetting =
      "/sys/module/memory_hotplug/parameters/memmap_on_memory";
  Write(kSetting, "Y\n");
  Write("/sys/devices/system/memory/block_size_bytes", "8000000\n");
  AddBlock(0, "online\n");
  AddBlock(1, "online\n");
  Write("/proc/meminfo", MeminfoOf(240 * kMiB));
  const MemoryView view = View();
  const auto total = [&] { return view.Observe()->total_bytes / kMiB; };
  EXPECT_EQ(total(), 240);

  // A block of which 2 MiB are descriptors; then a second one, not yet online,
  // and online; then one that is described elsewhere.
  AddBlock(2, "online\n");
  Write("/proc/meminfo", MeminfoOf((240 + 126) * kMiB));
  EXPECT_EQ(total(), 240 + 128);
  AddBlock(3, "offline\n");
  EXPECT_EQ(total(), 240 + 128);
  AddBlock(3, "online\n");
  Write("/proc/meminfo", MeminfoOf((240 + 2 * 126) * kMiB));
  EXPECT_EQ(total(), 240 + 2 * 128);
  AddBlock(4, "online\n");
  Write("/proc/meminfo", MeminfoOf((240 + 2 * 126 + 128) * kMiB));
  EXPECT_EQ(total(), 240 + 3 * 128);

  // No more is made up than descriptors can be.
  Write("/proc/meminfo", MeminfoOf(240 * kMiB));
  EXPECT_EQ(total(), 240 + 3 * 2);
  // virtio-mem plugs parts of blocks, and describes them elsewhere.
  ASSERT_TRUE(
      MakeDirectories(root_ + "/sys/bus/virtio/drivers/virtio_mem/virtio1")
          .ok());
  Write("/proc/meminfo", MeminfoOf((240 + 3 * 126) * kMiB));
  EXPECT_EQ(total(), 240 + 3 * 126);
}

TEST_F(MemoryViewTest, WithoutThatSettingTheTotalIsMemTotal) {
  Write("/sys/devices/system/memory/block_size_bytes", "8000000\n");
  Write("/proc/meminfo", MeminfoOf(240 << 20));
  const MemoryView view = View();
  AddBlock(2, "online\n");
  Write("/proc/meminfo", MeminfoOf(366 << 20));
  EXPECT_EQ(view.Observe()->total_bytes, 366 << 20);
}

TEST_F(MemoryViewTest, OnlyOfflineBlocksAreBroughtOnline) {
  AddBlock(0, "online\n");
  AddBlock(1, "offline\n");
  AddBlock(2, "going-offline\n");

  EXPECT_EQ(*View().OnlineNewBlocks(), 1);

  EXPECT_EQ(ReadFile(blocks_ + "/memory0/state")->substr(0, 7), "online\n");
  EXPECT_EQ(ReadFile(blocks_ + "/memory1/state")->substr(0, 14),
            "online_movable");
  EXPECT_EQ(ReadFile(blocks_ + "/memory2/state")->substr(0, 5), "going");
}

TEST_F(MemoryViewTest, ShrinkingBringsNoBlockOnline) {
  AddBlock(1, "offline\n");

  EXPECT_TRUE(absl::IsDeadlineExceeded(
      View().AwaitAtMost(1, absl::ZeroDuration(), nullptr).status()));

  EXPECT_EQ(*ReadFile(blocks_ + "/memory1/state"), "offline\n");
}

TEST_F(MemoryViewTest, WaitsForASizeInBothDirections) {
  const absl::Duration none = absl::ZeroDuration();
  const int64_t total = int64_t{204800} << 10;

  EXPECT_EQ(View().AwaitAtLeast(total, none, nullptr)->total_bytes, total);
  EXPECT_EQ(View().AwaitAtMost(total, none, nullptr)->total_bytes, total);
  EXPECT_TRUE(absl::IsDeadlineExceeded(
      View().AwaitAtLeast(total + 1, none, nullptr).status()));
  EXPECT_TRUE(
      absl::IsCancelled(View()
                            .AwaitAtLeast(total + 1, absl::InfiniteDuration(),
                                          [] { return true; })
                            .status()));
}

}  // namespace
}  // namespace podvisor
