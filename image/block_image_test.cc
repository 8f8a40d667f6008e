#include "image/block_image.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/time/clock.h"
#include "base/file.h"
#include "base/process.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "image/tar_writer.h"

namespace podvisor {
namespace {

const StopCheck kGoOn = [] { return absl::OkStatus(); };

class BlockImageTest : public testing::Test {
 protected:
  BlockImageTest() : directory_(testing::TempDir() + "/block-image") {
    EXPECT_TRUE(RemoveTree(directory_).ok());
    EXPECT_TRUE(MakeDirectories(directory_).ok());
    path_ = directory_ + "/out.squashfs";
  }
  ~BlockImageTest() override { EXPECT_TRUE(RemoveTree(directory_).ok()); }

  // Lays out `data` of each file in one archive and merges one layer.
  absl::StatusOr<int64_t> Write(std::vector<TarEntry> entries,
                                const StopCheck& stop = kGoOn) {
    std::string archive;
    for (TarEntry& entry : entries) {
      entry.data_offset = archive.size();
      archive += std::string(entry.size, 'd');
    }
    EXPECT_TRUE(WriteFileAtomically(directory_ + "/archive", archive).ok());
    UniqueFd fd(open((directory_ + "/archive").c_str(), O_RDONLY | O_CLOEXEC));
    LayerMerge tree;
    const absl::Status merged = tree.AddLayer(std::move(entries));
    if (!merged.ok()) return merged;
    return WriteBlockImage(tree, {fd.get()}, options_, stop, path_);
  }

  std::string Run(const std::string& script) {
    CommandOptions command;
    command.argv = {"sh", "-c", script, "sh", path_};
    command.deadline = absl::Now() + absl::Seconds(60);
    const absl::StatusOr<CommandResult> result = RunCommand(command);
    EXPECT_TRUE(result.ok()) << result.status();
    return result.ok() ? result->stdout_data + result->stderr_data : "";
  }

  std::string directory_;
  std::string path_;
  BlockImageOptions options_;
};

TarEntry Make(const std::string& path, TarType type, uint32_t mode) {
  TarEntry entry;
  entry.path = path;
  entry.type = type;
  entry.mode = mode;
  entry.mtime = 1'000'000;
  return entry;
}

TEST_F(BlockImageTest, KeepsModesOwnersLinksDevicesAndCapabilities) {
  TarEntry root = Make("./", TarType::kDirectory, 01751);
  TarEntry setuid = Make("bin/su", TarType::kFile, 04755);
  setuid.size = 300000;
  setuid.uid = 5'000'000;
  setuid.xattrs = {{"security.capability",
                    std::string("\x01\0\0\x02\n=\0\xff\0\0\0\0", 12)}};
  TarEntry link = Make("bin/doas", TarType::kHardLink, 0);
  link.link = "bin/su";
  TarEntry symlink = Make("sh", TarType::kSymlink, 0777);
  symlink.link = std::string(200, 't');
  TarEntry device = Make("null", TarType::kCharDevice, 0666);
  device.device_major = 1;
  device.device_minor = 3;

  const absl::StatusOr<int64_t> size =
      Write({root, setuid, link, symlink, device});

  ASSERT_TRUE(size.ok()) << size.status();
  EXPECT_TRUE(CheckBlockImage(path_, *size).ok());
  const std::string listing =
      Run("sqfs2tar --root-becomes r \"$1\" | TZ=UTC "
          "tar --numeric-owner -tvf -");
  EXPECT_THAT(listing, testing::HasSubstr("drwxr-x--t 0/0"));
  EXPECT_THAT(listing,
              testing::HasSubstr("-rwsr-xr-x 5000000/0    300000 1970-01-12"));
  EXPECT_THAT(listing, testing::HasSubstr("link to"));
  EXPECT_THAT(listing, testing::HasSubstr(std::string(200, 't')));
  EXPECT_THAT(listing, testing::HasSubstr("1,3"));
  EXPECT_THAT(
      Run("rdsquashfs -x bin/su \"$1\""),
      testing::HasSubstr("security.capability=0x010000020A3D00FF00000000"));
}

TEST_F(BlockImageTest, TheSameTreeGivesTheSameBytes) {
  const std::vector<TarEntry> entries = {Make("b", TarType::kFile, 0644),
                                         Make("a/c", TarType::kFile, 0600)};
  ASSERT_TRUE(Write(entries).ok());
  const std::string first = *ReadFile(path_);
  unlink(path_.c_str());
  ASSERT_TRUE(Write({entries[1], entries[0]}).ok());

  EXPECT_EQ(*ReadFile(path_), first);
}

TEST_F(BlockImageTest, AnEmptyImageIsAnImage) { EXPECT_TRUE(Write({}).ok()); }

TEST_F(BlockImageTest, OddNamesSurvive) {
  TarEntry odd = Make("caf\xc3\xa9 \xff\n-x", TarType::kFile, 0644);
  TarEntry deep = Make("d", TarType::kFile, 0644);
  for (int i = 0; i < 15; ++i)
    deep.path = std::string(250, 'n') + "/" + deep.path;

  const absl::StatusOr<int64_t> size = Write({odd, deep});

  EXPECT_TRUE(size.ok()) << size.status();
}

TEST_F(BlockImageTest, StoppingRemovesTheFile) {
  TarEntry big = Make("big", TarType::kFile, 0644);
  big.size = 32 << 20;
  int calls = 0;
  const absl::StatusOr<int64_t> size = Write({big}, [&]() -> absl::Status {
    if (++calls < 2) return absl::OkStatus();
    return absl::CancelledError("enough");
  });

  EXPECT_TRUE(absl::IsCancelled(size.status())) << size.status();
  EXPECT_NE(access(path_.c_str(), F_OK), 0);
}

TEST_F(BlockImageTest, APackerThatDiesIsAnErrorAndNoSignal) {
  options_.tar2sqfs = "/bin/false";
  TarEntry big = Make("big", TarType::kFile, 0644);
  big.size = 32 << 20;

  const absl::StatusOr<int64_t> size = Write({big});

  EXPECT_TRUE(absl::IsDataLoss(size.status())) << size.status();
}

TEST_F(BlockImageTest, APackerThatLiesIsFoundOut) {
  const std::string fake = directory_ + "/fake";
  ASSERT_TRUE(
      WriteFileAtomically(fake, "#!/bin/sh\ncat >/dev/null\nexit 0\n", 0700)
          .ok());
  options_.tar2sqfs = fake;

  EXPECT_FALSE(Write({Make("a", TarType::kFile, 0644)}).ok());
}

TEST_F(BlockImageTest, AMissingPackerIsNotFound) {
  options_.tar2sqfs = "/nonexistent/tar2sqfs";

  EXPECT_TRUE(absl::IsNotFound(Write({}).status()));
}

TEST_F(BlockImageTest, DamageIsSeenInTheSuperblock) {
  const absl::StatusOr<int64_t> size = Write({});
  ASSERT_TRUE(size.ok());

  EXPECT_TRUE(absl::IsDataLoss(CheckBlockImage(path_, *size + 1)));
  ASSERT_EQ(truncate(path_.c_str(), 50), 0);
  EXPECT_TRUE(absl::IsDataLoss(CheckBlockImage(path_, 50)));
  EXPECT_TRUE(absl::IsNotFound(CheckBlockImage(path_ + "x", 50)));
}

}  // namespace
}  // namespace podvisor
