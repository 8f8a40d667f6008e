#include "image/tar_reader.h"

#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"
#include "image/tar_writer.h"

namespace podvisor {
namespace {

struct Result {
  absl::Status status;
  std::vector<TarEntry> entries;
};

Result Read(const std::string& archive, size_t piece = 1 << 20,
            TarBudget budget = TarBudget()) {
  Result result;
  TarReader reader(&budget, [&result](TarEntry entry) {
    result.entries.push_back(std::move(entry));
    return absl::OkStatus();
  });
  for (size_t at = 0; at < archive.size() && result.status.ok(); at += piece) {
    result.status = reader.Feed(absl::string_view(archive).substr(at, piece));
  }
  if (result.status.ok()) result.status = reader.Finish();
  return result;
}

TarEntry File(const std::string& path, int64_t size = 0) {
  TarEntry entry;
  entry.path = path;
  entry.mode = 04755;
  entry.size = size;
  return entry;
}

std::string Member(const TarEntry& entry, char fill = 'd') {
  return absl::StrCat(TarHeader(entry), std::string(entry.size, fill),
                      std::string(TarPadding(entry.size), '\0'));
}

// Repairs the checksum of a header that a test has changed.
std::string Resealed(std::string block) {
  for (int i = 148; i < 156; ++i) block[i] = ' ';
  int sum = 0;
  for (int i = 0; i < 512; ++i) sum += static_cast<unsigned char>(block[i]);
  char digits[8];
  snprintf(digits, sizeof(digits), "%06o", sum);
  for (int i = 0; i < 7; ++i) block[148 + i] = digits[i];
  return block;
}

std::string WithType(char type, const std::string& payload) {
  std::string block = TarHeader(File("x", payload.size())).substr(0, 512);
  block[156] = type;
  return absl::StrCat(Resealed(block), payload,
                      std::string(TarPadding(payload.size()), '\0'));
}

TEST(TarReaderTest, ReadsBackWhatTheWriterWroteInPiecesOfAnySize) {
  std::vector<TarEntry> wanted;
  for (const int size : {0, 1, 511, 512, 513, 5000}) {
    wanted.push_back(File(absl::StrCat("d/f", size), size));
  }
  wanted.push_back(File(std::string(100, 'p')));
  wanted.push_back(File(std::string(101, 'p')));
  wanted.push_back(File(std::string(4000, 'p'), 3));
  wanted.push_back(File("caf\xc3\xa9 \xff\n"));
  TarEntry link = File("l");
  link.type = TarType::kSymlink;
  link.link = std::string(300, 't');
  wanted.push_back(link);
  TarEntry device = File("null");
  device.type = TarType::kCharDevice;
  device.device_major = 1;
  device.device_minor = 0xfffff;
  wanted.push_back(device);
  TarEntry big = File("owner");
  big.uid = 0xffffffff;
  big.gid = 3'000'000;
  big.mtime = 0xffffffff;
  big.xattrs = {{"security.capability", std::string("\x01\0\0\x02\n=", 6)},
                {"user.a=b", ""}};
  big.xattrs[1].first = "user.ab";
  wanted.push_back(big);
  std::string archive;
  for (TarEntry& entry : wanted) {
    archive += TarHeader(entry);
    if (entry.type == TarType::kFile) entry.data_offset = archive.size();
    archive += std::string(entry.size + TarPadding(entry.size), 'd');
  }
  archive += TarTrailer();

  for (const size_t piece : {1u, 7u, 511u, 512u, 1000u, 1u << 20}) {
    const Result result = Read(archive, piece);

    ASSERT_TRUE(result.status.ok()) << result.status;
    EXPECT_EQ(result.entries, wanted) << piece;
  }
}

TEST(TarReaderTest, ReadsGnuLongNamesAndOldDirectories) {
  const std::string path(3000, 'n');
  std::string directory = TarHeader(File("old/"));
  directory[156] = '\0';
  const Result result =
      Read(absl::StrCat(WithType('L', path + std::string(1, '\0')),
                        Member(File("short", 5)), Resealed(directory)));

  ASSERT_TRUE(result.status.ok()) << result.status;
  EXPECT_EQ(result.entries[0].path, path);
  EXPECT_EQ(result.entries[1].type, TarType::kDirectory);
}

TEST(TarReaderTest, TheLastPaddingAndTheEndMayBeMissing) {
  const std::string whole = Member(File("f", 10));

  EXPECT_TRUE(Read(whole.substr(0, 522)).status.ok());
  EXPECT_TRUE(absl::IsDataLoss(Read(whole.substr(0, 521)).status));
}

TEST(TarReaderTest, OverlayInstructionsAndForeignAttributesAreDropped) {
  TarEntry entry = File("f");
  entry.xattrs = {{"trusted.overlay.opaque", "y"},
                  {"user.overlay.redirect", "/etc"},
                  {"system.posix_acl_access", "x"},
                  {"security.capability", "c"}};

  const Result result = Read(Member(entry));

  ASSERT_EQ(result.entries.size(), 1u);
  ASSERT_EQ(result.entries[0].xattrs.size(), 1u);
  EXPECT_EQ(result.entries[0].xattrs[0].first, "security.capability");
}

TEST(TarReaderTest, RefusesHostileArchives) {
  const std::string good = Member(File("f", 10));
  std::string bad_sum = good;
  bad_sum[0] = 'g';
  std::string size = TarHeader(File("f"));
  size.replace(124, 12, std::string(12, '\xff'));
  std::string letters = TarHeader(File("f"));
  letters.replace(124, 11, "0000000009x");
  std::string uid = TarHeader(File("f"));
  uid.replace(108, 8, std::string("\x80\0\0\x01\0\0\0\0", 8));
  const std::string hostile[] = {
      bad_sum,
      Resealed(size),
      Resealed(letters),
      Resealed(uid),
      good.substr(0, 520),
      good.substr(0, 100),
      std::string(512, '\0') + good,
      std::string(512, 'x'),
      WithType('S', ""),
      WithType('V', ""),
      WithType('?', ""),
      WithType('x', "12 path=a"),
      WithType('x', "999 path=abc\n"),
      WithType('x', "-1 path=abc\n"),
      WithType('x', "99999999999999999999 path=abc\n"),
      WithType('x', "0 \n"),
      WithType('x', "8 =abc\n"),
      WithType('x', std::string((1 << 20) + 1, 'x')),
      absl::StrCat(WithType('x', std::string("12 path=a\0b\n", 12)), good),
      absl::StrCat(WithType('x', "11 size=-1\n"), good),
      absl::StrCat(WithType('x', "12 uid=-100\n"), good),
      absl::StrCat(WithType('x', "22 GNU.sparse.major=1\n"), good),
      absl::StrCat(WithType('x', "28 size=9223372036854775807\n"), good),
  };
  for (size_t i = 0; i < std::size(hostile); ++i) {
    EXPECT_TRUE(absl::IsDataLoss(Read(hostile[i]).status)) << i;
  }
}

TEST(TarReaderTest, NamesAndEntriesAreBounded) {
  std::string archive;
  for (int i = 0; i < 11; ++i) archive += Member(File("f"));

  EXPECT_TRUE(
      absl::IsResourceExhausted(Read(archive, 512, {.entries = 10}).status));
  EXPECT_TRUE(absl::IsResourceExhausted(
      Read(archive, 512, {.metadata_bytes = 10}).status));
}

TEST(TarReaderTest, EveryPrefixIsAcceptedOrRefusedWithoutHarm) {
  const std::string archive =
      absl::StrCat(Member(File(std::string(200, 'p'), 10)), TarTrailer());
  for (size_t n = 0; n < archive.size(); ++n) {
    const absl::Status status = Read(archive.substr(0, n)).status;
    EXPECT_TRUE(status.ok() || absl::IsDataLoss(status)) << status;
  }
}

TEST(ParseTarNumberTest, ReadsOctalAndBase256) {
  EXPECT_EQ(*ParseTarNumber("0000644 "), 0644);
  EXPECT_EQ(*ParseTarNumber("   644"), 0644);
  EXPECT_EQ(*ParseTarNumber(""), 0);
  EXPECT_EQ(*ParseTarNumber(std::string("\x80\0\0\0\0\0\0\x2a", 8)), 42);
  EXPECT_EQ(*ParseTarNumber(std::string(8, '\xff')), -1);
  EXPECT_FALSE(ParseTarNumber("0x10").ok());
  EXPECT_FALSE(ParseTarNumber(std::string(12, '\x8f')).ok());
}

}  // namespace
}  // namespace podvisor
