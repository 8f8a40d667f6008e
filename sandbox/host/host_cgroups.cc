#include "sandbox/host/host_cgroups.h"

#include <dirent.h>
#include <poll.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <cerrno>
#include <functional>
#include <memory>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "base/errno_status.h"
#include "base/log.h"
#include "base/process.h"
#include "base/status_macros.h"
#include "sandbox/host/cgroup_file.h"
#include "sandbox/host/cgroup_path.h"

namespace podvisor {
namespace {

// On the cgroups that we made above a pod's. Only root may set one of this
// class, and both versions of cgroups keep it.
constexpr char kMark[] = "trusted.podvisor";

// Another daemon may remove a parent of ours at the moment when we go into it.
constexpr int kMaxAttempts = 3;
// Deeper than any tree that the kubelet and systemd make.
constexpr int kMaxDepth = 16;

bool IsDirectory(const std::string& path) {
  struct stat info;
  return lstat(path.c_str(), &info) == 0 && S_ISDIR(info.st_mode);
}

// Whether there are processes in the cgroup itself, which only a v2 tree's root
// (the one without a type) may have beside children with controllers.
bool HasProcessesOfItsOwn(const std::string& path) {
  const absl::StatusOr<std::string> pids =
      ReadCgroupFile(absl::StrCat(path, "/cgroup.procs"));
  return pids.ok() && !pids->empty() &&
         ReadCgroupFile(absl::StrCat(path, "/cgroup.type")).ok();
}

// A v2 cgroup gives its children only the controllers that it is told to. What
// is refused is missed by whoever needs it: a child has no such file then.
void GiveControllersToChildren(const std::string& path) {
  // The kernel would refuse io, but not cpu: it makes of the children threads'
  // cgroups instead, which QEMU cannot enter (cgroup-v2.rst, "Threads").
  if (HasProcessesOfItsOwn(path)) return;
  const absl::StatusOr<std::string> there =
      ReadCgroupFile(absl::StrCat(path, "/cgroup.controllers"));
  const std::string file = absl::StrCat(path, "/cgroup.subtree_control");
  const absl::StatusOr<std::string> given = ReadCgroupFile(file);
  if (!there.ok() || !given.ok()) return;
  const std::set<std::string> available = absl::StrSplit(*there, ' ');
  const std::set<std::string> enabled = absl::StrSplit(*given, ' ');
  for (const char* name : {"cpu", "io"}) {
    if (available.count(name) > 0 && enabled.count(name) == 0) {
      (void)WriteCgroupFile(file, absl::StrCat("+", name));
    }
  }
}

// A new v1 cpuset has neither CPUs nor memory, and no process may enter it.
absl::Status FillCpuset(const std::string& parent, const std::string& path) {
  for (const char* name : {"/cpuset.cpus", "/cpuset.mems"}) {
    ASSIGN_OR_RETURN(const std::string own, ReadCgroupFile(path + name));
    if (!own.empty()) continue;
    ASSIGN_OR_RETURN(const std::string above, ReadCgroupFile(parent + name));
    RETURN_IF_ERROR(WriteCgroupFile(path + name, above));
  }
  return absl::OkStatus();
}

// Makes what is missing of `path`, which is given below the tree's root.
absl::Status MakeIn(const CgroupMount& mount, const std::string& path) {
  std::string parent = mount.path;
  for (const absl::string_view name :
       absl::StrSplit(path, '/', absl::SkipEmpty())) {
    if (mount.version == CgroupVersion::kV2) GiveControllersToChildren(parent);
    const std::string child = absl::StrCat(parent, "/", name);
    if (mkdir(child.c_str(), 0755) == 0) {
      (void)setxattr(child.c_str(), kMark, "1", 1, 0);
    } else if (errno != EEXIST) {
      return ErrnoStatus(errno, child);
    }
    if (mount.controllers.count("cpuset") > 0) {
      RETURN_IF_ERROR(FillCpuset(parent, child));
    }
    parent = child;
  }
  return absl::OkStatus();
}

absl::Status MakePersistently(const CgroupMount& mount,
                              const std::string& path) {
  absl::Status made;
  for (int attempt = 0; attempt < kMaxAttempts; ++attempt) {
    made = MakeIn(mount, path);
    if (!absl::IsNotFound(made)) break;
  }
  return made;
}

// Whether no pod could have a cgroup there: the tree is gone, read-only or not
// ours to change. Anything else, such as too many cgroups, is about one pod.
bool IsOfTheTree(const absl::Status& failure) {
  return absl::IsNotFound(failure) || absl::IsPermissionDenied(failure);
}

// Removes the cgroups above `path` that are ours and empty.
void RemoveMarkedParents(const CgroupMount& mount, std::string path) {
  for (;;) {
    path.resize(path.rfind('/'));
    if (path.size() <= mount.path.size()) return;
    if (!IsDirectory(path)) continue;
    if (getxattr(path.c_str(), kMark, nullptr, 0) < 0 ||
        rmdir(path.c_str()) != 0) {
      return;
    }
  }
}

absl::Status AwaitProcesses(const std::string& path, absl::Time deadline) {
  const absl::StatusOr<std::string> pids =
      ReadCgroupFile(absl::StrCat(path, "/cgroup.procs"));
  if (!pids.ok()) return absl::OkStatus();
  for (const absl::string_view text :
       absl::StrSplit(*pids, '\n', absl::SkipEmpty())) {
    pid_t pid = 0;
    if (!absl::SimpleAtoi(text, &pid)) continue;
    const absl::StatusOr<ProcessIdentity> process = IdentifyProcess(pid);
    if (!process.ok()) continue;
    RETURN_IF_ERROR(
        Annotate(WaitProcess(*process, deadline).status(),
                 absl::StrCat("process ", pid, " in the cgroup ", path)));
  }
  return absl::OkStatus();
}

// Calls `found` with each cgroup of that name below `path`.
void FindBelow(const std::string& path, const std::string& name, int depth,
               const std::function<void(const std::string&)>& found) {
  const std::unique_ptr<DIR, int (*)(DIR*)> entries(opendir(path.c_str()),
                                                    closedir);
  if (entries == nullptr) return;
  while (const dirent* entry = readdir(entries.get())) {
    const std::string child = entry->d_name;
    if (entry->d_type != DT_DIR || child == "." || child == "..") continue;
    const std::string below = absl::StrCat(path, "/", child);
    if (child == name) {
      found(below);
    } else if (depth < kMaxDepth) {
      FindBelow(below, name, depth + 1, found);
    }
  }
}

absl::StatusOr<std::string> PathOf(absl::string_view cgroup_parent,
                                   const PodId& id) {
  if (!IsHexId(id.value())) return absl::InvalidArgumentError("not a pod's id");
  ASSIGN_OR_RETURN(const std::string parent, CgroupParentPath(cgroup_parent));
  return absl::StrCat(parent, "/", PodCgroupName(id));
}

}  // namespace

HostCgroups::HostCgroups(std::vector<CgroupMount> mounts, Clock* clock)
    : mounts_(std::move(mounts)), clock_(clock) {}

absl::StatusOr<PodCgroup> HostCgroups::Create(absl::string_view cgroup_parent,
                                              const PodId& id) {
  ASSIGN_OR_RETURN(const std::string path, PathOf(cgroup_parent, id));
  std::vector<PodCgroup::Directory> directories;
  absl::MutexLock lock(&mutex_);
  for (const CgroupMount& mount : mounts_) {
    const absl::Status made = MakePersistently(mount, path);
    if (made.ok()) {
      directories.push_back({mount, absl::StrCat(mount.path, path)});
    } else if (IsOfTheTree(made)) {
      LogOnce(mount, made);
    } else {
      return Annotate(made, "the pod's cgroup on the host");
    }
  }
  return PodCgroup(path, std::move(directories));
}

PodCgroup HostCgroups::Open(absl::string_view cgroup_parent,
                            const PodId& id) const {
  const absl::StatusOr<std::string> path = PathOf(cgroup_parent, id);
  if (!path.ok()) return PodCgroup();
  std::vector<PodCgroup::Directory> directories;
  for (const CgroupMount& mount : mounts_) {
    std::string directory = absl::StrCat(mount.path, *path);
    if (IsDirectory(directory)) {
      directories.push_back({mount, std::move(directory)});
    }
  }
  return PodCgroup(*path, std::move(directories));
}

absl::Status HostCgroups::Remove(absl::string_view cgroup_parent,
                                 const PodId& id, absl::Time deadline) {
  const absl::StatusOr<std::string> path = PathOf(cgroup_parent, id);
  if (!path.ok()) return absl::OkStatus();
  absl::Status first;
  for (const CgroupMount& mount : mounts_) {
    const std::string directory = absl::StrCat(mount.path, *path);
    first.Update(RemoveDirectory(directory, deadline));
    absl::MutexLock lock(&mutex_);
    RemoveMarkedParents(mount, directory);
  }
  return first;
}

absl::Status HostCgroups::RemoveStray(const PodId& id, absl::Time deadline) {
  absl::Status first;
  for (const CgroupMount& mount : mounts_) {
    FindBelow(mount.path, PodCgroupName(id), 0,
              [&](const std::string& directory) {
                first.Update(RemoveDirectory(directory, deadline));
                absl::MutexLock lock(&mutex_);
                RemoveMarkedParents(mount, directory);
              });
  }
  return first;
}

absl::Status HostCgroups::RemoveDirectory(const std::string& path,
                                          absl::Time deadline) {
  while (rmdir(path.c_str()) != 0) {
    if (errno == ENOENT) return absl::OkStatus();
    if (errno != EBUSY) return ErrnoStatus(errno, path);
    RETURN_IF_ERROR(AwaitProcesses(path, deadline));
    if (clock_->Now() >= deadline) {
      return absl::DeadlineExceededError(
          absl::StrCat("the cgroup ", path, " is still in use"));
    }
    // A process leaves the list a moment before it leaves the cgroup, and
    // nothing tells of that.
    poll(nullptr, 0, /*timeout=*/1);
  }
  return absl::OkStatus();
}

void HostCgroups::LogOnce(const CgroupMount& mount,
                          const absl::Status& status) {
  if (!logged_.insert(mount.path).second) return;
  Log(LogLevel::kWarning, "pods have no cgroup in this tree of the host",
      {{"tree", mount.path}, {"error", status.message()}});
}

}  // namespace podvisor
