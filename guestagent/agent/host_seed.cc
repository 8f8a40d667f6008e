#include "guestagent/agent/host_seed.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/random.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>

#include <vector>

#include "absl/time/clock.h"
#include "base/errno_status.h"
#include "base/unique_fd.h"

namespace podvisor {
namespace {

constexpr size_t kMinEntropy = 16;
constexpr size_t kMaxEntropy = 256;

}  // namespace

absl::Status AddHostEntropy(absl::string_view entropy) {
  if (entropy.size() < kMinEntropy || entropy.size() > kMaxEntropy) {
    return absl::InvalidArgumentError("16 to 256 bytes of entropy");
  }
  const UniqueFd random(open("/dev/urandom", O_RDWR | O_CLOEXEC));
  if (!random.valid()) return ErrnoStatus(errno, "/dev/urandom");
  // struct rand_pool_info and its bytes, suitably aligned.
  std::vector<int> request(2 +
                           (entropy.size() + sizeof(int) - 1) / sizeof(int));
  request[0] = static_cast<int>(entropy.size() * 8);
  request[1] = static_cast<int>(entropy.size());
  memcpy(&request[2], entropy.data(), entropy.size());
  const bool added = ioctl(random.get(), RNDADDENTROPY, request.data()) == 0;
  const int error = errno;
  explicit_bzero(request.data(), request.size() * sizeof(int));
  if (!added) return ErrnoStatus(error, "RNDADDENTROPY");
  if (ioctl(random.get(), RNDRESEEDCRNG) != 0) {
    return ErrnoStatus(errno, "RNDRESEEDCRNG");
  }
  return absl::OkStatus();
}

bool ClockNeedsStep(absl::Time guest, absl::Time host) {
  return absl::AbsDuration(guest - host) > absl::Milliseconds(50);
}

absl::Status AdoptHostTime(absl::Time host) {
  if (host < absl::FromUnixSeconds(1'000'000'000) ||
      host > absl::FromUnixSeconds(16'000'000'000)) {
    return absl::InvalidArgumentError("not a time of today");
  }
  if (!ClockNeedsStep(absl::Now(), host)) return absl::OkStatus();
  const timespec time = absl::ToTimespec(host);
  if (clock_settime(CLOCK_REALTIME, &time) != 0) {
    return ErrnoStatus(errno, "clock_settime");
  }
  return absl::OkStatus();
}

}  // namespace podvisor
