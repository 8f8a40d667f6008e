#include "guestagent/plain_names.h"

#include <string>

#include "gtest/gtest.h"

namespace podvisor {
namespace {

TEST(PlainNamesTest, NamesOfTheKernelPassAndWhatBreaksALabelDoesNot) {
  for (const char* good : {"vda", "eth0.100", "1GB", "dm-0", "lo_1"}) {
    EXPECT_TRUE(IsPlainName(good)) << good;
  }
  EXPECT_TRUE(IsPlainName(std::string(32, 'a')));
  EXPECT_FALSE(IsPlainName(std::string(33, 'a')));
  for (const char* bad : {"", "a b", "a/b", "a\"b", "a\n", "\xc3\xa4"}) {
    EXPECT_FALSE(IsPlainName(bad)) << bad;
  }
}

TEST(PlainNamesTest, SerialsFitVirtioBlkAndNothingElse) {
  for (const char* good : {"a", "scratch", "i0123456789abcdef012"}) {
    EXPECT_TRUE(IsDiskSerial(good)) << good;
  }
  for (const char* bad : {"", "A", "a,b", "a=b", "a/b", "a_b", "a b", "i\n",
                          "i0123456789abcdef0123"}) {
    EXPECT_FALSE(IsDiskSerial(bad)) << bad;
  }
}

}  // namespace
}  // namespace podvisor
