#include "guestagent/agent/memory_reclaim.h"

#include <string>

#include "absl/strings/str_cat.h"
#include "base/file.h"
#include "gtest/gtest.h"

namespace podvisor {
namespace {

constexpr int64_t kMiB = int64_t{1} << 20;
constexpr int64_t kFree = 100 * kMiB;
constexpr absl::Duration kTimeout = absl::Minutes(1);

// Files for a kernel that takes what is written and reclaims nothing. One that
// does is in give_back_vm_test.
class MemoryReclaimTest : public testing::Test {
 protected:
  MemoryReclaimTest()
      : root_(absl::StrCat(
            testing::TempDir(), "/",
            testing::UnitTest::GetInstance()->current_test_info()->name())),
        view_(root_, root_),
        reclaim_(&view_, root_ + "/cgroup") {}

  void SetUp() override {
    ASSERT_TRUE(MakeDirectories(root_ + "/cgroup").ok());
    ASSERT_TRUE(WriteFileAtomically(
                    root_ + "/meminfo",
                    absl::StrCat("MemTotal: 1048576 kB\nMemFree: ", kFree >> 10,
                                 " kB\nMemAvailable: 524288 kB\n"))
                    .ok());
    ASSERT_TRUE(WriteFileAtomically(asked_path(), "").ok());
  }
  std::string asked_path() const { return root_ + "/cgroup/memory.reclaim"; }
  std::string Asked() const { return ReadFile(asked_path()).value(); }

  const std::string root_;
  const MemoryView view_;
  const MemoryReclaim reclaim_;
};

TEST_F(MemoryReclaimTest, AsksForNoMoreThanIsMissing) {
  EXPECT_TRUE(reclaim_.FreeUpTo(kFree + 5 * kMiB, kTimeout, nullptr).ok());

  EXPECT_EQ(Asked(), absl::StrCat(5 * kMiB));
}

TEST_F(MemoryReclaimTest, AsksForNothingWhereEnoughIsFree) {
  EXPECT_TRUE(reclaim_.FreeUpTo(kFree, kTimeout, nullptr).ok());

  EXPECT_EQ(Asked(), "");
}

TEST_F(MemoryReclaimTest, GoesInStepsAndEndsWithoutProgress) {
  EXPECT_TRUE(reclaim_.FreeUpTo(1000 * kMiB, kTimeout, nullptr).ok());

  EXPECT_EQ(Asked(), absl::StrCat(64 * kMiB));
}

TEST_F(MemoryReclaimTest, NothingBeginsOnceTheTimeIsOver) {
  for (const absl::Duration none : {absl::ZeroDuration(), -absl::Hours(1)}) {
    EXPECT_TRUE(reclaim_.FreeUpTo(1000 * kMiB, none, nullptr).ok());
  }
  EXPECT_EQ(Asked(), "");
}

TEST_F(MemoryReclaimTest, CanBeCancelled) {
  EXPECT_TRUE(absl::IsCancelled(
      reclaim_.FreeUpTo(1000 * kMiB, kTimeout, [] { return true; })));
}

TEST_F(MemoryReclaimTest, AGuestWithoutContainersHasNothingToGive) {
  const MemoryReclaim reclaim(&view_, root_ + "/none");

  EXPECT_TRUE(reclaim.FreeUpTo(1000 * kMiB, kTimeout, nullptr).ok());
}

}  // namespace
}  // namespace podvisor
