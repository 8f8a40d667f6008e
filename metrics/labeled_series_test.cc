#include "metrics/labeled_series.h"

#include <string>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace podvisor {
namespace {

using ::testing::ElementsAre;

TEST(LabeledSeriesTest, CountsEachSetOfLabelsApart) {
  CounterSeries series;
  series.Add({"a"});
  series.Add({"b"}, 2);
  series.Add({"a"});

  EXPECT_EQ(series.Values().at({"a"}), 2u);
  EXPECT_EQ(series.Values().at({"b"}), 2u);
}

TEST(LabeledSeriesTest, TooManyLabelsAreCountedTogether) {
  CounterSeries series;
  for (size_t i = 0; i < 2 * kMaxSeries; ++i) series.Add({absl::StrCat(i)});

  EXPECT_EQ(series.Values().size(), kMaxSeries + 1);
  EXPECT_EQ(series.Values().at({"other"}), kMaxSeries);
}

TEST(LabeledSeriesTest, AValueOnABoundIsInItsBucket) {
  HistogramSeries series({1, 10});
  for (double value : {0.5, 1.0, 1.5, 10.0, 11.0}) series.Observe({}, value);

  const HistogramValue value = series.Values().at({});
  EXPECT_THAT(value.counts, ElementsAre(2, 2, 1));
  EXPECT_EQ(value.sum, 24.0);
}

}  // namespace
}  // namespace podvisor
