#ifndef PODVISOR_BASE_FORMAT_BYTES_H_
#define PODVISOR_BASE_FORMAT_BYTES_H_

#include <cstdint>
#include <string>

namespace podvisor {

// For people: "512 MiB", "1.5 MiB", "4096 bytes" below a MiB.
std::string FormatBytes(int64_t bytes);

}  // namespace podvisor

#endif  // PODVISOR_BASE_FORMAT_BYTES_H_
