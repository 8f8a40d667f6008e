#include "sandbox/container/log_cursor.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>
#include <zlib.h>

#include <cstring>
#include <type_traits>

#include "absl/strings/str_cat.h"
#include "base/errno_status.h"

namespace podvisor {
namespace {

constexpr uint64_t kMagic = 0x31676f6c76646f70;  // "podvlog1"

// One slot as it is in the file, in this machine's byte order: the file does
// not outlive the machine.
struct Slot {
  uint64_t magic = kMagic;
  uint64_t sequence = 0;
  LogCursor cursor;
  uint64_t checksum = 0;  // of everything before it
};
static_assert(std::is_trivially_copyable_v<Slot>);
static_assert(sizeof(Slot) == 10 * sizeof(uint64_t), "no padding");

uint64_t ChecksumOf(const Slot& slot) {
  return crc32_z(0, reinterpret_cast<const Bytef*>(&slot),
                 offsetof(Slot, checksum));
}

off_t OffsetOf(uint64_t sequence) {
  return static_cast<off_t>((sequence % 2) * sizeof(Slot));
}

}  // namespace

absl::StatusOr<LogCursorFile> LogCursorFile::Open(const std::string& path) {
  UniqueFd fd(
      open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600));
  if (!fd.valid()) return ErrnoStatus(errno, absl::StrCat("open ", path));
  const int error = posix_fallocate(fd.get(), 0, 2 * sizeof(Slot));
  if (error != 0) return ErrnoStatus(error, absl::StrCat("allocate ", path));
  LogCursorFile file(std::move(fd));
  for (uint64_t i = 0; i < 2; ++i) {
    Slot slot;
    if (pread(file.fd_.get(), &slot, sizeof(slot), OffsetOf(i)) !=
        static_cast<ssize_t>(sizeof(slot))) {
      return ErrnoStatus(errno, absl::StrCat("read ", path));
    }
    if (slot.magic == kMagic && slot.checksum == ChecksumOf(slot) &&
        slot.sequence % 2 == i && slot.sequence > file.sequence_) {
      file.sequence_ = slot.sequence;
      file.cursor_ = slot.cursor;
    }
  }
  return file;
}

absl::Status LogCursorFile::Store(const LogCursor& cursor) {
  Slot slot;
  slot.sequence = sequence_ + 1;
  slot.cursor = cursor;
  slot.checksum = ChecksumOf(slot);
  if (pwrite(fd_.get(), &slot, sizeof(slot), OffsetOf(slot.sequence)) !=
      static_cast<ssize_t>(sizeof(slot))) {
    return ErrnoStatus(errno, "write log cursor");
  }
  sequence_ = slot.sequence;
  cursor_ = cursor;
  return absl::OkStatus();
}

}  // namespace podvisor
