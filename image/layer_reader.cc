#include "image/layer_reader.h"

#include <archive.h>
#include <archive_entry.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <memory>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/errno_status.h"
#include "base/file.h"
#include "base/status_macros.h"
#include "image/content_digest.h"

namespace podvisor {
namespace {

constexpr size_t kReadBytes = 256 << 10;

// A file without a name, for the uncompressed archive.
absl::StatusOr<UniqueFd> MakeSpool(const std::string& directory) {
  std::string path = absl::StrCat(directory, "/spool-XXXXXX");
  UniqueFd fd(mkostemp(path.data(), O_CLOEXEC));
  if (!fd.valid()) return ErrnoStatus(errno, path);
  unlink(path.c_str());
  return fd;
}

// The compressed blob: everything read from it is hashed and counted.
class Blob {
 public:
  static absl::StatusOr<std::unique_ptr<Blob>> Open(const LayerSource& source) {
    auto blob = std::make_unique<Blob>(source);
    blob->fd_ = UniqueFd(
        open(source.blob_path.c_str(), O_RDONLY | O_NOFOLLOW | O_CLOEXEC));
    struct stat info;
    if (!blob->fd_.valid() || fstat(blob->fd_.get(), &info) != 0 ||
        !S_ISREG(info.st_mode)) {
      return absl::DataLossError(
          absl::StrCat("layer ", source.blob.digest, " was not delivered"));
    }
    if (info.st_size != source.blob.size) {
      return absl::DataLossError(
          absl::StrCat("layer ", source.blob.digest, " has ", info.st_size,
                       " bytes instead of ", source.blob.size));
    }
    return blob;
  }

  explicit Blob(const LayerSource& source)
      : source_(source), buffer_(kReadBytes, '\0') {}

  // The next piece; empty at the end.
  absl::StatusOr<absl::string_view> Next() {
    ssize_t n = 0;
    do {
      n = read(fd_.get(), buffer_.data(), buffer_.size());
    } while (n < 0 && errno == EINTR);
    if (n < 0) return ErrnoStatus(errno, "reading a layer");
    const absl::string_view piece(buffer_.data(), n);
    hash_.Update(piece);
    return piece;
  }

  // Reads what the decompressor left, then compares.
  absl::Status Verify() {
    for (;;) {
      ASSIGN_OR_RETURN(const absl::string_view piece, Next());
      if (piece.empty()) break;
    }
    if (hash_.Finish() == source_.blob.digest) return absl::OkStatus();
    return absl::DataLossError(absl::StrCat("layer ", source_.blob.digest,
                                            " does not match its digest"));
  }

 private:
  const LayerSource& source_;
  UniqueFd fd_;
  std::string buffer_;
  Sha256 hash_;
};

// libarchive, used for its stream filters alone.
class Decompressor {
 public:
  explicit Decompressor(Blob* blob)
      : blob_(blob), archive_(archive_read_new()) {}

  absl::Status Open() {
    archive* const a = archive_.get();
    if (a == nullptr) return absl::ResourceExhaustedError("out of memory");
    archive_read_support_filter_gzip(a);
    archive_read_support_filter_zstd(a);
    archive_read_support_format_raw(a);
    archive_read_support_format_empty(a);
    if (archive_read_open(a, this, nullptr, &Decompressor::OnRead, nullptr) !=
        ARCHIVE_OK) {
      return Failure();
    }
    archive_entry* unused = nullptr;
    const int result = archive_read_next_header(a, &unused);
    at_end_ = result == ARCHIVE_EOF;
    return at_end_ || result == ARCHIVE_OK ? absl::OkStatus() : Failure();
  }

  // The next piece, valid until the next call; empty at the end.
  absl::StatusOr<absl::string_view> Next() {
    while (!at_end_) {
      const void* data = nullptr;
      size_t size = 0;
      la_int64_t offset = 0;
      const int result =
          archive_read_data_block(archive_.get(), &data, &size, &offset);
      if (result == ARCHIVE_EOF) {
        at_end_ = true;
      } else if (result != ARCHIVE_OK) {
        return Failure();
      } else if (size > 0) {
        return absl::string_view(static_cast<const char*>(data), size);
      }
    }
    return absl::string_view();
  }

 private:
  struct Free {
    void operator()(archive* a) const { archive_read_free(a); }
  };

  static la_ssize_t OnRead(archive* a, void* self, const void** buffer) {
    auto* const decompressor = static_cast<Decompressor*>(self);
    absl::StatusOr<absl::string_view> piece = decompressor->blob_->Next();
    if (!piece.ok()) {
      decompressor->read_status_ = piece.status();
      archive_set_error(a, EIO, "read failed");
      return -1;
    }
    *buffer = piece->data();
    return static_cast<la_ssize_t>(piece->size());
  }

  absl::Status Failure() const {
    if (!read_status_.ok()) return read_status_;
    const char* const why = archive_error_string(archive_.get());
    return absl::DataLossError(absl::StrCat(
        "the layer cannot be decompressed: ", why == nullptr ? "?" : why));
  }

  Blob* blob_;
  absl::Status read_status_;
  bool at_end_ = false;
  std::unique_ptr<archive, Free> archive_;
};

// Takes the bytes of one piece out of the budget.
absl::Status Spend(int64_t bytes, LayerBudget* budget, int64_t* used) {
  *used += bytes;
  budget->tar_bytes -= bytes;
  budget->free_tar_bytes -= bytes;
  if (budget->tar_bytes < 0) {
    return absl::ResourceExhaustedError("the image unfolds to too many bytes");
  }
  if (budget->free_tar_bytes < 0 &&
      -budget->free_tar_bytes / budget->max_ratio > budget->blob_bytes) {
    return absl::ResourceExhaustedError(
        "the image unfolds to far more than it is: a decompression bomb");
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<LayerContent> ReadLayer(const LayerSource& source,
                                       const std::string& work_directory,
                                       LayerBudget* budget,
                                       const StopCheck& stop) {
  LayerContent content;
  ASSIGN_OR_RETURN(content.archive, MakeSpool(work_directory));
  ASSIGN_OR_RETURN(const std::unique_ptr<Blob> blob, Blob::Open(source));
  budget->blob_bytes += source.blob.size;
  Decompressor decompressor(blob.get());
  RETURN_IF_ERROR(decompressor.Open());

  TarReader reader(&budget->tar, [&content](TarEntry entry) {
    content.entries.push_back(std::move(entry));
    return absl::OkStatus();
  });
  Sha256 hash;
  int64_t bytes = 0;
  for (;;) {
    RETURN_IF_ERROR(stop());
    ASSIGN_OR_RETURN(const absl::string_view piece, decompressor.Next());
    if (piece.empty()) break;
    RETURN_IF_ERROR(Spend(piece.size(), budget, &bytes));
    hash.Update(piece);
    RETURN_IF_ERROR(reader.Feed(piece));
    RETURN_IF_ERROR(
        Annotate(WriteAll(content.archive.get(), piece), "unfolding a layer"));
  }
  RETURN_IF_ERROR(blob->Verify());
  if (hash.Finish() != source.diff_id) {
    return absl::DataLossError(absl::StrCat(
        "layer ", source.blob.digest, " does not unfold to ", source.diff_id));
  }
  RETURN_IF_ERROR(reader.Finish());
  return content;
}

}  // namespace podvisor
