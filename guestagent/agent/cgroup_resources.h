#ifndef PODVISOR_GUESTAGENT_AGENT_CGROUP_RESOURCES_H_
#define PODVISOR_GUESTAGENT_AGENT_CGROUP_RESOURCES_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "guestagent/agent.pb.h"

namespace podvisor {

// One write to a file of a cgroup v2 directory.
struct CgroupWrite {
  std::string file;  // a plain name, "cpu.max"
  std::string value;

  bool operator==(const CgroupWrite&) const = default;
};

// Refuses what cannot be written safely: sizes out of range, a CPU list that
// is none, and `unified` keys that are not plain files of a controller that a
// container may have (no "cgroup.procs", no path). Pure. InvalidArgument.
absl::Status CheckResources(const agent::v1::LinuxResources& resources);

// The files, besides those with a field of their own, that ReadCgroup may be
// asked for: as many as CheckResources() lets through. Pure. InvalidArgument.
absl::Status CheckCgroupFiles(
    const google::protobuf::RepeatedPtrField<std::string>& files);

// "max 100000" and "20000 100000" of cpu.max; what cannot be parsed leaves the
// fields empty. Pure.
void ParseCpuMax(absl::string_view text, agent::v1::LinuxResources* resources);

// The writes that bring a cgroup to `resources`; fields that are zero stay as
// they are. memory.max is not among them: see `CgroupDirectory`.
// `current_cpu_max` is the text of cpu.max. Pure. InvalidArgument.
absl::StatusOr<std::vector<CgroupWrite>> PlanCgroupUpdate(
    const agent::v1::LinuxResources& resources,
    absl::string_view current_cpu_max);

}  // namespace podvisor

#endif  // PODVISOR_GUESTAGENT_AGENT_CGROUP_RESOURCES_H_
