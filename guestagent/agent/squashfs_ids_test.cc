#include "guestagent/agent/squashfs_ids.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <cstdint>
#include <random>
#include <string>

#include "absl/strings/str_cat.h"
#include "base/file.h"
#include "base/unique_fd.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace podvisor {
namespace {

using testing::HasSubstr;

constexpr IdMapping kMapping = {200000, 65536};

// One entry of a tar archive (POSIX ustar), with its data.
std::string TarEntry(const std::string& name, char type, unsigned mode,
                     unsigned uid, unsigned gid, const std::string& data) {
  char header[512] = {};
  snprintf(header, 100, "%s", name.c_str());
  snprintf(header + 100, 8, "%07o", mode);
  snprintf(header + 108, 8, "%07o", uid);
  snprintf(header + 116, 8, "%07o", gid);
  snprintf(header + 124, 12, "%011zo", data.size());
  snprintf(header + 136, 12, "%011o", 0);
  memset(header + 148, ' ', 8);
  header[156] = type;
  memcpy(header + 257, "ustar\00000", 8);
  unsigned sum = 0;
  for (const char c : header) sum += static_cast<unsigned char>(c);
  snprintf(header + 148, 8, "%06o", sum);
  std::string entry(header, sizeof(header));
  entry += data;
  entry.resize((entry.size() + 511) / 512 * 512);
  return entry;
}

// A record of an extended header counts its own length.
std::string PaxRecord(const std::string& key, const std::string& value) {
  const std::string rest = absl::StrCat(" ", key, "=", value, "\n");
  size_t length = rest.size() + 2;
  while (absl::StrCat(length, rest).size() != length) ++length;
  return absl::StrCat(length, rest);
}

// What the guest's device mapper relies on.
void ExpectFits(const SquashfsShift& shift) {
  EXPECT_EQ(shift.tail_offset % kShiftAlignment, 0u);
  EXPECT_EQ(shift.tail.size() % kShiftAlignment, 0u);
  EXPECT_LE(shift.head.size(), shift.tail_offset);
}

class SquashfsIdsTest : public testing::Test {
 protected:
  void SetUp() override {
    directory_ = testing::TempDir() + "/ids.XXXXXX";
    ASSERT_NE(mkdtemp(directory_.data()), nullptr);
  }
  void TearDown() override { RemoveTree(directory_).IgnoreError(); }

  std::string Path(const char* name) const { return directory_ + "/" + name; }

  std::string Shell(const std::string& script) const {
    const std::string command =
        absl::StrCat("cd ", directory_, "\n", script, " >out 2>&1");
    const int status = system(command.c_str());
    const std::string out = ReadFile(Path("out"), 64 << 20).value_or("");
    EXPECT_EQ(status, 0) << out;
    return out;
  }

  // A file for each of `ids` ids, in a directory of user 5 and group 6, packed
  // as an image of the store is.
  void MakeImage(int ids, bool with_xattrs) {
    std::string tar =
        TarEntry("./", '5', 0755, 0, 0, "") +
        TarEntry("d/", '5', 0755, 5, 6, "") +
        TarEntry("d/setuid", '0', 04755, 0, 7, std::string(300000, 'x')) +
        TarEntry("d/stranger", '0', 0644, 65536, 2000000, "");
    for (int i = 0; i < ids; ++i) {
      const std::string name = absl::StrCat("d/", i);
      if (with_xattrs) {
        tar += TarEntry("pax", 'x', 0644, 0, 0,
                        PaxRecord("SCHILY.xattr.user.name", name + name));
      }
      tar += TarEntry(name, '0', 0644, i, i, absl::StrCat(i));
    }
    tar.append(1024, '\0');
    ASSERT_TRUE(WriteFileAtomically(Path("image.tar"), tar).ok());
    Shell("tar2sqfs --quiet --no-skip --compressor lz4 image.sqfs <image.tar");
  }

  // Writes the image as a guest with that mapping sees it to shifted.sqfs.
  absl::Status Shift(const IdMapping& mapping) {
    const UniqueFd image(open(Path("image.sqfs").c_str(), O_RDONLY));
    struct stat info = {};
    fstat(image.get(), &info);
    const auto shift = ShiftSquashfsIds(image.get(), info.st_size, mapping);
    if (!shift.ok()) return shift.status();
    ExpectFits(*shift);
    std::string whole = ReadFile(Path("image.sqfs"), 64 << 20).value();
    whole.resize(shift->tail_offset);
    whole.replace(0, shift->head.size(), shift->head);
    whole += shift->tail;
    return WriteFileAtomically(Path("shifted.sqfs"), whole);
  }

  std::string Listing() { return Shell("unsquashfs -lln shifted.sqfs"); }

