#include "guestagent/agent/container_exits.h"

#include <string>
#include <thread>
#include <vector>

#include "absl/synchronization/notification.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace podvisor {
namespace {

using ::testing::ElementsAre;

agent::v1::ContainerExit Exit(const std::string& id) {
  agent::v1::ContainerExit exit;
  exit.set_container_id(id);
  return exit;
}

bool Never() { return false; }

TEST(ContainerExitsTest, EveryReaderGetsOldExitsInOrderThenNewOnes) {
  ContainerExits exits;
  exits.Publish(Exit("b"));
  exits.Publish(Exit("a"));
  for (int reader = 0; reader < 2; ++reader) {
    std::vector<std::string> seen;
    absl::Notification old_seen;
    std::thread watcher([&] {
      EXPECT_TRUE(exits
                      .Watch(
                          [&](const agent::v1::ContainerExit& exit) {
                            seen.push_back(exit.container_id());
                            if (seen.size() == 2) old_seen.Notify();
                            return seen.size() < 3;
                          },
                          Never)
                      .ok());
    });
    old_seen.WaitForNotification();
    exits.Publish(Exit("c"));
    watcher.join();
    EXPECT_THAT(seen, ElementsAre("b", "a", "c"));
    exits.Forget("c");
  }
}

TEST(ContainerExitsTest, DeletedContainersAreForgotten) {
  ContainerExits exits;
  exits.Publish(Exit("a"));
  exits.Publish(Exit("b"));
  exits.Forget("a");
  exits.Forget("none");
  std::string seen;
  ASSERT_TRUE(exits
                  .Watch(
                      [&](const agent::v1::ContainerExit& exit) {
                        seen = exit.container_id();
                        return false;
                      },
                      Never)
                  .ok());
  EXPECT_EQ(seen, "b");
}

TEST(ContainerExitsTest, CancelAndCloseEndTheWatch) {
  ContainerExits exits;
  EXPECT_EQ(
      exits.Watch([](const auto&) { return true; }, [] { return true; }).code(),
      absl::StatusCode::kCancelled);
  std::thread watcher([&exits] {
    EXPECT_EQ(exits.Watch([](const auto&) { return true; }, Never).code(),
              absl::StatusCode::kCancelled);
  });
  exits.Close();
  watcher.join();
}

}  // namespace
}  // namespace podvisor
