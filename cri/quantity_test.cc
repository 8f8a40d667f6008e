#include "cri/quantity.h"

#include "gtest/gtest.h"

namespace podvisor {
namespace {

TEST(QuantityTest, CpusAreExactMillis) {
  struct Case {
    const char* text;
    int64_t millis;
  };
  for (const Case& c :
       {Case{"1", 1000}, Case{"100m", 100}, Case{"0.5", 500}, Case{".5", 500},
        Case{"1.", 1000}, Case{"0.1", 100}, Case{"1.0005", 1001}, Case{"0", 0},
        Case{"0.0001m", 1}, Case{"2k", 2'000'000}, Case{"1e1", 10'000},
        Case{"1E-3", 1}}) {
    EXPECT_EQ(ParseCpuQuantity(c.text).value_or(-1), c.millis) << c.text;
  }
}

TEST(QuantityTest, BytesKnowBothFamiliesOfSuffixes) {
  struct Case {
    const char* text;
    int64_t bytes;
  };
  for (const Case& c :
       {Case{"1Gi", int64_t{1} << 30}, Case{"1G", 1'000'000'000},
        Case{"512Mi", 512 << 20}, Case{"1.5Ki", 1536},
        Case{"128974848", 128974848}, Case{"129e6", 129'000'000},
        Case{"1E", 1'000'000'000'000'000'000}, Case{"1Ei", int64_t{1} << 60},
        Case{"4Ei", int64_t{1} << 62}, Case{"100m", 1}}) {
    EXPECT_EQ(ParseByteQuantity(c.text).value_or(-1), c.bytes) << c.text;
  }
}

TEST(QuantityTest, AnythingElseIsRefused) {
  for (const char* text :
       {"", "-1", "+1", "1 Gi", "1gi", "Gi", ".", "1..2", "1GiB", "5Ei", "9E",
        "1e99", "0x10", "NaN", "1e", "9999999999999999999",
        "1000000000000000000Ei", "1\n"}) {
    EXPECT_FALSE(ParseByteQuantity(text).ok()) << text;
    EXPECT_FALSE(ParseCpuQuantity(text).ok() && ParseByteQuantity(text).ok())
        << text;
  }
}

}  // namespace
}  // namespace podvisor
