#include "guestagent/agent/output_tap.h"

#include <string>

#include "gtest/gtest.h"

namespace podvisor {
namespace {

const Deadline kNow = Deadline::Now();

TEST(OutputTapTest, PiecesComeInTheirOrderAndThenTheEnd) {
  OutputTap tap;
  tap.Append(0, "a");
  tap.Append(0, "b");
  tap.Append(1, "e");
  tap.Append(0, "c");
  tap.EndStream(0);

  EXPECT_EQ(tap.Next(kNow)->data, "ab");
  const auto error = tap.Next(kNow);
  EXPECT_EQ(error->stream, 1);
  EXPECT_EQ(error->data, "e");
  EXPECT_EQ(tap.Next(kNow)->data, "c");
  EXPECT_TRUE(absl::IsDeadlineExceeded(tap.Next(kNow).status()));
  tap.EndStream(1);
  EXPECT_TRUE(absl::IsOutOfRange(tap.Next(kNow).status()));
}

TEST(OutputTapTest, PiecesAreBounded) {
  OutputTap tap;
  const std::string data(OutputTap::kMaxPieceBytes, 'x');
  tap.Append(0, data);
  tap.Append(0, "y");

  EXPECT_EQ(tap.Next(kNow)->data, data);
  EXPECT_EQ(tap.Next(kNow)->data, "y");
}

TEST(OutputTapTest, ReaderThatKeepsUpIsNeverCutOff) {
  OutputTap tap;
  const std::string data(OutputTap::kMaxPieceBytes, 'x');
  for (int i = 0; i < 100; ++i) {
    tap.Append(0, data);
    ASSERT_TRUE(tap.Next(kNow).ok());
  }
}

TEST(OutputTapTest, ReaderThatDoesNotKeepUpIsCutOffForGood) {
  OutputTap tap;
  const std::string data(OutputTap::kMaxPieceBytes, 'x');
  for (int i = 0; i < 15; ++i) tap.Append(0, data);
  ASSERT_TRUE(tap.Next(kNow).ok());
  for (int i = 0; i < 15; ++i) tap.Append(0, data);
  EXPECT_TRUE(absl::IsResourceExhausted(tap.Next(kNow).status()));
  tap.Append(0, "more");
  EXPECT_TRUE(absl::IsResourceExhausted(tap.Next(kNow).status()));
}

TEST(OutputTapTest, ManySmallPiecesAreBoundedToo) {
  OutputTap tap;
  for (size_t i = 0; i < OutputTap::kCapacity / 32; ++i) tap.Append(i % 2, "x");
  EXPECT_TRUE(absl::IsResourceExhausted(tap.Next(kNow).status()));
}

}  // namespace
}  // namespace podvisor
