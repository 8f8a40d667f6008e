#include "image/tar_reader.h"

#include <algorithm>
#include <limits>
#include <optional>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "base/status_macros.h"

namespace podvisor {
namespace {

constexpr size_t kBlock = 512;
constexpr int64_t kMaxExtensionBytes = 1 << 20;  // as in Go's archive/tar
constexpr size_t kMaxXattrs = 128;
constexpr size_t kMaxXattrNameBytes = 255;
constexpr size_t kMaxXattrValueBytes = 64 << 10;
constexpr absl::string_view kXattrPrefix = "SCHILY.xattr.";

absl::Status Bad(absl::string_view why) {
  return absl::DataLossError(absl::StrCat("layer archive: ", why));
}

int64_t Padded(int64_t size) { return (size + kBlock - 1) / kBlock * kBlock; }

// A field's text up to its first NUL.
absl::string_view Text(absl::string_view block, size_t at, size_t length) {
  const absl::string_view field = block.substr(at, length);
  return field.substr(0, field.find('\0'));
}

bool ChecksumFits(absl::string_view block) {
  const absl::StatusOr<int64_t> stated = ParseTarNumber(block.substr(148, 8));
  if (!stated.ok()) return false;
  int64_t as_unsigned = 0;
  int64_t as_signed = 0;
  for (size_t i = 0; i < kBlock; ++i) {
    const char c = i >= 148 && i < 156 ? ' ' : block[i];
    as_unsigned += static_cast<unsigned char>(c);
    as_signed += static_cast<signed char>(c);
  }
  return *stated == as_unsigned || *stated == as_signed;
}

std::optional<TarType> TypeOf(char flag) {
  switch (flag) {
    case '0':
    case '\0':
    case '7':
      return TarType::kFile;
    case '1':
      return TarType::kHardLink;
    case '2':
      return TarType::kSymlink;
    case '3':
      return TarType::kCharDevice;
    case '4':
      return TarType::kBlockDevice;
    case '5':
      return TarType::kDirectory;
    case '6':
      return TarType::kFifo;
    default:
      return std::nullopt;
  }
}

uint32_t ClampSeconds(int64_t seconds) {
  return static_cast<uint32_t>(
      std::clamp<int64_t>(seconds, 0, std::numeric_limits<uint32_t>::max()));
}

// Whole seconds of a pax time such as "1350244992.023960108" or "-1.5".
absl::StatusOr<int64_t> ParsePaxSeconds(absl::string_view value) {
  int64_t seconds = 0;
  const absl::string_view whole = value.substr(0, value.find('.'));
  if (!absl::SimpleAtoi(whole, &seconds)) return Bad("malformed pax time");
  return seconds;
}

absl::StatusOr<uint32_t> ToUint32(int64_t value, absl::string_view what) {
  if (value < 0 || value > std::numeric_limits<uint32_t>::max()) {
    return Bad(absl::StrCat(what, " is out of range"));
  }
  return static_cast<uint32_t>(value);
}

absl::StatusOr<int64_t> ParseDecimal(absl::string_view value,
                                     absl::string_view what) {
  int64_t number = 0;
  if (!absl::SimpleAtoi(value, &number) || number < 0) {
    return Bad(absl::StrCat("malformed pax ", what));
  }
  return number;
}

// Attributes that a squashfs can hold and that mean what they say. An overlay
// file system would take its own ones in a lower layer for instructions.
bool IsKeptXattr(absl::string_view name) {
  if (absl::StartsWith(name, "trusted.overlay.") ||
      absl::StartsWith(name, "user.overlay.")) {
    return false;
  }
  return absl::StartsWith(name, "user.") ||
         absl::StartsWith(name, "trusted.") ||
         absl::StartsWith(name, "security.");
}

absl::Status AddXattr(TarEntry& entry, absl::string_view name,
                      absl::string_view value) {
  if (!IsKeptXattr(name)) return absl::OkStatus();
  if (name.size() > kMaxXattrNameBytes || value.size() > kMaxXattrValueBytes ||
      name.find('\0') != name.npos) {
    return Bad("an extended attribute is too long");
  }
  // Later records win.
  for (auto& [known, old] : entry.xattrs) {
    if (known == name) {
      old = std::string(value);
      return absl::OkStatus();
    }
  }
  if (entry.xattrs.size() >= kMaxXattrs) {
    return Bad("too many extended attributes");
  }
  entry.xattrs.emplace_back(name, value);
  return absl::OkStatus();
}

// The fields of the fixed header, without name, size and type.
absl::Status ParseFixedFields(absl::string_view block, TarEntry& entry) {
  ASSIGN_OR_RETURN(const int64_t mode, ParseTarNumber(block.substr(100, 8)));
  ASSIGN_OR_RETURN(const int64_t uid, ParseTarNumber(block.substr(108, 8)));
  ASSIGN_OR_RETURN(const int64_t gid, ParseTarNumber(block.substr(116, 8)));
  ASSIGN_OR_RETURN(const int64_t mtime, ParseTarNumber(block.substr(136, 12)));
  entry.mode = static_cast<uint32_t>(mode) & 07777;
  ASSIGN_OR_RETURN(entry.uid, ToUint32(uid, "uid"));
  ASSIGN_OR_RETURN(entry.gid, ToUint32(gid, "gid"));
  entry.mtime = ClampSeconds(mtime);
  if (entry.type == TarType::kCharDevice ||
      entry.type == TarType::kBlockDevice) {
    ASSIGN_OR_RETURN(const int64_t major, ParseTarNumber(block.substr(329, 8)));
    ASSIGN_OR_RETURN(const int64_t minor, ParseTarNumber(block.substr(337, 8)));
    // What the kernel's device numbers hold.
    if (major < 0 || major > 0xfff || minor < 0 || minor > 0xfffff) {
      return Bad("a device number is out of range");
    }
    entry.device_major = static_cast<uint32_t>(major);
    entry.device_minor = static_cast<uint32_t>(minor);
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<int64_t> ParseTarNumber(absl::string_view field) {
  if (!field.empty() && (static_cast<unsigned char>(field[0]) & 0x80) != 0) {
    // Base 256, two's complement in the bits behind the first one.
    const bool negative = (static_cast<unsigned char>(field[0]) & 0x40) != 0;
    uint64_t value = 0;
    for (size_t i = 0; i < field.size(); ++i) {
      uint8_t byte = static_cast<uint8_t>(field[i]);
      if (negative) byte = ~byte;
      if (i == 0) byte &= 0x7f;
      if ((value >> 55) != 0) return Bad("a number is out of range");
      value = value << 8 | byte;
    }
    return negative ? ~static_cast<int64_t>(value)
                    : static_cast<int64_t>(value);
  }
  const size_t first = field.find_first_not_of(absl::string_view(" \0", 2));
  if (first == field.npos) return 0;
  field = field.substr(first);
  field = field.substr(0, field.find_first_of(absl::string_view(" \0", 2)));
  int64_t value = 0;
  for (const char c : field) {
    if (c < '0' || c > '7') return Bad("malformed number");
    if ((value >> 60) != 0) return Bad("a number is out of range");
    value = value * 8 + (c - '0');
  }
  return value;
}

absl::StatusOr<std::vector<std::pair<std::string, std::string>>>
ParsePaxRecords(absl::string_view payload) {
  std::vector<std::pair<std::string, std::string>> records;
  while (!payload.empty()) {
    // "LENGTH KEY=VALUE\n"; LENGTH counts the whole record.
    const size_t space = payload.substr(0, 20).find(' ');
    size_t length = 0;
    if (space == payload.npos ||
        !absl::SimpleAtoi(payload.substr(0, space), &length) ||
        length < space + 4 || length > payload.size() ||
        payload[length - 1] != '\n') {
      return Bad("malformed pax record");
    }
    const absl::string_view record =
        payload.substr(space + 1, length - space - 2);
    const size_t equals = record.find('=');
    if (equals == record.npos || equals == 0) {
      return Bad("malformed pax record");
    }
    records.emplace_back(record.substr(0, equals), record.substr(equals + 1));
    payload.remove_prefix(length);
  }
  return records;
}

absl::Status TarReader::Feed(absl::string_view bytes) {
  while (!bytes.empty() && !ended_) {
    if (skip_ > 0) {
      const int64_t n = std::min<int64_t>(skip_, bytes.size());
      skip_ -= n;
      offset_ += n;
      bytes.remove_prefix(n);
      continue;
    }
    if (partial_.empty() && bytes.size() >= kBlock) {
      offset_ += kBlock;
      RETURN_IF_ERROR(OnBlock(bytes.substr(0, kBlock)));
      bytes.remove_prefix(kBlock);
      continue;
    }
    const size_t n = std::min(kBlock - partial_.size(), bytes.size());
    partial_.append(bytes.data(), n);
    offset_ += n;
    bytes.remove_prefix(n);
    if (partial_.size() < kBlock) break;
    const std::string block = std::exchange(partial_, std::string());
    RETURN_IF_ERROR(OnBlock(block));
  }
  return absl::OkStatus();
}

absl::Status TarReader::Finish() const {
  if (ended_) return absl::OkStatus();
  if (skip_ > padding_ || !partial_.empty() || payload_type_ != 0) {
    return Bad("it ends inside an entry");
  }
  return absl::OkStatus();
}

absl::Status TarReader::OnBlock(absl::string_view block) {
  if (payload_type_ != 0) {
    payload_.append(block.data(), block.size());
    if (static_cast<int64_t>(payload_.size()) < payload_size_) {
      return absl::OkStatus();
    }
    payload_.resize(payload_size_);
    return OnExtension();
  }
  if (block.find_first_not_of('\0') == block.npos) {
    ended_ = one_zero_block_;
    one_zero_block_ = true;
    return absl::OkStatus();
  }
  if (one_zero_block_) return Bad("data behind a zero block");
  return OnHeader(block);
}

absl::Status TarReader::OnHeader(absl::string_view block) {
  if (!ChecksumFits(block)) return Bad("wrong header checksum");
  const char type = block[156];
  ASSIGN_OR_RETURN(const int64_t size, ParseTarNumber(block.substr(124, 12)));
  if (size < 0) return Bad("negative size");
  if (type == 'x' || type == 'g' || type == 'X' || type == 'L' || type == 'K') {
    if (size > kMaxExtensionBytes) return Bad("extension header over 1 MiB");
    payload_type_ = type;
    payload_size_ = size;
    payload_.clear();
    return size == 0 ? OnExtension() : absl::OkStatus();
  }
  return OnEntry(block, type, size);
}

absl::Status TarReader::OnExtension() {
  const char type = std::exchange(payload_type_, 0);
  const std::string payload = std::exchange(payload_, std::string());
  budget_->metadata_bytes -= payload.size();
  if (--budget_->entries < 0 || budget_->metadata_bytes < 0) {
    return absl::ResourceExhaustedError("the image has too many names");
  }
  if (type == 'L' || type == 'K') {
    std::string& name = type == 'L' ? extension_.gnu_path : extension_.gnu_link;
    name = payload.substr(0, payload.find('\0'));
    return absl::OkStatus();
  }
  if (type == 'g') return absl::OkStatus();
  ASSIGN_OR_RETURN(extension_.pax, ParsePaxRecords(payload));
  return absl::OkStatus();
}

absl::Status TarReader::OnEntry(absl::string_view block, char type,
                                int64_t size) {
  TarEntry entry;
  const std::optional<TarType> known = TypeOf(type);
  if (!known.has_value()) {
    return Bad(type == 'S' ? "sparse files are not supported"
                           : "unknown entry type");
  }
  entry.type = *known;
  entry.path = std::string(Text(block, 0, 100));
  entry.link = std::string(Text(block, 157, 100));
  // Only POSIX archives have a prefix there; GNU ones keep times.
  if (block.substr(257, 6) == absl::string_view("ustar\0", 6)) {
    const absl::string_view prefix = Text(block, 345, 155);
    if (!prefix.empty()) entry.path = absl::StrCat(prefix, "/", entry.path);
  }
  RETURN_IF_ERROR(ParseFixedFields(block, entry));
  if (!extension_.gnu_path.empty()) entry.path = extension_.gnu_path;
  if (!extension_.gnu_link.empty()) entry.link = extension_.gnu_link;
  RETURN_IF_ERROR(ApplyPax(entry, size));
  extension_ = Extension();

  // Archives older than ustar mark directories by the slash alone.
  if (type == '\0' && absl::EndsWith(entry.path, "/")) {
    entry.type = TarType::kDirectory;
  }
  if (entry.type == TarType::kFile) {
    if (size > std::numeric_limits<int64_t>::max() / 2) return Bad("huge size");
    entry.size = size;
    entry.data_offset = offset_;
    skip_ = Padded(size);
    padding_ = skip_ - size;
  }
  budget_->metadata_bytes -= entry.path.size() + entry.link.size();
  if (--budget_->entries < 0 || budget_->metadata_bytes < 0) {
    return absl::ResourceExhaustedError("the image has too many files");
  }
  return sink_(std::move(entry));
}

absl::Status TarReader::ApplyPax(TarEntry& entry, int64_t& size) const {
  for (const auto& [key, value] : extension_.pax) {
    absl::string_view name = key;
    if (absl::ConsumePrefix(&name, kXattrPrefix)) {
      RETURN_IF_ERROR(AddXattr(entry, name, value));
      continue;
    }
    if (absl::StartsWith(key, "GNU.sparse.")) {
      return Bad("sparse files are not supported");
    }
    if (value.empty()) continue;  // the record takes an earlier one back
    if (key == "path" || key == "linkpath") {
      if (value.find('\0') != value.npos) return Bad("NUL in a name");
      (key == "path" ? entry.path : entry.link) = value;
    } else if (key == "size") {
      ASSIGN_OR_RETURN(size, ParseDecimal(value, "size"));
    } else if (key == "uid") {
      ASSIGN_OR_RETURN(const int64_t uid, ParseDecimal(value, "uid"));
      ASSIGN_OR_RETURN(entry.uid, ToUint32(uid, "uid"));
    } else if (key == "gid") {
      ASSIGN_OR_RETURN(const int64_t gid, ParseDecimal(value, "gid"));
      ASSIGN_OR_RETURN(entry.gid, ToUint32(gid, "gid"));
    } else if (key == "mtime") {
      ASSIGN_OR_RETURN(const int64_t mtime, ParsePaxSeconds(value));
      entry.mtime = ClampSeconds(mtime);
    }
  }
  return absl::OkStatus();
}

}  // namespace podvisor
