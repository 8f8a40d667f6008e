#ifndef PODVISOR_GUESTAGENT_PLAIN_NAMES_H_
#define PODVISOR_GUESTAGENT_PLAIN_NAMES_H_

#include <algorithm>
#include <cstddef>

#include "absl/strings/string_view.h"

namespace podvisor {

// Names that cross the channel. An agent sends no others than its host takes.

// As many disks and interfaces as one answer has room for.
inline constexpr int kMaxBlockDevices = 64;
inline constexpr int kMaxInterfaces = 16;

constexpr bool IsLowerOrDigit(char c) {
  return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
}

// Of a disk, an interface, a size of huge pages: they end as labels of metrics.
constexpr bool IsPlainName(absl::string_view name) {
  constexpr size_t kMaxBytes = 32;
  return !name.empty() && name.size() <= kMaxBytes &&
         std::all_of(name.begin(), name.end(), [](char c) {
           return IsLowerOrDigit(c) || (c >= 'A' && c <= 'Z') || c == '.' ||
                  c == '_' || c == '-';
         });
}

// The serial number of a disk, by which a guest finds it.
constexpr bool IsDiskSerial(absl::string_view serial) {
  constexpr size_t kMaxBytes = 20;  // virtio-blk's
  return !serial.empty() && serial.size() <= kMaxBytes &&
         std::all_of(serial.begin(), serial.end(),
                     [](char c) { return IsLowerOrDigit(c) || c == '-'; });
}

}  // namespace podvisor

#endif  // PODVISOR_GUESTAGENT_PLAIN_NAMES_H_
