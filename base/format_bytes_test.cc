#include "base/format_bytes.h"

#include "gtest/gtest.h"

namespace podvisor {
namespace {

TEST(FormatBytesTest, SizesReadAsPeopleSayThem) {
  EXPECT_EQ(FormatBytes(0), "0 MiB");
  EXPECT_EQ(FormatBytes(4096), "4096 bytes");
  EXPECT_EQ(FormatBytes(int64_t{2} << 30), "2048 MiB");
  EXPECT_EQ(FormatBytes(3 << 19), "1.5 MiB");
}

}  // namespace
}  // namespace podvisor
