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

TEST(StatsParserTest, FiguresThatAFileDoesNotTellAreLeftOutAndZeroesAreNot) {
  agent::v1::ContainerStats stats;
  ParseContainerStats({.cpu_stat = "usage_usec 1\nnr_periods 0\n"
                                   "throttled_usec 18446744073709551615\n",
                       .cpu_max = "max",
                       .memory_events = "max x\noom_kill 0\n",
                       .memory_pressure = "some total=1"},
                      &stats);
  EXPECT_TRUE(stats.has_cpu_periods());
  EXPECT_FALSE(stats.has_cpu_throttled_nanos());
  EXPECT_FALSE(stats.has_cpu_user_nanos());
  EXPECT_FALSE(stats.has_cpu_period_micros());
  EXPECT_FALSE(stats.has_memory_limit_hits());
  EXPECT_TRUE(stats.has_oom_kills());
  EXPECT_TRUE(stats.has_memory_pressure());
  EXPECT_FALSE(stats.has_io_pressure());
}

TEST(StatsParserTest, IoIsToldForEachDeviceUpToABound) {
  const auto devices = ParseIoStat(
      "254:0 rbytes=10 wbytes=20 rios=1 wios=2 dbytes=0 dios=0\n"
      "8:16 \nnonsense\n7: rbytes=1\n-1:2 rbytes=1\n254:32 rios=x wios=5\n");
  ASSERT_EQ(devices.size(), 3u);
  EXPECT_EQ(devices[0].major_number(), 254u);
  EXPECT_EQ(devices[0].read_bytes(), 10u);
  EXPECT_EQ(devices[0].written_bytes(), 20u);
  EXPECT_EQ(devices[0].reads(), 1u);
  EXPECT_EQ(devices[0].writes(), 2u);
  EXPECT_EQ(devices[1].minor_number(), 16u);
  EXPECT_EQ(devices[2].reads(), 0u);
  EXPECT_EQ(devices[2].writes(), 5u);

  std::string many;
  for (int i = 0; i < 1000; ++i) {
    many += "254:" + std::to_string(i) + " rios=1\n";
  }
  EXPECT_EQ(ParseIoStat(many).size(), 64u);
  EXPECT_TRUE(ParseIoStat("").empty());
}

TEST(StatsParserTest, InterfacesOfAContainersChoiceAreBounded) {
  const std::string figures = ": 1 2 3 4 0 0 0 0 5 6 7 8 0 0 0 0\n";
  std::string text = "lo" + figures + "eth0" + figures + "\x01\xff" + figures +
                     "a/b" + figures + "short: 1 2 3\nbad: x 2 3 4 5 6\n\n:\n";
  for (int i = 0; i < 1000; ++i) {
    text += "veth" + std::to_string(i) + figures;
  }
  const auto interfaces = ParseNetDev(text);
  ASSERT_EQ(interfaces.size(), 16u);
  EXPECT_EQ(interfaces[0].name(), "eth0");
  EXPECT_EQ(interfaces[0].receive_bytes(), 1u);
  EXPECT_EQ(interfaces[0].receive_errors(), 3u);
  EXPECT_EQ(interfaces[0].transmit_packets(), 6u);
  EXPECT_EQ(interfaces[0].transmit_dropped(), 8u);
  EXPECT_EQ(interfaces[1].name(), "veth0");
}

TEST(StatsParserTest, ProcessesAreThoseWithANumberHere) {
  EXPECT_EQ(ParseProcesses("12\n0\n-3\nx\n7\n"), (std::vector<pid_t>{12, 7}));
  EXPECT_TRUE(ParseProcesses("").empty());
}

}  // namespace
}  // namespace podvisor
