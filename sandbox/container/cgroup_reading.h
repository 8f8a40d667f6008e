#ifndef PODVISOR_SANDBOX_CONTAINER_CGROUP_READING_H_
#define PODVISOR_SANDBOX_CONTAINER_CGROUP_READING_H_

#include <string>
#include <vector>

#include "guestagent/agent.pb.h"
#include "hotplug/container_resources.h"
#include "sandbox/size/cpuset.h"

namespace podvisor {

// What a container has after an update that neither worked nor could be taken
// back: it may be `had`, what was `tried`, or some of each. All pure.
//
// The guest's word is for the status only: nobody sizes a VM by it.

// The cgroup files to ask the guest for.
std::vector<std::string> FilesToRead(const ContainerResources& had,
                                     const ContainerResources& tried,
                                     CpusetMode cpuset);

// What both have, and of the rest what the guest's cgroup has: in the words of
// whoever asked for it, where it is that (the kernel rounds), else in the
// kernel's. What the guest did not tell, or does not know (swap where it has
// none, host CPUs), is not given.
ContainerResources ResourcesAsRead(const ContainerResources& had,
                                   const ContainerResources& tried,
                                   const agent::v1::ReadCgroupResponse& cgroup,
                                   CpusetMode cpuset);

}  // namespace podvisor

#endif  // PODVISOR_SANDBOX_CONTAINER_CGROUP_READING_H_
