#ifndef PODVISOR_SANDBOX_CONTAINER_CONTAINER_REQUEST_H_
#define PODVISOR_SANDBOX_CONTAINER_CONTAINER_REQUEST_H_

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "guestagent/agent.pb.h"
#include "hotplug/container_resources.h"
#include "image/image_store.h"
#include "sandbox/record/container_spec.h"
#include "sandbox/size/cpuset.h"
#include "volume/share_mount.h"

namespace podvisor {

// What the agent is asked to make, from what the client asked for and what the
// image says. Pure.

struct ContainerRequestInput {
  const ContainerSpec& spec;
  const ImageConfig& image;
  std::string image_hex;  // the image's mount in the guest
  // What became of each of spec.mounts that is the host's, in the same order.
  std::vector<PlacedMount> placed_mounts;
  CpusetMode cpuset = CpusetMode::kPin;
};

// Command and arguments replace the image's entrypoint and command as
// Kubernetes defines it: a command alone also drops the image's arguments.
// The container's environment comes after, and wins over, the image's.
//
// InvalidArgument where there is nothing to run.
absl::StatusOr<agent::v1::ContainerSpec> MakeContainerRequest(
    const ContainerRequestInput& input);

// In the agent's units: what is not given stays as it is; with a cpuset only
// where it names CPUs of the guest. Hugepages and swap are cgroup v2 files
// there.
agent::v1::LinuxResources GuestResourcesOf(const ContainerResources& resources,
                                           CpusetMode cpuset);

// The same for a cgroup that may have something else: also says where there is
// no limit. Shares and CPU sets that were not given stay as they are. `tried`
// is what may have been changed.
agent::v1::LinuxResources ExplicitResourcesOf(
    const ContainerResources& resources, CpusetMode cpuset,
    const ContainerResources& tried = {});

// `current` with every field that `update` gives. CRI: zero means unchanged.
// oom_score_adj stays: a process gets it when it starts.
ContainerResources MergeResources(const ContainerResources& current,
                                  const ContainerResources& update);

// What a cgroup that has either of them has in any case. What they differ in is
// not given, and a quota without its period is none.
ContainerResources CommonResources(const ContainerResources& one,
                                   const ContainerResources& other);

}  // namespace podvisor

#endif  // PODVISOR_SANDBOX_CONTAINER_CONTAINER_REQUEST_H_
