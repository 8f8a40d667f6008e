#ifndef PODVISOR_GUESTAGENT_AGENT_SQUASHFS_IDS_H_
#define PODVISOR_GUESTAGENT_AGENT_SQUASHFS_IDS_H_

#include <cstdint>
#include <string>

#include "absl/status/statusor.h"
#include "base/id_mapping.h"

namespace podvisor {

// What is to be seen instead of parts of a squashfs image, so that its files
// belong to other users and groups. Sizes and offsets are multiples of
// kShiftAlignment.
struct SquashfsShift {
  std::string head;          // instead of the image's first bytes
  uint64_t tail_offset = 0;  // where `tail` begins; not before the head's end
  std::string tail;          // instead of everything from there on
};
inline constexpr size_t kShiftAlignment = 4096;

// Inodes of a squashfs name their users and groups by an index into one table
// of ids, at the image's end. With another table an image of any size has
// other owners: id N becomes `mapping.host_id` + N, one that the mapping does
// not have 4294967294, which no mapping has. What follows the table (extended
// attributes) moves with it; what does not change is not read.
//
// `image` is a file or block device of `size` bytes, open for reading, its
// content hostile. Layout: kernel, Documentation/filesystems/squashfs.rst and
// squashfs_fs.h.
//
// Errors: DataLoss (no squashfs, or broken), Unimplemented (the table is
// compressed by another method than LZ4), ResourceExhausted (more than 16 MiB
// of extended attributes), those of pread(2).
absl::StatusOr<SquashfsShift> ShiftSquashfsIds(int image, uint64_t size,
                                               const IdMapping& mapping);

}  // namespace podvisor

#endif  // PODVISOR_GUESTAGENT_AGENT_SQUASHFS_IDS_H_
