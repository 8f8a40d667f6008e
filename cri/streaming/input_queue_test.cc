#include "cri/streaming/input_queue.h"

#include <string>
#include <thread>

#include "gtest/gtest.h"

namespace podvisor {
namespace {

using Kind = StreamPeer::Input::Kind;

StreamPeer::Input Data(size_t bytes) {
  return {.kind = Kind::kData, .data = std::string(bytes, 'x')};
}

class InputQueueTest : public testing::Test {
 protected:
  InputQueue queue_{[](bool, absl::string_view) { return absl::OkStatus(); }};
};

TEST_F(InputQueueTest, KeepsTheOrder) {
  EXPECT_TRUE(queue_.Push(Data(1), absl::ZeroDuration()));
  EXPECT_TRUE(queue_.Push({.kind = Kind::kEndOfData}, absl::ZeroDuration()));

  EXPECT_EQ(queue_.NextInput().data, "x");
  EXPECT_EQ(queue_.NextInput().kind, Kind::kEndOfData);
}

TEST_F(InputQueueTest, IsBounded) {
  size_t taken = 0;
  while (queue_.Push(Data(1000), absl::ZeroDuration())) ++taken;
  EXPECT_LE(taken * 1000, InputQueue::kMaxBytes);

  queue_.NextInput();
  EXPECT_TRUE(queue_.Push(Data(1000), absl::ZeroDuration()));
}

TEST_F(InputQueueTest, IsBoundedForInputsWithoutData) {
  size_t taken = 0;
  while (queue_.Push({.kind = Kind::kResize}, absl::ZeroDuration())) ++taken;

  EXPECT_LE(taken, InputQueue::kMaxBytes / InputQueue::kInputBytes);
}

TEST_F(InputQueueTest, TellsAWaitingGuestThatTheClientLeft) {
  std::thread client([this] { queue_.HangUp(); });

  EXPECT_EQ(queue_.NextInput().kind, Kind::kGone);

  client.join();
  EXPECT_TRUE(queue_.Push(Data(1 << 20), absl::ZeroDuration()));
}

TEST_F(InputQueueTest, TellsAGuestThatTakesNoInputThatTheClientLeft) {
  int told = 0;
  queue_.OnGone([&] { ++told; });
  queue_.HangUp();
  queue_.HangUp();
  EXPECT_EQ(told, 1);

  queue_.OnGone([&] { ++told; });
  EXPECT_EQ(told, 2) << "it had left before";
  queue_.OnGone(nullptr);
}

TEST_F(InputQueueTest, FreesAClientThatWaitsForAGuestThatStopped) {
  ASSERT_TRUE(queue_.Push(Data(InputQueue::kMaxBytes), absl::ZeroDuration()));
  std::thread guest([this] { queue_.StopInput(); });

  EXPECT_TRUE(queue_.Push(Data(1), absl::Seconds(20)));

  guest.join();
  EXPECT_EQ(queue_.NextInput().kind, Kind::kStopped);
}

}  // namespace
}  // namespace podvisor
