#ifndef PODVISOR_CRI_CTL_RM_H_
#define PODVISOR_CRI_CTL_RM_H_

#include <ostream>
#include <string>

#include "absl/status/status.h"
#include "cri/cri_client.h"

namespace podvisor {

// Where `podvisorctl run` puts the logs of a pod with this uid unless it is
// told otherwise. `root_dir` is the daemon's.
std::string PodLogDirectory(const std::string& root_dir,
                            const std::string& uid);

// `podvisorctl rm POD`: stops and removes the pod, and the logs that `run` has
// put into PodLogDirectory(). Those of a pod that another client made, and
// those that `run` was told to put elsewhere, stay.
//
// Errors: FindPod(), and what the server answers.
absl::Status RemovePodAndLogs(CriClient& client, const std::string& pod,
                              const std::string& root_dir, std::ostream& out);

}  // namespace podvisor

#endif  // PODVISOR_CRI_CTL_RM_H_
