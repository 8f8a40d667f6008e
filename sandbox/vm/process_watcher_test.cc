#include "sandbox/vm/process_watcher.h"

#include <signal.h>
#include <sys/wait.h>

#include "absl/synchronization/notification.h"
#include "absl/time/clock.h"
#include "gtest/gtest.h"

namespace podvisor {
namespace {

constexpr absl::Duration kLong = absl::Seconds(20);

ProcessIdentity Sleeper() {
  SpawnOptions options;
  options.argv = {"sleep", "1000"};
  auto process = Spawn(options);
  EXPECT_TRUE(process.ok()) << process.status();
  return *process;
}

struct Seen {
  absl::Notification done;
  int wait_status = -1;
};

TEST(ProcessWatcherTest, TellsHowAChildEnded) {
  auto watcher = *ProcessWatcher::Create();
  const ProcessIdentity process = Sleeper();
  Seen seen;
  ASSERT_TRUE(watcher
                  ->Watch(process,
                          [&](int status) {
                            seen.wait_status = status;
                            seen.done.Notify();
                          })
                  .ok());
  EXPECT_FALSE(seen.done.HasBeenNotified());

  kill(process.pid, SIGKILL);

  ASSERT_TRUE(seen.done.WaitForNotificationWithTimeout(kLong));
  EXPECT_TRUE(WIFSIGNALED(seen.wait_status));
  EXPECT_EQ(WTERMSIG(seen.wait_status), SIGKILL);
  EXPECT_TRUE(absl::IsNotFound(IdentifyProcess(process.pid).status()));
}

TEST(ProcessWatcherTest, AProcessThatIsGoneIsToldToo) {
  auto watcher = *ProcessWatcher::Create();
  const ProcessIdentity process = Sleeper();
  ASSERT_TRUE(KillGroup(process, absl::Now() + kLong).ok());
  absl::Notification done;

  ASSERT_TRUE(watcher->Watch(process, [&](int) { done.Notify(); }).ok());

  EXPECT_TRUE(done.WaitForNotificationWithTimeout(kLong));
}

TEST(ProcessWatcherTest, AnotherProcessWithThePidIsNotTakenForIt) {
  auto watcher = *ProcessWatcher::Create();
  const ProcessIdentity process = Sleeper();
  absl::Notification done;

  ASSERT_TRUE(watcher
                  ->Watch({process.pid, process.start_ticks - 1},
                          [&](int) { done.Notify(); })
                  .ok());

  EXPECT_TRUE(done.WaitForNotificationWithTimeout(kLong));
  EXPECT_TRUE(IsAlive(process));
  ASSERT_TRUE(KillGroup(process, absl::Now() + kLong).ok());
}

TEST(ProcessWatcherTest, NoCallbackAfterStop) {
  auto watcher = *ProcessWatcher::Create();
  const ProcessIdentity process = Sleeper();
  bool called = false;
  const auto number = watcher->Watch(process, [&](int) { called = true; });
  ASSERT_TRUE(number.ok());

  watcher->Stop();
  ASSERT_TRUE(KillGroup(process, absl::Now() + kLong).ok());
  watcher->Stop();
  watcher->Unwatch(*number);

  EXPECT_FALSE(called);
}

TEST(ProcessWatcherTest, NoCallbackAfterUnwatch) {
  auto watcher = *ProcessWatcher::Create();
  const ProcessIdentity process = Sleeper();
  const ProcessIdentity other = Sleeper();
  bool called = false;
  absl::Notification other_done;
  const auto number = watcher->Watch(process, [&](int) { called = true; });
  ASSERT_TRUE(number.ok());
  ASSERT_TRUE(watcher->Watch(other, [&](int) { other_done.Notify(); }).ok());

  watcher->Unwatch(*number);
  watcher->Unwatch(*number);
  ASSERT_TRUE(KillGroup(process, absl::Now() + kLong).ok());
  ASSERT_TRUE(KillGroup(other, absl::Now() + kLong).ok());

  ASSERT_TRUE(other_done.WaitForNotificationWithTimeout(kLong));
  EXPECT_FALSE(called);
}

TEST(ProcessWatcherTest, UnwatchWaitsForTheCallback) {
  auto watcher = *ProcessWatcher::Create();
  const ProcessIdentity process = Sleeper();
  absl::Notification entered, leave;
  bool finished = false;
  const auto number = watcher->Watch(process, [&](int) {
    entered.Notify();
    leave.WaitForNotification();
    finished = true;
  });
  ASSERT_TRUE(KillGroup(process, absl::Now() + kLong).ok());
  entered.WaitForNotification();
  std::thread releaser([&] { leave.Notify(); });

  watcher->Unwatch(*number);

  EXPECT_TRUE(finished);
  releaser.join();
}

TEST(ProcessWatcherTest, ACallbackMayUnwatchItself) {
  auto watcher = *ProcessWatcher::Create();
  const ProcessIdentity process = Sleeper();
  absl::Notification done;
  uint64_t number = 0;
  absl::Notification known;
  number = *watcher->Watch(process, [&](int) {
    known.WaitForNotification();
    watcher->Unwatch(number);
    done.Notify();
  });
  known.Notify();

  ASSERT_TRUE(KillGroup(process, absl::Now() + kLong).ok());

  EXPECT_TRUE(done.WaitForNotificationWithTimeout(kLong));
}

}  // namespace
}  // namespace podvisor
