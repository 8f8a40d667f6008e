#include "volume/virtiofsd_world.h"

#include <fcntl.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <thread>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "base/errno_status.h"
#include "base/file.h"
#include "base/status_macros.h"
#include "base/unique_fd.h"

namespace podvisor {
namespace {

// A message of the vhost-user protocol: asks for the device's features, which
// changes nothing and may be asked any number of times.
struct VhostUserHeader {
  uint32_t request = 1;  // VHOST_USER_GET_FEATURES
  uint32_t flags = 1;    // the protocol's version
  uint32_t size = 0;     // of what follows
};
struct VhostUserAnswer {
  VhostUserHeader header;
  uint32_t features[2];
};

absl::Status Ended() {
  return absl::UnavailableError("virtiofsd, and with it the share, has ended");
}

absl::Status SetReceiveTimeout(int socket, absl::Duration timeout) {
  const timeval time = absl::ToTimeval(timeout);
  if (setsockopt(socket, SOL_SOCKET, SO_RCVTIMEO, &time, sizeof(time)) != 0) {
    return ErrnoStatus(errno, "virtiofsd's socket");
  }
  return absl::OkStatus();
}

// In the namespace, where "/" is what virtiofsd serves.
absl::Status MountHere(int served, int tree, const std::string& path) {
  struct stat expected = {}, found = {};
  if (fstat(served, &expected) != 0) return ErrnoStatus(errno, "the share");
  if (stat("/", &found) != 0) return ErrnoStatus(errno, "virtiofsd's root");
  if (found.st_dev != expected.st_dev || found.st_ino != expected.st_ino) {
    return absl::UnavailableError("virtiofsd does not serve the share yet");
  }
  if (move_mount(tree, "", AT_FDCWD, path.c_str(), MOVE_MOUNT_F_EMPTY_PATH) !=
      0) {
    return ErrnoStatus(errno, "move_mount");
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status AwaitVirtiofsd(int socket, absl::Duration patience) {
  // Zero would be for ever.
  RETURN_IF_ERROR(
      SetReceiveTimeout(socket, std::max(patience, absl::Milliseconds(1))));
  const VhostUserHeader question;
  if (send(socket, &question, sizeof(question), MSG_NOSIGNAL) !=
      static_cast<ssize_t>(sizeof(question))) {
    return Ended();
  }
  VhostUserAnswer answer;
  const ssize_t n = recv(socket, &answer, sizeof(answer), MSG_WAITALL);
  if (n < 0 && (errno == EAGAIN || errno == EINTR)) {
    return absl::DeadlineExceededError("virtiofsd does not answer");
  }
  if (n != static_cast<ssize_t>(sizeof(answer))) return Ended();
  return SetReceiveTimeout(socket, absl::ZeroDuration());
}

absl::Status MountForVirtiofsd(const ProcessIdentity& virtiofsd, int served,
                               int tree, const std::string& name) {
  const UniqueFd space(
      open(absl::StrCat("/proc/", virtiofsd.pid, "/ns/mnt").c_str(),
           O_RDONLY | O_CLOEXEC));
  // Looked at when it is open: then it is this process's and no other's.
  if (!IsAlive(virtiofsd)) return Ended();
  if (!space.valid()) return ErrnoStatus(errno, "virtiofsd's namespace");
  absl::Status done;
  // A thread of its own, with a root and a directory that no other one shares.
  std::thread([&] {
    done = unshare(CLONE_FS) == 0 && setns(space.get(), CLONE_NEWNS) == 0
               ? MountHere(served, tree, absl::StrCat("/", name))
               : ErrnoStatus(errno, "enter virtiofsd's namespace");
  }).join();
  return done;
}

absl::StatusOr<bool> HasMountsBelow(const ProcessIdentity& virtiofsd,
                                    absl::string_view name) {
  const absl::StatusOr<std::string> table =
      ReadFile(absl::StrCat("/proc/", virtiofsd.pid, "/mountinfo"));
  if (!IsAlive(virtiofsd)) return Ended();
  RETURN_IF_ERROR(table.status());
  const std::string below = absl::StrCat("/", name, "/");
  for (const absl::string_view line : absl::StrSplit(*table, '\n')) {
    // See proc(5): the fifth field is the mount point.
    const std::vector<absl::string_view> fields =
        absl::StrSplit(line, absl::MaxSplits(' ', 5));
    if (fields.size() > 4 && absl::StartsWith(fields[4], below)) return true;
  }
  return false;
}

}  // namespace podvisor
