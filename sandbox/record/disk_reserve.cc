#include "sandbox/record/disk_reserve.h"

#include <fcntl.h>
#include <unistd.h>

#include "base/unique_fd.h"

namespace podvisor {

bool DiskReserve::Fill() {
  if (filled_) return true;
  const UniqueFd fd(
      open(path_.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600));
  if (!fd.valid()) return false;
  // Allocates for real, where ftruncate() would only leave a hole.
  filled_ = posix_fallocate(fd.get(), 0, bytes_) == 0;
  if (!filled_) unlink(path_.c_str());
  return filled_;
}

bool DiskReserve::Spend() {
  filled_ = false;
  return unlink(path_.c_str()) == 0;
}

}  // namespace podvisor
