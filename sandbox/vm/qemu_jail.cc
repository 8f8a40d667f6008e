#include "sandbox/vm/qemu_jail.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>

#include "absl/status/status.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "base/errno_status.h"
#include "base/file.h"
#include "base/status_macros.h"
#include "base/unique_fd.h"

namespace podvisor {
namespace {

// Arguments: root, kernel, initrd, the user who may use KVM or nothing,
// cgroup.procs files, "--", the program. A failure of any line ends it, and
// QEMU never starts.
//
// /dev/kvm is a node of the jail's own, so that the host's need not be open to
// the pods' users. util-linux's umount needs /proc, which is why one is there
// for a moment.
constexpr char kJailScript[] = R"sh(set -e
root=$1 kernel=$2 initrd=$3 kvm_user=$4
shift 4
while [ "$1" != -- ]; do echo 0 > "$1"; shift; done
shift
mount -n -o bind,ro,nosuid,nodev,noexec "$root" "$root"
cd "$root"
mount -n -t proc proc proc
mount -n -o bind,ro,nosuid,nodev /usr usr
mount -n -o bind,ro,nosuid,nodev,noexec "$kernel" kernel
mount -n -o bind,ro,nosuid,nodev,noexec "$initrd" initrd
for name in bin sbin lib lib32 lib64 libx32; do
  if [ -d "$name" ] && [ ! -L "$name" ]; then
    mount -n -o bind,ro,nosuid,nodev "/$name" "$name"
  fi
done
if [ -n "$kvm_user" ]; then
  mount -n -t tmpfs -o size=4k,mode=0755,nosuid,noexec dev dev
  mknod -m 0600 dev/kvm c 10 232
  chown "$kvm_user" dev/kvm
fi
pivot_root . old
cd /
umount -n -l old
umount -n proc
exec "$@"
)sh";

bool IsAbsolute(absl::string_view path) {
  return absl::StartsWith(path, "/") &&
         path.find('\0') == absl::string_view::npos;
}

// Copies the host's /lib and its like: a symbolic link into /usr, or a
// directory on which the script binds the host's.
absl::Status MakeLike(const std::string& root, const std::string& name) {
  struct stat info;
  if (lstat(absl::StrCat("/", name).c_str(), &info) != 0) {
    return absl::OkStatus();
  }
  const std::string path = absl::StrCat(root, "/", name);
  if (!S_ISLNK(info.st_mode)) return MakeDirectories(path, 0755);
  if (symlink(absl::StrCat("usr/", name).c_str(), path.c_str()) != 0 &&
      errno != EEXIST) {
    return ErrnoStatus(errno, path);
  }
  return absl::OkStatus();
}

}  // namespace

uid_t LowestFreeUid(const std::set<uid_t>& in_use) {
  uid_t uid = kFirstJailUid;
  for (auto used = in_use.lower_bound(uid);
       used != in_use.end() && *used == uid; ++used) {
    ++uid;
  }
  return uid;
}

std::string JailRoot(const std::string& pod_directory) {
  return absl::StrCat(pod_directory, "/jail");
}

absl::Status MakeJailRoot(const std::string& pod_directory) {
  const std::string root = JailRoot(pod_directory);
  for (const char* name : {"", "/usr", "/dev", "/proc", "/old"}) {
    RETURN_IF_ERROR(MakeDirectories(absl::StrCat(root, name), 0755));
  }
  for (const char* name : {"kernel", "initrd"}) {
    const std::string path = absl::StrCat(root, "/", name);
    const UniqueFd file(
        open(path.c_str(), O_WRONLY | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0644));
    if (!file.valid()) return ErrnoStatus(errno, path);
  }
  for (const char* name : {"bin", "sbin", "lib", "lib32", "lib64", "libx32"}) {
    RETURN_IF_ERROR(MakeLike(root, name));
  }
  return absl::OkStatus();
}

absl::StatusOr<std::vector<std::string>> JailCommandLine(
    const VmSpec& spec, const std::vector<std::string>& argv) {
  for (const std::string* path :
       {&spec.directory, &spec.kernel, &spec.initrd}) {
    if (!IsAbsolute(*path)) {
      return absl::InvalidArgumentError(
          absl::StrCat("VM: \"", *path, "\" is not an absolute path"));
    }
  }
  if (!absl::StartsWith(spec.qemu, "/usr/")) {
    return absl::InvalidArgumentError(
        absl::StrCat("VM: QEMU is jailed with /usr only, and \"", spec.qemu,
                     "\" is not below it"));
  }
  if (spec.uid == 0) return absl::InvalidArgumentError("VM: QEMU as root");
  for (const std::string& file : spec.cgroup_procs) {
    if (!IsAbsolute(file)) {
      return absl::InvalidArgumentError("VM: a cgroup is not absolute");
    }
  }
  const int64_t files =
      spec.files_limit > 0 ? spec.files_limit : kDefaultQemuFiles;

  const bool kvm = spec.accelerator == Accelerator::kKvm;
  std::vector<std::string> chain = {
      "unshare", "--mount", "--propagation", "private", "--ipc", "--uts",
      "--net", "--",
      // The script is a constant; all that differs is in its arguments.
      "/bin/sh", "-c", kJailScript, "podvisor-jail", JailRoot(spec.directory),
      spec.kernel, spec.initrd, kvm ? absl::StrCat(spec.uid) : std::string()};
  chain.insert(chain.end(), spec.cgroup_procs.begin(), spec.cgroup_procs.end());
  chain.insert(chain.end(), {"--", "prlimit", "--core=0",
                             absl::StrCat("--nofile=", files, ":", files), "--",
                             "setpriv", absl::StrCat("--reuid=", spec.uid),
                             absl::StrCat("--regid=", spec.uid),
                             "--clear-groups", "--no-new-privs",
                             "--inh-caps=-all", "--bounding-set=-all", "--"});
  chain.insert(chain.end(), argv.begin(), argv.end());
  return chain;
}

}  // namespace podvisor
