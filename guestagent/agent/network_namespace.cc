#include "guestagent/agent/network_namespace.h"

#include <errno.h>
#include <fcntl.h>

#include "base/errno_status.h"
#include "base/file.h"
#include "base/log.h"
#include "base/network_namespace.h"
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

}  // namespace

absl::Status RunInPodNetwork(const std::string& path,
                             absl::FunctionRef<absl::Status()> work) {
  return path.empty() ? work() : RunInNetworkNamespace(path, work);
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
