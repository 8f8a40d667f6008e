#ifndef PODVISOR_CRI_CTL_RUN_H_
#define PODVISOR_CRI_CTL_RUN_H_

#include <ostream>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "cri/cri_client.h"
#include "cri/pod_manifest.h"
#include "third_party/cri_api/api.pb.h"

namespace podvisor {

// What kubelet would send for a pod.
struct PodRequests {
  runtime::v1::PodSandboxConfig pod;
  std::vector<runtime::v1::ContainerConfig> containers;
};

struct PodRequestOptions {
  std::string uid;
  std::string log_directory;
  std::string resolv_conf;  // the host's, for the pod's DNS
};

// Pure. CPU limits become a quota in periods of 100 ms, CPU requests shares, as
// kubelet computes them; the pod's resources are the containers' sums.
PodRequests MakePodRequests(const PodManifest& manifest,
                            const PodRequestOptions& options);

// `podvisorctl run`: pulls, runs, and prints the ids. When a step fails the pod
// is removed again, and the log directory unless it was there before. Errors:
// AlreadyExists when a pod of this name is ready, and what the server answers.
absl::Status RunPodManifest(CriClient& client, const PodManifest& manifest,
                            const PodRequestOptions& options,
                            std::ostream& out);

}  // namespace podvisor

#endif  // PODVISOR_CRI_CTL_RUN_H_
