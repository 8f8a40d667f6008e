#ifndef PODVISOR_CRI_CTL_PLAN_H_
#define PODVISOR_CRI_CTL_PLAN_H_

#include <ostream>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "cri/cri_client.h"
#include "cri/pod_manifest.h"
#include "sandbox/size/pod_settings.h"
#include "sandbox/size/pod_sizing.h"

namespace podvisor {

// The pod that a plan begins with.
struct PlannedPod {
  std::string title;  // one line for people
  ObservedSizing sizing;
};

// A new VM of this configuration, as the manifest's annotations want it.
// Errors: those with which RunPodSandbox would refuse it.
absl::StatusOr<PlannedPod> PlanNewPod(const PodSettings& settings,
                                      const PodManifest& manifest);

// A pod that runs (an id, its beginning, or a name), from its verbose status.
// Errors: FindPod(); FailedPrecondition where it has no VM now.
absl::StatusOr<PlannedPod> PlanRunningPod(CriClient& client,
                                          const std::string& pod);

// `podvisorctl plan`: what would be done for the manifest's containers, one
// after the other, and later; without containers, what is still to be done.
// FailedPrecondition when one of them would be refused.
absl::Status PrintPlan(PlannedPod pod, const PodManifest& manifest,
                       std::ostream& out);

}  // namespace podvisor

#endif  // PODVISOR_CRI_CTL_PLAN_H_
