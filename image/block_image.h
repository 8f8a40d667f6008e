#ifndef PODVISOR_IMAGE_BLOCK_IMAGE_H_
#define PODVISOR_IMAGE_BLOCK_IMAGE_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "image/layer_merge.h"
#include "image/layer_reader.h"

namespace podvisor {

struct BlockImageOptions {
  std::string tar2sqfs = "/usr/bin/tar2sqfs";
  // Empty: none. Makes the child die with us, see setpriv(1).
  std::string setpriv = "/usr/bin/setpriv";
};

// Writes the merged tree as one squashfs image (lz4) to `path`, which must not
// exist, and syncs it to disk. The tree goes as one tar stream into tar2sqfs;
// nothing is unpacked. `archives` are the layers' archives, lowest first.
// Returns the file's size after a look at its superblock: as many inodes as the
// tree has. On an error the file is removed.
//
// Errors: ResourceExhausted (disk), DataLoss (tar2sqfs refused the content or
// wrote something else), NotFound (no tar2sqfs), what `stop` says, Internal.
absl::StatusOr<int64_t> WriteBlockImage(const LayerMerge& tree,
                                        const std::vector<int>& archives,
                                        const BlockImageOptions& options,
                                        const StopCheck& stop,
                                        const std::string& path);

// Checks that `path` is a whole squashfs image of `size` bytes, by its
// superblock. DataLoss, NotFound.
absl::Status CheckBlockImage(const std::string& path, int64_t size);

}  // namespace podvisor

#endif  // PODVISOR_IMAGE_BLOCK_IMAGE_H_
