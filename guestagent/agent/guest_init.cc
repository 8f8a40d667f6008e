#include "guestagent/agent/guest_init.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <string>

#include "absl/strings/str_cat.h"
#include "base/errno_status.h"
#include "base/file.h"
#include "base/log.h"
#include "base/status_macros.h"
#include "base/unique_fd.h"
#include "guestagent/agent/network_namespace.h"

namespace podvisor {
namespace {

struct Mount {
  const char* type;
  const char* target;
  unsigned long flags;
  const char* options;
};

constexpr Mount kMounts[] = {
    {"proc", "/proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, ""},
    {"sysfs", "/sys", MS_NOSUID | MS_NODEV | MS_NOEXEC, ""},
    {"devtmpfs", "/dev", MS_NOSUID | MS_NOEXEC, "mode=0755"},
    {"devpts", "/dev/pts", MS_NOSUID | MS_NOEXEC,
     "mode=0620,gid=5,ptmxmode=0666"},
    // Root file systems of containers are below /run, hence neither noexec
    // nor nosuid.
    {"tmpfs", "/run", 0, "mode=0755"},
    {"tmpfs", "/tmp", MS_NOSUID | MS_NODEV, "mode=1777"},
    {"cgroup2", "/sys/fs/cgroup", MS_NOSUID | MS_NODEV | MS_NOEXEC,
     "nsdelegate,memory_recursiveprot"},
};

struct Setting {
  const char* path;
  const char* value;
};

// The kernel sizes these by the memory it finds at boot, which is only the
// smallest the VM will ever have; the rest is what pods find on other nodes.
constexpr Setting kSettings[] = {
    {"/proc/sys/fs/file-max", "9223372036854775807"},
    {"/proc/sys/fs/nr_open", "1073741816"},
    {"/proc/sys/fs/inotify/max_user_instances", "8192"},
    {"/proc/sys/fs/inotify/max_user_watches", "524288"},
    {"/proc/sys/kernel/pid_max", "4194304"},
    {"/proc/sys/kernel/threads-max", "1048576"},
    {"/proc/sys/user/max_user_namespaces", "65536"},
    {"/proc/sys/user/max_mnt_namespaces", "65536"},
    {"/proc/sys/user/max_pid_namespaces", "65536"},
    {"/proc/sys/user/max_net_namespaces", "65536"},
    {"/proc/sys/user/max_ipc_namespaces", "65536"},
    {"/proc/sys/user/max_uts_namespaces", "65536"},
    {"/proc/sys/user/max_cgroup_namespaces", "65536"},
    // kubelet sets these on its node and workloads count on them.
    {"/proc/sys/vm/overcommit_memory", "1"},
    {"/proc/sys/vm/panic_on_oom", "0"},
    // Huge pages of the default size are made when they are asked for; each
    // container's cgroup bounds its own (huge_pages.h).
    {"/proc/sys/vm/nr_overcommit_hugepages", "1048576"},
    {"/proc/sys/kernel/panic_on_oops", "1"},
};

constexpr char kControllers[] = "+cpuset +cpu +io +memory +hugetlb +pids";

absl::Status WriteSetting(const char* path, absl::string_view value) {
  const UniqueFd file(open(path, O_WRONLY | O_CLOEXEC));
  if (!file.valid()) return ErrnoStatus(errno, path);
  return Annotate(WriteAll(file.get(), value), path);
}

// A root with a parent mount: the initramfs bound over itself.
absl::Status LeaveRootfs() {
  if (mount("/", "/newroot", nullptr, MS_BIND, nullptr) != 0) {
    return ErrnoStatus(errno, "bind / to /newroot");
  }
  if (chdir("/newroot") != 0) return ErrnoStatus(errno, "chdir /newroot");
  if (mount(".", "/", nullptr, MS_MOVE, nullptr) != 0) {
    return ErrnoStatus(errno, "move /newroot to /");
  }
  if (chroot(".") != 0) return ErrnoStatus(errno, "chroot");
  if (chdir("/") != 0) return ErrnoStatus(errno, "chdir /");
  return absl::OkStatus();
}

absl::Status MountAll() {
  for (const Mount& entry : kMounts) {
    // Below a virtual file system, /dev/pts has to be made; the others are
    // part of the image or of their parent.
    if (mkdir(entry.target, 0755) != 0 && errno != EEXIST) {
      return ErrnoStatus(errno, absl::StrCat("mkdir ", entry.target));
    }
    if (mount(entry.type, entry.target, entry.type, entry.flags,
              entry.options) != 0) {
      return ErrnoStatus(errno, absl::StrCat("mount ", entry.target));
    }
  }
  if (mount(nullptr, "/", nullptr, MS_REMOUNT | MS_BIND | MS_RDONLY, nullptr) !=
      0) {
    return ErrnoStatus(errno, "remount / read-only");
  }
  // Root of a pod's user namespace finds the root of its container's file
  // system on the way through here, and nothing else.
  if (mkdir(kRunDir, 0711) != 0) return ErrnoStatus(errno, kRunDir);
  for (const char* directory : {kImagesDir, kScratchDir, kShareDir}) {
    if (mkdir(directory, 0700) != 0) {
      return ErrnoStatus(errno, absl::StrCat("mkdir ", directory));
    }
  }
  return absl::OkStatus();
}

// The agent's limits are what its containers inherit.
void RaiseLimits() {
  const rlimit unlimited = {RLIM_INFINITY, RLIM_INFINITY};
  setrlimit(RLIMIT_NPROC, &unlimited);
  setrlimit(RLIMIT_SIGPENDING, &unlimited);
  setrlimit(RLIMIT_CORE, &unlimited);
  const rlimit files = {1048576, 1048576};
  setrlimit(RLIMIT_NOFILE, &files);
}

}  // namespace

absl::Status InitializeGuest() {
  umask(022);
  RETURN_IF_ERROR(LeaveRootfs());
  RETURN_IF_ERROR(MountAll());
  RaiseLimits();
  for (const Setting& setting : kSettings) {
    const absl::Status status = WriteSetting(setting.path, setting.value);
    // A kernel without one of them is still a good kernel.
    if (!status.ok()) {
      Log(LogLevel::kWarning, "sysctl", {{"error", status.message()}});
    }
  }
  // The kernel may refuse this to a guest of a restricted host.
  WriteSetting("/proc/self/oom_score_adj", "-1000").IgnoreError();
  RETURN_IF_ERROR(
      WriteSetting("/sys/fs/cgroup/cgroup.subtree_control", kControllers));
  return SetUpNetworkNamespace();
}

}  // namespace podvisor
