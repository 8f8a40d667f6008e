#ifndef PODVISOR_BENCH_PAIRED_H_
#define PODVISOR_BENCH_PAIRED_H_

#include <functional>
#include <string>
#include <vector>

#include "absl/time/time.h"

namespace podvisor::bench {

// Two ways to do the same, measured side by side. Machines are noisy: only the
// ratio within a pair says something.
struct Pair {
  absl::Duration ours;
  absl::Duration floor;
};

// Runs `ours` and `floor` alternately, beginning with each in turn, after
// `warm_ups` pairs that do not count.
std::vector<Pair> MeasurePairs(int pairs, int warm_ups,
                               const std::function<absl::Duration()>& ours,
                               const std::function<absl::Duration()>& floor);

// One line: both medians, the median of the ratios with its bootstrap 95 %
// interval, the ratio of the minima.
std::string Summary(const std::string& name, const std::vector<Pair>& pairs);

}  // namespace podvisor::bench

#endif  // PODVISOR_BENCH_PAIRED_H_
