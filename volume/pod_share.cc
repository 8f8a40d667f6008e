#include "volume/pod_share.h"

#include <fcntl.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <utility>

#include "absl/cleanup/cleanup.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "base/errno_status.h"
#include "base/status_macros.h"
#include "base/user_namespace.h"
#include "volume/pod_directory.h"
#include "volume/virtiofsd_command.h"
#include "volume/virtiofsd_world.h"

namespace podvisor {
namespace {

// The mount points live in `kPoints`, which only the host reaches. What the
// guest sees is `kShare`, a read-only bind mount of it: a guest that is root
// cannot make, remove or replace a mount point. The mounts themselves are not
// on the host, see virtiofsd_world.h.
constexpr char kPoints[] = "mountpoints";
constexpr char kShare[] = "share";
constexpr char kPointsOptions[] = "size=64k,nr_inodes=8192,mode=0755";

absl::Status MakeDirectory(const std::string& path) {
  if (mkdir(path.c_str(), 0755) != 0 && errno != EEXIST) {
    return ErrnoStatus(errno, path);
  }
  return absl::OkStatus();
}

absl::StatusOr<bool> IsMountRoot(const std::string& path) {
  struct statx info = {};
  if (statx(AT_FDCWD, path.c_str(), AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT,
            STATX_TYPE, &info) != 0) {
    return ErrnoStatus(errno, path);
  }
  return (info.stx_attributes & STATX_ATTR_MOUNT_ROOT) != 0;
}

bool IsShareName(absl::string_view name) {
  return !name.empty() && name.size() <= 128 &&
         std::all_of(name.begin(), name.end(), [](char c) {
           return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-';
         });
}

absl::StatusOr<UniqueFd> OpenDirectory(const std::string& path) {
  UniqueFd fd(open(path.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
  if (!fd.valid()) return ErrnoStatus(errno, path);
  return fd;
}

// Where the descriptor really is, after all symbolic links.
absl::StatusOr<std::string> PathOf(int fd) {
  char path[4096];
  const std::string link = absl::StrCat("/proc/self/fd/", fd);
  const ssize_t n = readlink(link.c_str(), path, sizeof(path));
  if (n < 0) return ErrnoStatus(errno, link);
  return std::string(path, n);
}

std::string Resolved(const std::string& path) {
  const std::unique_ptr<char, void (*)(void*)> real(
      realpath(path.c_str(), nullptr), free);
  return real == nullptr ? path : std::string(real.get());
}

bool IsInside(absl::string_view path, absl::string_view directory) {
  return path == directory ||
         (absl::StartsWith(path, directory) &&
          (directory == "/" || path[directory.size()] == '/'));
}

// The host's file or directory, pinned: whoever swaps a symbolic link from now
// on changes nothing.
absl::StatusOr<UniqueFd> OpenSource(const ShareMount& mount,
                                    const std::vector<std::string>& forbidden) {
  const std::string& path = mount.host_path;
  if (!absl::StartsWith(path, "/") || path.size() >= 4096 ||
      path.find('\0') != std::string::npos) {
    return absl::InvalidArgumentError("the host path is not an absolute path");
  }
  UniqueFd source(open(path.c_str(), O_PATH | O_CLOEXEC));
  if (!source.valid()) {
    if (errno == ENOENT || errno == ENOTDIR) {
      return absl::NotFoundError(
          absl::StrCat("host path ", path, " does not exist"));
    }
    return ErrnoStatus(errno, absl::StrCat("host path ", path));
  }
  struct stat info;
  if (fstat(source.get(), &info) != 0) return ErrnoStatus(errno, path);
  if (!S_ISDIR(info.st_mode) && !S_ISREG(info.st_mode)) {
    return absl::InvalidArgumentError(absl::StrCat(
        "host path ", path,
        " is neither a file nor a directory: sockets, pipes and devices of "
        "the host cannot be used from a VM"));
  }
  ASSIGN_OR_RETURN(const std::string real, PathOf(source.get()));
  for (const std::string& ours : forbidden) {
    if (IsInside(real, Resolved(ours))) {
      return absl::InvalidArgumentError(
          absl::StrCat("host path ", path, " belongs to the runtime itself"));
    }
  }
  return source;
}

// virtio-fs cannot map ids in the guest (Linux 6.12 can), so the host does.
absl::Status MapIds(const ShareMount& mount, int tree) {
  ASSIGN_OR_RETURN(const UniqueFd userns, OpenUserNamespace(*mount.ids));
  mount_attr attributes = {};
  attributes.attr_set = MOUNT_ATTR_IDMAP;
  attributes.userns_fd = static_cast<uint64_t>(userns.get());
  if (mount_setattr(tree, "",
                    AT_EMPTY_PATH | (mount.recursive ? AT_RECURSIVE : 0),
                    &attributes, sizeof(attributes)) == 0) {
    return absl::OkStatus();
  }
  return absl::FailedPreconditionError(absl::StrCat(
      "host path ", mount.host_path,
      " cannot be mounted for a pod with a user namespace: its file system, or "
      "one that is mounted below it, has no id-mapped mounts (",
      ErrnoStatus(errno, "mount_setattr").message(), ")"));
}

// A detached copy of the mount, with what a guest may do with it.
absl::StatusOr<UniqueFd> CloneMount(const ShareMount& mount, int source) {
  const unsigned recursive = mount.recursive ? AT_RECURSIVE : 0;
  UniqueFd tree(open_tree(
      source, "",
      AT_EMPTY_PATH | OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | recursive));
  if (!tree.valid()) {
    if (errno == EINVAL) {
      return absl::InvalidArgumentError(
          absl::StrCat("host path ", mount.host_path,
                       " is on a mount that cannot be bound"));
    }
    return ErrnoStatus(errno, absl::StrCat("bind ", mount.host_path));
  }
  mount_attr attributes = {};
  attributes.attr_set = MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV;
  if (mount.recursive_read_only) attributes.attr_set |= MOUNT_ATTR_RDONLY;
  attributes.propagation = mount.slave ? MS_SLAVE : MS_PRIVATE;
  // Before anything else is changed: the tree is still nobody's.
  if (mount.ids.has_value()) RETURN_IF_ERROR(MapIds(mount, tree.get()));
  mount_attr top = {};
  if (mount.read_only) top.attr_set = MOUNT_ATTR_RDONLY;
  if (mount_setattr(tree.get(), "", AT_EMPTY_PATH | recursive, &attributes,
                    sizeof(attributes)) != 0 ||
      mount_setattr(tree.get(), "", AT_EMPTY_PATH, &top, sizeof(top)) != 0) {
    return ErrnoStatus(errno, absl::StrCat("restrict ", mount.host_path));
  }
  return tree;
}

absl::Status MakeMountPoint(int points, const std::string& name, int source) {
  struct stat info;
  if (fstat(source, &info) != 0) return ErrnoStatus(errno, name);
  if (S_ISDIR(info.st_mode)) {
    if (mkdirat(points, name.c_str(), 0755) != 0) {
      return ErrnoStatus(errno, name);
    }
    return absl::OkStatus();
  }
  const UniqueFd file(
      openat(points, name.c_str(),
             O_CREAT | O_EXCL | O_WRONLY | O_NOFOLLOW | O_CLOEXEC, 0644));
  if (!file.valid()) return ErrnoStatus(errno, name);
  return absl::OkStatus();
}

// With it goes what is mounted there in other namespaces, and that is all that
// there is. What a guest still has open of it stays until it is closed.
absl::Status RemoveMountPoint(int points, const std::string& name) {
  if (unlinkat(points, name.c_str(), 0) == 0 || errno == ENOENT) {
    return absl::OkStatus();
  }
  if (unlinkat(points, name.c_str(), AT_REMOVEDIR) != 0 && errno != ENOENT) {
    return ErrnoStatus(errno, name);
  }
  return absl::OkStatus();
}

// The address of a socket in `directory`, however long its path is.
sockaddr_un AddressIn(int directory, const char* name) {
  sockaddr_un address = {};
  address.sun_family = AF_UNIX;
  const std::string path = absl::StrCat("/proc/self/fd/", directory, "/", name);
  std::strncpy(address.sun_path, path.c_str(), sizeof(address.sun_path) - 1);
  return address;
}

absl::StatusOr<UniqueFd> MakeSocket() {
  UniqueFd fd(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (!fd.valid()) return ErrnoStatus(errno, "socket");
  return fd;
}

}  // namespace

PodShare::PodShare(std::string path, PodShareOptions options)
    : path_(std::move(path)), options_(std::move(options)) {}

absl::StatusOr<PodShare> PodShare::Open(const std::string& pod_directory,
                                        PodShareOptions options) {
  PodShare share(absl::StrCat(pod_directory, "/", kShare), std::move(options));
  share.points_ = absl::StrCat(pod_directory, "/", kPoints);
  share.directory_ = pod_directory;
  RETURN_IF_ERROR(MakeDirectory(share.points_));
  RETURN_IF_ERROR(MakeDirectory(share.path_));
  ASSIGN_OR_RETURN(const bool mounted, IsMountRoot(share.path_));
  if (mounted) return share;

  // A tmpfs of its own, with room for so many mount points and no more. One
  // left by a killed daemon is used.
  ASSIGN_OR_RETURN(const bool made, IsMountRoot(share.points_));
  if (!made && mount("podvisor", share.points_.c_str(), "tmpfs",
                     MS_NODEV | MS_NOSUID | MS_NOEXEC, kPointsOptions) != 0) {
    return ErrnoStatus(errno, absl::StrCat("mount ", share.points_));
  }
  const UniqueFd tree(open_tree(AT_FDCWD, share.points_.c_str(),
                                OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC));
  if (!tree.valid()) return ErrnoStatus(errno, share.points_);
  mount_attr attributes = {};
  attributes.attr_set = MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID |
                        MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC;
  if (mount_setattr(tree.get(), "", AT_EMPTY_PATH, &attributes,
                    sizeof(attributes)) != 0) {
    return ErrnoStatus(errno, share.path_);
  }
  if (move_mount(tree.get(), "", AT_FDCWD, share.path_.c_str(),
                 MOVE_MOUNT_F_EMPTY_PATH) != 0) {
    return ErrnoStatus(errno, absl::StrCat("mount ", share.path_));
  }
  return share;
}

absl::StatusOr<VirtiofsdHandle> PodShare::StartDaemon(
    const VirtiofsdOptions& options) const {
  constexpr char kSocket[] = "virtiofsd.sock";
  SpawnOptions spawn;
  ASSIGN_OR_RETURN(spawn.argv, VirtiofsdCommandLine({options.program, path_,
                                                     options.files_limit,
                                                     options.cgroup_procs}));
  ASSIGN_OR_RETURN(const UniqueFd directory, OpenDirectory(directory_));
  const sockaddr_un address = AddressIn(directory.get(), kSocket);
  const auto* const raw = reinterpret_cast<const sockaddr*>(&address);
  unlinkat(directory.get(), kSocket, 0);
  ASSIGN_OR_RETURN(const UniqueFd listener, MakeSocket());
  if (bind(listener.get(), raw, sizeof(address)) != 0 ||
      listen(listener.get(), 1) != 0) {
    return ErrnoStatus(errno, "listen for virtiofsd");
  }
  VirtiofsdHandle handle;
  ASSIGN_OR_RETURN(handle.socket, MakeSocket());
  if (connect(handle.socket.get(), raw, sizeof(address)) != 0) {
    return ErrnoStatus(errno, "connect to virtiofsd");
  }
  // The one connection is made: nobody else can make another.
  unlinkat(directory.get(), kSocket, 0);

  // Its messages are the guest's doing as much as the console is.
  const std::string log_name = absl::StrCat(kOutputDirectory, "/virtiofsd.log");
  const UniqueFd log(
      openat(directory.get(), log_name.c_str(),
             O_WRONLY | O_CREAT | O_APPEND | O_NOFOLLOW | O_CLOEXEC, 0600));
  if (!log.valid()) return ErrnoStatus(errno, log_name);
  spawn.fds = {{listener.get(), kVirtiofsdSocketFd}};
  spawn.stdout_fd = log.get();
  spawn.stderr_fd = log.get();
  ASSIGN_OR_RETURN(handle.process, Spawn(spawn));
  return handle;
}

absl::StatusOr<PlacedMount> PodShare::AddMount(const ProcessIdentity& virtiofsd,
                                               const ShareMount& mount) const {
  if (!IsShareName(mount.name)) {
    return absl::InvalidArgumentError("not a name for a mount");
  }
  ASSIGN_OR_RETURN(const UniqueFd source,
                   OpenSource(mount, options_.forbidden));
  ASSIGN_OR_RETURN(const UniqueFd points, OpenDirectory(points_));
  ASSIGN_OR_RETURN(const UniqueFd tree, CloneMount(mount, source.get()));
  RETURN_IF_ERROR(MakeMountPoint(points.get(), mount.name, source.get()));
  absl::Cleanup undo = [&] {
    (void)RemoveMountPoint(points.get(), mount.name);
  };
  RETURN_IF_ERROR(Annotate(
      MountForVirtiofsd(virtiofsd, points.get(), tree.get(), mount.name),
      absl::StrCat("bind ", mount.host_path)));
  ASSIGN_OR_RETURN(const bool below, HasMountsBelow(virtiofsd, mount.name));
  std::move(undo).Cancel();
  return PlacedMount{mount.name, below || mount.slave};
}

absl::Status PodShare::RemoveMount(absl::string_view name) const {
  if (!IsShareName(name)) {
    return absl::InvalidArgumentError("not a name for a mount");
  }
  ASSIGN_OR_RETURN(const UniqueFd points, OpenDirectory(points_));
  return RemoveMountPoint(points.get(), std::string(name));
}

}  // namespace podvisor
