#ifndef PODVISOR_SANDBOX_HOST_CGROUP_MOUNTS_H_
#define PODVISOR_SANDBOX_HOST_CGROUP_MOUNTS_H_

#include <set>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"

namespace podvisor {

enum class CgroupVersion { kV1, kV2 };

// One tree of cgroups, where this host has mounted it.
struct CgroupMount {
  CgroupVersion version = CgroupVersion::kV2;
  std::string path;
  // Of a v1 tree; a v2 tree says in its files what it has.
  std::set<std::string> controllers;

  bool operator==(const CgroupMount&) const = default;
};

// The trees that a pod's processes are to be in, from the text of
// /proc/PID/mountinfo (see proc(5)): each v1 tree with a controller that limits
// or counts what a VM uses, and the v2 tree. A host may have either or both.
//
// Left out are mounts that show only a part of a tree or are read-only, and the
// second mount of a tree. A line that is none of mountinfo's is skipped. Pure.
std::vector<CgroupMount> ParseCgroupMounts(absl::string_view mountinfo);

}  // namespace podvisor

#endif  // PODVISOR_SANDBOX_HOST_CGROUP_MOUNTS_H_
