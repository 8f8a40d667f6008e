#ifndef PODVISOR_CRI_NEAR_MISS_H_
#define PODVISOR_CRI_NEAR_MISS_H_

#include "absl/strings/string_view.h"
#include "absl/types/span.h"

namespace podvisor {

// The name that someone who typed `typed` most likely meant: at most a third of
// its letters differ (insertions, deletions, exchanges), and at most three.
// Empty when nothing is that close. Pure.
absl::string_view NearestName(absl::string_view typed,
                              absl::Span<const absl::string_view> names);

}  // namespace podvisor

#endif  // PODVISOR_CRI_NEAR_MISS_H_
