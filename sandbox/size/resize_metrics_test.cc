#include "sandbox/size/resize_metrics.h"

#include <map>
#include <string>

#include "absl/strings/str_join.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace podvisor {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::Pair;

constexpr int64_t kMiB = int64_t{1} << 20;
constexpr int64_t kGiB = int64_t{1} << 30;

VmLimits Limits() {
  VmLimits limits;
  limits.max_vcpus = 8;
  limits.boot_memory_bytes = kGiB;
  limits.max_memory_bytes = 9 * kGiB;
  limits.memory_slots = 10;
  return limits;
}

// A VM of `vcpus` with this much memory hot-plugged.
VmState State(int vcpus, int64_t hotplug_bytes) {
  VmState state;
  state.vcpus_plugged = vcpus;
  state.vcpus_removable = vcpus - 1;
  state.vcpus_online = vcpus;
  state.hotplug_requested_bytes = hotplug_bytes;
  state.hotplug_plugged_bytes = hotplug_bytes;
  state.hotplug_online_bytes = hotplug_bytes;
  state.guest_available_bytes = kGiB;
  return state;
}

class ResizeMetricsTest : public testing::Test {
 protected:
  void Record(const ResizeAttempt& attempt) {
    RecordResize(PodId("pod"), attempt, metrics_);
  }
  // "cpu grow ok" and how often.
  std::map<std::string, uint64_t> Counted() {
    VmSnapshot vm;
    vm.id = PodId("pod");
    metrics_.SetVm(vm);
    std::map<std::string, uint64_t> counted;
    const VmMetrics recorded = metrics_.Vms().at(0);
    for (const auto& [labels, count] : recorded.resizes) {
      counted[absl::StrJoin(labels, " ")] = count;
    }
    return counted;
  }
  // "cpu grow vm" and the sum of the seconds.
  std::map<std::string, double> Measured() {
    std::map<std::string, double> measured;
    for (const auto& [labels, value] : metrics_.resize_seconds().Values()) {
      measured[absl::StrJoin(labels, " ")] = value.sum;
    }
    return measured;
  }

  PodMetrics metrics_;
};

TEST_F(ResizeMetricsTest,
       EachResourceCountsInTheDirectionInWhichItHadToChange) {
  Record({.limits = Limits(), .before = State(1, kGiB), .target = {4, kGiB}});

  EXPECT_THAT(Counted(),
              ElementsAre(Pair("cpu grow ok", 1), Pair("memory shrink ok", 1)));
}

TEST_F(ResizeMetricsTest, NothingToDoCountsAndMeasuresNothing) {
  Record(
      {.limits = Limits(), .before = State(1, kGiB), .target = {1, 2 * kGiB}});
  // DIMMs stay, whatever less is wanted.
  ResizeAttempt dimms = {
      .limits = Limits(), .before = State(1, kGiB), .target = {1, kGiB}};
  dimms.limits.memory_device = MemoryDevice::kPcDimm;
  dimms.before.dimms = {{.slot = 0, .bytes = kGiB}};
  Record(dimms);

  EXPECT_THAT(Counted(), IsEmpty());
  EXPECT_THAT(Measured(), IsEmpty());
}

TEST_F(ResizeMetricsTest, WhatTheGuestKeepsIsPartial) {
  ResizeOutcome kept;
  kept.shortfall_bytes = kMiB;
  Record({.limits = Limits(),
          .before = State(2, kGiB),
          .target = {1, kGiB},
          .outcome = kept});

  EXPECT_THAT(Counted(), ElementsAre(Pair("cpu shrink ok", 1),
                                     Pair("memory shrink partial", 1)));
}

TEST_F(ResizeMetricsTest, WhatTheGuestHasNotTakenYetIsPartial) {
  ResizeOutcome outcome;
  outcome.missing = absl::DeadlineExceededError("MemTotal is less");
  outcome.observed = State(2, kGiB);
  Record({.limits = Limits(),
          .before = State(1, 0),
          .target = {2, 3 * kGiB},
          .outcome = outcome});

  EXPECT_THAT(Counted(), ElementsAre(Pair("cpu grow ok", 1),
                                     Pair("memory grow partial", 1)));
}

TEST_F(ResizeMetricsTest, AFailureCountsAndIsNotMeasured) {
  ResizeAttempt attempt = {
      .limits = Limits(), .before = State(1, 0), .target = {2, 2 * kGiB}};
  attempt.outcome = absl::UnavailableError("QEMU is gone");
  attempt.took = absl::Seconds(30);
  Record(attempt);
  // Also one that was refused because there is no way to that size.
  attempt.target = {1, 100 * kGiB};
  Record(attempt);

  EXPECT_THAT(Counted(), ElementsAre(Pair("cpu grow failed", 1),
                                     Pair("memory grow failed", 2)));
  EXPECT_THAT(Measured(), IsEmpty());
}

TEST_F(ResizeMetricsTest, PhasesAreTheSumsOfTheirStepsAndTotalIsAllOfIt) {
  ResizeOutcome outcome;
  outcome.timings = {{RequestMemory{kGiB}, absl::Seconds(1)},
                     {PlugVcpus{2}, absl::Seconds(2)},
                     {OnlineVcpus{2}, absl::Seconds(4)},
                     {AwaitMemoryGrown{kGiB}, absl::Seconds(8)},
                     {OnlineVcpus{2}, absl::Seconds(16)}};
  Record({.limits = Limits(),
          .before = State(1, 0),
          .target = {2, 2 * kGiB},
          .outcome = outcome,
          .took = absl::Seconds(40)});

  EXPECT_THAT(
      Measured(),
      ElementsAre(Pair("cpu grow guest", 20), Pair("cpu grow total", 40),
                  Pair("cpu grow vm", 2), Pair("memory grow guest", 8),
                  Pair("memory grow total", 40), Pair("memory grow vm", 1)));
}

TEST_F(ResizeMetricsTest, MemoryThatTheGuestHasNotTakenYetGrows) {
  ResizeAttempt attempt = {
      .limits = Limits(), .before = State(1, kGiB), .target = {1, 2 * kGiB}};
  attempt.before.hotplug_online_bytes = 0;
  Record(attempt);

  EXPECT_THAT(Counted(), ElementsAre(Pair("memory grow ok", 1)));
}

}  // namespace
}  // namespace podvisor
