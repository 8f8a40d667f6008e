#include "guestagent/agent/network_namespace.h"

#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <sched.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include <thread>

#include "base/errno_status.h"
#include "base/file.h"
#include "base/log.h"
#include "base/status_macros.h"
#include "base/unique_fd.h"

namespace podvisor {
namespace {

struct Setting {
  const char* path;
  const char* value;
};

constexpr Setting kSettings[] = {
    // As other runtimes set them in a pod's network namespace.
    {"/proc/sys/net/ipv4/ip_unprivileged_port_start", "0"},
    {"/proc/sys/net/ipv4/ping_group_range", "0 2147483647"},
    // Addresses come from the host, where they have been checked already.
    {"/proc/sys/net/ipv6/conf/default/accept_dad", "0"},
    {"/proc/sys/net/ipv6/conf/all/accept_dad", "0"},
    {"/proc/sys/net/ipv6/conf/default/accept_ra", "0"},
};

absl::Status WriteSetting(const Setting& setting) {
  const UniqueFd file(open(setting.path, O_WRONLY | O_CLOEXEC));
  if (!file.valid()) return ErrnoStatus(errno, setting.path);
  return Annotate(WriteAll(file.get(), setting.value), setting.path);
}

absl::Status BringLoopbackUp() {
  const UniqueFd socket_fd(socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  if (!socket_fd.valid()) return ErrnoStatus(errno, "socket");
  ifreq request = {};
  memcpy(request.ifr_name, "lo", 3);
  request.ifr_flags = IFF_UP | IFF_RUNNING;
  if (ioctl(socket_fd.get(), SIOCSIFFLAGS, &request) != 0) {
    return ErrnoStatus(errno, "lo up");
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status RunInNetworkNamespace(const std::string& path,
                                   const std::function<absl::Status()>& work) {
  if (path.empty()) return work();
  const UniqueFd file(open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!file.valid()) return ErrnoStatus(errno, path);
  absl::Status status;
  std::thread([&] {
    status = setns(file.get(), CLONE_NEWNET) == 0 ? work()
                                                  : ErrnoStatus(errno, path);
  }).join();
  return status;
}

absl::Status SetUpNetworkNamespace() {
  for (const Setting& setting : kSettings) {
    const absl::Status status = WriteSetting(setting);
    // A kernel without one of them is still a good kernel.
    if (!status.ok()) {
      Log(LogLevel::kWarning, "sysctl", {{"error", status.message()}});
    }
  }
  return BringLoopbackUp();
}

}  // namespace podvisor
