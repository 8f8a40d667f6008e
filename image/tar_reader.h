#ifndef PODVISOR_IMAGE_TAR_READER_H_
#define PODVISOR_IMAGE_TAR_READER_H_

#include <cstdint>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "image/tar_entry.h"

namespace podvisor {

// What the tar archives of one image may cost in memory, all layers together.
struct TarBudget {
  int64_t entries = 1'000'000;
  int64_t metadata_bytes = 256 << 20;  // names, link targets, attributes
};

// Reads the headers of a tar archive that arrives in pieces: ustar, pax and GNU
// long names, in the reading of Go's archive/tar, which wrote and reads most
// images. File data is skipped, its place recorded. Pure and bounded; the bytes
// are hostile. Nothing is interpreted as a path here.
//
// Like Go, global pax headers are read and not applied.
//
// Refused: unknown entry types, sparse files, wrong checksums, NUL in names.
// Not thread-safe.
class TarReader {
 public:
  using Sink = std::function<absl::Status(TarEntry)>;

  // `budget` is shared with the image's other readers and outlives this.
  // `sink` gets each entry as soon as its header is complete.
  TarReader(TarBudget* budget, Sink sink)
      : budget_(budget), sink_(std::move(sink)) {}

  // Errors: DataLoss (malformed), ResourceExhausted (budget), or the sink's.
  // After an error no further call is allowed.
  absl::Status Feed(absl::string_view bytes);

  // DataLoss when the archive ends inside an entry. The padding of the last one
  // and the zero blocks at the end may be missing: umoci writes such layers.
  absl::Status Finish() const;

 private:
  // What extension headers say about the next entry.
  struct Extension {
    std::vector<std::pair<std::string, std::string>> pax;
    std::string gnu_path;
    std::string gnu_link;
  };

  absl::Status OnBlock(absl::string_view block);
  absl::Status OnHeader(absl::string_view block);
  absl::Status OnEntry(absl::string_view block, char type, int64_t size);
  absl::Status OnExtension();
  absl::Status ApplyPax(TarEntry& entry, int64_t& size) const;

  TarBudget* budget_;
  Sink sink_;
  Extension extension_;
  std::string partial_;       // of a block
  std::string payload_;       // of an extension header, with padding
  int64_t payload_size_ = 0;  // without padding
  char payload_type_ = 0;     // 0: no extension header is being read
  int64_t skip_ = 0;          // bytes of file data and padding to come
  int64_t padding_ = 0;       // how much of skip_ is padding at its end
  int64_t offset_ = 0;        // bytes taken so far
  bool one_zero_block_ = false;
  bool ended_ = false;
};

// The records of a pax extended header. Pure. DataLoss when malformed.
absl::StatusOr<std::vector<std::pair<std::string, std::string>>>
ParsePaxRecords(absl::string_view payload);

// An octal or base-256 number field. Pure. DataLoss when malformed.
absl::StatusOr<int64_t> ParseTarNumber(absl::string_view field);

}  // namespace podvisor

#endif  // PODVISOR_IMAGE_TAR_READER_H_
