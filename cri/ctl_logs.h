#ifndef PODVISOR_CRI_CTL_LOGS_H_
#define PODVISOR_CRI_CTL_LOGS_H_

#include <string>

#include "absl/status/status.h"
#include "cri/cri_client.h"
#include "cri/log_printer.h"
#include "cri/pause.h"

namespace podvisor {

struct LogsRequest {
  std::string pod;        // as FindPod() takes it
  std::string container;  // a name, or the beginning of an id; "": the only one
  LogSink standard_output;
  LogSink standard_error;
};

// `podvisorctl logs POD [CONTAINER]`: what the container has written, from the
// file that its status names; of several attempts the latest. With a `pause`
// (--follow) it goes on, also while the daemon is away, until the container has
// ended, `pause` says to end, or the output takes no more.
//
// NotFound and InvalidArgument where the names mean no or several containers;
// FailedPrecondition for a container without a log.
absl::Status PrintLogs(CriClient& client, const LogsRequest& request,
                       Pause* pause);

}  // namespace podvisor

#endif  // PODVISOR_CRI_CTL_LOGS_H_
