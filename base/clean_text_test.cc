#include "base/clean_text.h"

#include "gtest/gtest.h"

namespace podvisor {
namespace {

TEST(CleanTextTest, KeepsPlainAndMultiByteText) {
  EXPECT_EQ(CleanText("exit 1: größer ✓ 😀"), "exit 1: größer ✓ 😀");
}

TEST(CleanTextTest, ControlCharactersBecomeSpaces) {
  EXPECT_EQ(CleanText("a\nb\x1b[31mc\x7f\xc2\x9b"), "a b [31mc  ");
}

TEST(CleanTextTest, InvalidUtf8BecomesQuestionMarks) {
  EXPECT_EQ(CleanText("a\xff"), "a?");
  EXPECT_EQ(CleanText("\xc0\xaf"), "??");            // overlong "/"
  EXPECT_EQ(CleanText("\xed\xa0\x80"), "???");       // surrogate
  EXPECT_EQ(CleanText("\xf4\x90\x80\x80"), "????");  // above U+10FFFF
  EXPECT_EQ(CleanText("\xe2\x9c"), "??");            // cut off
}

TEST(CleanTextTest, StopsBeforeACharacterThatDoesNotFit) {
  EXPECT_EQ(CleanText("ab✓", 4), "ab");
  EXPECT_EQ(CleanText("abcdef", 3), "abc");
}

}  // namespace
}  // namespace podvisor
