#include "sandbox/host/cgroup_path.h"

#include <algorithm>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "base/clean_text.h"

namespace podvisor {
namespace {

constexpr char kSlice[] = ".slice";
constexpr size_t kMaxName = 255;  // of one directory
// Leaves room, below PATH_MAX, for the mount point, the pod's own name and a
// file in it.
constexpr size_t kMaxPath = 3072;

absl::Status Refuse(absl::string_view parent, absl::string_view why) {
  return absl::InvalidArgumentError(
      absl::StrCat("cgroup_parent \"", CleanText(parent, 64), "\": ", why));
}

absl::StatusOr<std::string> ExpandSlice(absl::string_view slice) {
  const absl::string_view name = absl::StripSuffix(slice, kSlice);
  std::string path;
  std::string prefix;
  for (const absl::string_view part : absl::StrSplit(name, '-')) {
    if (part.empty()) return Refuse(slice, "has an empty part");
    absl::StrAppend(&prefix, prefix.empty() ? "" : "-", part);
    absl::StrAppend(&path, "/", prefix, kSlice);
    if (path.size() > kMaxPath) return Refuse(slice, "is too long");
  }
  return path;
}

}  // namespace

absl::StatusOr<std::string> CgroupParentPath(absl::string_view cgroup_parent) {
  if (cgroup_parent.empty()) return kDefaultCgroupParent;
  if (cgroup_parent.size() > kMaxPath) {
    return Refuse(cgroup_parent, "is too long");
  }
  if (std::any_of(cgroup_parent.begin(), cgroup_parent.end(),
                  [](unsigned char c) { return absl::ascii_iscntrl(c); })) {
    return Refuse(cgroup_parent, "contains a control character");
  }
  std::string path(cgroup_parent);
  if (!absl::StartsWith(path, "/")) {
    if (!absl::EndsWith(path, kSlice) || absl::StrContains(path, '/')) {
      return Refuse(path, "is neither an absolute path nor a slice");
    }
    absl::StatusOr<std::string> expanded = ExpandSlice(path);
    if (!expanded.ok()) return expanded;
    path = *std::move(expanded);
  }
  std::string clean;
  for (const absl::string_view name :
       absl::StrSplit(path, '/', absl::SkipEmpty())) {
    if (name == "." || name == "..") {
      return Refuse(cgroup_parent, "contains \".\" or \"..\"");
    }
    if (name.size() > kMaxName) return Refuse(cgroup_parent, "is too long");
    absl::StrAppend(&clean, "/", name);
  }
  return clean;
}

std::string PodCgroupName(const PodId& id) {
  return absl::StrCat("podvisor-", id.value());
}

}  // namespace podvisor
