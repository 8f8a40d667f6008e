#ifndef PODVISOR_CRI_QUANTITY_H_
#define PODVISOR_CRI_QUANTITY_H_

#include <cstdint>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace podvisor {

// Kubernetes quantities: a decimal number with an optional exponent ("1e3") or
// one of the suffixes m, k, M, G, T, P, E, Ki, Mi, Gi, Ti, Pi, Ei. Exact
// integer arithmetic, rounded up as Kubernetes does. Pure.
//
// InvalidArgument for anything else, for negative ones and beyond 2^62.

// "1.5" and "1500m" are 1500.
absl::StatusOr<int64_t> ParseCpuQuantity(absl::string_view text);

// "1Gi" is 1073741824, "1G" is 1000000000.
absl::StatusOr<int64_t> ParseByteQuantity(absl::string_view text);

}  // namespace podvisor

#endif  // PODVISOR_CRI_QUANTITY_H_
