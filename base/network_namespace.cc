#include "base/network_namespace.h"

#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <sched.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include <thread>

#include "absl/strings/str_cat.h"
#include "base/errno_status.h"
#include "base/unique_fd.h"

namespace podvisor {

absl::Status RunInNetworkNamespace(const std::string& path,
                                   absl::FunctionRef<absl::Status()> work) {
  const UniqueFd file(open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!file.valid()) return ErrnoStatus(errno, path);
  absl::Status done;
  std::thread([&] {
    done = setns(file.get(), CLONE_NEWNET) == 0
               ? work()
               : ErrnoStatus(errno, absl::StrCat("enter ", path));
  }).join();
  return done;
}

absl::Status BringLoopbackUp() {
  const UniqueFd fd(socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  if (!fd.valid()) return ErrnoStatus(errno, "socket");
  ifreq request = {};
  memcpy(request.ifr_name, "lo", 3);
  request.ifr_flags = IFF_UP | IFF_RUNNING;
  if (ioctl(fd.get(), SIOCSIFFLAGS, &request) != 0) {
    return ErrnoStatus(errno, "lo up");
  }
  return absl::OkStatus();
}

}  // namespace podvisor
