#include "image/tar_writer.h"

#include <algorithm>
#include <cstring>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"

namespace podvisor {
namespace {

constexpr size_t kBlock = 512;
constexpr int64_t kMaxOctal8 = 07777777;  // seven digits
constexpr int64_t kMaxOctal12 = 077777777777;

char FlagOf(TarType type) {
  switch (type) {
    case TarType::kFile:
      return '0';
    case TarType::kHardLink:
      return '1';
    case TarType::kSymlink:
      return '2';
    case TarType::kCharDevice:
      return '3';
    case TarType::kBlockDevice:
      return '4';
    case TarType::kDirectory:
      return '5';
    case TarType::kFifo:
      return '6';
  }
  return '0';
}

void PutText(std::string& block, size_t at, size_t length,
             absl::string_view text) {
  std::memcpy(block.data() + at, text.data(), std::min(length, text.size()));
}

// Numbers that do not fit are zero here and exact in the pax header.
void PutOctal(std::string& block, size_t at, size_t length, int64_t value) {
  const int64_t most = length == 8 ? kMaxOctal8 : kMaxOctal12;
  PutText(block, at, length,
          absl::StrFormat("%0*o", static_cast<int>(length - 1),
                          value > most ? 0 : value));
}

std::string Block(char type, absl::string_view path, int64_t size) {
  std::string block(kBlock, '\0');
  PutText(block, 0, 100, path);
  PutOctal(block, 124, 12, size);
  block[156] = type;
  PutText(block, 257, 8, absl::string_view("ustar\00000", 8));
  return block;
}

void Seal(std::string& block) {
  std::memset(block.data() + 148, ' ', 8);
  int64_t sum = 0;
  for (const char c : block) sum += static_cast<unsigned char>(c);
  PutText(block, 148, 7, absl::StrFormat("%06o", sum));
  block[154] = '\0';
}

// A record's length counts its own digits.
void AddRecord(std::string& records, absl::string_view key,
               absl::string_view value) {
  const size_t rest = key.size() + value.size() + 3;
  size_t length = rest + 1;
  while (absl::StrCat(length).size() + rest != length) ++length;
  absl::StrAppend(&records, length, " ", key, "=", value, "\n");
}

std::string PaxRecords(const TarEntry& entry) {
  std::string records;
  if (entry.path.size() > 100) AddRecord(records, "path", entry.path);
  if (entry.link.size() > 100) AddRecord(records, "linkpath", entry.link);
  if (entry.size > kMaxOctal12) {
    AddRecord(records, "size", absl::StrCat(entry.size));
  }
  if (entry.uid > kMaxOctal8) {
    AddRecord(records, "uid", absl::StrCat(entry.uid));
  }
  if (entry.gid > kMaxOctal8) {
    AddRecord(records, "gid", absl::StrCat(entry.gid));
  }
  for (const auto& [name, value] : entry.xattrs) {
    AddRecord(records, absl::StrCat("SCHILY.xattr.", name), value);
  }
  return records;
}

}  // namespace

int64_t TarPadding(int64_t size) { return (kBlock - size % kBlock) % kBlock; }

std::string TarTrailer() { return std::string(2 * kBlock, '\0'); }

std::string TarHeader(const TarEntry& entry) {
  std::string bytes;
  const std::string records = PaxRecords(entry);
  if (!records.empty()) {
    std::string extension = Block('x', "pax", records.size());
    PutOctal(extension, 100, 8, 0644);
    Seal(extension);
    absl::StrAppend(&bytes, extension, records,
                    std::string(TarPadding(records.size()), '\0'));
  }
  std::string block = Block(FlagOf(entry.type), entry.path, entry.size);
  PutOctal(block, 100, 8, entry.mode);
  PutOctal(block, 108, 8, entry.uid);
  PutOctal(block, 116, 8, entry.gid);
  PutOctal(block, 136, 12, entry.mtime);
  PutText(block, 157, 100, entry.link);
  PutOctal(block, 329, 8, entry.device_major);
  PutOctal(block, 337, 8, entry.device_minor);
  Seal(block);
  bytes += block;
  return bytes;
}

}  // namespace podvisor
