#include "sandbox/host/pod_cgroup.h"

#include <dirent.h>

#include <cerrno>
#include <map>
#include <memory>
#include <set>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "base/errno_status.h"
#include "base/status_macros.h"
#include "sandbox/host/block_io_plan.h"
#include "sandbox/host/cgroup_file.h"

namespace podvisor {
namespace {

// The kernel's own period, in microseconds: a milli-CPU is 100 of them.
constexpr int64_t kCpuPeriod = 100'000;
constexpr int64_t kQuotaOfMilliCpu = kCpuPeriod / 1000;

std::string CpuFile(const PodCgroup::Directory& directory) {
  return absl::StrCat(directory.path,
                      directory.tree.version == CgroupVersion::kV1
                          ? "/cpu.cfs_quota_us"
                          : "/cpu.max");
}

std::string CpuText(CgroupVersion version, std::optional<int64_t> milli_cpu) {
  const bool v1 = version == CgroupVersion::kV1;
  if (!milli_cpu.has_value()) return v1 ? "-1" : "max";
  const int64_t quota = *milli_cpu * kQuotaOfMilliCpu;
  return v1 ? absl::StrCat(quota) : absl::StrCat(quota, " ", kCpuPeriod);
}

absl::StatusOr<std::set<std::string>> FilesIn(const std::string& path) {
  const std::unique_ptr<DIR, int (*)(DIR*)> entries(opendir(path.c_str()),
                                                    closedir);
  if (entries == nullptr) return ErrnoStatus(errno, path);
  std::set<std::string> names;
  while (const dirent* entry = readdir(entries.get())) {
    names.insert(entry->d_name);
  }
  return names;
}

}  // namespace

PodCgroup::PodCgroup(std::string path, std::vector<Directory> directories)
    : path_(directories.empty() ? std::string() : std::move(path)),
      directories_(std::move(directories)) {}

std::vector<std::string> PodCgroup::ProcsFiles() const {
  std::vector<std::string> files;
  for (const Directory& directory : directories_) {
    files.push_back(absl::StrCat(directory.path, "/cgroup.procs"));
  }
  return files;
}

const PodCgroup::Directory* PodCgroup::Find(
    absl::string_view v1_controller) const {
  const Directory* unified = nullptr;
  for (const Directory& directory : directories_) {
    if (directory.tree.version == CgroupVersion::kV2) unified = &directory;
    if (directory.tree.controllers.count(std::string(v1_controller)) > 0) {
      return &directory;
    }
  }
  return unified;
}

absl::StatusOr<std::optional<int64_t>> PodCgroup::CpuLimit() const {
  const Directory* const directory = Find("cpu");
  if (directory == nullptr) return std::nullopt;
  const absl::StatusOr<std::string> text = ReadCgroupFile(CpuFile(*directory));
  if (absl::IsNotFound(text.status())) return std::nullopt;
  if (!text.ok()) return text.status();
  const std::vector<absl::string_view> words = absl::StrSplit(*text, ' ');
  if (words[0] == "max" || words[0] == "-1") return std::nullopt;
  int64_t quota = 0;
  if (!absl::SimpleAtoi(words[0], &quota)) {
    return absl::InternalError(
        absl::StrCat(CpuFile(*directory), ": no number of microseconds"));
  }
  return quota / kQuotaOfMilliCpu;
}

absl::Status PodCgroup::SetCpuLimit(std::optional<int64_t> milli_cpu) const {
  ASSIGN_OR_RETURN(const std::optional<int64_t> now, CpuLimit());
  if (now == milli_cpu) return absl::OkStatus();
  const Directory* const directory = Find("cpu");
  if (directory == nullptr) {
    return absl::FailedPreconditionError(
        "a base of part of a CPU needs a cgroup with the cpu controller, and "
        "this host has none for the pod");
  }
  const CgroupVersion version = directory->tree.version;
  absl::Status set =
      WriteCgroupFile(CpuFile(*directory), CpuText(version, milli_cpu));
  if (absl::IsInternal(set) && version == CgroupVersion::kV1) {
    // EINVAL: the parent has less than that.
    set = WriteCgroupFile(CpuFile(*directory), CpuText(version, std::nullopt));
  }
  if (set.ok()) return set;
  return absl::FailedPreconditionError(
      absl::StrCat("a base of part of a CPU: ", set.message()));
}

absl::Status PodCgroup::RaiseCpuLimit(std::optional<int64_t> milli_cpu) const {
  ASSIGN_OR_RETURN(const std::optional<int64_t> now, CpuLimit());
  const bool enough =
      !now.has_value() || (milli_cpu.has_value() && *milli_cpu <= *now);
  return enough ? absl::OkStatus() : SetCpuLimit(milli_cpu);
}

absl::Status PodCgroup::LimitBlockIo(
    absl::Span<const BlockIoLimit> limits) const {
  if (limits.empty()) return absl::OkStatus();
  const Directory* const directory = Find("blkio");
  if (directory == nullptr) {
    return absl::FailedPreconditionError(
        "blkio_cgroup: this host has no cgroup with block I/O for the pod");
  }
  ASSIGN_OR_RETURN(const std::set<std::string> files, FilesIn(directory->path));
  for (const BlockIoLimit& limit : limits) {
    std::string device;
    if (!limit.device.empty()) {
      ASSIGN_OR_RETURN(device, BlockDeviceNumber(limit.device));
    }
    ASSIGN_OR_RETURN(
        const CgroupWrite write,
        PlanBlockIo(limit, device, directory->tree.version, files));
    const absl::Status written = WriteCgroupFile(
        absl::StrCat(directory->path, "/", write.file), write.text);
    if (!written.ok()) {
      return absl::FailedPreconditionError(
          absl::StrCat("blkio_cgroup: ", Describe(limit),
                       ": the kernel refuses it: ", written.message()));
    }
  }
  return absl::OkStatus();
}

}  // namespace podvisor
