#ifndef PODVISOR_BASE_ID_MAPPING_H_
#define PODVISOR_BASE_ID_MAPPING_H_

#include <cstdint>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"

namespace podvisor {

// The ids of a user namespace, of users and groups alike: 0 to `length` - 1
// inside are `host_id` and those that follow outside. A value.
struct IdMapping {
  uint32_t host_id = 0;
  uint32_t length = 0;

  bool operator==(const IdMapping&) const = default;
};

// InvalidArgument for a mapping that the kernel refuses, and for one that
// contains the outside's root, which would separate nothing. Pure.
inline absl::Status CheckIdMapping(const IdMapping& mapping) {
  // The last two ids mean "none" and "as it is" to somebody.
  constexpr uint64_t kFirstUnusableId = 0xfffffffe;
  if (mapping.length == 0) {
    return absl::InvalidArgumentError("the mapping is empty");
  }
  if (mapping.host_id == 0) {
    return absl::InvalidArgumentError("the mapping contains root of the host");
  }
  if (uint64_t{mapping.host_id} + mapping.length > kFirstUnusableId) {
    return absl::InvalidArgumentError(
        absl::StrCat("there are no ids above ", kFirstUnusableId - 1));
  }
  return absl::OkStatus();
}

}  // namespace podvisor

#endif  // PODVISOR_BASE_ID_MAPPING_H_