  std::string directory_;
};

TEST_F(SquashfsIdsTest, EveryFileHasItsOwnerInTheMapping) {
  MakeImage(100, false);

  ASSERT_TRUE(Shift(kMapping).ok());

  const std::string listing = Listing();
  EXPECT_THAT(listing, HasSubstr("drwxr-xr-x 200005/200006"));
  EXPECT_THAT(listing, HasSubstr("-rwsr-xr-x 200000/200007"));
  EXPECT_THAT(listing, HasSubstr(" 200099/200099 "));
}

TEST_F(SquashfsIdsTest, WhatTheMappingDoesNotHaveBelongsToNobody) {
  MakeImage(1, false);

  ASSERT_TRUE(Shift(kMapping).ok());

  EXPECT_THAT(Listing(), HasSubstr("4294967294/4294967294"));
}

TEST_F(SquashfsIdsTest, ContentStaysWhereItIs) {
  MakeImage(10, false);

  ASSERT_TRUE(Shift(kMapping).ok());

  EXPECT_EQ(Shell("unsquashfs -cat shifted.sqfs d/setuid"),
            std::string(300000, 'x'));
  EXPECT_EQ(Shell("unsquashfs -cat shifted.sqfs d/7"), "7");
}

TEST_F(SquashfsIdsTest, TheKernelTakesTablesOfManyBlocksAndAttributes) {
  if (getuid() != 0) GTEST_SKIP() << "needs root";
  MakeImage(5000, true);
  ASSERT_TRUE(Shift(kMapping).ok());
  Shell("mkdir mounted && mount -o loop,ro -t squashfs shifted.sqfs mounted");

  struct stat first = {}, last = {}, nobody = {};
  EXPECT_EQ(stat(Path("mounted/d/0").c_str(), &first), 0);
  EXPECT_EQ(stat(Path("mounted/d/4999").c_str(), &last), 0);
  EXPECT_EQ(stat(Path("mounted/d/stranger").c_str(), &nobody), 0);
  char value[256] = {};
  EXPECT_GT(getxattr(Path("mounted/d/4999").c_str(), "user.name", value,
                     sizeof(value) - 1),
            0);
  umount2(Path("mounted").c_str(), MNT_DETACH);
  EXPECT_EQ(first.st_uid, 200000u);
  EXPECT_EQ(last.st_uid, 204999u);
  EXPECT_EQ(last.st_gid, 204999u);
  EXPECT_EQ(nobody.st_uid, 4294967294u);
  EXPECT_THAT(value, HasSubstr("d/4999d/4999"));
}

TEST_F(SquashfsIdsTest, NoBrokenImageDoesHarm) {
  MakeImage(3000, true);
  const std::string whole = ReadFile(Path("image.sqfs"), 64 << 20).value();
  uint64_t end = 0;  // bytes_used
  for (int i = 7; i >= 0; --i)
    end = end << 8 | static_cast<uint8_t>(whole[40 + i]);
  const auto shift = [&](const std::string& text) {
    const UniqueFd image(memfd_create("image", MFD_CLOEXEC));
    EXPECT_TRUE(WriteAll(image.get(), text).ok());
    return ShiftSquashfsIds(image.get(), text.size(), kMapping).status();
  };

  EXPECT_TRUE(absl::IsDataLoss(shift("")));
  EXPECT_TRUE(absl::IsDataLoss(shift(std::string(10000, 'x'))));
  EXPECT_TRUE(absl::IsDataLoss(shift(whole.substr(0, end - 1))));
  // Whatever byte of the superblock or of the tables is wrong: an error or an
  // image, and never more.
  for (size_t at = 0; at < 96; ++at) {
    std::string broken = whole;
    broken[at] = static_cast<char>(broken[at] ^ 0xff);
    shift(broken).IgnoreError();
  }
  for (size_t at = end - 4000; at < end; at += 7) {
    std::string broken = whole;
    broken[at] = static_cast<char>(broken[at] ^ 0xff);
    shift(broken).IgnoreError();
  }
}

// Superblock and tables with fields of random, small and huge numbers.
TEST_F(SquashfsIdsTest, WhateverNumbersAnImageHasItIsAnErrorOrFits) {
  MakeImage(3000, true);
  const std::string whole = ReadFile(Path("image.sqfs"), 64 << 20).value();
  int shifted = 0;
  for (uint64_t seed = 0; seed < 2000; ++seed) {
    SCOPED_TRACE(testing::Message() << "seed " << seed);
    std::mt19937_64 random(seed);
    std::string broken = whole;
    for (uint64_t left = 1 + random() % 3; left > 0; --left) {
      const size_t size = size_t{1} << random() % 4;
      const size_t room = random() % 2 == 0 ? 96 : 8192;
      const size_t at = random() % ((room - size) / size) * size;
      const uint64_t values[] = {random(), random() % 65536,
                                 whole.size() - random() % 65536,
                                 UINT64_MAX - random() % 65536};
      const uint64_t value = values[random() % 4];
      // A superblock's fields lie at multiples of their sizes; tables have no
      // such order.
      memcpy(&broken[room == 96 ? at : broken.size() - room + at], &value,
             size);
    }
    const UniqueFd image(memfd_create("image", MFD_CLOEXEC));
    ASSERT_TRUE(WriteAll(image.get(), broken).ok());

    const absl::StatusOr<SquashfsShift> shift =
        ShiftSquashfsIds(image.get(), broken.size(), kMapping);

    if (!shift.ok()) continue;
    ++shifted;
    ExpectFits(*shift);
  }
  EXPECT_GT(shifted, 0);
}

}  // namespace
}  // namespace podvisor
