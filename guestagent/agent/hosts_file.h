#ifndef PODVISOR_GUESTAGENT_AGENT_HOSTS_FILE_H_
#define PODVISOR_GUESTAGENT_AGENT_HOSTS_FILE_H_

#include <string>
#include <vector>

#include "absl/strings/string_view.h"

namespace podvisor {

// The text of /etc/hosts for a container whose client mounts none (a kubelet
// does): loopback, and what the pod's host name stands for. A pod without a
// network has its name on loopback, as Debian does it. Pure.
std::string HostsFile(absl::string_view hostname,
                      const std::vector<std::string>& addresses);

}  // namespace podvisor

#endif  // PODVISOR_GUESTAGENT_AGENT_HOSTS_FILE_H_
