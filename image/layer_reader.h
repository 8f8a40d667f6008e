#ifndef PODVISOR_IMAGE_LAYER_READER_H_
#define PODVISOR_IMAGE_LAYER_READER_H_

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/unique_fd.h"
#include "image/oci_manifest.h"
#include "image/tar_entry.h"
#include "image/tar_reader.h"

namespace podvisor {

// Asked between pieces of long work: OK to go on, Cancelled or DeadlineExceeded
// to stop. Cheap.
using StopCheck = std::function<absl::Status()>;

// What the layers of one image may unfold to, together.
struct LayerBudget {
  int64_t tar_bytes = int64_t{64} << 30;
  // Beyond `free_tar_bytes`, this many bytes for each compressed one. Real
  // layers stay below 20; a gzip bomb reaches 1,000, a zstd bomb 30,000.
  int64_t max_ratio = 200;
  int64_t free_tar_bytes = int64_t{1} << 30;
  int64_t blob_bytes = 0;  // compressed bytes so far
  TarBudget tar;
};

struct LayerSource {
  std::string blob_path;
  BlobDescriptor blob;
  std::string diff_id;  // digest of the uncompressed archive
};

struct LayerContent {
  // The uncompressed archive, in a file without a name: it is gone when this
  // is, or when this process is killed.
  UniqueFd archive;
  std::vector<TarEntry> entries;
};

// Reads one layer once: verifies length and digest of the blob and the digest
// of the archive in it, and returns the archive with its entries. Compression
// (none, gzip or zstd) is recognized by content. The bytes are hostile, memory
// does not depend on them beyond the budget. Blocks.
//
// Errors: DataLoss (a digest, a broken stream or archive), ResourceExhausted
// (the budget or the disk), what `stop` says, Internal (I/O).
absl::StatusOr<LayerContent> ReadLayer(const LayerSource& source,
                                       const std::string& work_directory,
                                       LayerBudget* budget,
                                       const StopCheck& stop);

}  // namespace podvisor

#endif  // PODVISOR_IMAGE_LAYER_READER_H_
