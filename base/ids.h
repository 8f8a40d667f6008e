#ifndef PODVISOR_BASE_IDS_H_
#define PODVISOR_BASE_IDS_H_

#include <compare>
#include <string>
#include <utility>

#include "absl/strings/string_view.h"

namespace podvisor {

// 64 lower-case hexadecimal digits from the kernel's random source. Only such
// ids, never names that a client chose, become part of paths, sockets, cgroups
// and QEMU objects.
std::string RandomHexId();

// True for exactly 64 lower-case hexadecimal digits.
bool IsHexId(absl::string_view text);

// A string that cannot be mistaken for another kind of id.
template <typename Tag>
class StrongId {
 public:
  StrongId() = default;
  explicit StrongId(std::string value) : value_(std::move(value)) {}

  const std::string& value() const { return value_; }
  bool empty() const { return value_.empty(); }

  auto operator<=>(const StrongId&) const = default;

  template <typename H>
  friend H AbslHashValue(H hash, const StrongId& id) {
    return H::combine(std::move(hash), id.value_);
  }

 private:
  std::string value_;
};

using PodId = StrongId<struct PodIdTag>;
using ContainerId = StrongId<struct ContainerIdTag>;

}  // namespace podvisor

#endif  // PODVISOR_BASE_IDS_H_
