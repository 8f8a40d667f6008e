#ifndef PODVISOR_CRI_CTL_ARGS_H_
#define PODVISOR_CRI_CTL_ARGS_H_

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "absl/types/span.h"
#include "cri/pod_manifest.h"

namespace podvisor {

// podvisorctl's command line, as values.
struct CtlArgs {
  std::string command;  // empty: none was given
  std::vector<std::string> operands;
  std::string socket;         // --socket; empty: the configuration's
  std::string config;         // --config; empty: the default path, if it exists
  std::string log_directory;  // run --log-dir
  bool print_default = false;                  // config --default
  int lines = 50;                              // console --lines
  bool watch = false;                          // vms --watch
  absl::Duration interval = absl::Seconds(2);  // vms --interval
  std::vector<ManifestContainer> containers;   // plan --container
  std::string pod;                             // plan --pod
  bool follow = false;                         // logs --follow
  bool help = false;
  bool version = false;
};

struct CtlCommand {
  absl::string_view name;
  absl::string_view operands;  // "POD.yaml"
  int least_operands;
  int most_operands;
  absl::string_view summary;
  absl::string_view details;  // of its --help
};

absl::Span<const CtlCommand> CtlCommands();

// Options may stand anywhere; "--" ends them. Pure. InvalidArgument says what
// is wrong and, for a misspelt word, what was probably meant.
absl::StatusOr<CtlArgs> ParseCtlArgs(absl::Span<const std::string> args);

// The text for --help: of one command, or of all for "".
std::string CtlHelp(absl::string_view command);

}  // namespace podvisor

#endif  // PODVISOR_CRI_CTL_ARGS_H_
