#include "cri/near_miss.h"

#include <algorithm>
#include <cstddef>
#include <numeric>
#include <vector>

#include "absl/strings/ascii.h"

namespace podvisor {
namespace {

// Longer words are not typed by people.
constexpr size_t kMaxLength = 64;

// Levenshtein's distance, two rows at a time; "-" and "_" count as equal.
size_t EditDistance(absl::string_view a, absl::string_view b) {
  const auto letter = [](char c) {
    return c == '-' ? '_' : absl::ascii_tolower(c);
  };
  std::vector<size_t> row(b.size() + 1);
  std::iota(row.begin(), row.end(), 0);
  for (size_t i = 1; i <= a.size(); ++i) {
    size_t diagonal = row[0];
    row[0] = i;
    for (size_t j = 1; j <= b.size(); ++j) {
      const size_t exchange =
          diagonal + (letter(a[i - 1]) == letter(b[j - 1]) ? 0 : 1);
      diagonal = row[j];
      row[j] = std::min({row[j] + 1, row[j - 1] + 1, exchange});
    }
  }
  return row[b.size()];
}

}  // namespace

absl::string_view NearestName(absl::string_view typed,
                              absl::Span<const absl::string_view> names) {
  if (typed.size() > kMaxLength) return "";
  size_t best = std::min<size_t>(3, std::max<size_t>(1, typed.size() / 3)) + 1;
  absl::string_view nearest;
  for (const absl::string_view name : names) {
    const size_t distance = EditDistance(typed, name);
    if (distance < best) {
      best = distance;
      nearest = name;
    }
  }
  return nearest;
}

}  // namespace podvisor
