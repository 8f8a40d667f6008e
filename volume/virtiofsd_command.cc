#include "volume/virtiofsd_command.h"

#include <algorithm>

#include "absl/status/status.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"

namespace podvisor {
namespace {

// The shell itself enters the cgroups, and then becomes virtiofsd: no child of
// it can be born outside.
constexpr char kEnterCgroups[] =
    "set -e\n"
    "while [ \"$1\" != -- ]; do echo 0 > \"$1\"; shift; done\n"
    "shift\n"
    "exec \"$@\"\n";

}  // namespace

absl::StatusOr<std::vector<std::string>> VirtiofsdCommandLine(
    const VirtiofsdCommand& command) {
  for (const std::string* path : {&command.program, &command.source}) {
    if (!absl::StartsWith(*path, "/")) {
      return absl::InvalidArgumentError(
          absl::StrCat("virtiofsd: \"", *path, "\" is not an absolute path"));
    }
  }
  // libfuse's parser: a comma separates options, a backslash escapes.
  if (command.source.find_first_of(",\\\n") != std::string::npos) {
    return absl::InvalidArgumentError(
        absl::StrCat("virtiofsd: no comma, backslash or line end may be in \"",
                     command.source, "\""));
  }
  if (!std::all_of(command.cgroup_procs.begin(), command.cgroup_procs.end(),
                   [](const std::string& p) { return p[0] == '/'; })) {
    return absl::InvalidArgumentError("virtiofsd: a cgroup is not absolute");
  }
  const int64_t files =
      command.files_limit > 0 ? command.files_limit : kDefaultVirtiofsdFiles;
  std::vector<std::string> argv = {"/bin/sh", "-c", kEnterCgroups,
                                   "podvisor-virtiofsd"};
  argv.insert(argv.end(), command.cgroup_procs.begin(),
              command.cgroup_procs.end());
  argv.insert(
      argv.end(),
      {"--", "prlimit", "--core=0", "--", command.program,
       absl::StrCat("--fd=", kVirtiofsdSocketFd), "-o",
       absl::StrCat("source=", command.source), "-o", "sandbox=namespace", "-o",
       "cache=auto,timeout=0.1,announce_submounts", "-o", "modcaps=-mknod",
       "--thread-pool-size=0", absl::StrCat("--rlimit-nofile=", files)});
  return argv;
}

}  // namespace podvisor
