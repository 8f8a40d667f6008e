#include "guestagent/agent/disk_mount.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include <memory>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "base/errno_status.h"
#include "base/file.h"
#include "base/ids.h"
#include "base/status_macros.h"
#include "base/unique_fd.h"
#include "guestagent/agent/poll_until.h"
#include "guestagent/plain_names.h"

namespace podvisor {
namespace {

constexpr char kBlockDir[] = "/sys/block";
// How long a plugged disk may take to appear, and a mount to succeed after it:
// it was seen to fail once in a loaded guest right after the disk appeared.
constexpr absl::Duration kDiskTimeout = absl::Seconds(10);
constexpr absl::Duration kMountRetry = absl::Milliseconds(100);

absl::Status MountError(int error, const std::string& what) {
  if (error == EINVAL || error == EUCLEAN || error == EIO) {
    return absl::DataLossError(
        absl::StrCat(what, ": ", ErrnoStatus(error, "mount").message()));
  }
  return ErrnoStatus(error, what);
}

}  // namespace

absl::StatusOr<std::string> FindDisk(const std::string& block_dir,
                                     absl::string_view serial) {
  const std::unique_ptr<DIR, int (*)(DIR*)> directory(
      opendir(block_dir.c_str()), closedir);
  if (directory == nullptr) return ErrnoStatus(errno, block_dir);
  while (const dirent* entry = readdir(directory.get())) {
    if (entry->d_name[0] == '.') continue;
    const absl::StatusOr<std::string> text =
        ReadFile(absl::StrCat(block_dir, "/", entry->d_name, "/serial"), 64);
    if (text.ok() && absl::StripAsciiWhitespace(*text) == serial) {
      return std::string(entry->d_name);
    }
  }
  return absl::NotFoundError(absl::StrCat("no disk with serial ", serial));
}

DiskMount::DiskMount(std::string images_dir, std::string scratch_dir,
                     KernelModules* modules)
    : images_dir_(std::move(images_dir)),
      scratch_dir_(std::move(scratch_dir)),
      modules_(modules) {}

absl::Status DiskMount::MountImage(const std::string& serial,
                                   const std::string& image,
                                   const std::string& fs_type,
                                   const std::optional<IdMapping>& ids,
                                   const std::function<bool()>& cancelled) {
  if (!IsHexId(image)) return absl::InvalidArgumentError("not an image name");
  if (fs_type != "squashfs") {
    return absl::InvalidArgumentError("not a file system for images");
  }
  return MountAt({.serial = serial,
                  .target = absl::StrCat(images_dir_, "/", image),
                  .fs_type = fs_type,
                  .flags = MS_RDONLY | MS_NODEV,
                  .ids = ids},
                 cancelled);
}

absl::Status DiskMount::MountScratch(const std::string& serial,
                                     const std::function<bool()>& cancelled) {
  // discard: what a deleted container used goes back to the host.
  return MountAt({.serial = serial,
                  .target = scratch_dir_,
                  .fs_type = "ext4",
                  .flags = MS_NODEV | MS_NOATIME,
                  .options = "discard",
                  .ids = std::nullopt},
                 cancelled);
}

void DiskMount::LockTarget(const std::string& target) {
  const auto is_free = [&]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    return !busy_.contains(target);
  };
  mutex_.Await(absl::Condition(&is_free));
}

absl::Status DiskMount::MountAt(const Place& place,
                                const std::function<bool()>& cancelled) {
  if (!IsDiskSerial(place.serial)) {
    return absl::InvalidArgumentError("not a disk serial");
  }
  {
    absl::MutexLock lock(&mutex_);
    LockTarget(place.target);
    const auto mounted = mounted_.find(place.target);
    if (mounted != mounted_.end()) {
      if (mounted->second.serial != place.serial) {
        return absl::FailedPreconditionError(
            absl::StrCat("disk ", mounted->second.serial, " is mounted there"));
      }
      return MountAgain(place, &mounted->second);
    }
    busy_.insert(place.target);
  }
  Mounted mounted;
  mounted.serial = place.serial;
  const absl::Status status = WaitAndMount(place, cancelled, &mounted);
  absl::MutexLock lock(&mutex_);
  busy_.erase(place.target);
  if (status.ok()) mounted_[place.target] = std::move(mounted);
  return status;
}

