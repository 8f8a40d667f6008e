#include "guestagent/agent/container_files.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include <utility>

#include "absl/strings/str_cat.h"
#include "base/errno_status.h"
#include "base/file.h"
#include "base/log.h"
#include "base/status_macros.h"
#include "base/unique_fd.h"

namespace podvisor {
namespace {

absl::Status MakeDirectory(const std::string& path, mode_t mode) {
  if (mkdir(path.c_str(), mode) == 0) return absl::OkStatus();
  return ErrnoStatus(errno, absl::StrCat("make ", path));
}

// True when something is mounted at `path`: then its device differs from its
// parent's.
bool IsMountPoint(const std::string& path) {
  struct stat here = {}, parent = {};
  return stat(path.c_str(), &here) == 0 &&
         stat((path + "/..").c_str(), &parent) == 0 &&
         here.st_dev != parent.st_dev;
}

}  // namespace

absl::StatusOr<std::unique_ptr<ContainerFiles>> ContainerFiles::Create(
    const ContainerLocations& locations) {
  if (!IsMountPoint(locations.image_dir)) {
    return absl::FailedPreconditionError("the image is not mounted");
  }
  std::unique_ptr<ContainerFiles> files(new ContainerFiles(locations));
  RETURN_IF_ERROR(files->Remove());
  RETURN_IF_ERROR(files->Make());
  return files;
}

absl::Status ContainerFiles::Make() {
  // A root from a user namespace has to come through.
  RETURN_IF_ERROR(MakeDirectory(locations_.bundle_dir, 0711));
  RETURN_IF_ERROR(MakeDirectory(rootfs(), 0700));
  RETURN_IF_ERROR(MakeDirectory(locations_.scratch_dir, 0700));
  const std::string work = locations_.scratch_dir + "/work";
  RETURN_IF_ERROR(MakeDirectory(work, 0700));
  RETURN_IF_ERROR(MakeDirectory(locations_.scratch_dir + "/etc", 0755));
  const std::string upper = locations_.scratch_dir + "/upper";
  RETURN_IF_ERROR(MakeDirectory(upper, 0755));
  // The root of an overlay is the root of its upper layer.
  struct stat root = {};
  if (stat(locations_.image_dir.c_str(), &root) != 0 ||
      chown(upper.c_str(), root.st_uid, root.st_gid) != 0 ||
      chmod(upper.c_str(), root.st_mode & 07777) != 0) {
    return ErrnoStatus(errno, "copy the owner of the image's root");
  }
  // Volatile: the layer does not outlive the VM, so there is no reason to
  // wait for the disk.
  const std::string options =
      absl::StrCat("lowerdir=", locations_.image_dir, ",upperdir=", upper,
                   ",workdir=", work, ",volatile");
  if (mount("overlay", rootfs().c_str(), "overlay", 0, options.c_str()) != 0) {
    return ErrnoStatus(errno, "mount the container's root");
  }
  return absl::OkStatus();
}

ContainerFiles::~ContainerFiles() {
  const absl::Status removed = Remove();
  if (!removed.ok()) {
    Log(LogLevel::kError, "a container's files stay",
        {{"error", removed.message()}});
  }
}

absl::StatusOr<std::string> ContainerFiles::WriteEtcFile(
    absl::string_view name, absl::string_view text) const {
  const std::string path = absl::StrCat(locations_.scratch_dir, "/etc/", name);
  UniqueFd fd(open(path.c_str(),
                   O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0644));
  if (!fd.valid()) return ErrnoStatus(errno, path);
  // Whatever the agent's umask is.
  if (fchmod(fd.get(), 0644) != 0 ||
      fchown(fd.get(), locations_.root, locations_.root) != 0) {
    return ErrnoStatus(errno, path);
  }
  RETURN_IF_ERROR(Annotate(WriteAll(fd.get(), text), path));
  return path;
}

absl::Status ContainerFiles::Remove() {
  const std::string root = rootfs();
  while (umount2(root.c_str(), UMOUNT_NOFOLLOW) != 0) {
    if (errno == EINVAL || errno == ENOENT) break;
    // A process that left the container's cgroup may still hold it: detach, so
    // that nothing new can use it and the rest goes with its last user.
    if (errno != EBUSY ||
        umount2(root.c_str(), UMOUNT_NOFOLLOW | MNT_DETACH) != 0) {
      return ErrnoStatus(errno, "unmount the container's root");
    }
  }
  RETURN_IF_ERROR(RemoveTree(locations_.bundle_dir));
  return RemoveTree(locations_.scratch_dir);
}

}  // namespace podvisor
