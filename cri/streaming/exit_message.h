#ifndef PODVISOR_CRI_STREAMING_EXIT_MESSAGE_H_
#define PODVISOR_CRI_STREAMING_EXIT_MESSAGE_H_

#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace podvisor {

// Which subprotocol of exec and attach a client speaks; they differ in how the
// error stream tells the end, and in what may be closed.
enum class ChannelVersion {
  kPlainText = 3,  // v3: a text, and only for an error
  kStatus = 4,     // v4: one metav1.Status
};

// What the error stream carries at the end of a process: its exit code, or why
// it has none. At most one message, and none where there is nothing to say.
// Kubernetes: k8s.io/apimachinery metav1.Status, with the cause "ExitCode".
std::string ExitMessage(ChannelVersion version,
                        const absl::StatusOr<int>& exit_code);

}  // namespace podvisor

#endif  // PODVISOR_CRI_STREAMING_EXIT_MESSAGE_H_