absl::Status DiskMount::MountAgain(const Place& place, Mounted* mounted) {
  // Unmounted, and still used by a container that has its own copy of the
  // mount.
  if (!mounted->unmounted) return absl::OkStatus();
  const std::string& device = mounted->shifted->path();
  if (mount(device.c_str(), place.target.c_str(), place.fs_type.c_str(),
            place.flags, place.options) != 0) {
    return MountError(errno, absl::StrCat("disk ", place.serial));
  }
  mounted->unmounted = false;
  return absl::OkStatus();
}

absl::Status DiskMount::WaitAndMount(const Place& place,
                                     const std::function<bool()>& cancelled,
                                     Mounted* mounted) {
  RETURN_IF_ERROR(modules_->Load("virtio_blk"));
  RETURN_IF_ERROR(modules_->Load(place.fs_type));
  std::string device;
  RETURN_IF_ERROR(Annotate(PollUntil(kDiskTimeout, cancelled,
                                     [&]() -> absl::StatusOr<bool> {
                                       absl::StatusOr<std::string> name =
                                           FindDisk(kBlockDir, place.serial);
                                       if (absl::IsNotFound(name.status()))
                                         return false;
                                       if (!name.ok()) return name.status();
                                       device = absl::StrCat("/dev/", *name);
                                       return true;
                                     }),
                           absl::StrCat("disk ", place.serial)));
  if (place.ids.has_value()) {
    RETURN_IF_ERROR(ShiftIds(place, device, cancelled, mounted));
    device = mounted->shifted->path();
  }
  RETURN_IF_ERROR(MakeDirectories(place.target));
  int error = 0;
  const absl::Status status =
      PollUntil(kMountRetry, cancelled, [&]() -> absl::StatusOr<bool> {
        if (mount(device.c_str(), place.target.c_str(), place.fs_type.c_str(),
                  place.flags, place.options) == 0) {
          return true;
        }
        error = errno;
        return false;
      });
  return absl::IsDeadlineExceeded(status)
             ? MountError(error, absl::StrCat("disk ", place.serial))
             : status;
}

// A disk that has just appeared may not be readable yet.
absl::Status DiskMount::ShiftIds(const Place& place, const std::string& device,
                                 const std::function<bool()>& cancelled,
                                 Mounted* mounted) {
  absl::Status last;
  const absl::Status status =
      PollUntil(kMountRetry, cancelled, [&]() -> absl::StatusOr<bool> {
        auto shifted =
            ShiftedDisk::Create(device, place.serial, *place.ids, modules_);
        last = shifted.status();
        if (!shifted.ok()) return false;
        mounted->shifted = *std::move(shifted);
        return true;
      });
  return absl::IsDeadlineExceeded(status) ? last : status;
}

absl::Status DiskMount::UnmountImage(const std::string& image) {
  if (!IsHexId(image)) return absl::InvalidArgumentError("not an image name");
  const std::string target = absl::StrCat(images_dir_, "/", image);
  absl::MutexLock lock(&mutex_);
  LockTarget(target);
  const auto mounted = mounted_.find(target);
  if (mounted == mounted_.end()) return absl::OkStatus();
  if (!mounted->second.unmounted &&
      umount2(target.c_str(), UMOUNT_NOFOLLOW) != 0) {
    if (errno == EBUSY) {
      return absl::FailedPreconditionError("the image is still in use");
    }
    return ErrnoStatus(errno, "unmount an image");
  }
  mounted->second.unmounted = true;
  if (mounted->second.shifted != nullptr) {
    RETURN_IF_ERROR(mounted->second.shifted->Remove());
  }
  mounted_.erase(mounted);
  rmdir(target.c_str());
  return absl::OkStatus();
}

}  // namespace podvisor
