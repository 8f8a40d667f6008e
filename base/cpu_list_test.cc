#include "base/cpu_list.h"

#include "base/file.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace podvisor {
namespace {

TEST(CpuListTest, NumbersAndRangesInAnyOrderAndAnyNumberOfTimes) {
  const std::pair<const char*, CpuList> kCases[] = {
      {"", {}},
      {"0", {0}},
      {"0-3,7", {0, 1, 2, 3, 7}},
      {"7,0-3", {0, 1, 2, 3, 7}},
      {"2-2", {2}},
      {"1,1,0-2,2", {0, 1, 2}},
      {"007", {7}},
      {"8191", {8191}},
  };
  for (const auto& [text, cpus] : kCases) {
    EXPECT_EQ(ParseCpuList(text).value(), cpus) << text;
  }
  EXPECT_EQ(ParseCpuList("0-8191")->size(), 8192u);
}

TEST(CpuListTest, EverythingElseIsRefused) {
  for (const char* text : {" ",      "\n",         "0\n",
                           " 0",     "0 ",         "0, 1",
                           ",",      "0,",         ",0",
                           "0,,1",   "-",          "-1",
                           "1-",     "3-1",        "0-1-2",
                           "0--1",   "+1",         "0-+1",
                           "a",      "0x1",        "0:1",
                           "0-3/2",  "all",        "8192",
                           "0-8192", "4294967296", "99999999999999999999",
                           "0;1",    "\xff",       "0\t1"}) {
    EXPECT_TRUE(absl::IsInvalidArgument(ParseCpuList(text).status())) << text;
  }
  EXPECT_FALSE(ParseCpuList(absl::string_view("0\0", 2)).ok());
}

TEST(CpuListTest, ALongTextIsRefusedAndNotRepeated) {
  std::string text = "0";
  while (text.size() < 64 << 10) text += ",0";

  const absl::Status status = ParseCpuList(text).status();

  EXPECT_TRUE(absl::IsInvalidArgument(status));
  EXPECT_LT(status.message().size(), 200u);
}

TEST(CpuListTest, TheLongestListOfDifferentCpusIsUnderstood) {
  CpuList every_second;
  for (int cpu = 0; cpu <= kHighestCpu; cpu += 2) every_second.insert(cpu);

  EXPECT_EQ(ParseCpuList(FormatCpuList(every_second)).value(), every_second);
}

TEST(CpuListTest, TheTextIsTheShortestOne) {
  EXPECT_EQ(FormatCpuList({}), "");
  EXPECT_EQ(FormatCpuList({3}), "3");
  EXPECT_EQ(FormatCpuList({0, 1, 2, 4, 6, 7}), "0-2,4,6-7");
}

TEST(CpuListTest, AFileIsOneLine) {
  const std::string path = testing::TempDir() + "/cpus";
  ASSERT_TRUE(WriteFileAtomically(path, "0-1,3\n").ok());
  EXPECT_EQ(ReadCpuList(path).value(), (CpuList{0, 1, 3}));

  // What /sys/devices/system/cpu/isolated says on most hosts.
  ASSERT_TRUE(WriteFileAtomically(path, "\n").ok());
  EXPECT_EQ(ReadCpuList(path).value(), CpuList());

  ASSERT_TRUE(WriteFileAtomically(path, "0\n1\n").ok());
  EXPECT_TRUE(absl::IsDataLoss(ReadCpuList(path).status()));
}

}  // namespace
}  // namespace podvisor
