#ifndef PODVISOR_METRICS_LABELED_SERIES_H_
#define PODVISOR_METRICS_LABELED_SERIES_H_

#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"

namespace podvisor {

// Values of the labels of a family, in the order of MetricFamilyInfo::labels.
using LabelValues = std::vector<std::string>;

// So many sets of labels a family keeps; whatever comes after them is counted
// under the label value "other", so that no client can fill the memory.
inline constexpr size_t kMaxSeries = 512;

// Counters that differ in their labels. Thread-safe.
class CounterSeries {
 public:
  void Add(LabelValues labels, uint64_t count = 1) ABSL_LOCKS_EXCLUDED(mutex_);
  std::map<LabelValues, uint64_t> Values() const ABSL_LOCKS_EXCLUDED(mutex_);

 private:
  mutable absl::Mutex mutex_;
  std::map<LabelValues, uint64_t> values_ ABSL_GUARDED_BY(mutex_);
};

// What one histogram has seen.
struct HistogramValue {
  std::vector<uint64_t> counts;  // of each bucket alone; the last is +Inf
  double sum = 0;
};

// Histograms that differ in their labels. Thread-safe.
class HistogramSeries {
 public:
  // `bounds`: upper bounds of the buckets, ascending, without +Inf.
  explicit HistogramSeries(std::vector<double> bounds)
      : bounds_(std::move(bounds)) {}

  void Observe(LabelValues labels, double value) ABSL_LOCKS_EXCLUDED(mutex_);
  std::map<LabelValues, HistogramValue> Values() const
      ABSL_LOCKS_EXCLUDED(mutex_);
  const std::vector<double>& bounds() const { return bounds_; }

 private:
  const std::vector<double> bounds_;
  mutable absl::Mutex mutex_;
  std::map<LabelValues, HistogramValue> values_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace podvisor

#endif  // PODVISOR_METRICS_LABELED_SERIES_H_
