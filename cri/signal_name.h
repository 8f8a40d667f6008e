#ifndef PODVISOR_CRI_SIGNAL_NAME_H_
#define PODVISOR_CRI_SIGNAL_NAME_H_

#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "third_party/cri_api/api.pb.h"

namespace podvisor {

// "SIGTERM", "SIGRTMIN+3", ...; empty for SIGNAL_RUNTIME_DEFAULT.
// InvalidArgument for a number that CRI does not define. Pure.
absl::StatusOr<std::string> SignalName(runtime::v1::Signal signal);

// The reverse; SIGNAL_RUNTIME_DEFAULT for any other text.
runtime::v1::Signal SignalFromName(absl::string_view name);

}  // namespace podvisor

#endif  // PODVISOR_CRI_SIGNAL_NAME_H_
