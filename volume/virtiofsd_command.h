#ifndef PODVISOR_VOLUME_VIRTIOFSD_COMMAND_H_
#define PODVISOR_VOLUME_VIRTIOFSD_COMMAND_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"

namespace podvisor {

// The listening socket that virtiofsd inherits.
inline constexpr int kVirtiofsdSocketFd = 3;

// One for each inode that the guest remembers: too few break the guest's file
// access, and without a limit a guest could take all of the host's.
inline constexpr int64_t kDefaultVirtiofsdFiles = 65536;

struct VirtiofsdCommand {
  std::string program;
  std::string source;  // the share
  int64_t files_limit = kDefaultVirtiofsdFiles;
  std::vector<std::string> cgroup_procs;
};

// The command line of QEMU 7.2's virtiofsd (the one in C). It enters the
// cgroups, then a namespace of its own in which the share is the whole world.
//
//   cache=auto,timeout=0.1  a swapped symbolic link, which is how the kubelet
//                           updates a volume, is seen within 0.1 s. (cache=none
//                           would break mmap, and databases with it.)
//   announce_submounts      every bind has its own device number in the guest,
//                           so that inode numbers do not collide.
//   modcaps=-mknod          a guest can not make device nodes on the host.
//
// Pure. InvalidArgument: a source that virtiofsd's option parser would tear
// apart, or a path that is not absolute.
absl::StatusOr<std::vector<std::string>> VirtiofsdCommandLine(
    const VirtiofsdCommand& command);

}  // namespace podvisor

#endif  // PODVISOR_VOLUME_VIRTIOFSD_COMMAND_H_
