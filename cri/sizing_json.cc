#include "cri/sizing_json.h"

#include <google/protobuf/util/json_util.h>

#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "base/clean_text.h"
#include "base/status_macros.h"
#include "cri/convert_resources.h"
#include "sandbox/record/json_fields.h"

namespace podvisor {
namespace {

using nlohmann::json;

// Enums, in the order of their numbers.
constexpr const char* kSizingNames[] = {"shared", "additive"};
constexpr const char* kDeviceNames[] = {"none", "virtio-mem", "pc-dimm"};
constexpr const char* kUnplugNames[] = {"device", "park"};
constexpr const char* kCpusetNames[] = {"pin", "guest"};
constexpr const char* kGuardNames[] = {"warn", "enforce"};
constexpr const char* kAcceleratorNames[] = {"", "tcg", "kvm"};

template <typename Enum, size_t N>
const char* NameOf(const char* const (&names)[N], Enum value) {
  return names[static_cast<size_t>(value)];
}

// Leaves `value` alone for a name that is not there.
template <typename Enum, size_t N>
bool FromName(const char* const (&names)[N], absl::string_view name,
              Enum* value) {
  for (size_t i = 0; i < N; ++i) {
    if (name != names[i]) continue;
    *value = static_cast<Enum>(i);
    return true;
  }
  return false;
}

json ResourcesToJson(const ContainerResources& resources) {
  std::string text;
  (void)google::protobuf::util::MessageToJsonString(ToLinuxResources(resources),
                                                    &text);
  return json::parse(text, nullptr, false);
}

absl::StatusOr<ContainerResources> ResourcesFromJson(const json& resources) {
  runtime::v1::LinuxContainerResources message;
  const auto parsed = google::protobuf::util::JsonStringToMessage(
      resources.dump(-1, ' ', false, json::error_handler_t::replace), &message);
  if (!parsed.ok()) {
    return absl::DataLossError(
        absl::StrCat("sizing: resources: ", CleanText(parsed.ToString(), 256)));
  }
  absl::StatusOr<ContainerResources> converted =
      ConvertResources(message, "sizing.resources");
  if (!converted.ok()) {
    return absl::DataLossError(converted.status().message());
  }
  return converted;
}

json LimitsToJson(const VmLimits& limits) {
  return {{"bootVcpus", limits.boot_vcpus},
          {"maxVcpus", limits.max_vcpus},
          {"bootMemoryBytes", limits.boot_memory_bytes},
          {"maxMemoryBytes", limits.max_memory_bytes},
          {"memoryBlockBytes", limits.memory_block_bytes},
          {"memorySlots", limits.memory_slots},
          {"dimmUnplug", limits.dimm_unplug},
          {"memoryDevice", NameOf(kDeviceNames, limits.memory_device)},
          {"vcpuUnplug", NameOf(kUnplugNames, limits.vcpu_unplug)}};
}

json ObservedToJson(const VmState& state) {
  json dimms = json::array();
  for (const Dimm& dimm : state.dimms) {
    dimms.push_back({{"slot", dimm.slot}, {"bytes", dimm.bytes}});
  }
  return {{"vcpusPlugged", state.vcpus_plugged},
          {"vcpusRemovable", state.vcpus_removable},
          {"vcpusOnline", state.vcpus_online},
          {"hotplugRequestedBytes", state.hotplug_requested_bytes},
          {"hotplugPluggedBytes", state.hotplug_plugged_bytes},
          {"hotplugOnlineBytes", state.hotplug_online_bytes},
          {"dimms", dimms},
          {"guestAvailableBytes", state.guest_available_bytes},
          {"guestBootBytes", state.guest_boot_bytes},
          {"guestFreeBytes", state.guest_free_bytes},
          {"guestBlockBytes", state.guest_block_bytes}};
}

json RulesToJson(const SizingRules& rules) {
  return {{"sizing", NameOf(kSizingNames, rules.sizing)},
          {"baseMilliCpu", rules.base_milli_cpu},
          {"baseMemoryBytes", rules.base_memory_bytes},
          {"guestOverheadBytes", rules.guest_overhead_memory_bytes}};
}

json AccountToJson(const ObservedSizing& sizing) {
  const PodAccount& account = sizing.account;
  return {{"guestBytes", account.guest_bytes},
          {"vmmBytes", account.vmm_bytes},
          {"limitBytes", account.limit_bytes},
          {"overheadBytes", account.overhead_bytes},
          {"guard", NameOf(kGuardNames, sizing.guard)},
          {"accelerator", NameOf(kAcceleratorNames, sizing.accelerator)}};
}

// Members that are enums come as names; false for an unknown one.
bool ReadLimits(JsonFields* fields, VmLimits* limits) {
  std::string device, unplug;
  fields->Read("bootVcpus", &limits->boot_vcpus);
  fields->Read("maxVcpus", &limits->max_vcpus);
  fields->Read("bootMemoryBytes", &limits->boot_memory_bytes);
  fields->Read("maxMemoryBytes", &limits->max_memory_bytes);
  fields->Read("memoryBlockBytes", &limits->memory_block_bytes);
  fields->Read("memorySlots", &limits->memory_slots);
  fields->Read("dimmUnplug", &limits->dimm_unplug);
  fields->Read("memoryDevice", &device);
  fields->Read("vcpuUnplug", &unplug);
  return FromName(kDeviceNames, device, &limits->memory_device) &&
         FromName(kUnplugNames, unplug, &limits->vcpu_unplug);
}

void ReadObserved(JsonFields* fields, VmState* state) {
  fields->Read("vcpusPlugged", &state->vcpus_plugged);
  fields->Read("vcpusRemovable", &state->vcpus_removable);
  fields->Read("vcpusOnline", &state->vcpus_online);
  fields->Read("hotplugRequestedBytes", &state->hotplug_requested_bytes);
  fields->Read("hotplugPluggedBytes", &state->hotplug_plugged_bytes);
  fields->Read("hotplugOnlineBytes", &state->hotplug_online_bytes);
  fields->ReadObjects("dimms", [&](JsonFields* dimm) {
    Dimm& added = state->dimms.emplace_back();
    dimm->Read("slot", &added.slot);
    dimm->Read("bytes", &added.bytes);
  });
  fields->Read("guestAvailableBytes", &state->guest_available_bytes);
  fields->Read("guestBootBytes", &state->guest_boot_bytes);
  fields->Read("guestFreeBytes", &state->guest_free_bytes);
  fields->Read("guestBlockBytes", &state->guest_block_bytes);
}

bool ReadRules(JsonFields* fields, SizingRules* rules) {
  std::string sizing;
  fields->Read("sizing", &sizing);
  fields->Read("baseMilliCpu", &rules->base_milli_cpu);
  fields->Read("baseMemoryBytes", &rules->base_memory_bytes);
  fields->Read("guestOverheadBytes", &rules->guest_overhead_memory_bytes);
  return FromName(kSizingNames, sizing, &rules->sizing);
}

bool ReadAccount(JsonFields* fields, ObservedSizing* sizing) {
  std::string guard, accelerator;
  fields->Read("guestBytes", &sizing->account.guest_bytes);
  fields->Read("vmmBytes", &sizing->account.vmm_bytes);
  fields->Read("limitBytes", &sizing->account.limit_bytes);
  fields->Read("overheadBytes", &sizing->account.overhead_bytes);
  fields->Read("guard", &guard);
  fields->Read("accelerator", &accelerator);
  return FromName(kGuardNames, guard, &sizing->guard) &&
         FromName(kAcceleratorNames, accelerator, &sizing->accelerator);
}

}  // namespace

json SizingToJson(const ObservedSizing& sizing) {
  json containers = json::array();
  for (const ContainerResources& container : sizing.sizing.containers) {
    containers.push_back(ResourcesToJson(container));
  }
  json out = {{"containers", std::move(containers)},
              {"rules", RulesToJson(sizing.sizing.rules)},
              {"limits", LimitsToJson(sizing.sizing.limits)},
              {"cpuset", NameOf(kCpusetNames, sizing.sizing.cpuset)},
              {"observed", ObservedToJson(sizing.observed)},
              {"account", AccountToJson(sizing)}};
  if (sizing.sizing.pod_total.has_value()) {
    out["pod"] = ResourcesToJson(*sizing.sizing.pod_total);
    out["podIsFloor"] =
        sizing.sizing.pod_total_use == PodTotalUse::kCapAndFloor;
  }
  return out;
}

absl::StatusOr<ObservedSizing> SizingFromJson(const json& in) {
  ObservedSizing out;
  JsonFields fields(in, "sizing.");
  bool complete = false;
  fields.ReadObject("rules", [&](JsonFields* rules) {
    complete = ReadRules(rules, &out.sizing.rules);
  });
  fields.ReadObject("limits", [&](JsonFields* limits) {
    complete = ReadLimits(limits, &out.sizing.limits) && complete;
  });
  fields.ReadObject("account", [&](JsonFields* account) {
    complete = ReadAccount(account, &out) && complete;
  });
  fields.ReadObject("observed", [&](JsonFields* observed) {
    ReadObserved(observed, &out.observed);
  });
  std::string cpuset;
  fields.Read("cpuset", &cpuset);
  RETURN_IF_ERROR(fields.status());
  if (!FromName(kCpusetNames, cpuset, &out.sizing.cpuset) || !complete) {
    return absl::DataLossError(
        "sizing: rules, limits, cpuset or account are not known");
  }
  if (const auto containers = in.find("containers"); containers != in.end()) {
    for (const json& container : *containers) {
      ASSIGN_OR_RETURN(out.sizing.containers.emplace_back(),
                       ResourcesFromJson(container));
    }
  }
  if (const auto pod = in.find("pod"); pod != in.end()) {
    ASSIGN_OR_RETURN(out.sizing.pod_total, ResourcesFromJson(*pod));
    if (in.value("podIsFloor", false)) {
      out.sizing.pod_total_use = PodTotalUse::kCapAndFloor;
    }
  }
  return out;
}

}  // namespace podvisor
