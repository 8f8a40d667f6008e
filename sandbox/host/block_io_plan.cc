#include "sandbox/host/block_io_plan.h"

#include <sys/stat.h>
#include <sys/sysmacros.h>

#include <cerrno>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "base/clean_text.h"
#include "base/errno_status.h"

namespace podvisor {
namespace {

// A file that may be there, and what it would be told.
using Candidates = std::vector<CgroupWrite>;

// "254:0 78", or "78" for all devices.
std::string ForDevice(absl::string_view device, absl::string_view value) {
  if (device.empty()) return std::string(value);
  return absl::StrCat(device, " ", value);
}

int64_t IoWeight(int64_t blkio_weight) {
  return 1 + (blkio_weight - 10) * 9999 / 990;
}

Candidates V1(const BlockIoLimit& limit, absl::string_view device) {
  const std::string text = ForDevice(device, absl::StrCat(limit.value));
  const char* const suffix = device.empty() ? "" : "_device";
  switch (limit.type) {
    case BlockIoType::kReadBytes:
      return {{"blkio.throttle.read_bps_device", text}};
    case BlockIoType::kWriteBytes:
      return {{"blkio.throttle.write_bps_device", text}};
    case BlockIoType::kReadOperations:
      return {{"blkio.throttle.read_iops_device", text}};
    case BlockIoType::kWriteOperations:
      return {{"blkio.throttle.write_iops_device", text}};
    case BlockIoType::kWeight:
      return {{absl::StrCat("blkio.weight", suffix), text},
              {absl::StrCat("blkio.bfq.weight", suffix), text}};
    case BlockIoType::kLeafWeight:
      return {{absl::StrCat("blkio.leaf_weight", suffix), text}};
  }
  return {};
}

Candidates V2(const BlockIoLimit& limit, absl::string_view device) {
  const auto max = [&](absl::string_view key) -> Candidates {
    return {{"io.max", absl::StrCat(device, " ", key, "=", limit.value)}};
  };
  const absl::string_view whom = device.empty() ? "default" : device;
  switch (limit.type) {
    case BlockIoType::kReadBytes:
      return max("rbps");
    case BlockIoType::kWriteBytes:
      return max("wbps");
    case BlockIoType::kReadOperations:
      return max("riops");
    case BlockIoType::kWriteOperations:
      return max("wiops");
    case BlockIoType::kWeight:
      return {{"io.weight", absl::StrCat(whom, " ", IoWeight(limit.value))},
              {"io.bfq.weight", absl::StrCat(whom, " ", limit.value)}};
    case BlockIoType::kLeafWeight:
      return {};
  }
  return {};
}

}  // namespace

std::string Describe(const BlockIoLimit& limit) {
  if (limit.device.empty()) return std::string(NameOf(limit.type));
  return absl::StrCat(NameOf(limit.type), " of ", CleanText(limit.device, 256));
}

absl::StatusOr<CgroupWrite> PlanBlockIo(const BlockIoLimit& limit,
                                        absl::string_view device,
                                        CgroupVersion version,
                                        const std::set<std::string>& files) {
  const bool v1 = version == CgroupVersion::kV1;
  const Candidates candidates = v1 ? V1(limit, device) : V2(limit, device);
  std::vector<std::string> missing;
  for (const CgroupWrite& candidate : candidates) {
    if (files.count(candidate.file) > 0) return candidate;
    missing.push_back(candidate.file);
  }
  return absl::FailedPreconditionError(absl::StrCat(
      "blkio_cgroup: ", Describe(limit), ": this host's cgroups (version ",
      v1 ? 1 : 2, ") have ",
      missing.empty()
          ? "nothing like it"
          : absl::StrCat("no ", absl::StrJoin(missing, " and no "))));
}

absl::StatusOr<std::string> BlockDeviceNumber(const std::string& path) {
  struct stat info;
  if (stat(path.c_str(), &info) != 0) {
    return absl::InvalidArgumentError(absl::StrCat(
        "blkio_cgroup: ", ErrnoStatus(errno, CleanText(path, 256)).message()));
  }
  if (!S_ISBLK(info.st_mode)) {
    return absl::InvalidArgumentError(absl::StrCat(
        "blkio_cgroup: ", CleanText(path, 256), " is not a block device"));
  }
  return absl::StrCat(major(info.st_rdev), ":", minor(info.st_rdev));
}

}  // namespace podvisor
