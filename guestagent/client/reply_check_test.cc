#include "guestagent/client/reply_check.h"

#include <cstdint>
#include <functional>
#include <limits>
#include <string>
#include <vector>

#include "gtest/gtest.h"

namespace podvisor {
namespace {

using agent::v1::ContainerExit;
using agent::v1::ContainerState;
using agent::v1::ContainerStats;
using agent::v1::OutputChunk;

constexpr int64_t kMiB = 1 << 20;
const absl::Time kNow = absl::FromUnixSeconds(1'700'000'000);
const std::string kId(64, 'a');

agent::v1::GuestResources GoodResources() {
  agent::v1::GuestResources reply;
  reply.set_cpus_online(2);
  reply.set_cpus_present(4);
  reply.set_memory_total_bytes(512 * kMiB);
  reply.set_memory_total_at_boot_bytes(256 * kMiB);
  reply.set_memory_available_bytes(100 * kMiB);
  reply.set_memory_block_bytes(128 * kMiB);
  reply.set_memory_free_bytes(60 * kMiB);
  return reply;
}

TEST(CheckHelloTest, TextsAreCleanedAndCut) {
  agent::v1::HelloResponse reply;
  reply.set_protocol_version(1);
  reply.set_agent_version("1.0\n\x1b[0m");
  reply.set_kernel_release(std::string(100'000, 'k'));
  reply.set_uptime_nanos(-5);

  ASSERT_TRUE(CheckHello(&reply).ok());

  EXPECT_EQ(reply.agent_version().find('\n'), std::string::npos);
  EXPECT_LE(reply.kernel_release().size(), 260u);
  EXPECT_EQ(reply.uptime_nanos(), 0);
}

TEST(CheckHelloTest, AnotherProtocolIsFailedPrecondition) {
  for (const uint32_t version : {0u, 2u, 0xffffffffu}) {
    agent::v1::HelloResponse reply;
    reply.set_protocol_version(version);

    EXPECT_TRUE(absl::IsFailedPrecondition(CheckHello(&reply)));
  }
}

TEST(CheckGuestResourcesTest, SensibleSizesPass) {
  const GuestSize expected = {.cpus_online = 2,
                              .cpus_present = 4,
                              .memory_total_bytes = 512 * kMiB,
                              .memory_total_at_boot_bytes = 256 * kMiB,
                              .memory_available_bytes = 100 * kMiB,
                              .memory_block_bytes = 128 * kMiB,
                              .memory_free_bytes = 60 * kMiB};

  EXPECT_EQ(*CheckGuestResources(GoodResources()), expected);
}

TEST(CheckGuestResourcesTest, AvailableAndFreeMemoryNeverExceedTheTotal) {
  agent::v1::GuestResources reply = GoodResources();
  reply.set_memory_available_bytes(600 * kMiB);
  reply.set_memory_free_bytes(601 * kMiB);

  EXPECT_EQ(CheckGuestResources(reply)->memory_available_bytes, 512 * kMiB);
  EXPECT_EQ(CheckGuestResources(reply)->memory_free_bytes, 512 * kMiB);
}

TEST(CheckGuestResourcesTest, ImpossibleSizesAreDataLoss) {
  using Reply = agent::v1::GuestResources;
  constexpr int64_t kHuge = std::numeric_limits<int64_t>::max();
  const std::vector<std::function<void(Reply&)>> lies = {
      [](Reply& r) { r.Clear(); },
      [](Reply& r) { r.set_cpus_online(0); },
      [](Reply& r) { r.set_cpus_online(5); },
      [](Reply& r) { r.set_cpus_present(0xffffffff); },
      [](Reply& r) { r.set_memory_total_bytes(0); },
      [](Reply& r) { r.set_memory_total_bytes(-1); },
      [](Reply& r) { r.set_memory_total_bytes(kHuge); },
      [](Reply& r) { r.set_memory_total_at_boot_bytes(0); },
      [](Reply& r) { r.set_memory_total_at_boot_bytes(kHuge); },
      [](Reply& r) { r.set_memory_available_bytes(-1); },
      [](Reply& r) { r.set_memory_available_bytes(kHuge); },
      [](Reply& r) { r.set_memory_free_bytes(-1); },
      [](Reply& r) { r.set_memory_free_bytes(kHuge); },
      [](Reply& r) { r.set_memory_block_bytes(-128 * kMiB); },
      [](Reply& r) { r.set_memory_block_bytes(100 * kMiB); },
      [](Reply& r) { r.set_memory_block_bytes(int64_t{1} << 62); },
  };
  for (size_t i = 0; i < lies.size(); ++i) {
    Reply reply = GoodResources();
    lies[i](reply);

    EXPECT_TRUE(absl::IsDataLoss(CheckGuestResources(reply).status())) << i;
  }
}

TEST(CheckCreatedTest, UsersAndGroupsAreThirtyTwoBits) {
  agent::v1::CreateContainerResponse reply;
  reply.set_uid(4'294'967'294);
  reply.add_supplemental_groups(0);
  EXPECT_TRUE(CheckCreated(reply).ok());

  reply.set_uid(-1);
  EXPECT_TRUE(absl::IsDataLoss(CheckCreated(reply)));
  reply.set_uid(0);
  reply.set_gid(4'294'967'295);
  EXPECT_TRUE(absl::IsDataLoss(CheckCreated(reply)));
  reply.set_gid(0);
  reply.add_supplemental_groups(-7);
  EXPECT_TRUE(absl::IsDataLoss(CheckCreated(reply)));
  reply.clear_supplemental_groups();
  for (int i = 0; i <= 65536; ++i) reply.add_supplemental_groups(i);
  EXPECT_TRUE(absl::IsDataLoss(CheckCreated(reply)));
}

TEST(CheckExitTest, TimesAreMovedIntoThePast) {
  const struct {
    int64_t told;
    int64_t expected;
  } cases[] = {
      {-1, 0},
      {5, 5},
      {std::numeric_limits<int64_t>::max(), absl::ToUnixNanos(kNow)},
  };
  for (const auto& c : cases) {
    ContainerExit exit;
    exit.set_container_id(kId);
    exit.set_finished_at_unix_nanos(c.told);

    ASSERT_TRUE(CheckExit(kNow, &exit).ok());

    EXPECT_EQ(exit.finished_at_unix_nanos(), c.expected);
  }
}

TEST(CheckExitTest, BadIdsAndCodesAreDataLoss) {
  ContainerExit exit;
  exit.set_container_id("../../etc");
  EXPECT_TRUE(absl::IsDataLoss(CheckExit(kNow, &exit)));
  exit.set_container_id(kId);
  for (const int code : {-1, 256, std::numeric_limits<int>::min()}) {
    exit.set_exit_code(code);
    EXPECT_TRUE(absl::IsDataLoss(CheckExit(kNow, &exit))) << code;
  }
}

TEST(CheckContainersTest, OnlyExitedContainersHaveAnExit) {
  agent::v1::ListContainersResponse reply;
  ContainerState* running = reply.add_containers();
  running->set_container_id(kId);
  running->set_state(ContainerState::RUNNING);
  running->mutable_exit()->set_exit_code(0);

  EXPECT_FALSE(CheckContainers(kNow, reply)->at(0).has_exit());
}

TEST(CheckContainersTest, ContradictionsAreDataLoss) {
  agent::v1::ListContainersResponse reply;
  ContainerState* state = reply.add_containers();
  state->set_container_id(kId);
  EXPECT_TRUE(absl::IsDataLoss(CheckContainers(kNow, reply).status()))
      << "no state";
  state->set_state(ContainerState::EXITED);
  EXPECT_TRUE(absl::IsDataLoss(CheckContainers(kNow, reply).status()))
      << "no exit";
  state->mutable_exit()->set_container_id(std::string(64, 'b'));
  EXPECT_TRUE(absl::IsDataLoss(CheckContainers(kNow, reply).status()))
      << "another's exit";
  state->mutable_exit()->set_container_id(kId);
  EXPECT_TRUE(CheckContainers(kNow, reply).ok());
  *reply.add_containers() = reply.containers(0);
  EXPECT_TRUE(absl::IsDataLoss(CheckContainers(kNow, reply).status()))
      << "twice";
}

TEST(CheckContainersTest, TooManyContainersAreDataLoss) {
  agent::v1::ListContainersResponse reply;
  for (int i = 0; i < 100'000; ++i) reply.add_containers();

  EXPECT_TRUE(absl::IsDataLoss(CheckContainers(kNow, reply).status()));
}

agent::v1::GetStatsResponse GoodStats() {
  agent::v1::GetStatsResponse reply;
  *reply.mutable_resources() = GoodResources();
  ContainerStats* stats = reply.add_containers();
  stats->set_container_id(kId);
  stats->set_memory_usage_bytes(kMiB);
  return reply;
}

TEST(CheckStatsTest, FiguresAreClamped) {
  agent::v1::GetStatsResponse reply = GoodStats();
  reply.mutable_cpu_pressure()->set_some_avg10(4'000'000'000);
  reply.mutable_io_pressure()->set_full_total_micros(~uint64_t{0});
  reply.mutable_containers(0)->set_timestamp_unix_nanos(
      std::numeric_limits<int64_t>::max());
  reply.mutable_containers(0)->set_memory_limit_bytes(~uint64_t{0});

  ASSERT_TRUE(CheckStats(kNow, &reply).ok());

  EXPECT_EQ(reply.cpu_pressure().some_avg10(), 10'000u);
  EXPECT_EQ(reply.io_pressure().full_total_micros(), ~uint64_t{0} >> 1);
  EXPECT_EQ(reply.containers(0).timestamp_unix_nanos(),
            absl::ToUnixNanos(kNow));
  EXPECT_EQ(reply.containers(0).memory_limit_bytes(), ~uint64_t{0} >> 1);
}

TEST(CheckStatsTest, AFullReplyPassesAndItsLimitsAndPressuresAreClamped) {
  agent::v1::GetStatsResponse reply = GoodStats();
  ContainerStats* stats = reply.mutable_containers(0);
  stats->set_memory_swap_limit_bytes(~uint64_t{0});
  stats->set_memory_low_bytes(~uint64_t{0});
  stats->mutable_memory_pressure()->set_full_avg60(4'000'000'000);
  auto* device = stats->add_block_devices();
  device->set_name("vda");
  device->set_major_number(254);
  stats->add_huge_pages()->set_size("2MB");
  reply.add_interfaces()->set_name("eth0");
  reply.mutable_scratch()->set_device("vdb");
  reply.mutable_scratch()->set_inodes(2);
  reply.mutable_scratch()->set_free_inodes(1);

  ASSERT_TRUE(CheckStats(kNow, &reply).ok());

  EXPECT_EQ(stats->memory_swap_limit_bytes(), ~uint64_t{0} >> 1);
  EXPECT_EQ(stats->memory_low_bytes(), ~uint64_t{0} >> 1);
  EXPECT_EQ(stats->memory_pressure().full_avg60(), 10'000u);
  EXPECT_FALSE(stats->has_cpu_pressure());
  EXPECT_FALSE(stats->has_cpu_user_nanos());
}

TEST(CheckStatsTest, ImpossibleFiguresAreDataLoss) {
  using Reply = agent::v1::GetStatsResponse;
  constexpr uint64_t kHuge = std::numeric_limits<uint64_t>::max();
  const std::vector<std::function<void(Reply&)>> lies = {
      [](Reply& r) { r.clear_resources(); },
      [](Reply& r) { r.set_cpu_usage_nanos(kHuge); },
      [](Reply& r) { r.mutable_containers(0)->set_container_id("x"); },
      [](Reply& r) { *r.add_containers() = r.containers(0); },
      [](Reply& r) { r.mutable_containers(0)->set_cpu_usage_nanos(kHuge); },
      [](Reply& r) { r.mutable_containers(0)->set_memory_usage_bytes(kHuge); },
      [](Reply& r) { r.mutable_containers(0)->set_memory_rss_bytes(kHuge); },
      [](Reply& r) { r.mutable_containers(0)->set_pids(kHuge); },
      [](Reply& r) {
        r.mutable_containers(0)->set_writable_layer_bytes(kHuge);
      },
      [](Reply& r) {
        r.mutable_containers(0)->set_writable_layer_inodes(kHuge);
      },
      [](Reply& r) { r.mutable_containers(0)->set_cpu_user_nanos(kHuge); },
      [](Reply& r) { r.mutable_containers(0)->set_memory_peak_bytes(kHuge); },
      [](Reply& r) { r.mutable_containers(0)->set_processes(kMiB * kMiB); },
      [](Reply& r) { r.mutable_containers(0)->set_file_descriptors(kHuge); },
      [](Reply& r) { r.mutable_containers(0)->add_block_devices(); },
      [](Reply& r) {
        r.mutable_containers(0)->add_block_devices()->set_name("../x");
      },
      [](Reply& r) {
        auto* device = r.mutable_containers(0)->add_block_devices();
        device->set_name("vda");
        device->set_writes(kHuge);
      },
      [](Reply& r) {
        for (int i = 0; i < 2; ++i) {
          r.mutable_containers(0)->add_block_devices()->set_name("vda");
        }
      },
      [](Reply& r) {
        for (uint32_t i = 0; i < 65; ++i) {
          auto* device = r.mutable_containers(0)->add_block_devices();
          device->set_name("vda" + std::to_string(i));
        }
      },
      [](Reply& r) {
        r.mutable_containers(0)->add_huge_pages()->set_size("\xff");
      },
      [](Reply& r) {
        auto* pages = r.mutable_containers(0)->add_huge_pages();
        pages->set_size("2MB");
        pages->set_bytes(kHuge);
      },
      [](Reply& r) { r.add_interfaces(); },
      [](Reply& r) { r.add_interfaces()->set_name(std::string(33, 'a')); },
      [](Reply& r) {
        for (int i = 0; i < 2; ++i) r.add_interfaces()->set_name("eth0");
      },
      [](Reply& r) {
        for (int i = 0; i < 17; ++i) {
          r.add_interfaces()->set_name("eth" + std::to_string(i));
        }
      },
      [](Reply& r) {
        r.add_interfaces()->set_name("eth0");
        r.mutable_interfaces(0)->set_transmit_dropped(kHuge);
      },
      [](Reply& r) { r.mutable_scratch(); },
      [](Reply& r) {
        r.mutable_scratch()->set_device("vdb");
        r.mutable_scratch()->set_bytes(kHuge);
      },
      [](Reply& r) {
        r.mutable_scratch()->set_device("vdb");
        r.mutable_scratch()->set_free_inodes(1);
      },
  };
  for (size_t i = 0; i < lies.size(); ++i) {
    Reply reply = GoodStats();
    lies[i](reply);

    EXPECT_TRUE(absl::IsDataLoss(CheckStats(kNow, &reply))) << i;
  }
}

OutputChunk Chunk(OutputChunk::Stream stream, uint64_t offset,
                  const std::string& data, bool eof = false) {
  OutputChunk chunk;
  chunk.set_stream(stream);
  chunk.set_offset(offset);
  chunk.set_data(data);
  chunk.set_eof(eof);
  return chunk;
}

agent::v1::ReadCgroupResponse CgroupReply() {
  agent::v1::ReadCgroupResponse reply;
  reply.mutable_resources()->set_cpu_quota_micros(-1);
  reply.mutable_resources()->set_cpu_period_micros(100'000);
  reply.mutable_resources()->set_memory_limit_bytes(-1);
  reply.mutable_resources()->set_cpuset_cpus("0-3");
  reply.set_cpu_weight(100);
  (*reply.mutable_resources()->mutable_unified())["memory.high"] = "max";
  return reply;
}

TEST(CheckCgroupTest, CgroupsThatCannotBeAreDataLoss) {
  const std::vector<std::string> asked = {"memory.high", "memory.low"};
  EXPECT_TRUE(CheckCgroup(asked, CgroupReply()).ok());
  EXPECT_TRUE(CheckCgroup({}, {}).ok());
  EXPECT_TRUE(absl::IsDataLoss(CheckCgroup({}, CgroupReply())));
  using Reply = agent::v1::ReadCgroupResponse;
  const std::vector<void (*)(Reply&)> bad = {
      [](Reply& r) { r.mutable_resources()->set_cpu_quota_micros(-2); },
      [](Reply& r) { r.mutable_resources()->set_cpu_period_micros(-1); },
      [](Reply& r) { r.mutable_resources()->set_cpu_period_micros(1 << 30); },
      [](Reply& r) { r.mutable_resources()->set_memory_limit_bytes(-2); },
      [](Reply& r) { r.mutable_resources()->set_cpuset_cpus("0-"); },
      [](Reply& r) { r.set_cpu_weight(-1); },
      [](Reply& r) { r.set_cpu_weight(10'001); },
      [](Reply& r) {
        (*r.mutable_resources()->mutable_unified())["memory.low"] = "\x1b[2J";
      },
      [](Reply& r) {
        (*r.mutable_resources()->mutable_unified())["memory.low"] =
            std::string(5000, '1');
      },
  };
  for (size_t i = 0; i < bad.size(); ++i) {
    Reply reply = CgroupReply();
    bad[i](reply);
    EXPECT_TRUE(absl::IsDataLoss(CheckCgroup(asked, reply))) << i;
  }
}

TEST(OutputCheckerTest, FollowsBothStreamsToTheirEnds) {
  OutputChecker checker({.stdout_bytes = 10, .stderr_bytes = 0});

  EXPECT_TRUE(checker.Check(Chunk(OutputChunk::STDOUT, 10, "abc")).ok());
  EXPECT_TRUE(checker.Check(Chunk(OutputChunk::STDERR, 0, "", true)).ok());
  EXPECT_FALSE(checker.finished());
  EXPECT_TRUE(checker.Check(Chunk(OutputChunk::STDOUT, 13, "d", true)).ok());

  EXPECT_TRUE(checker.finished());
  EXPECT_EQ(checker.received(), (OutputOffsets{14, 0}));
}

TEST(OutputCheckerTest, BrokenStreamsAreDataLoss) {
  const OutputOffsets begin = {100, 0};
  const OutputChunk bad[] = {
      Chunk(OutputChunk::STDOUT, 101, "gap"),
      Chunk(OutputChunk::STDOUT, 99, "twice"),
      Chunk(OutputChunk::STDERR, 100, "other stream"),
      Chunk(OutputChunk::STREAM_UNSPECIFIED, 0, "x"),
      Chunk(OutputChunk::STDOUT, 100, ""),
      Chunk(OutputChunk::STDOUT, 100, std::string((64 << 10) + 1, 'x')),
  };
  for (size_t i = 0; i < std::size(bad); ++i) {
    OutputChecker checker(begin);

    EXPECT_TRUE(absl::IsDataLoss(checker.Check(bad[i]))) << i;
    EXPECT_EQ(checker.received(), begin) << i;
  }
}

TEST(OutputCheckerTest, NothingMayFollowTheEnd) {
  OutputChecker checker({});
  ASSERT_TRUE(checker.Check(Chunk(OutputChunk::STDOUT, 0, "a", true)).ok());

  EXPECT_TRUE(
      absl::IsDataLoss(checker.Check(Chunk(OutputChunk::STDOUT, 1, "b"))));
}

}  // namespace
}  // namespace podvisor
