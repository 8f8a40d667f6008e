#include "sandbox/parts/pod_containers.h"

#include <memory>
#include <string>

#include "gtest/gtest.h"

namespace podvisor {
namespace {

std::shared_ptr<Container> Make(const std::string& id, uint32_t attempt,
                                ContainerPhase phase) {
  ContainerRecord record;
  record.id = ContainerId(id);
  record.spec.name = "main";
  record.spec.attempt = attempt;
  record.phase = phase;
  return std::make_shared<Container>(/*store=*/nullptr, record, "");
}

TEST(PodContainersTest, ANameAndAttemptIsThereOnce) {
  PodContainers containers;
  ASSERT_TRUE(containers.Add(Make("a", 0, ContainerPhase::kExited)).ok());

  const absl::Status again =
      containers.Add(Make("b", 0, ContainerPhase::kCreating));

  EXPECT_TRUE(absl::IsAlreadyExists(again));
  EXPECT_EQ(again.message(),
            "container \"main\", attempt 0, is there already: a");
  EXPECT_TRUE(containers.Add(Make("b", 1, ContainerPhase::kCreating)).ok());
}

TEST(PodContainersTest, OneThatIsBeingCreatedIsThereButNotShown) {
  PodContainers containers;
  ASSERT_TRUE(containers.Add(Make("a", 0, ContainerPhase::kCreating)).ok());

  EXPECT_NE(containers.Find(ContainerId("a")), nullptr);
  EXPECT_EQ(containers.All().size(), 1u);
  EXPECT_TRUE(containers.Snapshots().empty());
}

TEST(PodContainersTest, OnlyThoseThatAreBeingCreatedAreTaken) {
  PodContainers containers;
  ASSERT_TRUE(containers.Add(Make("a", 0, ContainerPhase::kRunning)).ok());
  ASSERT_TRUE(containers.Add(Make("b", 1, ContainerPhase::kCreating)).ok());

  const auto taken = containers.TakeCreating();

  ASSERT_EQ(taken.size(), 1u);
  EXPECT_EQ(taken[0]->id().value(), "b");
  EXPECT_EQ(containers.Find(ContainerId("b")), nullptr);
  EXPECT_EQ(containers.All().size(), 1u);
}

}  // namespace
}  // namespace podvisor
