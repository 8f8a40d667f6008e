#include "network/network_namespace.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <thread>

#include "absl/strings/str_cat.h"
#include "base/errno_status.h"
#include "base/file.h"
#include "base/network_namespace.h"
#include "base/status_macros.h"
#include "base/unique_fd.h"

namespace podvisor {
namespace {

// A host without IPv6 has no such files.
absl::Status SkipAddressDetection() {
  for (const char* path : {"/proc/sys/net/ipv6/conf/all/accept_dad",
                           "/proc/sys/net/ipv6/conf/default/accept_dad"}) {
    const UniqueFd fd(open(path, O_WRONLY | O_CLOEXEC));
    if (!fd.valid() && errno == ENOENT) continue;
    if (!fd.valid()) return ErrnoStatus(errno, path);
    RETURN_IF_ERROR(WriteAll(fd.get(), "0"));
  }
  return absl::OkStatus();
}

absl::Status MakeHere(const std::string& path) {
  if (unshare(CLONE_NEWNET) != 0) return ErrnoStatus(errno, "unshare");
  RETURN_IF_ERROR(BringLoopbackUp());
  RETURN_IF_ERROR(SkipAddressDetection());
  if (mount("/proc/thread-self/ns/net", path.c_str(), nullptr, MS_BIND,
            nullptr) != 0) {
    return ErrnoStatus(errno, absl::StrCat("mount ", path));
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status MakeNetworkNamespace(const std::string& path) {
  RETURN_IF_ERROR(RemoveNetworkNamespace(path));
  const UniqueFd file(open(path.c_str(),
                           O_RDONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW,
                           0600));
  if (!file.valid()) return ErrnoStatus(errno, path);
  absl::Status made;
  std::thread([&] { made = MakeHere(path); }).join();
  return Annotate(made, "make a network namespace");
}

bool IsNetworkNamespace(const std::string& path) {
  struct statfs info;
  return statfs(path.c_str(), &info) == 0 && info.f_type == NSFS_MAGIC;
}

absl::Status RemoveNetworkNamespace(const std::string& path) {
  // Not a mount: EINVAL.
  if (umount2(path.c_str(), MNT_DETACH | UMOUNT_NOFOLLOW) != 0 &&
      errno != EINVAL && errno != ENOENT) {
    return ErrnoStatus(errno, absl::StrCat("unmount ", path));
  }
  if (unlink(path.c_str()) != 0 && errno != ENOENT) {
    return ErrnoStatus(errno, path);
  }
  return absl::OkStatus();
}

}  // namespace podvisor
