#include "sandbox/container/container_request.h"

#include <algorithm>
#include <map>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"

namespace podvisor {
namespace {

constexpr char kMemoryMax[] = "memory.max";
constexpr char kSwapMax[] = "memory.swap.max";
constexpr int64_t kNoLimit = -1;
// The kernel's.
constexpr int64_t kDefaultCpuPeriodMicros = 100'000;

std::vector<std::string> Arguments(const ContainerSpec& spec,
                                   const ImageConfig& image) {
  std::vector<std::string> all =
      spec.command.empty() ? image.entrypoint : spec.command;
  const bool image_arguments = spec.command.empty() && spec.args.empty();
  const std::vector<std::string>& rest =
      image_arguments ? image.cmd : spec.args;
  all.insert(all.end(), rest.begin(), rest.end());
  return all;
}

agent::v1::ContainerSpec::PidNamespace PidNamespaceOf(NamespaceMode mode) {
  switch (mode) {
    case NamespaceMode::kContainer:
      return agent::v1::ContainerSpec::CONTAINER;
    case NamespaceMode::kTarget:
      return agent::v1::ContainerSpec::TARGET;
    case NamespaceMode::kPod:
    case NamespaceMode::kNode:  // refused before it comes here
      break;
  }
  return agent::v1::ContainerSpec::POD;
}

void SetUser(const SecuritySpec& security, const ImageConfig& image,
             agent::v1::User* user) {
  if (security.run_as_user.has_value()) {
    user->set_uid(*security.run_as_user);
  } else if (!security.run_as_username.empty()) {
    user->set_username(security.run_as_username);
  } else {
    user->set_username(image.user);
  }
  if (security.run_as_group.has_value()) user->set_gid(*security.run_as_group);
  for (const int64_t group : security.supplemental_groups) {
    user->add_supplemental_groups(group);
  }
  user->set_strict_groups(security.strict_supplemental_groups);
}

void SetSecurity(const SecuritySpec& security,
                 agent::v1::ContainerSpec* request) {
  request->set_privileged(security.privileged);
  request->set_no_new_privileges(security.no_new_privileges);
  agent::v1::Capabilities* capabilities = request->mutable_capabilities();
  for (const std::string& name : security.add_capabilities) {
    capabilities->add_add(name);
  }
  for (const std::string& name : security.drop_capabilities) {
    capabilities->add_drop(name);
  }
  for (const std::string& name : security.add_ambient_capabilities) {
    capabilities->add_add_ambient(name);
  }
  for (const std::string& path : security.masked_paths) {
    request->add_masked_paths(path);
  }
  for (const std::string& path : security.readonly_paths) {
    request->add_readonly_paths(path);
  }
  request->set_pid_namespace(PidNamespaceOf(security.pid_namespace));
  request->set_pid_target(security.pid_target);
  request->set_seccomp_profile(security.seccomp_profile);
}

// The limit, else unified["memory.max"]: as the VM's size counts them, and by
// the way on which a lower limit first makes room.
int64_t MemoryLimitFor(const ContainerResources& resources) {
  if (resources.memory_limit_bytes != 0) return resources.memory_limit_bytes;
  const auto file = resources.unified.find(kMemoryMax);
  if (file == resources.unified.end()) return 0;
  int64_t bytes = 0;
  return absl::SimpleAtoi(file->second, &bytes) ? bytes : kNoLimit;
}

// CRI counts memory and swap together, cgroup v2 swap alone. Empty: not given.
// The guest has no swap, so this keeps a promise that would hold anyway.
std::string SwapMaxFor(const ContainerResources& resources) {
  if (resources.memory_swap_limit_bytes == 0) return "";
  if (resources.memory_swap_limit_bytes < 0) return "max";
  return absl::StrCat(std::max<int64_t>(
      0, resources.memory_swap_limit_bytes - resources.memory_limit_bytes));
}

agent::v1::Mount ImageMountRequest(const MountSpec& mount) {
  agent::v1::Mount request;
  request.set_kind(agent::v1::Mount::IMAGE);
  request.set_source(std::string(absl::StripPrefix(mount.image_id, "sha256:")));
  request.set_sub_path(mount.image_sub_path);
  request.set_destination(mount.container_path);
  return request;
}

agent::v1::Mount DeviceRequest(const DeviceSpec& device) {
  agent::v1::Mount request;
  request.set_kind(agent::v1::Mount::DEVICE);
  request.set_source(device.path);
  request.set_destination(device.container_path);
  request.set_access(device.access);
  return request;
}

agent::v1::Mount HostMountRequest(const MountSpec& mount,
                                  const PlacedMount& placed) {
  agent::v1::Mount request;
  request.set_kind(agent::v1::Mount::SHARE);
  request.set_source(placed.name);
  request.set_destination(mount.container_path);
  // The guest's kernel makes what is below as read-only as what is above. Where
  // that may differ, the host's bind alone is the wall.
  request.set_read_only(mount.read_only && !placed.has_mounts_below);
  request.set_recursive_read_only(mount.recursive_read_only);
  request.set_slave(mount.slave);
  return request;
}

}  // namespace

absl::StatusOr<agent::v1::ContainerSpec> MakeContainerRequest(
    const ContainerRequestInput& input) {
  const ContainerSpec& spec = input.spec;
  agent::v1::ContainerSpec request;
  request.mutable_root()->set_image(input.image_hex);
  request.mutable_root()->set_read_only(spec.security.read_only_root);
  for (const std::string& argument : Arguments(spec, input.image)) {
    request.add_args(argument);
  }
  if (request.args().empty()) {
    return absl::InvalidArgumentError(
        "no command: neither the container nor its image names one");
  }
  for (const std::string& variable : input.image.env) request.add_env(variable);
  for (const std::string& variable : spec.env) request.add_env(variable);
  request.set_cwd(!spec.working_dir.empty()          ? spec.working_dir
                  : !input.image.working_dir.empty() ? input.image.working_dir
                                                     : "/");
  SetUser(spec.security, input.image, request.mutable_user());
  request.set_tty(spec.tty);
  request.set_stdin(spec.stdin);
  request.set_stdin_once(spec.stdin_once);
  SetSecurity(spec.security, &request);
  size_t placed = 0;  // of those that are no images
  for (const MountSpec& mount : spec.mounts) {
    agent::v1::Mount* added = request.add_mounts();
    *added = mount.image.empty()
                 ? HostMountRequest(mount, input.placed_mounts.at(placed++))
                 : ImageMountRequest(mount);
    for (const std::string& option : mount.options) added->add_options(option);
  }
  for (const DeviceSpec& device : spec.devices) {
    *request.add_mounts() = DeviceRequest(device);
  }
  *request.mutable_resources() = GuestResourcesOf(spec.resources, input.cpuset);
  request.set_oom_score_adj(static_cast<int32_t>(spec.resources.oom_score_adj));
  return request;
}

agent::v1::LinuxResources GuestResourcesOf(const ContainerResources& resources,
                                           CpusetMode cpuset) {
  agent::v1::LinuxResources guest;
  guest.set_cpu_quota_micros(resources.cpu_quota);
  guest.set_cpu_period_micros(resources.cpu_period);
  guest.set_cpu_shares(resources.cpu_shares);
  guest.set_memory_limit_bytes(MemoryLimitFor(resources));
  if (cpuset == CpusetMode::kGuest) {
    guest.set_cpuset_cpus(resources.cpuset_cpus);
  }
  auto& unified = *guest.mutable_unified();
  for (const auto& [file, value] : resources.unified) {
    if (file != kMemoryMax) unified[file] = value;
  }
  if (const std::string swap = SwapMaxFor(resources); !swap.empty()) {
    unified.insert({kSwapMax, swap});
  }
  for (const auto& [page_size, bytes] : resources.hugepage_limits) {
    // With `rsvd` what is mapped counts, too, not only what is touched.
    for (const char* file : {".max", ".rsvd.max"}) {
      unified.insert(
          {absl::StrCat("hugetlb.", page_size, file), absl::StrCat(bytes)});
    }
  }
  return guest;
}

agent::v1::LinuxResources ExplicitResourcesOf(
    const ContainerResources& resources, CpusetMode cpuset,
    const ContainerResources& tried) {
  agent::v1::LinuxResources guest = GuestResourcesOf(resources, cpuset);
  if (guest.cpu_quota_micros() == 0) guest.set_cpu_quota_micros(kNoLimit);
  if (guest.cpu_period_micros() == 0) {
    guest.set_cpu_period_micros(kDefaultCpuPeriodMicros);
  }
  if (guest.memory_limit_bytes() == 0) guest.set_memory_limit_bytes(kNoLimit);
  const agent::v1::LinuxResources changed = GuestResourcesOf(tried, cpuset);
  for (const auto& [file, value] : changed.unified()) {
    // memory.max has been said above.
    if (guest.unified().contains(file) || file == kMemoryMax) continue;
    // What a new cgroup has; of other files it is not known.
    if (absl::StartsWith(file, "hugetlb.")) {
      (*guest.mutable_unified())[file] = "0";
    } else if (absl::EndsWith(file, ".max") || absl::EndsWith(file, ".high")) {
      (*guest.mutable_unified())[file] = "max";
    } else if (absl::EndsWith(file, ".min") || absl::EndsWith(file, ".low")) {
      (*guest.mutable_unified())[file] = "0";
    }
  }
  return guest;
}

ContainerResources MergeResources(const ContainerResources& current,
                                  const ContainerResources& update) {
  ContainerResources merged = current;
  const auto take = [](int64_t& into, int64_t given) {
    if (given != 0) into = given;
  };
  take(merged.cpu_period, update.cpu_period);
  take(merged.cpu_quota, update.cpu_quota);
  take(merged.cpu_shares, update.cpu_shares);
  take(merged.memory_limit_bytes, update.memory_limit_bytes);
  take(merged.memory_swap_limit_bytes, update.memory_swap_limit_bytes);
  if (!update.cpuset_cpus.empty()) merged.cpuset_cpus = update.cpuset_cpus;
  if (!update.cpuset_mems.empty()) merged.cpuset_mems = update.cpuset_mems;
  for (const auto& [size, limit] : update.hugepage_limits) {
    merged.hugepage_limits[size] = limit;
  }
  for (const auto& [file, value] : update.unified) merged.unified[file] = value;
  return merged;
}

ContainerResources CommonResources(const ContainerResources& one,
                                   const ContainerResources& other) {
  ContainerResources common = one;
  if (one.cpu_quota != other.cpu_quota || one.cpu_period != other.cpu_period) {
    common.cpu_quota = common.cpu_period = 0;
  }
  const auto keep_if_same = [](auto& value, const auto& other_value) {
    if (value != other_value) value = {};
  };
  keep_if_same(common.cpu_shares, other.cpu_shares);
  keep_if_same(common.memory_limit_bytes, other.memory_limit_bytes);
  keep_if_same(common.memory_swap_limit_bytes, other.memory_swap_limit_bytes);
  keep_if_same(common.oom_score_adj, other.oom_score_adj);
  keep_if_same(common.cpuset_cpus, other.cpuset_cpus);
  keep_if_same(common.cpuset_mems, other.cpuset_mems);
  const auto keep_same_entries = [](auto& entries, const auto& others) {
    std::erase_if(entries, [&others](const auto& entry) {
      const auto found = others.find(entry.first);
      return found == others.end() || found->second != entry.second;
    });
  };
  keep_same_entries(common.hugepage_limits, other.hugepage_limits);
  keep_same_entries(common.unified, other.unified);
  return common;
}

}  // namespace podvisor
