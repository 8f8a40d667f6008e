#ifndef PODVISOR_GUESTAGENT_CLIENT_RANDOM_BYTES_H_
#define PODVISOR_GUESTAGENT_CLIENT_RANDOM_BYTES_H_

#include <cstddef>

namespace podvisor {

// Fills `size` bytes (at most 256) from the kernel's random source; does not
// fail. Thread-safe.
void FillRandom(void* bytes, size_t size);

}  // namespace podvisor

#endif  // PODVISOR_GUESTAGENT_CLIENT_RANDOM_BYTES_H_
