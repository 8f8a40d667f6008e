#include "sandbox/vm/vcpu_affinity.h"

#include <sched.h>
#include <unistd.h>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "base/clock.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "hotplug/fake_qemu.h"

namespace podvisor {
namespace {

using testing::ElementsAre;

TEST(VcpuAffinityTest, OneToOneWhereTheCountsAgreeAndElseAnywhereInTheSet) {
  struct Case {
    CpuList cpus;
    int plugged;
    int online;
    std::vector<CpuList> affinity;
  };
  const Case kCases[] = {
      {{}, 2, 2, {{}, {}}},
      {{5}, 1, 1, {{5}}},
      {{2, 3}, 1, 1, {{2, 3}}},
      {{2, 7}, 2, 2, {{2}, {7}}},
      {{2, 3}, 3, 3, {{2, 3}, {2, 3}, {2, 3}}},
      // Two are parked.
      {{2, 3}, 4, 2, {{2}, {3}, {2, 3}, {2, 3}}},
      {{2, 3, 4, 5}, 4, 2, std::vector<CpuList>(4, {2, 3, 4, 5})},
      // What was read of QEMU is older than what was read of the guest.
      {{2, 3}, 1, 2, {{2, 3}}},
      {{}, 1, 0, {{}}},
  };
  for (const Case& c : kCases) {
    EXPECT_EQ(DecideVcpuAffinity(c.cpus, c.plugged, c.online), c.affinity)
        << FormatCpuList(c.cpus) << " for " << c.online << " of " << c.plugged;
  }
}

TEST(VcpuAffinityTest, ThreadsComeInTheOrderOfTheGuest) {
  EXPECT_THAT(ParseVcpuThreads(R"([{"cpu-index":1,"thread-id":7,"props":{}},
                                   {"cpu-index":0,"thread-id":9}])")
                  .value(),
              ElementsAre(9, 7));
}

TEST(VcpuAffinityTest, NonsenseIsDataLoss) {
  for (const char* json : {
           "",
           "{}",
           "[]",
           "null",
           "[1]",
           "[[]]",
           R"([{"cpu-index":0}])",
           R"([{"thread-id":5}])",
           R"([{"cpu-index":-1,"thread-id":5}])",
           R"([{"cpu-index":0,"thread-id":0}])",
           R"([{"cpu-index":0,"thread-id":-5}])",
           R"([{"cpu-index":0,"thread-id":"5"}])",
           R"([{"cpu-index":0,"thread-id":5.5}])",
           R"([{"cpu-index":0,"thread-id":4294967301}])",
           R"([{"cpu-index":0,"thread-id":5},{"cpu-index":0,"thread-id":6}])",
           R"([{"cpu-index":0,"thread-id":5},{"cpu-index":1,"thread-id":5}])",
       }) {
    EXPECT_TRUE(absl::IsDataLoss(ParseVcpuThreads(json).status())) << json;
  }
  std::string many = "[";
  for (int i = 1; i <= 4097; ++i) {
    absl::StrAppend(&many, i > 1 ? "," : "", "{\"cpu-index\":", i,
                    ",\"thread-id\":", i, "}");
  }
  EXPECT_TRUE(absl::IsDataLoss(ParseVcpuThreads(many + "]").status()));
}

// A process with one thread, which has the process's number.
class KeepThreadTest : public testing::Test {
 protected:
  void SetUp() override {
    SpawnOptions spawn;
    spawn.argv = {"sleep", "1000"};
    process_ = Spawn(spawn).value();
  }
  void TearDown() override {
    EXPECT_TRUE(KillGroup(process_, absl::Now() + absl::Seconds(10)).ok());
  }
  static CpuList Allowed(pid_t thread) {
    cpu_set_t set;
    EXPECT_EQ(sched_getaffinity(thread, sizeof(set), &set), 0);
    CpuList cpus;
    for (int cpu = 0; cpu < CPU_SETSIZE; ++cpu) {
      if (CPU_ISSET(cpu, &set)) cpus.insert(cpu);
    }
    return cpus;
  }

  ProcessIdentity process_;
};

TEST_F(KeepThreadTest, AThreadIsKeptAndLetGoAgain) {
  const CpuList all = Allowed(0);

  ASSERT_TRUE(KeepThreadTo(process_, process_.pid, {*all.rbegin()}).ok());
  EXPECT_EQ(Allowed(process_.pid), (CpuList{*all.rbegin()}));

  ASSERT_TRUE(KeepThreadTo(process_, process_.pid, {}).ok());
  EXPECT_EQ(Allowed(process_.pid), all);
}

TEST_F(KeepThreadTest, CpusThatAreNotThereAreAnErrorAndChangeNothing) {
  const CpuList all = Allowed(0);

  const absl::Status status =
      KeepThreadTo(process_, process_.pid, {kHighestCpu});

  EXPECT_TRUE(absl::IsFailedPrecondition(status)) << status;
  EXPECT_THAT(std::string(status.message()), testing::HasSubstr("8191"));
  EXPECT_EQ(Allowed(process_.pid), all);
}

TEST_F(KeepThreadTest, AThreadOfAnotherProcessIsLeftAlone) {
  const CpuList all = Allowed(0);

  // Ourselves, as a QEMU that was taken over might name us.
  const absl::Status status = KeepThreadTo(process_, getpid(), {*all.begin()});

  EXPECT_TRUE(absl::IsDataLoss(status)) << status;
  EXPECT_EQ(Allowed(0), all);
}

TEST_F(KeepThreadTest, AProcessThatHasEndedIsUnavailable) {
  ProcessIdentity earlier = process_;
  earlier.start_ticks -= 1;  // the same number, of another process

  EXPECT_TRUE(absl::IsUnavailable(KeepThreadTo(earlier, earlier.pid, {0})));
}

TEST_F(KeepThreadTest, WhatQemuSaysOfItsThreadsIsNotTrusted) {
  FakeClock clock{absl::Now()};
  FakeQemu qemu({}, nullptr, &clock);
  const std::unique_ptr<QmpClient> qmp = qemu.Connect();

  const absl::StatusOr<std::vector<pid_t>> threads =
      QueryVcpuThreads(*qmp, absl::InfiniteFuture());

  // The fake names threads that are not there.
  ASSERT_TRUE(threads.ok());
  EXPECT_TRUE(absl::IsDataLoss(KeepThreadTo(process_, threads->at(0), {0})));
}

}  // namespace
}  // namespace podvisor
