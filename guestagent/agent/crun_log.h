#ifndef PODVISOR_GUESTAGENT_AGENT_CRUN_LOG_H_
#define PODVISOR_GUESTAGENT_AGENT_CRUN_LOG_H_

#include <string>

#include "absl/strings/string_view.h"

namespace podvisor {

// What crun said, from its JSON log (`--log-format=json`, one object with
// "msg" and "level" on each line): the messages of its errors, else its last
// line, cleaned and at most 1 KiB. The text may hold what an image chose.
// Pure.
std::string CrunErrorText(absl::string_view log);

// Why crun could not run a command in a container. Shells and other runtimes
// give such a command the exit code 127 (not found) or 126 (not executable);
// 0: the failure is not the command's. Pure.
int ExitCodeOfFailedCommand(absl::string_view error_text);

}  // namespace podvisor

#endif  // PODVISOR_GUESTAGENT_AGENT_CRUN_LOG_H_
