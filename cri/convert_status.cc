#include "cri/convert_status.h"

#include <algorithm>
#include <cstdint>
#include <limits>
#include <map>

#include "absl/time/time.h"
#include "base/clean_text.h"
#include "cri/convert_resources.h"
#include "cri/signal_name.h"
#include "cri/sizing_json.h"
#include "nlohmann/json.hpp"

namespace podvisor {
namespace {

// CRI wants 0 for a time that has not come, and never a negative one.
int64_t ToNanos(absl::Time time) {
  if (time == absl::InfinitePast() || time == absl::InfiniteFuture()) return 0;
  return std::max<int64_t>(0, absl::ToUnixNanos(time));
}

void CopyStrings(const std::map<std::string, std::string>& from,
                 google::protobuf::Map<std::string, std::string>& to) {
  for (const auto& [key, value] : from) to[key] = value;
}

runtime::v1::PodSandboxMetadata ToMetadata(const PodMetadata& from) {
  runtime::v1::PodSandboxMetadata metadata;
  metadata.set_name(from.name);
  metadata.set_uid(from.uid);
  metadata.set_namespace_(from.name_space);
  metadata.set_attempt(from.attempt);
  return metadata;
}

runtime::v1::PodSandboxState ToState(SandboxState state) {
  return state == SandboxState::kReady ? runtime::v1::SANDBOX_READY
                                       : runtime::v1::SANDBOX_NOTREADY;
}

absl::string_view StateName(SandboxState state) {
  switch (state) {
    case SandboxState::kCreating:
      return "creating";
    case SandboxState::kReady:
      return "ready";
    case SandboxState::kStopping:
      return "stopping";
    case SandboxState::kStopped:
      return "stopped";
  }
  return "unknown";
}

runtime::v1::ContainerState ToState(ContainerPhase phase) {
  switch (phase) {
    case ContainerPhase::kCreating:
    case ContainerPhase::kCreated:
      return runtime::v1::CONTAINER_CREATED;
    case ContainerPhase::kRunning:
      return runtime::v1::CONTAINER_RUNNING;
    case ContainerPhase::kExited:
      return runtime::v1::CONTAINER_EXITED;
  }
  return runtime::v1::CONTAINER_UNKNOWN;
}

runtime::v1::ImageSpec ToImageSpec(const ContainerSpec& spec) {
  runtime::v1::ImageSpec image;
  image.set_image(spec.user_image.empty() ? spec.image : spec.user_image);
  image.set_user_specified_image(spec.user_image);
  return image;
}

runtime::v1::IDMapping ToIdMapping(const IdMapping& ids) {
  runtime::v1::IDMapping mapping;
  mapping.set_host_id(ids.host_id);
  mapping.set_length(ids.length);
  return mapping;
}

runtime::v1::Mount ToMount(const MountSpec& spec) {
  runtime::v1::Mount mount;
  mount.set_container_path(spec.container_path);
  mount.set_host_path(spec.host_path);
  mount.set_readonly(spec.read_only);
  mount.set_recursive_read_only(spec.recursive_read_only);
  mount.set_propagation(spec.slave ? runtime::v1::PROPAGATION_HOST_TO_CONTAINER
                                   : runtime::v1::PROPAGATION_PRIVATE);
  if (spec.ids.has_value()) {
    *mount.add_uidmappings() = ToIdMapping(*spec.ids);
    *mount.add_gidmappings() = ToIdMapping(*spec.ids);
  }
  if (!spec.image.empty()) {
    mount.mutable_image()->set_image(spec.image);
    mount.mutable_image()->set_image_ref(spec.image_id);
    mount.set_image_sub_path(spec.image_sub_path);
  }
  return mount;
}

runtime::v1::PsiData ToPsiData(const PressureWait& wait) {
  constexpr uint64_t kNanosPerMicro = 1000;
  constexpr double kHundredths = 100;
  runtime::v1::PsiData data;
  data.set_total(
      std::min(wait.total_micros,
               std::numeric_limits<uint64_t>::max() / kNanosPerMicro) *
      kNanosPerMicro);
  data.set_avg10(wait.avg10 / kHundredths);
  data.set_avg60(wait.avg60 / kHundredths);
  data.set_avg300(wait.avg300 / kHundredths);
  return data;
}

nlohmann::json SizesJson(const VmSizes& vm) {
  return {
      {"vcpus",
       {{"base", vm.base_vcpus},
        {"target", vm.target_vcpus},
        {"plugged", vm.plugged_vcpus},
        {"online", vm.online_vcpus},
        {"max", vm.max_vcpus},
        {"clamped", vm.vcpus_clamped},
        {"cutByPodMilli", vm.cut_milli_cpu}}},
      {"memoryBytes",
       {{"base", vm.base_memory_bytes},
        {"target", vm.target_memory_bytes},
        {"plugged", vm.plugged_memory_bytes},
        {"online", vm.online_memory_bytes},
        {"max", vm.max_memory_bytes},
        {"clamped", vm.memory_clamped},
        {"cutByPod", vm.cut_memory_bytes},
        {"shortfall", vm.shortfall_bytes}}},
      {"memorySlots",
       {{"used", vm.memory_slots_used}, {"total", vm.memory_slots_total}}},
  };
}

nlohmann::json AccountJson(const PodAccount& account) {
  return {{"guest", account.guest_bytes},
          {"vmm", account.vmm_bytes},
          {"limit", account.limit_bytes},
          {"overhead", account.overhead_bytes},
          {"excess", account.excess_bytes()}};
}

// Strings may hold anything; dump() must not throw over them.
std::string Dump(const nlohmann::json& json) {
  return json.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

}  // namespace

runtime::v1::PodSandbox ToPodSandbox(const PodSnapshot& pod) {
  runtime::v1::PodSandbox sandbox;
  sandbox.set_id(pod.id.value());
  *sandbox.mutable_metadata() = ToMetadata(pod.spec.metadata);
  sandbox.set_state(ToState(pod.state));
  sandbox.set_created_at(ToNanos(pod.created_at));
  CopyStrings(pod.spec.labels, *sandbox.mutable_labels());
  CopyStrings(pod.spec.annotations, *sandbox.mutable_annotations());
  sandbox.set_runtime_handler(pod.spec.runtime_handler);
  return sandbox;
}

runtime::v1::PodSandboxStatus ToPodSandboxStatus(const PodSnapshot& pod) {
  runtime::v1::PodSandboxStatus status;
  status.set_id(pod.id.value());
  *status.mutable_metadata() = ToMetadata(pod.spec.metadata);
  status.set_state(ToState(pod.state));
  status.set_created_at(ToNanos(pod.created_at));
  // Not set without an address: kubelet kills and recreates a ready pod whose
  // network has an empty one.
  for (size_t i = 0; i < pod.ips.size(); ++i) {
    auto* network = status.mutable_network();
    if (i == 0) {
      network->set_ip(pod.ips[i]);
    } else {
      network->add_additional_ips()->set_ip(pod.ips[i]);
    }
  }
  // kubelet compares the network mode and recreates the pod if it differs.
  auto* options =
      status.mutable_linux()->mutable_namespaces()->mutable_options();
  options->set_network(runtime::v1::POD);
  options->set_ipc(runtime::v1::POD);
  options->set_pid(
      static_cast<runtime::v1::NamespaceMode>(pod.spec.pid_namespace));
  if (pod.spec.ids.has_value()) {
    auto* userns = options->mutable_userns_options();
    userns->set_mode(runtime::v1::POD);
    *userns->add_uids() = ToIdMapping(*pod.spec.ids);
    *userns->add_gids() = ToIdMapping(*pod.spec.ids);
  }
  CopyStrings(pod.spec.labels, *status.mutable_labels());
  CopyStrings(pod.spec.annotations, *status.mutable_annotations());
  status.set_runtime_handler(pod.spec.runtime_handler);
  return status;
}

runtime::v1::Container ToContainer(const ContainerSnapshot& snapshot) {
  runtime::v1::Container container;
  container.set_id(snapshot.id.value());
  container.set_pod_sandbox_id(snapshot.pod.value());
  container.mutable_metadata()->set_name(snapshot.spec.name);
  container.mutable_metadata()->set_attempt(snapshot.spec.attempt);
  *container.mutable_image() = ToImageSpec(snapshot.spec);
  container.set_image_ref(snapshot.image_ref);
  container.set_image_id(snapshot.image_id);
  container.set_state(ToState(snapshot.phase));
  container.set_created_at(ToNanos(snapshot.created_at));
  CopyStrings(snapshot.spec.labels, *container.mutable_labels());
  CopyStrings(snapshot.spec.annotations, *container.mutable_annotations());
  return container;
}

runtime::v1::ContainerStatus ToContainerStatus(
    const ContainerSnapshot& snapshot) {
  runtime::v1::ContainerStatus status;
  status.set_id(snapshot.id.value());
  status.mutable_metadata()->set_name(snapshot.spec.name);
  status.mutable_metadata()->set_attempt(snapshot.spec.attempt);
  status.set_state(ToState(snapshot.phase));
  status.set_created_at(ToNanos(snapshot.created_at));
  status.set_started_at(ToNanos(snapshot.started_at));
  status.set_finished_at(ToNanos(snapshot.finished_at));
  status.set_exit_code(snapshot.exit_code);
  *status.mutable_image() = ToImageSpec(snapshot.spec);
  status.set_image_ref(snapshot.image_ref);
  status.set_image_id(snapshot.image_id);
  status.set_reason(CleanText(snapshot.reason, 128));
  status.set_message(CleanText(snapshot.message));
  CopyStrings(snapshot.spec.labels, *status.mutable_labels());
  CopyStrings(snapshot.spec.annotations, *status.mutable_annotations());
  for (const MountSpec& mount : snapshot.spec.mounts) {
    *status.add_mounts() = ToMount(mount);
  }
  status.set_log_path(snapshot.log_path);
  *status.mutable_resources()->mutable_linux() =
      ToLinuxResources(snapshot.applied);
  if (snapshot.user.has_value()) {
    auto* user = status.mutable_user()->mutable_linux();
    user->set_uid(snapshot.user->uid);
    user->set_gid(snapshot.user->gid);
    for (const int64_t group : snapshot.user->supplemental_groups) {
      user->add_supplemental_groups(group);
    }
  }
  status.set_stop_signal(SignalFromName(snapshot.stop_signal));
  return status;
}

runtime::v1::PsiStats ToPsiStats(const ResourcePressure& pressure) {
  runtime::v1::PsiStats stats;
  *stats.mutable_some() = ToPsiData(pressure.some);
  *stats.mutable_full() = ToPsiData(pressure.full);
  return stats;
}

runtime::v1::ContainerStats ToContainerStats(
    const ContainerStatsSnapshot& snapshot,
    const std::string& writable_layers_directory) {
  const ContainerUsage& usage = snapshot.usage;
  const bool sampled = usage.timestamp != absl::InfinitePast();
  const int64_t timestamp =
      ToNanos(sampled ? usage.timestamp : snapshot.started_at);
  runtime::v1::ContainerStats stats;
  auto* attributes = stats.mutable_attributes();
  attributes->set_id(snapshot.id.value());
  attributes->mutable_metadata()->set_name(snapshot.name);
  attributes->mutable_metadata()->set_attempt(snapshot.attempt);
  CopyStrings(snapshot.labels, *attributes->mutable_labels());
  CopyStrings(snapshot.annotations, *attributes->mutable_annotations());

  stats.mutable_cpu()->set_timestamp(timestamp);
  stats.mutable_cpu()->mutable_usage_core_nano_seconds()->set_value(
      usage.cpu_usage_nanos);

  auto* memory = stats.mutable_memory();
  memory->set_timestamp(timestamp);
  if (!sampled) return stats;
  if (usage.cpu_pressure.has_value()) {
    *stats.mutable_cpu()->mutable_psi() = ToPsiStats(*usage.cpu_pressure);
  }
  if (usage.memory_pressure.has_value()) {
    *memory->mutable_psi() = ToPsiStats(*usage.memory_pressure);
  }
  if (usage.io_pressure.has_value()) {
    stats.mutable_io()->set_timestamp(timestamp);
    *stats.mutable_io()->mutable_psi() = ToPsiStats(*usage.io_pressure);
  }
  memory->mutable_working_set_bytes()->set_value(
      usage.memory_working_set_bytes);
  memory->mutable_usage_bytes()->set_value(usage.memory_usage_bytes);
  memory->mutable_rss_bytes()->set_value(usage.memory_rss_bytes);
  memory->mutable_page_faults()->set_value(usage.memory_page_faults);
  memory->mutable_major_page_faults()->set_value(
      usage.memory_major_page_faults);
  if (usage.memory_limit_bytes > 0) {
    memory->mutable_available_bytes()->set_value(
        usage.memory_limit_bytes -
        std::min(usage.memory_limit_bytes, usage.memory_working_set_bytes));
  }

  auto* layer = stats.mutable_writable_layer();
  layer->set_timestamp(timestamp);
  layer->mutable_fs_id()->set_mountpoint(writable_layers_directory);
  layer->mutable_used_bytes()->set_value(usage.writable_layer_bytes);
  layer->mutable_inodes_used()->set_value(usage.writable_layer_inodes);

  // The guest has no swap.
  stats.mutable_swap()->set_timestamp(timestamp);
  stats.mutable_swap()->mutable_swap_usage_bytes()->set_value(0);
  stats.mutable_swap()->mutable_swap_available_bytes()->set_value(0);
  return stats;
}

std::string PodInfoJson(const PodSnapshot& pod,
                        const std::optional<ObservedSizing>& sizing) {
  nlohmann::json info = SizesJson(pod.vm);
  info["accountedBytes"] = AccountJson(pod.account);
  info["sandboxId"] = pod.id.value();
  info["state"] = std::string(StateName(pod.state));
  info["pid"] = pod.vmm_pid;
  info["accelerator"] = pod.accelerator;
  info["agentVersion"] = CleanText(pod.agent_version, 128);
  info["kernelRelease"] = CleanText(pod.kernel_release, 128);
  info["bootSeconds"] = absl::ToDoubleSeconds(pod.boot_time);
  info["consolePath"] = pod.console_path;
  info["cgroupPath"] = pod.cgroup_path;
  info["lastError"] = CleanText(pod.last_error);
  if (pod.vm.observed_at != absl::InfinitePast()) {
    info["observedAt"] = absl::FormatTime(
        absl::RFC3339_full, pod.vm.observed_at, absl::UTCTimeZone());
  }
  if (sizing.has_value()) info["sizing"] = SizingToJson(*sizing);
  return Dump(info);
}

std::string ContainerInfoJson(const ContainerSnapshot& container) {
  const ContainerResources& applied = container.applied;
  return Dump({
      {"sandboxID", container.pod.value()},
      {"privileged", container.spec.security.privileged},
      {"imageID", container.image_id},
      {"resources",
       {{"cpuPeriod", applied.cpu_period},
        {"cpuQuota", applied.cpu_quota},
        {"cpuShares", applied.cpu_shares},
        {"memoryLimitBytes", applied.memory_limit_bytes},
        {"cpusetCpus", applied.cpuset_cpus}}},
  });
}

}  // namespace podvisor
