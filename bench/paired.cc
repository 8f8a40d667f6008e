#include "bench/paired.h"

#include <algorithm>
#include <random>

#include "absl/strings/str_format.h"

namespace podvisor::bench {
namespace {

constexpr int kResamples = 2000;

double Median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  const size_t n = values.size();
  return n % 2 == 1 ? values[n / 2] : (values[n / 2 - 1] + values[n / 2]) / 2;
}

}  // namespace

std::vector<Pair> MeasurePairs(int pairs, int warm_ups,
                               const std::function<absl::Duration()>& ours,
                               const std::function<absl::Duration()>& floor) {
  std::vector<Pair> measured;
  for (int i = -warm_ups; i < pairs; ++i) {
    Pair pair;
    if (i % 2 == 0) {
      pair.ours = ours();
      pair.floor = floor();
    } else {
      pair.floor = floor();
      pair.ours = ours();
    }
    if (i >= 0) measured.push_back(pair);
  }
  return measured;
}

std::string Summary(const std::string& name, const std::vector<Pair>& pairs) {
  std::vector<double> ours, floor, ratios;
  for (const Pair& pair : pairs) {
    ours.push_back(absl::ToDoubleSeconds(pair.ours));
    floor.push_back(absl::ToDoubleSeconds(pair.floor));
    // The operator / of two durations is a whole number.
    ratios.push_back(absl::FDivDuration(pair.ours, pair.floor));
  }
  // A fixed seed: the same measurements give the same interval.
  std::mt19937 random(1);
  std::vector<double> medians;
  for (int i = 0; i < kResamples; ++i) {
    std::vector<double> sample;
    for (size_t j = 0; j < ratios.size(); ++j) {
      sample.push_back(ratios[random() % ratios.size()]);
    }
    medians.push_back(Median(sample));
  }
  std::sort(medians.begin(), medians.end());
  return absl::StrFormat(
      "%-28s n=%d  ours %.3f s  floor %.3f s  ratio %.3f [%.3f, %.3f]  "
      "minima %.3f",
      name, pairs.size(), Median(ours), Median(floor), Median(ratios),
      medians[kResamples / 40], medians[kResamples - kResamples / 40],
      *std::min_element(ours.begin(), ours.end()) /
          *std::min_element(floor.begin(), floor.end()));
}

}  // namespace podvisor::bench
