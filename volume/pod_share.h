#ifndef PODVISOR_VOLUME_POD_SHARE_H_
#define PODVISOR_VOLUME_POD_SHARE_H_

#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "base/id_mapping.h"
#include "base/process.h"
#include "base/unique_fd.h"

namespace podvisor {

// One host file or directory that a container is to see.
struct ShareMount {
  std::string name;       // in the share; 1 to 128 of [a-z0-9-], generated
  std::string host_path;  // absolute; symbolic links in it are followed
  bool read_only = false;
  // The mounts below it, too. Without this they stay as they are on the host:
  // what CRI's `readonly` alone means.
  bool recursive_read_only = false;
  bool recursive = true;  // with the mounts below it, as rbind
  bool slave = false;     // later host mounts below it appear as well
  // Given: files of the host's user N are the guest's user ids.host_id + N's,
  // as a pod's user namespace needs it. Not so in what the host mounts below it
  // later (`slave`): that has its owners' own numbers.
  std::optional<IdMapping> ids = std::nullopt;

  bool operator==(const ShareMount&) const = default;
};

struct PodShareOptions {
  // Host paths of ours, with all below them, that no pod may ask for: root_dir,
  // run_dir. A directory above them can be asked for, as on any other runtime;
  // the pods' own directories are left out of it even so.
  std::vector<std::string> forbidden;
};

struct VirtiofsdOptions {
  std::string program = "/usr/lib/qemu/virtiofsd";
  int64_t files_limit = 0;  // 0: kDefaultVirtiofsdFiles
  // Files that the process writes itself into before it starts.
  std::vector<std::string> cgroup_procs;
};

// A running virtiofsd and the connected socket to give to QEMU. It ends by
// itself when QEMU's end is closed.
struct VirtiofsdHandle {
  ProcessIdentity process;
  UniqueFd socket;
};

// The directory that a pod's VM sees through virtio-fs. Every CRI mount is a
// bind mount in it; the guest cannot reach anything else of the host.
//
// A handle to kernel state: the mounts outlive it and a restart of the daemon,
// and Open() finds them again. PodDirectory undoes all of it at once.
//
// Not thread-safe: the pod's operation lock.
class PodShare {
 public:
  // Makes the share in the pod's directory, or takes the one that is there.
  static absl::StatusOr<PodShare> Open(const std::string& pod_directory,
                                       PodShareOptions options);

  // Binds a host path to `name`. The bind is nosuid and nodev.
  //
  // Errors:
  //   NotFound         the host path does not exist.
  //   InvalidArgument  not absolute, one of ours, or a socket or a device.
  //   AlreadyExists    the name is taken.
  //   FailedPrecondition  ids are to be mapped, and the host's file system, or
  //                    that of a mount below, cannot do that.
  absl::Status AddMount(const ShareMount& mount);

  // OK when there is no such mount.
  absl::Status RemoveMount(absl::string_view name);

  // Starts virtiofsd on the share. The caller watches the process: QEMU does
  // not tell when it dies. Its messages are in virtiofsd.log where the
  // console is.
  absl::StatusOr<VirtiofsdHandle> StartDaemon(
      const VirtiofsdOptions& options) const;

  const std::string& path() const { return path_; }

 private:
  PodShare(std::string path, PodShareOptions options);

  std::string path_;
  std::string points_;     // where the mount points are made
  std::string directory_;  // the pod's
  PodShareOptions options_;
};

}  // namespace podvisor

#endif  // PODVISOR_VOLUME_POD_SHARE_H_
