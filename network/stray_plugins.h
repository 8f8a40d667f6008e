#ifndef PODVISOR_NETWORK_STRAY_PLUGINS_H_
#define PODVISOR_NETWORK_STRAY_PLUGINS_H_

#include <string>

#include "absl/status/status.h"
#include "absl/time/time.h"

namespace podvisor {

// Ends the CNI plugins that an earlier daemon was running when it was killed,
// with all that they started: one that finishes its ADD after the pod was
// undone would leave an address that nobody gives back. They are known by the
// namespace in their environment, which lies in `netns_directory`.
//
// To be called before anything is undone. DeadlineExceeded when one does not
// end (it waits for the kernel).
absl::Status EndStrayPlugins(const std::string& netns_directory,
                             absl::Time deadline);

}  // namespace podvisor

#endif  // PODVISOR_NETWORK_STRAY_PLUGINS_H_
