#include "sandbox/host/files_limit.h"

#include <limits>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace podvisor {
namespace {

constexpr FileTable kHost = {4'000'000, 1'048'576};

TEST(FilesLimitTest, SmallOnesAreRaisedAndZeroIsAShareOfTheHost) {
  const std::pair<std::optional<int64_t>, int64_t> kCases[] = {
      {std::nullopt, 0}, {0, 10'000},  {1, 1024},      {1023, 1024},
      {1024, 1024},      {1025, 1025}, {65536, 65536}, {1'048'576, 1'048'576}};
  for (const auto& [asked, limit] : kCases) {
    EXPECT_EQ(FilesLimitFor(asked, kHost).value(), limit) << asked.value_or(-1);
  }
}

TEST(FilesLimitTest, AHostWithoutAMaximumGivesWhatOneProcessMayHave) {
  EXPECT_EQ(FilesLimitFor(0, {std::numeric_limits<int64_t>::max(), 1'048'576})
                .value(),
            1'048'576);
}

TEST(FilesLimitTest, ASmallHostStillGivesTheLeast) {
  EXPECT_EQ(FilesLimitFor(0, {100'000, 1'048'576}).value(), 1024);
}

TEST(FilesLimitTest, MoreThanOneProcessMayHaveIsRefusedWithBothFigures) {
  EXPECT_EQ(FilesLimitFor(1'048'577, kHost).status(),
            absl::InvalidArgumentError("files_limit: 1048577 is above "
                                       "fs.nr_open, which is 1048576"));
}

TEST(FilesLimitTest, ThisHostHasBothFigures) {
  const absl::StatusOr<FileTable> host = ReadFileTable();
  ASSERT_TRUE(host.ok()) << host.status();
  EXPECT_GT(host->file_max, 0);
  EXPECT_GE(host->nr_open, 1024);
}

}  // namespace
}  // namespace podvisor
