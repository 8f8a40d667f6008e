#include "guestagent/agent/stats_parser.h"

#include <string>

#include "gtest/gtest.h"

namespace podvisor {
namespace {

TEST(StatsParserTest, ReadsTheFilesOfACgroup) {
  agent::v1::ContainerStats stats;
  ParseContainerStats({.cpu_stat = "usage_usec 1500\nuser_usec 1000\n",
                       .memory_current = "1000\n",
                       .memory_max = "4096\n",
                       .memory_stat = "anon 300\nfile 700\ninactive_file 600\n"
                                      "pgfault 9\npgmajfault 2\n",
                       .pids_current = "3\n"},
                      &stats);
  EXPECT_EQ(stats.cpu_usage_nanos(), 1'500'000u);
  EXPECT_EQ(stats.memory_usage_bytes(), 1000u);
  EXPECT_EQ(stats.memory_working_set_bytes(), 400u);
  EXPECT_EQ(stats.memory_rss_bytes(), 300u);
  EXPECT_EQ(stats.memory_page_faults(), 9u);
  EXPECT_EQ(stats.memory_major_page_faults(), 2u);
  EXPECT_EQ(stats.memory_limit_bytes(), 4096u);
  EXPECT_EQ(stats.pids(), 3u);
}

TEST(StatsParserTest, MissingAndSenselessFilesAreZero) {
  agent::v1::ContainerStats stats;
  ParseContainerStats({.cpu_stat = "usage_usec 18446744073709551615\n",
                       .memory_current = "10",
                       .memory_max = "max\n",
                       .memory_stat = "inactive_file 11\nanon -1\nanon 5",
                       .pids_current = "99999999999999999999999"},
                      &stats);
  EXPECT_EQ(stats.cpu_usage_nanos(), 0u);
  EXPECT_EQ(stats.memory_working_set_bytes(), 0u);
  EXPECT_EQ(stats.memory_rss_bytes(), 0u);
  EXPECT_EQ(stats.memory_limit_bytes(), 0u);
  EXPECT_EQ(stats.pids(), 0u);
}

TEST(StatsParserTest, KeysMatchWhole) {
  EXPECT_EQ(ParseKeyedNumber("oom 3\noom_kill 2\noom_group_kill 1", "oom_kill"),
            2u);
  EXPECT_EQ(ParseKeyedNumber("oom_kill 2", "oom"), std::nullopt);
  EXPECT_EQ(ParseKeyedNumber("", "oom"), std::nullopt);
  EXPECT_EQ(ParseKeyedNumber("oom ", "oom"), std::nullopt);
}

TEST(StatsParserTest, PressureIsInHundredthsOfAPercent) {
  const agent::v1::Pressure pressure = ParsePressure(
      "some avg10=1.53 avg60=0.07 avg300=100.00 total=123\n"
      "full avg10=0.00 avg60=12.00 avg300=3.10 total=45\n");
  EXPECT_EQ(pressure.some_avg10(), 153u);
  EXPECT_EQ(pressure.some_avg60(), 7u);
  EXPECT_EQ(pressure.some_avg300(), 10000u);
  EXPECT_EQ(pressure.some_total_micros(), 123u);
  EXPECT_EQ(pressure.full_avg60(), 1200u);
  EXPECT_EQ(pressure.full_avg300(), 310u);
  EXPECT_EQ(pressure.full_total_micros(), 45u);
}

TEST(StatsParserTest, BrokenPressureIsZeroOrClamped) {
  const agent::v1::Pressure pressure =
      ParsePressure("some avg10=nan avg60=-1 avg300=1e9 total=x\nfull\n=\n");
  EXPECT_EQ(pressure.some_avg10(), 0u);
  EXPECT_EQ(pressure.some_avg60(), 0u);
  EXPECT_EQ(pressure.some_avg300(), 10000u);
  EXPECT_EQ(pressure.some_total_micros(), 0u);
}

}  // namespace
}  // namespace podvisor
