#ifndef PODVISOR_CRI_BLKIO_ANNOTATION_H_
#define PODVISOR_CRI_BLKIO_ANNOTATION_H_

#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "sandbox/record/block_io.h"

namespace podvisor {

// Reads the value of the annotation blkio_cgroup:
//
//   {"blkiocgroup": [
//     {"path": "/dev/sda", "limits": [{"type": "throttle_read_bps",
//                                      "value": 400}]},
//     {"limits": [{"type": "blkio_weight", "value": 78}]}]}
//
// A throttle needs a device; a weight without one is for all devices. Whether
// the devices are there, and what the host can do, is for PodCgroup to say.
//
// Pure. InvalidArgument, naming the place in the text, for JSON that is longer
// than 64 KiB or nested deeper than this, for keys that are missing, unknown or
// given twice, and for types, values and paths that cannot be.
absl::StatusOr<std::vector<BlockIoLimit>> ParseBlkioAnnotation(
    absl::string_view text);

}  // namespace podvisor

#endif  // PODVISOR_CRI_BLKIO_ANNOTATION_H_
