#include "sandbox/vm/vm_usage.h"

#include <pthread.h>
#include <sys/resource.h>
#include <unistd.h>

#include <thread>

#include "absl/synchronization/notification.h"
#include "gtest/gtest.h"

namespace podvisor {
namespace {

TEST(ThreadStatTest, CountsUserAndSystemTimeOfAVcpuThread) {
  const ThreadTime thread =
      ParseThreadStat(
          "12 (CPU 0/TCG) S 1 2 3 0 -1 64 0 0 0 0 250 50 0 0 20 0 5 0 99 1 2",
          100)
          .value();

  EXPECT_TRUE(thread.is_vcpu);
  EXPECT_EQ(thread.time, absl::Seconds(3));
}

TEST(ThreadStatTest, ANameMayHoldParenthesesAndSpaces) {
  const ThreadTime thread =
      ParseThreadStat("12 (a) b (c) S 1 2 3 0 -1 64 0 0 0 0 100 0 0 0", 100)
          .value();

  EXPECT_FALSE(thread.is_vcpu);
  EXPECT_EQ(thread.time, absl::Seconds(1));
}

TEST(ThreadStatTest, RefusesOtherText) {
  for (const char* text : {"", "12", "12 (x", "12 (x) S 1 2"}) {
    EXPECT_TRUE(absl::IsDataLoss(ParseThreadStat(text, 100).status())) << text;
  }
}

TEST(SmapsRollupTest, TakesRssAndPssAndNoOtherLines) {
  const ProcessUsage usage =
      ParseSmapsRollup(
          "55-7f [rollup]\nRss:  2048 kB\nPss:  1024 kB\nPss_Dirty: 9 kB\n")
          .value();

  EXPECT_EQ(usage.rss_bytes, 2 << 20);
  EXPECT_EQ(usage.pss_bytes, 1 << 20);
  EXPECT_TRUE(absl::IsDataLoss(ParseSmapsRollup("Rss: 1 kB\n").status()));
}

// A thread of this process that has had some CPU time, until End().
class BusyThread {
 public:
  explicit BusyThread(const char* name)
      : thread_([this, name] {
          pthread_setname_np(pthread_self(), name);
          rusage used = {};
          while (used.ru_utime.tv_usec < 50'000 && used.ru_utime.tv_sec == 0) {
            getrusage(RUSAGE_THREAD, &used);
          }
          worked_.Notify();
          end_.WaitForNotification();
        }) {
    worked_.WaitForNotification();
  }
  ~BusyThread() {
    end_.Notify();
    thread_.join();
  }

 private:
  absl::Notification worked_;
  absl::Notification end_;
  std::thread thread_;
};

TEST(MeasureProcessTest, AThreadThatEndsTakesNoTimeAwayFromTheProcess) {
  const ProcessIdentity self = IdentifyProcess(getpid()).value();
  ProcessUsage before;
  {
    const BusyThread worker("worker");
    const BusyThread vcpu("CPU 0/TCG");
    before = MeasureProcess(self).value();
  }
  const ProcessUsage after = MeasureProcess(self).value();

  ASSERT_EQ(before.vcpu_times.size(), 1u);
  EXPECT_GE(before.vcpu_times.begin()->second, absl::Milliseconds(40));
  EXPECT_GE(before.time, absl::Milliseconds(90));
  EXPECT_EQ(after.vcpu_times.size(), 0u);
  EXPECT_GE(after.time, before.time);
}

TEST(MeasureProcessTest, SeesThisProcess) {
  const ProcessUsage usage =
      MeasureProcess(IdentifyProcess(getpid()).value()).value();

  EXPECT_GT(usage.rss_bytes, 0);
  EXPECT_GE(usage.rss_bytes, usage.pss_bytes);
}

}  // namespace
}  // namespace podvisor
