#include "cri/ctl_plan.h"

#include <set>
#include <vector>

#include "absl/strings/str_cat.h"
#include "base/clean_text.h"
#include "base/format_bytes.h"
#include "base/status_macros.h"
#include "cri/convert_container.h"
#include "cri/convert_pod.h"
#include "cri/ctl_run.h"
#include "cri/pod_lookup.h"
#include "cri/resize_dry_run.h"
#include "cri/sizing_json.h"

namespace podvisor {
namespace {

std::string Demand(const PodDemand& demand) {
  return absl::StrCat(demand.milli_cpu, "m CPU, ",
                      FormatBytes(demand.memory_bytes));
}

// What of the request is not given though nothing is refused, and what the
// accounting guard says.
std::vector<std::string> Warnings(const DryRunStep& step) {
  std::vector<std::string> warnings;
  const VmTarget& target = step.target;
  if (const PodDemand& cut = target.cut_by_pod; cut != PodDemand()) {
    warnings.push_back(absl::StrCat(
        "cut to the pod's own limit from ",
        Demand({.milli_cpu = step.demand.milli_cpu + cut.milli_cpu,
                .memory_bytes = step.demand.memory_bytes + cut.memory_bytes})));
  }
  if (target.vcpus_clamped) {
    warnings.push_back(
        absl::StrCat("vCPUs cut to the maximum: ", target.size.vcpus, " of ",
                     target.wanted_vcpus));
  }
  if (target.memory_clamped) {
    warnings.push_back(absl::StrCat(
        "memory cut to the maximum: ", FormatBytes(target.size.memory_bytes),
        " of ", FormatBytes(target.wanted_memory_bytes)));
  }
  if (!step.warning.ok()) {
    warnings.push_back(CleanText(step.warning.message(), 1024));
  }
  return warnings;
}

void PrintSteps(const ResizePlan& plan, std::ostream& out) {
  int number = 0;
  for (const ResizeStep& step : plan.steps) {
    out << "  " << ++number << ". " << DescribeStep(step) << "\n";
  }
}

// Of the warnings, what `said` has not: later steps repeat some.
void PrintStep(const DryRunStep& step, std::set<std::string>& said,
               std::ostream& out) {
  if (step.target.size.vcpus > 0) {
    out << "  demand of the pod: " << Demand(step.demand)
        << "\n  target of the VM:  " << step.target.size.vcpus << " vCPUs, "
        << FormatBytes(step.target.size.memory_bytes) << "\n";
  }
  if (!step.refused.ok()) {
    out << "  REFUSED: " << absl::StatusCodeToString(step.refused.code())
        << ": " << CleanText(step.refused.message(), 1024) << "\n";
  } else if (step.plan.empty()) {
    out << "  nothing to do for this target\n";
  } else {
    PrintSteps(step.plan, out);
  }
  for (const std::string& warning : Warnings(step)) {
    if (said.insert(warning).second) out << "  WARNING: " << warning << "\n";
  }
}

// The containers as `podvisorctl run` would send them and the daemon take them.
absl::StatusOr<ContainerResources> ResourcesOf(const PodRequests& requests,
                                               size_t container) {
  ASSIGN_OR_RETURN(
      const ConvertedContainer converted,
      ConvertContainer(requests.containers[container], requests.pod));
  return converted.spec.resources;
}

PodRequests RequestsOf(const PodManifest& manifest) {
  return MakePodRequests(
      manifest, {.uid = "plan", .log_directory = "", .resolv_conf = ""});
}

}  // namespace

absl::StatusOr<PlannedPod> PlanNewPod(const PodSettings& settings,
                                      const PodManifest& manifest) {
  ASSIGN_OR_RETURN(const PodSpec spec, ConvertPod(RequestsOf(manifest).pod,
                                                  manifest.runtime_class));
  PlannedPod pod;
  ASSIGN_OR_RETURN(pod.sizing, BootedVm(settings, spec));
  const VmLimits& limits = pod.sizing.sizing.limits;
  const VmState& now = pod.sizing.observed;
  pod.title = absl::StrCat("a new VM: boots with ", limits.boot_vcpus,
                           " vCPUs, ", FormatBytes(limits.boot_memory_bytes));
  if (settings.presize) {
    absl::StrAppend(
        &pod.title, ", has ", now.vcpus_online, " vCPUs, ",
        FormatBytes(limits.boot_memory_bytes + now.hotplug_online_bytes),
        " before its first container (presize)");
  }
  absl::StrAppend(&pod.title, "; its guest is taken to have ",
                  FormatBytes(now.guest_available_bytes), " free");
  return pod;
}

absl::StatusOr<PlannedPod> PlanRunningPod(CriClient& client,
                                          const std::string& wanted) {
  ASSIGN_OR_RETURN(const std::string id, FindPod(client, wanted));
  ASSIGN_OR_RETURN(const runtime::v1::PodSandboxStatusResponse status,
                   client.PodStatus(id));
  const nlohmann::json info = PodInfo(status);
  const auto sizing = info.find("sizing");
  if (sizing == info.end()) {
    return absl::FailedPreconditionError(
        absl::StrCat("pod ", id, " has no VM now"));
  }
  PlannedPod pod;
  ASSIGN_OR_RETURN(pod.sizing, SizingFromJson(*sizing));
  const VmState& now = pod.sizing.observed;
  const int64_t boot = pod.sizing.sizing.limits.boot_memory_bytes;
  pod.title = absl::StrCat(
      "pod ", id, ", seen at ", CleanText(InfoText(info, "observedAt"), 64),
      ": ", now.vcpus_online, " of ", now.vcpus_plugged, " vCPUs online, ",
      FormatBytes(boot + now.hotplug_online_bytes), " of ",
      FormatBytes(boot + now.hotplug_plugged_bytes), " online");
  return pod;
}

absl::Status PrintPlan(PlannedPod pod, const PodManifest& manifest,
                       std::ostream& out) {
  out << pod.title << "\n";
  const PodRequests requests = RequestsOf(manifest);
  int refused = 0;
  std::set<std::string> said;
  for (size_t i = 0; i < requests.containers.size(); ++i) {
    out << "\ncontainer " << CleanText(manifest.containers[i].name, 128)
        << "\n";
    const auto resources = ResourcesOf(requests, i);
    DryRunStep step;
    if (resources.ok()) {
      step = DryRunCreate(*resources, pod.sizing);
    } else {
      step.refused = resources.status();
    }
    if (!step.refused.ok()) ++refused;
    PrintStep(step, said, out);
  }
  const DryRunStep later = DryRunSettle(pod.sizing);
  if (requests.containers.empty()) {
    out << "\nas it is\n";
    PrintStep(later, said, out);
    if (!later.refused.ok()) ++refused;
  } else if (!later.plan.empty()) {
    out << "\nlater, when nothing has changed for the shrink delay\n";
    PrintStep(later, said, out);
  }
  if (refused == 0) return absl::OkStatus();
  return absl::FailedPreconditionError(
      absl::StrCat(refused, " of these would be refused"));
}

}  // namespace podvisor
