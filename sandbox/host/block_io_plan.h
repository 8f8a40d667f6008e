#ifndef PODVISOR_SANDBOX_HOST_BLOCK_IO_PLAN_H_
#define PODVISOR_SANDBOX_HOST_BLOCK_IO_PLAN_H_

#include <set>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "sandbox/host/cgroup_mounts.h"
#include "sandbox/record/block_io.h"

namespace podvisor {

// One write into a file of a cgroup.
struct CgroupWrite {
  std::string file;  // its name in the directory
  std::string text;

  bool operator==(const CgroupWrite&) const = default;
};

// The write that sets `limit` in a cgroup whose directory has `files`. `device`
// is "major:minor"; empty where the limit names no device.
//
//   v1  blkio.throttle.*_device; blkio.weight and blkio.leaf_weight, each with
//       its _device. A kernel whose one proportional scheduler is BFQ has
//       blkio.bfq.weight instead and takes the same numbers.
//   v2  io.max; io.weight, for which 10 to 1000 becomes 1 to 10000 on a
//       straight line, as other runtimes do it; else io.bfq.weight.
//
// Pure. FailedPrecondition, naming the limit, where the cgroup has none of the
// files.
absl::StatusOr<CgroupWrite> PlanBlockIo(const BlockIoLimit& limit,
                                        absl::string_view device,
                                        CgroupVersion version,
                                        const std::set<std::string>& files);

// "major:minor" of a block device. InvalidArgument, naming it, for a path that
// is not there or is something else.
absl::StatusOr<std::string> BlockDeviceNumber(const std::string& path);

// "throttle_read_bps of /dev/sda", for messages.
std::string Describe(const BlockIoLimit& limit);

}  // namespace podvisor

#endif  // PODVISOR_SANDBOX_HOST_BLOCK_IO_PLAN_H_
