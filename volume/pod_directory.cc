#include "volume/pod_directory.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <memory>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/errno_status.h"
#include "base/file.h"
#include "base/log.h"
#include "base/status_macros.h"

namespace podvisor {
namespace {

// A page for each log cursor; sockets and mount points need none.
constexpr char kMountOptions[] = "size=4m,nr_inodes=65536,mode=0700";
// Room for the console's text. A full one costs the guest its further console
// text and nothing else.
constexpr char kOutputOptions[] = "size=4m,nr_inodes=16,mode=0700";

std::string PodsPath(const std::string& run_dir) {
  return absl::StrCat(run_dir, "/pods");
}

bool IsMountPoint(const std::string& path) {
  struct statx info = {};
  return statx(AT_FDCWD, path.c_str(), AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT,
               STATX_TYPE, &info) == 0 &&
         (info.stx_attributes_mask & STATX_ATTR_MOUNT_ROOT) != 0 &&
         (info.stx_attributes & STATX_ATTR_MOUNT_ROOT) != 0;
}

absl::Status MakeDirectory(const std::string& path) {
  if (mkdir(path.c_str(), 0700) != 0) return ErrnoStatus(errno, path);
  return absl::OkStatus();
}

// What is mounted on or below a mount with a peer, as /run is on most hosts,
// appears at once wherever that one is mounted, in the volumes of pods too. So
// the empty directory is bound on itself, which may be seen, and made
// unbindable: that has no peers, and no pod that is given /run or / as a
// volume from now on gets it.
absl::Status CutOff(const std::string& path) {
  if (mount(path.c_str(), path.c_str(), nullptr, MS_BIND, nullptr) != 0 ||
      mount(nullptr, path.c_str(), nullptr, MS_UNBINDABLE, nullptr) != 0) {
    return ErrnoStatus(errno, absl::StrCat("make unbindable ", path));
  }
  return absl::OkStatus();
}

absl::Status MountTmpfs(const std::string& path, const char* options) {
  if (mount("podvisor", path.c_str(), "tmpfs", MS_NODEV | MS_NOSUID | MS_NOEXEC,
            options) != 0) {
    return ErrnoStatus(errno, absl::StrCat("mount a tmpfs on ", path));
  }
  return absl::OkStatus();
}

absl::Status RemovePath(const std::string& path) {
  // One detaching unmount takes the mounts inside along; the one below them is
  // the empty bind. A daemon may have been killed between any two calls.
  while (IsMountPoint(path)) {
    if (umount2(path.c_str(), MNT_DETACH | UMOUNT_NOFOLLOW) != 0) {
      return ErrnoStatus(errno, absl::StrCat("unmount ", path));
    }
  }
  return RemoveTree(path);
}

}  // namespace

PodDirectory::PodDirectory(std::string path, bool owned)
    : path_(std::move(path)), owned_(owned) {}

PodDirectory::PodDirectory(PodDirectory&& other) noexcept
    : path_(std::move(other.path_)),
      owned_(std::exchange(other.owned_, false)) {}

PodDirectory& PodDirectory::operator=(PodDirectory&& other) noexcept {
  std::swap(path_, other.path_);
  std::swap(owned_, other.owned_);
  return *this;
}

PodDirectory::~PodDirectory() {
  if (!owned_) return;
  const absl::Status removed = Remove();
  if (!removed.ok()) {
    Log(LogLevel::kError, "a pod's directory stays behind",
        {{"error", removed.message()}});
  }
}

absl::StatusOr<PodDirectory> PodDirectory::Create(const std::string& run_dir,
                                                  const PodId& id) {
  if (!IsHexId(id.value())) return absl::InvalidArgumentError("not a pod's id");
  RETURN_IF_ERROR(MakeDirectories(PodsPath(run_dir), 0700));
  const std::string path = absl::StrCat(PodsPath(run_dir), "/", id.value());
  RETURN_IF_ERROR(RemovePath(path));
  PodDirectory directory(path, /*owned=*/true);
  RETURN_IF_ERROR(MakeDirectory(path));
  RETURN_IF_ERROR(CutOff(path));
  RETURN_IF_ERROR(MountTmpfs(path, kMountOptions));
  const std::string output = absl::StrCat(path, "/", kOutputDirectory);
  RETURN_IF_ERROR(MakeDirectory(output));
  RETURN_IF_ERROR(MountTmpfs(output, kOutputOptions));
  return directory;
}

absl::StatusOr<PodDirectory> PodDirectory::Open(const std::string& run_dir,
                                                const PodId& id) {
  if (!IsHexId(id.value())) return absl::InvalidArgumentError("not a pod's id");
  std::string path = absl::StrCat(PodsPath(run_dir), "/", id.value());
  if (!IsMountPoint(path)) {
    return absl::NotFoundError(absl::StrCat(path, " is not there"));
  }
  return PodDirectory(std::move(path), /*owned=*/false);
}

absl::Status PodDirectory::Remove() {
  owned_ = false;
  return RemovePath(path_);
}

absl::Status RemovePodDirectory(const std::string& run_dir, const PodId& id) {
  if (!IsHexId(id.value())) return absl::InvalidArgumentError("not a pod's id");
  return RemovePath(absl::StrCat(PodsPath(run_dir), "/", id.value()));
}

absl::Status SweepPodDirectories(
    const std::string& run_dir, const std::set<PodId>& known,
    const std::function<absl::Status(const PodId&)>& end) {
  const std::string pods = PodsPath(run_dir);
  const std::unique_ptr<DIR, int (*)(DIR*)> entries(opendir(pods.c_str()),
                                                    closedir);
  if (entries == nullptr) {
    return errno == ENOENT ? absl::OkStatus() : ErrnoStatus(errno, pods);
  }
  absl::Status first;
  while (const dirent* entry = readdir(entries.get())) {
    const PodId id(entry->d_name);
    if (id.value() == "." || id.value() == ".." || known.contains(id)) continue;
    absl::Status swept = IsHexId(id.value()) ? end(id) : absl::OkStatus();
    if (swept.ok()) swept = RemovePath(absl::StrCat(pods, "/", id.value()));
    first.Update(swept);
  }
  return first;
}

}  // namespace podvisor
