#include "guestagent/agent/squashfs_ids.h"

#include <errno.h>
#include <unistd.h>

#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "base/errno_status.h"
#include "base/status_macros.h"
#include "guestagent/agent/lz4_block.h"

namespace podvisor {
namespace {

constexpr uint32_t kMagic = 0x73717368;
constexpr size_t kSuperblockBytes = 96;
constexpr size_t kBlockBytes = 8192;  // of metadata
constexpr uint16_t kStoredBit = 0x8000;
constexpr uint16_t kLz4 = 5;
constexpr uint64_t kAbsent = ~uint64_t{0};
constexpr uint64_t kMaxRest = 16 << 20;
constexpr uint32_t kUnmappedId = 0xfffffffe;

// Offsets in the superblock.
constexpr size_t kCompression = 20;
constexpr size_t kIdCount = 26;
constexpr size_t kBytesUsed = 40;
constexpr size_t kIdTable = 48;
constexpr size_t kXattrTable = 56;
constexpr size_t kTablesBelow[] = {64, 72, 80, 88};  // inodes to export

template <typename T>
T Get(absl::string_view bytes, size_t at) {
  T value = 0;
  for (size_t i = sizeof(T); i-- > 0;) {
    value = static_cast<T>(value << 8 | static_cast<uint8_t>(bytes[at + i]));
  }
  return value;
}

template <typename T>
void Put(T value, size_t at, std::string* bytes) {
  for (size_t i = 0; i < sizeof(T); ++i) {
    (*bytes)[at + i] = static_cast<char>(value >> (8 * i));
  }
}

template <typename T>
void Append(T value, std::string* bytes) {
  bytes->resize(bytes->size() + sizeof(T));
  Put(value, bytes->size() - sizeof(T), bytes);
}

absl::Status Broken(absl::string_view what) {
  return absl::DataLossError(absl::StrCat("squashfs: ", what));
}

class Shifter {
 public:
  Shifter(int image, uint64_t size, const IdMapping& mapping)
      : image_(image), size_(size), mapping_(mapping) {}

  absl::StatusOr<SquashfsShift> Run() {
    RETURN_IF_ERROR(ReadSuperblock());
    ASSIGN_OR_RETURN(const std::string ids, ReadIds());
    shift_.tail_offset = first_block_ - first_block_ % kShiftAlignment;
    ASSIGN_OR_RETURN(shift_.tail, Read(shift_.tail_offset,
                                       first_block_ - shift_.tail_offset));
    AppendIds(ids);
    RETURN_IF_ERROR(AppendRest());
    Put<uint64_t>(End(), kBytesUsed, &superblock_);
    shift_.tail.resize((shift_.tail.size() + kShiftAlignment - 1) /
                       kShiftAlignment * kShiftAlignment);
    // A small image has both in one place.
    std::string* begin = &shift_.tail;
    if (shift_.tail_offset > 0) {
      ASSIGN_OR_RETURN(shift_.head, Read(0, kShiftAlignment));
      begin = &shift_.head;
    }
    begin->replace(0, superblock_.size(), superblock_);
    return std::move(shift_);
  }

 private:
  absl::StatusOr<std::string> Read(uint64_t offset, size_t bytes) const {
    if (offset > size_ || bytes > size_ - offset) {
      return Broken("is shorter than it says");
    }
    std::string text(bytes, '\0');
    size_t done = 0;
    while (done < bytes) {
      const ssize_t n = pread(image_, text.data() + done, bytes - done,
                              static_cast<off_t>(offset + done));
      if (n < 0 && errno == EINTR) continue;
      if (n < 0) return ErrnoStatus(errno, "read the image");
      if (n == 0) return Broken("is shorter than it says");
      done += static_cast<size_t>(n);
    }
    return text;
  }

  absl::Status ReadSuperblock() {
    ASSIGN_OR_RETURN(superblock_, Read(0, kSuperblockBytes));
    if (Get<uint32_t>(superblock_, 0) != kMagic) return Broken("none");
    id_count_ = Get<uint16_t>(superblock_, kIdCount);
    blocks_ = (id_count_ * sizeof(uint32_t) + kBlockBytes - 1) / kBlockBytes;
    bytes_used_ = Get<uint64_t>(superblock_, kBytesUsed);
    id_table_ = Get<uint64_t>(superblock_, kIdTable);
    if (id_count_ == 0 || bytes_used_ > size_ || id_table_ >= bytes_used_) {
      return Broken("impossible superblock");
    }
    return absl::OkStatus();
  }

