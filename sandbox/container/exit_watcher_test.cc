#include "sandbox/container/exit_watcher.h"

#include <memory>
#include <string>

#include "absl/synchronization/notification.h"
#include "gtest/gtest.h"
#include "guestagent/client/fake_guest_agent.h"

namespace podvisor {
namespace {

const ContainerId kId(std::string(64, 'a'));

// Never comes in a test that ends.
constexpr absl::Duration kLongTime = absl::Hours(1);

void RunContainer(FakeGuestAgent& guest) {
  ASSERT_TRUE(guest.Create(kId, {}, absl::InfiniteFuture()).ok());
  ASSERT_TRUE(guest.Start(kId, absl::InfiniteFuture()).ok());
}

TEST(ExitWatcherTest, AnExitIsHeardAlsoAfterTheConnectionBroke) {
  FakeGuestAgent guest;
  SystemClock clock;
  RunContainer(guest);
  absl::Notification heard;
  ExitWatcherOptions options;
  options.first_retry = absl::Milliseconds(1);
  ExitWatcher watcher(
      &guest,
      [&](const agent::v1::ContainerExit& exit) {
        EXPECT_EQ(exit.exit_code(), 3);
        heard.Notify();
      },
      &clock, options);
  watcher.Start();

  guest.BreakConnection();
  guest.Exit(kId, 3);

  EXPECT_TRUE(heard.WaitForNotificationWithTimeout(absl::Seconds(60)));
  guest.Disconnect();
}

TEST(ExitWatcherTest, AWatchThatFailsIsNotBegunAnewWithoutAPause) {
  FakeGuestOptions broken;
  broken.faults.agent_gone = true;
  FakeGuestAgent guest(broken);
  SystemClock clock;
  ExitWatcherOptions options;
  options.first_retry = kLongTime;
  options.last_retry = kLongTime;
  auto watcher = std::make_unique<ExitWatcher>(
      &guest, [](const agent::v1::ContainerExit&) {}, &clock, options);
  watcher->Start();

  watcher.reset();  // and a pause is not waited for

  EXPECT_LE(guest.calls().size(), 1u);
}

}  // namespace
}  // namespace podvisor
