#include "guestagent/client/random_bytes.h"

#include <sys/random.h>

#include <cerrno>
#include <cstdlib>

namespace podvisor {

void FillRandom(void* bytes, size_t size) {
  // Up to 256 bytes come whole, once the kernel is seeded (getrandom(2)); only
  // a bug of ours (bad address or size) can make this fail otherwise.
  ssize_t got;
  do {
    got = getrandom(bytes, size, 0);
  } while (got < 0 && errno == EINTR);
  if (got != static_cast<ssize_t>(size)) std::abort();
}

}  // namespace podvisor