  // The ids as they are, one after the other.
  absl::StatusOr<std::string> ReadIds() {
    ASSIGN_OR_RETURN(const std::string index,
                     Read(id_table_, blocks_ * sizeof(uint64_t)));
    first_block_ = Get<uint64_t>(index, 0);
    uint64_t above = kSuperblockBytes;
    for (const size_t table : kTablesBelow) {
      const uint64_t start = Get<uint64_t>(superblock_, table);
      if (start != kAbsent && start >= first_block_) {
        return Broken("a table is behind that of the ids");
      }
    }
    std::string ids;
    for (size_t i = 0; i < blocks_; ++i) {
      const uint64_t at = Get<uint64_t>(index, i * sizeof(uint64_t));
      if (at < above || at >= id_table_) return Broken("the table of ids");
      above = at + 1;
      ASSIGN_OR_RETURN(const std::string block, ReadBlock(at));
      ids += block;
      if (i + 1 < blocks_ && ids.size() != (i + 1) * kBlockBytes) {
        return Broken("a block of ids");
      }
    }
    if (ids.size() != id_count_ * sizeof(uint32_t)) {
      return Broken("the number of ids");
    }
    return ids;
  }

  absl::StatusOr<std::string> ReadBlock(uint64_t at) const {
    ASSIGN_OR_RETURN(const std::string header, Read(at, sizeof(uint16_t)));
    const uint16_t value = Get<uint16_t>(header, 0);
    const size_t bytes = value & ~kStoredBit;
    if (bytes == 0 || bytes > kBlockBytes) return Broken("a block's length");
    ASSIGN_OR_RETURN(std::string block, Read(at + sizeof(uint16_t), bytes));
    if ((value & kStoredBit) != 0) return block;
    if (Get<uint16_t>(superblock_, kCompression) != kLz4) {
      return absl::UnimplementedError(
          "the image's table of ids is compressed, and not by LZ4");
    }
    return DecodeLz4Block(block, kBlockBytes);
  }

  uint32_t Shifted(uint32_t id) const {
    return id < mapping_.length ? mapping_.host_id + id : kUnmappedId;
  }

  // Where the next byte of the tail will be.
  uint64_t End() const { return shift_.tail_offset + shift_.tail.size(); }

  void AppendIds(absl::string_view ids) {
    std::vector<uint64_t> index;
    for (size_t begin = 0; begin < ids.size(); begin += kBlockBytes) {
      const absl::string_view block = ids.substr(begin, kBlockBytes);
      index.push_back(End());
      Append(static_cast<uint16_t>(kStoredBit | block.size()), &shift_.tail);
      for (size_t i = 0; i < block.size(); i += sizeof(uint32_t)) {
        Append(Shifted(Get<uint32_t>(block, i)), &shift_.tail);
      }
    }
    Put<uint64_t>(End(), kIdTable, &superblock_);
    for (const uint64_t at : index) Append(at, &shift_.tail);
  }

  // The extended attributes: three tables, one right after the other, and an
  // index that says where in the image they are.
  absl::Status AppendRest() {
    const uint64_t xattrs = Get<uint64_t>(superblock_, kXattrTable);
    if (xattrs == kAbsent) return absl::OkStatus();
    const uint64_t from = id_table_ + blocks_ * sizeof(uint64_t);
    constexpr size_t kHeader = 16;
    if (xattrs < from || xattrs > bytes_used_ ||
        bytes_used_ - xattrs < kHeader) {
      return Broken("the table of extended attributes");
    }
    if (bytes_used_ - from > kMaxRest) {
      return absl::ResourceExhaustedError(
          "the image has too many extended attributes for a user namespace");
    }
    ASSIGN_OR_RETURN(std::string rest, Read(from, bytes_used_ - from));
    const uint64_t moved = End() - from;  // modulo 2^64
    const size_t header = xattrs - from;
    Put(Get<uint64_t>(rest, header) + moved, header, &rest);
    // Its index is all that follows: one entry for each block of 512.
    const size_t count = Get<uint32_t>(rest, header + sizeof(uint64_t));
    const size_t entries = (count + 511) / 512;
    if (rest.size() - header - kHeader < entries * sizeof(uint64_t)) {
      return Broken("the index of extended attributes");
    }
    for (size_t i = 0; i < entries; ++i) {
      const size_t at = header + kHeader + i * sizeof(uint64_t);
      Put(Get<uint64_t>(rest, at) + moved, at, &rest);
    }
    Put(xattrs + moved, kXattrTable, &superblock_);
    shift_.tail += rest;
    return absl::OkStatus();
  }

  const int image_;
  const uint64_t size_;
  const IdMapping mapping_;
  std::string superblock_;
  size_t id_count_ = 0;
  size_t blocks_ = 0;  // of ids
  uint64_t bytes_used_ = 0;
  uint64_t id_table_ = 0;
  uint64_t first_block_ = 0;
  SquashfsShift shift_;
};

}  // namespace

absl::StatusOr<SquashfsShift> ShiftSquashfsIds(int image, uint64_t size,
                                               const IdMapping& mapping) {
  RETURN_IF_ERROR(CheckIdMapping(mapping));
  return Shifter(image, size, mapping).Run();
}

}  // namespace podvisor
