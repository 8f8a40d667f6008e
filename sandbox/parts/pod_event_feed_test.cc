#include "sandbox/parts/pod_event_feed.h"

#include <thread>

#include "gtest/gtest.h"

namespace podvisor {
namespace {

std::vector<PodEvent> Events(const std::vector<std::string>& subjects) {
  std::vector<PodEvent> events;
  for (const std::string& subject : subjects) {
    events.emplace_back().subject_id = subject;
  }
  return events;
}

std::string Next(PodEventFeed::Subscription& from) {
  const auto next = from.Next(absl::InfinitePast());
  if (!next.ok()) return std::string(next.status().message());
  return *next == nullptr ? "" : (*next)->subject_id;
}

TEST(PodEventFeedTest, EachListenerHasEveryEventSinceItCame) {
  PodEventFeed feed;
  feed.Publish(Events({"before"}));
  const auto first = feed.Subscribe([] {}).value();
  feed.Publish(Events({"a", "b"}));
  const auto second = feed.Subscribe([] {}).value();
  feed.Publish(Events({"c"}));

  EXPECT_EQ(Next(*first), "a");
  EXPECT_EQ(Next(*first), "b");
  EXPECT_EQ(Next(*first), "c");
  EXPECT_EQ(Next(*first), "");
  EXPECT_EQ(Next(*second), "c");
  EXPECT_EQ(Next(*second), "");
}

TEST(PodEventFeedTest, AListenerThatDoesNotReadIsCutOffAndCostsNobodyElse) {
  PodEventFeed feed;
  int lost = 0;
  const auto slow = feed.Subscribe([&] { ++lost; }).value();
  const auto quick = feed.Subscribe([] {}).value();
  for (size_t i = 0; i < PodEventFeed::kMaxPending + 1; ++i) {
    feed.Publish(Events({"a"}));
    ASSERT_EQ(Next(*quick), "a");
  }
  for (size_t i = 0; i < PodEventFeed::kMaxPending; ++i) {
    ASSERT_EQ(Next(*slow), "a");
  }

  EXPECT_TRUE(
      absl::IsResourceExhausted(slow->Next(absl::InfinitePast()).status()));
  feed.Publish(Events({"later"}));
  EXPECT_TRUE(
      absl::IsResourceExhausted(slow->Next(absl::InfinitePast()).status()));
  EXPECT_EQ(Next(*quick), "later");
  EXPECT_EQ(lost, 1);
}

TEST(PodEventFeedTest, ThereAreSoManyListenersAndNotMore) {
  PodEventFeed feed;
  std::vector<std::unique_ptr<PodEventFeed::Subscription>> all;
  for (size_t i = 0; i < PodEventFeed::kMaxListeners; ++i) {
    all.push_back(feed.Subscribe([] {}).value());
  }

  EXPECT_TRUE(absl::IsResourceExhausted(feed.Subscribe([] {}).status()));
  all.pop_back();
  EXPECT_TRUE(feed.Subscribe([] {}).ok());
}

TEST(PodEventFeedTest, WhoWaitsHearsOfTheEnd) {
  PodEventFeed feed;
  const auto waits = feed.Subscribe([] {}).value();
  absl::Status heard;
  std::thread thread(
      [&] { heard = waits->Next(absl::InfiniteFuture()).status(); });

  feed.Close();
  thread.join();

  EXPECT_TRUE(absl::IsUnavailable(heard)) << heard;
}

}  // namespace
}  // namespace podvisor
