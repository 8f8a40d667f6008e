#ifndef PODVISOR_GUESTAGENT_AGENT_OCI_CAPABILITIES_H_
#define PODVISOR_GUESTAGENT_AGENT_OCI_CAPABILITIES_H_

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "guestagent/agent.pb.h"

namespace podvisor {

// The capability sets of a container's first process; names sorted as the
// kernel numbers them. Permitted and effective equal bounding; inheritable
// equals ambient, which is empty unless asked for (CVE-2022-27650).
struct CapabilitySets {
  std::vector<std::string> bounding;
  std::vector<std::string> ambient;
};

// Starts from the 14 capabilities that containers usually have, or from all
// with ALL in `add`, or from none with ALL in `drop`; adds, then drops. An
// ambient capability is in every set. Privileged containers have all. Names
// go with or without CAP_, in any case. Pure.
//
// Errors: InvalidArgument for a name that Linux does not know.
absl::StatusOr<CapabilitySets> PlanCapabilities(
    const agent::v1::Capabilities& capabilities, bool privileged);

}  // namespace podvisor

#endif  // PODVISOR_GUESTAGENT_AGENT_OCI_CAPABILITIES_H_
