#include "cri/filters.h"

#include <string>

#include "gtest/gtest.h"

namespace podvisor {
namespace {

PodSnapshot Pod(const std::string& id, SandboxState state,
                std::map<std::string, std::string> labels = {}) {
  PodSnapshot pod;
  pod.id = PodId(id);
  pod.state = state;
  pod.spec.labels = std::move(labels);
  return pod;
}

ContainerSnapshot Container(const std::string& id, const std::string& pod,
                            ContainerPhase phase) {
  ContainerSnapshot container;
  container.id = ContainerId(id);
  container.pod = PodId(pod);
  container.phase = phase;
  return container;
}

const std::vector<PodSnapshot>& Pods() {
  static const auto& pods = *new std::vector<PodSnapshot>{
      Pod("abc1", SandboxState::kReady, {{"app", "web"}, {"tier", "x"}}),
      Pod("abd2", SandboxState::kStopped, {{"app", "web"}}),
      Pod("ffff", SandboxState::kCreating, {{"app", "web"}}),
      Pod("eeee", SandboxState::kStopping),
  };
  return pods;
}

std::string Matching(const runtime::v1::PodSandboxFilter& filter) {
  std::string ids;
  for (const PodSnapshot* pod : FilterPods(filter, Pods())) {
    ids += pod->id.value() + " ";
  }
  return ids;
}

TEST(FiltersTest, EmptyFilterListsAllButThoseBeingCreated) {
  EXPECT_EQ(Matching({}), "abc1 abd2 eeee ");
}

TEST(FiltersTest, StateSeparatesReadyFromAllOthers) {
  runtime::v1::PodSandboxFilter filter;
  filter.mutable_state()->set_state(runtime::v1::SANDBOX_READY);
  EXPECT_EQ(Matching(filter), "abc1 ");

  filter.mutable_state()->set_state(runtime::v1::SANDBOX_NOTREADY);
  EXPECT_EQ(Matching(filter), "abd2 eeee ");
}

TEST(FiltersTest, LabelsAreAnded) {
  runtime::v1::PodSandboxFilter filter;
  (*filter.mutable_label_selector())["app"] = "web";
  EXPECT_EQ(Matching(filter), "abc1 abd2 ");

  (*filter.mutable_label_selector())["tier"] = "x";
  EXPECT_EQ(Matching(filter), "abc1 ");

  filter.set_id("abd");
  EXPECT_EQ(Matching(filter), "");
}

TEST(FiltersTest, PrefixMustBeUnique) {
  runtime::v1::PodSandboxFilter filter;
  filter.set_id("abc");
  EXPECT_EQ(Matching(filter), "abc1 ");

  filter.set_id("ab");
  EXPECT_EQ(Matching(filter), "");

  filter.set_id("nothing");
  EXPECT_EQ(Matching(filter), "");
}

TEST(FiltersTest, AWholeIdWinsOverLongerOnes) {
  const std::vector<PodSnapshot> pods = {Pod("abc1", SandboxState::kReady),
                                         Pod("abc", SandboxState::kReady),
                                         Pod("abc2", SandboxState::kReady)};
  runtime::v1::PodSandboxFilter filter;
  filter.set_id("abc");

  const auto matches = FilterPods(filter, pods);

  ASSERT_EQ(matches.size(), 1u);
  EXPECT_EQ(matches[0]->id.value(), "abc");
}

TEST(FiltersTest, ContainersOfAPodByItsPrefix) {
  const std::vector<ContainerSnapshot> containers = {
      Container("1a", "abc1", ContainerPhase::kCreated),
      Container("2a", "abc1", ContainerPhase::kRunning),
      Container("3a", "abd2", ContainerPhase::kExited),
      Container("4a", "abd2", ContainerPhase::kCreating),
  };
  // Two pods begin with "ab", though the second has no container left.
  const std::vector<PodId> pods = {PodId("abc1"), PodId("abd2"), PodId("b0")};
  const auto matching = [&](const runtime::v1::ContainerFilter& filter) {
    std::string ids;
    for (const auto* container : FilterContainers(filter, containers, pods)) {
      ids += container->id.value() + " ";
    }
    return ids;
  };

  runtime::v1::ContainerFilter filter;
  EXPECT_EQ(matching(filter), "1a 2a 3a ");
  filter.set_pod_sandbox_id("abc");
  EXPECT_EQ(matching(filter), "1a 2a ");
  filter.mutable_state()->set_state(runtime::v1::CONTAINER_RUNNING);
  EXPECT_EQ(matching(filter), "2a ");
  filter.set_pod_sandbox_id("ab");
  EXPECT_EQ(matching(filter), "");
}

TEST(FiltersTest, StatsAreOfRunningContainersOnlySampledOrNot) {
  std::vector<ContainerStatsSnapshot> stats(3);
  for (int i = 0; i < 3; ++i) {
    stats[i].id = ContainerId(std::string(1, static_cast<char>('a' + i)));
    stats[i].phase = ContainerPhase::kRunning;
    stats[i].usage.timestamp = absl::UnixEpoch();
  }
  stats[1].phase = ContainerPhase::kExited;
  stats[2].usage.timestamp = absl::InfinitePast();

  const auto matches = FilterStats({}, stats, {});

  ASSERT_EQ(matches.size(), 2u);
  EXPECT_EQ(matches[0]->id.value(), "a");
  EXPECT_EQ(matches[1]->id.value(), "c");
}

}  // namespace
}  // namespace podvisor
