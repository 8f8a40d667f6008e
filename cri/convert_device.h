#ifndef PODVISOR_CRI_CONVERT_DEVICE_H_
#define PODVISOR_CRI_CONVERT_DEVICE_H_

#include <vector>

#include "absl/status/statusor.h"
#include "sandbox/record/container_spec.h"
#include "third_party/cri_api/api.pb.h"

namespace podvisor {

// The devices of a container: those that have no state of the host behind them
// and that the guest's kernel has too, so that the VM's is as good as the
// host's. Which these are, ADR 28 says. Pure: nothing here looks at a path.
//
// Errors, with the device and the reason:
//   InvalidArgument  a path or the permissions are malformed.
//   Unimplemented    any other device, and those of CDI.
absl::StatusOr<std::vector<DeviceSpec>> ConvertDevices(
    const runtime::v1::ContainerConfig& config);

}  // namespace podvisor

#endif  // PODVISOR_CRI_CONVERT_DEVICE_H_
