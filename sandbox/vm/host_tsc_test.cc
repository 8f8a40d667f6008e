#include "sandbox/vm/host_tsc.h"

#include "base/file.h"
#include "gtest/gtest.h"

namespace podvisor {
namespace {

constexpr char kDirectory[] = "/devices/system/clocksource/clocksource0";

// A /sys of a host that keeps its time by `clock`.
std::string SysWith(const std::string& clock) {
  const std::string sys = testing::TempDir() + "/" + clock;
  EXPECT_TRUE(MakeDirectories(sys + kDirectory).ok());
  EXPECT_TRUE(WriteFileAtomically(sys + kDirectory + "/current_clocksource",
                                  clock + "\n")
                  .ok());
  return sys;
}

TEST(TscKhzTest, IsTicksPerMillisecond) {
  EXPECT_EQ(TscKhz({1000, 500, 0}, {1000 + 24'454'041, 500 + 10'000'000, 0}),
            2'445'404);
  EXPECT_EQ(TscKhz({0, 0, 30}, {3'000'000'000'000, 1'000'000'000'000, 30}),
            3'000'000);
}

TEST(TscKhzTest, AnErrorOf100PpmIsTooMuch) {
  EXPECT_NE(TscKhz({0, 0, 50}, {1'000'000, 1'000'000, 50}), 0);
  EXPECT_EQ(TscKhz({0, 0, 50}, {1'000'000, 1'000'000, 51}), 0);
}

TEST(TscKhzTest, WhatStandsStillOrGoesBackHasNoRate) {
  EXPECT_EQ(TscKhz({5, 5, 0}, {5, 10, 0}), 0);
  EXPECT_EQ(TscKhz({5, 5, 0}, {10, 5, 0}), 0);
  EXPECT_EQ(TscKhz({5, 5, 0}, {4, 10, 0}), 0);
  EXPECT_EQ(TscKhz({5, 5, 0}, {10, 4, 0}), 0);
}

TEST(HostTscTest, TwoMeasurementsAgree) {
#ifndef __x86_64__
  GTEST_SKIP() << "NOT TESTED: this machine has no time stamp counter";
#endif
  const std::string sys = SysWith("tsc");
  const auto measure = [&sys] {
    const HostTsc tsc(sys);
    int64_t khz = 0;
    while (khz == 0) khz = tsc.Khz();  // 0 also where a look was interrupted
    return static_cast<double>(khz);
  };
  const double first = measure();
  EXPECT_NEAR(measure() / first, 1.0, 2e-4);
}

TEST(HostTscTest, IsUnknownWhereTheHostItselfDoesNotTrustIt) {
  for (const char* clock : {"hpet", "acpi_pm", "jiffies", "xen"}) {
    const HostTsc tsc(SysWith(clock));
    EXPECT_EQ(tsc.Khz(), 0) << clock;
  }
  EXPECT_EQ(HostTsc(testing::TempDir() + "/none").Khz(), 0);
}

}  // namespace
}  // namespace podvisor
