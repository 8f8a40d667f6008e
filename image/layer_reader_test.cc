#include "image/layer_reader.h"

#include <unistd.h>

#include "absl/strings/str_cat.h"
#include "base/file.h"
#include "base/process.h"
#include "gtest/gtest.h"
#include "image/content_digest.h"
#include "image/tar_writer.h"

namespace podvisor {
namespace {

const StopCheck kGoOn = [] { return absl::OkStatus(); };

class LayerReaderTest : public testing::Test {
 protected:
  LayerReaderTest() : directory_(testing::TempDir() + "/layer-reader") {
    EXPECT_TRUE(RemoveTree(directory_).ok());
    EXPECT_TRUE(MakeDirectories(directory_).ok());
  }
  ~LayerReaderTest() override { EXPECT_TRUE(RemoveTree(directory_).ok()); }

  static std::string Archive(int64_t size) {
    TarEntry file;
    file.path = "f";
    file.size = size;
    return absl::StrCat(TarHeader(file), std::string(size, '\0'),
                        std::string(TarPadding(size), '\0'), TarTrailer());
  }

  std::string Packed(const std::string& archive, const std::string& program) {
    CommandOptions command;
    command.argv = {program, "-c"};
    command.stdin_data = archive;
    command.max_output_bytes = 64 << 20;
    const absl::StatusOr<CommandResult> result = RunCommand(command);
    EXPECT_TRUE(result.ok() && result->exit_code == 0);
    return result.ok() ? result->stdout_data : "";
  }

  LayerSource Source(const std::string& blob, const std::string& archive) {
    LayerSource source;
    source.blob_path = directory_ + "/blob";
    source.blob.digest = Sha256Digest(blob);
    source.blob.size = blob.size();
    source.diff_id = Sha256Digest(archive);
    EXPECT_TRUE(WriteFileAtomically(source.blob_path, blob).ok());
    return source;
  }

  absl::StatusOr<LayerContent> Read(const LayerSource& source,
                                    const StopCheck& stop = kGoOn) {
    return ReadLayer(source, directory_, &budget_, stop);
  }

  std::string directory_;
  LayerBudget budget_;
};

TEST_F(LayerReaderTest, ReadsPlainGzipAndZstdByContent) {
  const std::string archive = Archive(100'000);
  for (const std::string& blob :
       {archive, Packed(archive, "gzip"), Packed(archive, "zstd"),
        Packed(archive.substr(0, 512), "gzip") +
            Packed(archive.substr(512), "gzip")}) {
    const absl::StatusOr<LayerContent> content = Read(Source(blob, archive));

    ASSERT_TRUE(content.ok()) << content.status();
    ASSERT_EQ(content->entries.size(), 1u);
    EXPECT_EQ(content->entries[0].data_offset, 512);
    std::string copy(archive.size(), 'x');
    ASSERT_EQ(pread(content->archive.get(), copy.data(), copy.size(), 0),
              static_cast<ssize_t>(archive.size()));
    EXPECT_EQ(copy, archive);
  }
}

TEST_F(LayerReaderTest, AnEmptyLayerIsALayer) {
  const std::string gzip = Packed(TarTrailer(), "gzip");
  EXPECT_TRUE(Read(Source(gzip, TarTrailer())).ok());
}

TEST_F(LayerReaderTest, EveryKindOfDamageIsDataLoss) {
  const std::string archive = Archive(100'000);
  const std::string blob = Packed(archive, "gzip");
  LayerSource wrong_digest = Source(blob, archive);
  wrong_digest.blob.digest = Sha256Digest("other");
  EXPECT_TRUE(absl::IsDataLoss(Read(wrong_digest).status()));

  LayerSource wrong_diff = Source(blob, "other");
  EXPECT_TRUE(absl::IsDataLoss(Read(wrong_diff).status()));

  LayerSource wrong_size = Source(blob, archive);
  ++wrong_size.blob.size;
  EXPECT_TRUE(absl::IsDataLoss(Read(wrong_size).status()));

  LayerSource missing = Source(blob, archive);
  missing.blob_path += "x";
  EXPECT_TRUE(absl::IsDataLoss(Read(missing).status()));

  const std::string cut = blob.substr(0, blob.size() / 2);
  EXPECT_TRUE(absl::IsDataLoss(Read(Source(cut, archive)).status()));

  const std::string short_archive = archive.substr(0, 5000);
  EXPECT_TRUE(
      absl::IsDataLoss(Read(Source(short_archive, short_archive)).status()));

  const std::string tail = blob + "trailing garbage";
  LayerSource without_tail = Source(tail, archive);
  without_tail.blob.digest = Sha256Digest(blob);
  EXPECT_TRUE(absl::IsDataLoss(Read(without_tail).status()));
}

TEST_F(LayerReaderTest, BombsEndAtTheBudget) {
  const std::string archive = Archive(16 << 20);
  for (const char* program : {"gzip", "zstd"}) {
    const std::string blob = Packed(archive, program);
    budget_ = LayerBudget();
    budget_.free_tar_bytes = 1 << 20;
    EXPECT_TRUE(
        absl::IsResourceExhausted(Read(Source(blob, archive)).status()));
    budget_ = LayerBudget();
    budget_.tar_bytes = 1 << 20;
    EXPECT_TRUE(
        absl::IsResourceExhausted(Read(Source(blob, archive)).status()));
  }
}

TEST_F(LayerReaderTest, StopsWhenTold) {
  const std::string archive = Archive(1 << 20);
  int calls = 0;
  const auto stop = [&]() -> absl::Status {
    if (++calls < 3) return absl::OkStatus();
    return absl::CancelledError("enough");
  };

  EXPECT_TRUE(absl::IsCancelled(Read(Source(archive, archive), stop).status()));
}

}  // namespace
}  // namespace podvisor
