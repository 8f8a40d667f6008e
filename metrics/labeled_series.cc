#include "metrics/labeled_series.h"

#include <algorithm>

namespace podvisor {
namespace {

// The entry for `labels`, or the common one once the family is full.
template <typename Value>
Value* FindSeries(LabelValues labels, std::map<LabelValues, Value>* values) {
  auto it = values->find(labels);
  if (it != values->end()) return &it->second;
  if (values->size() >= kMaxSeries) {
    labels.assign(labels.size(), "other");
  }
  return &(*values)[std::move(labels)];
}

}  // namespace

void CounterSeries::Add(LabelValues labels, uint64_t count) {
  absl::MutexLock lock(&mutex_);
  *FindSeries(std::move(labels), &values_) += count;
}

std::map<LabelValues, uint64_t> CounterSeries::Values() const {
  absl::MutexLock lock(&mutex_);
  return values_;
}

void HistogramSeries::Observe(LabelValues labels, double value) {
  const size_t bucket = static_cast<size_t>(
      std::lower_bound(bounds_.begin(), bounds_.end(), value) -
      bounds_.begin());
  absl::MutexLock lock(&mutex_);
  HistogramValue* series = FindSeries(std::move(labels), &values_);
  series->counts.resize(bounds_.size() + 1);
  ++series->counts[bucket];
  series->sum += value;
}

std::map<LabelValues, HistogramValue> HistogramSeries::Values() const {
  absl::MutexLock lock(&mutex_);
  return values_;
}

}  // namespace podvisor
