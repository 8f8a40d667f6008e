#include "sandbox/resize_metrics.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace podvisor {
namespace {

using testing::ElementsAre;
using testing::Pair;

constexpr int64_t kMiB = 1 << 20;

std::map<LabelValues, uint64_t> Counted(PodMetrics& metrics) {
  VmSnapshot vm;
  vm.id = PodId("pod");
  metrics.SetVm(vm);
  return metrics.Vms().at(0).resizes;
}

TEST(ResizeMetricsTest, CountsEachResourceThatWasToChange) {
  PodMetrics metrics;
  RecordResize(PodId("pod"), {1, 256 * kMiB}, {4, 128 * kMiB}, ResizeOutcome(),
               metrics);

  EXPECT_EQ(Counted(metrics).size(), 2u);
}

TEST(ResizeMetricsTest, AnEqualTargetCountsNothing) {
  PodMetrics metrics;
  RecordResize(PodId("pod"), {1, kMiB}, {1, kMiB}, ResizeOutcome(), metrics);

  EXPECT_TRUE(Counted(metrics).empty());
}

TEST(ResizeMetricsTest, AShortfallIsPartialAndAnErrorFailed) {
  PodMetrics metrics;
  ResizeOutcome shortfall;
  shortfall.shortfall_bytes = kMiB;
  RecordResize(PodId("pod"), {1, 3 * kMiB}, {1, kMiB}, shortfall, metrics);
  EXPECT_THAT(Counted(metrics),
              ElementsAre(Pair(ElementsAre("memory", "shrink", "partial"), 1)));

  RecordResize(PodId("pod"), {1, kMiB}, {2, kMiB},
               absl::UnavailableError("gone"), metrics);
  EXPECT_EQ(Counted(metrics).size(), 2u);
}

}  // namespace
}  // namespace podvisor
