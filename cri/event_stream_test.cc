#include "cri/event_stream.h"

#include "absl/synchronization/notification.h"
#include "gtest/gtest.h"

namespace podvisor {
namespace {

PodEvent Event(PodEventKind kind) {
  PodEvent event;
  event.kind = kind;
  event.subject_id = "c1";
  event.at = absl::FromUnixNanos(1234);
  event.pod.id = PodId("p1");
  event.pod.spec.metadata.name = "web";
  event.pod.state = SandboxState::kReady;
  event.pod.created_at = absl::FromUnixSeconds(1);
  ContainerSnapshot& container = event.containers.emplace_back();
  container.id = ContainerId("c1");
  container.phase = ContainerPhase::kRunning;
  return event;
}

TEST(EventStreamTest, AnEventSaysHowThePodIs) {
  const runtime::v1::ContainerEventResponse response =
      ToContainerEvent(Event(PodEventKind::kStarted));

  EXPECT_EQ(response.container_id(), "c1");
  EXPECT_EQ(response.container_event_type(),
            runtime::v1::CONTAINER_STARTED_EVENT);
  EXPECT_EQ(response.created_at(), 1234);
  EXPECT_EQ(response.pod_sandbox_status().metadata().name(), "web");
  EXPECT_EQ(response.pod_sandbox_status().state(), runtime::v1::SANDBOX_READY);
  ASSERT_EQ(response.containers_statuses_size(), 1);
  EXPECT_EQ(response.containers_statuses(0).state(),
            runtime::v1::CONTAINER_RUNNING);
}

TEST(EventStreamTest, AStreamEndsWithItsClientOrTheDaemon) {
  PodEventFeed feed;
  SystemClock clock;
  int written = 0;
  const auto never_gone = [] { return false; };
  const auto one_only = [&](const auto&) { return ++written < 2; };

  // The first look of the client comes after the subscription.
  bool looked = false;
  const auto publish_once = [&] {
    if (!looked) {
      feed.Publish(
          {Event(PodEventKind::kStopped), Event(PodEventKind::kDeleted)});
    }
    looked = true;
    return false;
  };
  EXPECT_TRUE(StreamEvents(
                  feed, clock, [] {}, publish_once, one_only)
                  .ok());
  EXPECT_EQ(written, 2);

  EXPECT_TRUE(StreamEvents(
                  feed, clock, [] {}, [] { return true; }, one_only)
                  .ok());

  feed.Close();
  EXPECT_TRUE(absl::IsUnavailable(StreamEvents(
      feed, clock, [] {}, never_gone, one_only)));
}

TEST(EventStreamTest, AClientThatDoesNotReadIsCutOff) {
  PodEventFeed feed;
  SystemClock clock;
  absl::Notification cut_off;
  const auto write_until_cut_off = [&](const auto&) {
    // Nobody reads, and meanwhile more happens than is kept.
    for (size_t i = 0; i < PodEventFeed::kMaxPending + 2; ++i) {
      feed.Publish({Event(PodEventKind::kStopped)});
    }
    return !cut_off.WaitForNotificationWithTimeout(absl::Seconds(20));
  };
  bool looked = false;
  const auto publish_once = [&] {
    if (!looked) feed.Publish({Event(PodEventKind::kStarted)});
    looked = true;
    return false;
  };

  EXPECT_TRUE(StreamEvents(
                  feed, clock, [&] { cut_off.Notify(); }, publish_once,
                  write_until_cut_off)
                  .ok());
  EXPECT_TRUE(cut_off.HasBeenNotified());
}

}  // namespace
}  // namespace podvisor
