#ifndef PODVISOR_GUESTAGENT_AGENT_OCI_DEVICES_H_
#define PODVISOR_GUESTAGENT_AGENT_OCI_DEVICES_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "guestagent/agent/oci_spec.h"

namespace podvisor {

// The device nodes below `dev_dir` (two levels, at most 512) that a privileged
// container gets: all but the agent's ports, terminals, and those which every
// container has anyway. Paths begin with "/dev".
std::vector<DeviceNode> ListDeviceNodes(const std::string& dev_dir);

// The character device at `path`. NotFound names it where there is none.
absl::StatusOr<DeviceNode> FindCharacterDevice(const std::string& path);

// The major number of virtio-serial ports, from the text of /proc/devices; -1
// when there are none. Pure.
int64_t FindPortMajor(absl::string_view proc_devices);

}  // namespace podvisor

#endif  // PODVISOR_GUESTAGENT_AGENT_OCI_DEVICES_H_
