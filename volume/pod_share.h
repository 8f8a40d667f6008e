#ifndef PODVISOR_VOLUME_POD_SHARE_H_
#define PODVISOR_VOLUME_POD_SHARE_H_

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "base/process.h"
#include "base/unique_fd.h"
#include "volume/share_mount.h"

namespace podvisor {

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
// The binds are in the mount namespace of the pod's virtiofsd and nowhere else:
// no directory of the host is busy for their sake, and they end with that
// process. What is on the host, a mount point for each, outlives the daemon
// with virtiofsd, and PodDirectory undoes it at once.
//
// Not thread-safe: the pod's operation lock.
class PodShare {
 public:
  // Makes the share in the pod's directory, or takes the one that is there.
  static absl::StatusOr<PodShare> Open(const std::string& pod_directory,
                                       PodShareOptions options);

  // Starts virtiofsd on the share. The caller watches the process: QEMU does
  // not tell when it dies. Its messages are in virtiofsd.log where the
  // console is. Nothing can be added before AwaitVirtiofsd().
  absl::StatusOr<VirtiofsdHandle> StartDaemon(
      const VirtiofsdOptions& options) const;

  // Binds a host path to `name`, for the virtiofsd that serves the share. The
  // bind is nosuid and nodev.
  //
  // Errors:
  //   NotFound         the host path does not exist.
  //   InvalidArgument  not absolute, one of ours, or a socket or a device.
  //   AlreadyExists    the name is taken.
  //   FailedPrecondition  ids are to be mapped, and the host's file system, or
  //                    that of a mount below, cannot do that.
  //   Unavailable      virtiofsd has ended, or does not answer yet.
  absl::StatusOr<PlacedMount> AddMount(const ProcessIdentity& virtiofsd,
                                       const ShareMount& mount) const;

  // OK when there is no such mount.
  absl::Status RemoveMount(absl::string_view name) const;

 private:
  PodShare(std::string path, PodShareOptions options);

  std::string path_;
  std::string points_;     // where the mount points are made
  std::string directory_;  // the pod's
  PodShareOptions options_;
};

}  // namespace podvisor

#endif  // PODVISOR_VOLUME_POD_SHARE_H_
