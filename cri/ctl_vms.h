#ifndef PODVISOR_CRI_CTL_VMS_H_
#define PODVISOR_CRI_CTL_VMS_H_

#include <ostream>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "cri/cri_client.h"

namespace podvisor {

// `podvisorctl vms`: a table of all pods. A pod whose status cannot be had is a
// line that says so.
absl::StatusOr<std::string> VmTable(CriClient& client);

// `podvisorctl console POD`: the last `lines` of the VM's console file, at most
// 1 MiB, with control characters shown as "?". That there are none, and why,
// goes to `notes`. NotFound, and InvalidArgument where several pods have the
// name.
absl::Status PrintConsole(CriClient& client, const std::string& pod, int lines,
                          std::ostream& out, std::ostream& notes);

}  // namespace podvisor

#endif  // PODVISOR_CRI_CTL_VMS_H_
