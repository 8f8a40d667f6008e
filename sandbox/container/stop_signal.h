#ifndef PODVISOR_SANDBOX_CONTAINER_STOP_SIGNAL_H_
#define PODVISOR_SANDBOX_CONTAINER_STOP_SIGNAL_H_

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace podvisor {

// The number of a signal written as images and pods write it: "SIGTERM",
// "TERM", "15", "SIGRTMIN+3", in either case. InvalidArgument for anything
// else. Linux numbers of x86-64 and aarch64, see signal(7).
absl::StatusOr<int> ParseSignal(absl::string_view text);

}  // namespace podvisor

#endif  // PODVISOR_SANDBOX_CONTAINER_STOP_SIGNAL_H_
