#include "sandbox/host/cgroup_mounts.h"

#include <algorithm>
#include <iterator>
#include <optional>

#include "absl/strings/str_split.h"

namespace podvisor {
namespace {

// devices, freezer, net_cls, perf_event and the named ones say nothing about
// how much a VM may use.
constexpr absl::string_view kControllers[] = {
    "blkio", "cpu", "cpuacct", "cpuset", "hugetlb", "memory", "pids"};

// mountinfo writes blank, tab, line end and backslash as "\040" and so on.
std::string Unescaped(absl::string_view text) {
  const auto is_octal = [](char c) { return c >= '0' && c <= '7'; };
  std::string plain;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '\\' && i + 3 < text.size() && is_octal(text[i + 1]) &&
        is_octal(text[i + 2]) && is_octal(text[i + 3])) {
      plain.push_back(static_cast<char>((text[i + 1] - '0') * 64 +
                                        (text[i + 2] - '0') * 8 +
                                        (text[i + 3] - '0')));
      i += 3;
    } else {
      plain.push_back(text[i]);
    }
  }
  return plain;
}

bool HasOption(absl::string_view options, absl::string_view option) {
  const std::vector<absl::string_view> all = absl::StrSplit(options, ',');
  return std::find(all.begin(), all.end(), option) != all.end();
}

std::set<std::string> ControllersOf(absl::string_view super_options) {
  std::set<std::string> controllers;
  for (const absl::string_view name : kControllers) {
    if (HasOption(super_options, name)) controllers.insert(std::string(name));
  }
  return controllers;
}

// 31 23 0:29 / /sys/fs/cgroup/cpu rw,relatime shared:9 - cgroup cgroup rw,cpu
std::optional<CgroupMount> ParseLine(absl::string_view line) {
  constexpr size_t kRoot = 3, kPath = 4, kOptions = 5;
  constexpr size_t kType = 1, kSuperOptions = 3;  // after the dash
  const std::vector<absl::string_view> fields = absl::StrSplit(line, ' ');
  const auto dash = std::find(fields.begin(), fields.end(), "-");
  if (dash - fields.begin() <= static_cast<ptrdiff_t>(kOptions) ||
      fields.end() - dash <= static_cast<ptrdiff_t>(kSuperOptions)) {
    return std::nullopt;
  }
  const absl::string_view super_options = dash[kSuperOptions];
  if (fields[kRoot] != "/" || !HasOption(fields[kOptions], "rw") ||
      !HasOption(super_options, "rw")) {
    return std::nullopt;
  }
  CgroupMount mount;
  mount.path = Unescaped(fields[kPath]);
  if (dash[kType] == "cgroup2") {
    mount.version = CgroupVersion::kV2;
    return mount;
  }
  mount.version = CgroupVersion::kV1;
  mount.controllers = ControllersOf(super_options);
  if (dash[kType] != "cgroup" || mount.controllers.empty()) return std::nullopt;
  return mount;
}

}  // namespace

std::vector<CgroupMount> ParseCgroupMounts(absl::string_view mountinfo) {
  std::vector<CgroupMount> mounts;
  for (const absl::string_view line :
       absl::StrSplit(mountinfo, '\n', absl::SkipEmpty())) {
    std::optional<CgroupMount> mount = ParseLine(line);
    if (!mount.has_value()) continue;
    const bool known =
        std::any_of(mounts.begin(), mounts.end(), [&](const CgroupMount& m) {
          return m.version == mount->version &&
                 m.controllers == mount->controllers;
        });
    if (!known) mounts.push_back(*std::move(mount));
  }
  return mounts;
}

}  // namespace podvisor
