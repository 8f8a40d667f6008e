#include "sandbox/container/container_log.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <memory>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "base/file.h"
#include "base/ids.h"
#include "gtest/gtest.h"

namespace podvisor {
namespace {

using agent::v1::OutputChunk;

OutputChunk Chunk(OutputChunk::Stream stream, uint64_t offset,
                  absl::string_view data, bool eof = false) {
  OutputChunk chunk;
  chunk.set_stream(stream);
  chunk.set_offset(offset);
  chunk.set_data(std::string(data));
  chunk.set_eof(eof);
  return chunk;
}

// The stream that a log is made of. Fails on anything that is not a log line.
std::string ContentOf(const std::string& log, LogStream stream) {
  std::string content;
  for (size_t at = 0; at < log.size();) {
    const size_t end = log.find('\n', at);
    if (end == std::string::npos) {
      ADD_FAILURE() << "the last line is torn";
      return content;
    }
    const auto line = ParseLogLine(absl::string_view(log).substr(at, end - at));
    at = end + 1;
    if (!line.has_value()) {
      ADD_FAILURE() << "not a log line";
      return content;
    }
    if (line->stream != stream) continue;
    absl::StrAppend(&content, line->content, line->full ? "\n" : "");
  }
  return content;
}

// Numbered lines, with one long line now and then, and an unfinished end.
std::string NumberedLines(int count) {
  std::string text;
  for (int i = 0; i < count; ++i) {
    absl::StrAppend(&text, i, " ",
                    std::string(i % 7 == 3 ? 20'000 : i % 5, 'x'),
                    i + 1 < count ? "\n" : "");
  }
  return text;
}

class ContainerLogTest : public testing::Test {
 protected:
  ContainerLogTest()
      : directory_(absl::StrCat(testing::TempDir(), "/", RandomHexId())) {
    EXPECT_TRUE(MakeDirectories(directory_ + "/pod").ok());
  }

  ContainerLogOptions Options() const {
    return {directory_ + "/pod", "web/0.log", directory_ + "/cursor", "c"};
  }
  std::string log_path() const { return directory_ + "/pod/web/0.log"; }

  std::unique_ptr<ContainerLog> Open() {
    auto log = ContainerLog::Open(Options(), &clock_);
    EXPECT_TRUE(log.ok()) << log.status();
    return log.ok() ? *std::move(log) : nullptr;
  }

  std::string LogText() {
    const auto text = ReadFile(log_path(), 1 << 30);
    EXPECT_TRUE(text.ok()) << text.status();
    return text.value_or("");
  }

  // What an agent does: everything of stdout from `offset` on, in chunks.
  static void Feed(ContainerLog* log, absl::string_view all, uint64_t offset) {
    while (offset < all.size()) {
      const absl::string_view data = all.substr(offset, 64 << 10);
      const bool eof = offset + data.size() == all.size();
      ASSERT_TRUE(
          log->Append(Chunk(OutputChunk::STDOUT, offset, data, eof)).ok());
      offset += data.size();
    }
  }

  const std::string directory_;
  FakeClock clock_;
};

TEST_F(ContainerLogTest, WritesBothStreamsAndMakesThePath) {
  auto log = Open();
  ASSERT_NE(log, nullptr);

  ASSERT_TRUE(log->Append(Chunk(OutputChunk::STDOUT, 0, "out\nmo")).ok());
  ASSERT_TRUE(log->Append(Chunk(OutputChunk::STDERR, 0, "err\n")).ok());
  const auto stored = log->Append(Chunk(OutputChunk::STDOUT, 6, "re\n"));

  EXPECT_EQ(LogText(),
            "2023-11-14T22:13:20.000000000Z stdout F out\n"
            "2023-11-14T22:13:20.000000000Z stderr F err\n"
            "2023-11-14T22:13:20.000000000Z stdout F more\n");
  ASSERT_TRUE(stored.ok());
  EXPECT_EQ(*stored, (OutputOffsets{9, 4}));
  struct stat file {};
  ASSERT_EQ(stat(log_path().c_str(), &file), 0);
  EXPECT_EQ(file.st_mode & 0777, 0640u);
}

TEST_F(ContainerLogTest, HeldBytesAreReceivedButNotStored) {
  auto log = Open();

  const auto stored = log->Append(Chunk(OutputChunk::STDOUT, 0, "a\nhalf"));

  EXPECT_EQ(stored->stdout_bytes, 2u);
  EXPECT_EQ(log->received().stdout_bytes, 6u);
  log->Flush();
  EXPECT_EQ(log->stored().stdout_bytes, 6u);
  EXPECT_EQ(ContentOf(LogText(), LogStream::kStdout), "a\nhalf");
}

TEST_F(ContainerLogTest, RepeatedBytesAreSkippedAndGapsRefused) {
  auto log = Open();
  ASSERT_TRUE(log->Append(Chunk(OutputChunk::STDOUT, 0, "one\ntwo")).ok());

  EXPECT_TRUE(log->Append(Chunk(OutputChunk::STDOUT, 4, "two\n")).ok());
  EXPECT_TRUE(log->Append(Chunk(OutputChunk::STDOUT, 0, "on")).ok());
  EXPECT_TRUE(absl::IsDataLoss(
      log->Append(Chunk(OutputChunk::STDOUT, 9, "x")).status()));
  EXPECT_TRUE(absl::IsDataLoss(
      log->Append(Chunk(OutputChunk::STDOUT, UINT64_MAX, "xx")).status()));
  EXPECT_TRUE(absl::IsDataLoss(
      log->Append(Chunk(OutputChunk::STREAM_UNSPECIFIED, 0, "x")).status()));
  EXPECT_TRUE(log->Append(Chunk(OutputChunk::STDOUT, 8, "", true)).ok());
  EXPECT_TRUE(absl::IsDataLoss(
      log->Append(Chunk(OutputChunk::STDOUT, 8, "x")).status()));

  EXPECT_EQ(ContentOf(LogText(), LogStream::kStdout), "one\ntwo\n");
}

TEST_F(ContainerLogTest, AnEmptyPathDiscardsButKeepsOffsets) {
  ContainerLogOptions options = Options();
  options.log_path = "";
  {
    auto log = *ContainerLog::Open(options, &clock_);
    EXPECT_EQ(log->Append(Chunk(OutputChunk::STDOUT, 0, "abc\n"))->stdout_bytes,
              4u);
    EXPECT_TRUE(log->Reopen().ok());
  }
  auto log = *ContainerLog::Open(options, &clock_);
  EXPECT_EQ(log->stored().stdout_bytes, 4u);
  EXPECT_EQ(log->dropped_lines(), 0u);
}

// A crash between writing lines and storing the cursor leaves the log with any
// part of the lines, and the cursor as it was; one while the cursor is stored
// leaves a torn slot. Every such state is made here.
TEST_F(ContainerLogTest, ACrashAtAnyStepLosesAndDoublesNothing) {
  const std::string all = NumberedLines(40);
  std::mt19937 random(1);
  std::string before_log;
  std::string before_cursor;
  for (uint64_t offset = 0; offset < all.size();) {
    const size_t size = 1 + random() % 30'000;
    const absl::string_view data = absl::string_view(all).substr(offset, size);
    {
      auto log = Open();
      offset = log->stored().stdout_bytes;
      before_log = LogText();
      before_cursor = *ReadFile(Options().cursor_path);
      const auto again =
          absl::string_view(all).substr(offset, size + data.size());
      ASSERT_TRUE(log->Append(Chunk(OutputChunk::STDOUT, offset, again)).ok());
    }
    const std::string after_log = LogText();
    const std::string after_cursor = *ReadFile(Options().cursor_path);
    // In place: recovery goes by the inode.
    const auto restore = [](const std::string& path, absl::string_view bytes) {
      const UniqueFd fd(open(path.c_str(), O_WRONLY | O_TRUNC | O_CLOEXEC));
      ASSERT_TRUE(WriteAll(fd.get(), bytes).ok());
    };
    const size_t grown = after_log.size() - before_log.size();
    for (int step = 0; step <= 8; ++step) {
      restore(log_path(), absl::string_view(after_log).substr(
                              0, before_log.size() + grown * step / 8));
      restore(Options().cursor_path, before_cursor);
      auto log = Open();
      EXPECT_EQ(log->stored().stdout_bytes, offset);
      EXPECT_EQ(LogText(), before_log);
    }
    if (grown > 0) {
      for (size_t torn = 0; torn < after_cursor.size(); torn += 8) {
        restore(log_path(), after_log);
        restore(Options().cursor_path,
                absl::StrCat(absl::string_view(after_cursor).substr(0, torn),
                             absl::string_view(before_cursor).substr(torn)));
        auto log = Open();
        EXPECT_EQ(ContentOf(LogText(), LogStream::kStdout),
                  all.substr(0, log->stored().stdout_bytes));
      }
    }
    restore(log_path(), after_log);
    restore(Options().cursor_path, after_cursor);
    offset = Open()->stored().stdout_bytes;
    if (grown == 0 && offset + size >= all.size()) break;
  }
  auto log = Open();
  Feed(log.get(), all, log->stored().stdout_bytes);

  EXPECT_EQ(ContentOf(LogText(), LogStream::kStdout), all);
}

TEST_F(ContainerLogTest, Kill9AgainAndAgainLosesAndDoublesNothing) {
  const std::string all = NumberedLines(3'000);
  std::mt19937 random(2);
  for (int round = 0; round < 20; ++round) {
    int fds[2];
    ASSERT_EQ(pipe2(fds, O_CLOEXEC), 0);
    const pid_t child = fork();
    ASSERT_GE(child, 0);
    if (child == 0) {
      auto log = ContainerLog::Open(Options(), &clock_);
      if (!log.ok()) _exit(1);
      uint64_t offset = (*log)->stored().stdout_bytes;
      while (offset < all.size()) {
        const absl::string_view data =
            absl::string_view(all).substr(offset, 1 + random() % 5'000);
        if (!(*log)->Append(Chunk(OutputChunk::STDOUT, offset, data)).ok()) {
          _exit(1);
        }
        offset += data.size();
        if (write(fds[1], ".", 1) != 1) _exit(1);
      }
      _exit(0);
    }
    close(fds[1]);
    // How far it is when it dies is not ours to say; in the last rounds there
    // may be nothing left to write.
    char buffer[1];
    for (int n = 0; n < 50 && read(fds[0], buffer, 1) == 1; ++n) {
    }
    ASSERT_EQ(kill(child, SIGKILL), 0);
    int status = 0;
    ASSERT_EQ(waitpid(child, &status, 0), child);
    ASSERT_TRUE(WIFSIGNALED(status) || WEXITSTATUS(status) == 0);
    close(fds[0]);
    random.discard(50);
  }
  auto log = Open();
  EXPECT_GT(log->stored().stdout_bytes, 0u);
  Feed(log.get(), all, log->stored().stdout_bytes);

  EXPECT_EQ(ContentOf(LogText(), LogStream::kStdout), all);
}

TEST_F(ContainerLogTest, NothingIsLostAcrossRotation) {
  auto log = Open();
  ASSERT_TRUE(log->Append(Chunk(OutputChunk::STDOUT, 0, "1\n2\n")).ok());
  ASSERT_EQ(rename(log_path().c_str(), (log_path() + ".old").c_str()), 0);
  ASSERT_TRUE(log->Append(Chunk(OutputChunk::STDOUT, 4, "3\nhalf")).ok());

  ASSERT_TRUE(log->Reopen().ok());
  ASSERT_TRUE(log->Append(Chunk(OutputChunk::STDOUT, 10, "4\n")).ok());

  EXPECT_EQ(ContentOf(*ReadFile(log_path() + ".old"), LogStream::kStdout),
            "1\n2\n3\n");
  EXPECT_EQ(ContentOf(LogText(), LogStream::kStdout), "half4\n");
}

TEST_F(ContainerLogTest, ACrashAfterRotationCutsTheRotatedFile) {
  std::string before_cursor;
  {
    auto log = Open();
    ASSERT_TRUE(log->Append(Chunk(OutputChunk::STDOUT, 0, "1\n")).ok());
    ASSERT_EQ(rename(log_path().c_str(), (log_path() + ".old").c_str()), 0);
    before_cursor = *ReadFile(Options().cursor_path);
    ASSERT_TRUE(log->Append(Chunk(OutputChunk::STDOUT, 2, "2\n")).ok());
  }
  ASSERT_TRUE(WriteFileAtomically(Options().cursor_path, before_cursor).ok());

  auto log = Open();
  ASSERT_EQ(log->stored().stdout_bytes, 2u);
  ASSERT_TRUE(log->Append(Chunk(OutputChunk::STDOUT, 2, "2\n")).ok());

  EXPECT_EQ(ContentOf(*ReadFile(log_path() + ".old"), LogStream::kStdout),
            "1\n");
  EXPECT_EQ(ContentOf(LogText(), LogStream::kStdout), "2\n");
}

TEST_F(ContainerLogTest, AReopenThatFailsKeepsTheOldFile) {
  auto log = Open();
  ASSERT_EQ(
      rename((directory_ + "/pod").c_str(), (directory_ + "/moved").c_str()),
      0);

  EXPECT_TRUE(absl::IsNotFound(log->Reopen()));
  EXPECT_TRUE(log->Append(Chunk(OutputChunk::STDOUT, 0, "1\n")).ok());

  EXPECT_EQ(
      ContentOf(*ReadFile(directory_ + "/moved/web/0.log"), LogStream::kStdout),
      "1\n");
}

TEST_F(ContainerLogTest, ALogThatWasRemovedOrCutIsWrittenOn) {
  auto log = Open();
  ASSERT_TRUE(log->Append(Chunk(OutputChunk::STDOUT, 0, "1\n")).ok());
  ASSERT_EQ(truncate(log_path().c_str(), 0), 0);
  ASSERT_TRUE(log->Append(Chunk(OutputChunk::STDOUT, 2, "2\n")).ok());
  EXPECT_EQ(ContentOf(LogText(), LogStream::kStdout), "2\n");
  ASSERT_EQ(unlink(log_path().c_str()), 0);

  ASSERT_TRUE(log->Append(Chunk(OutputChunk::STDOUT, 4, "3\n")).ok());

  EXPECT_EQ(ContentOf(LogText(), LogStream::kStdout), "3\n");
}

TEST_F(ContainerLogTest, AFullDiskCostsCountedLinesAndNothingElse) {
  const std::string pod = directory_ + "/pod";
  if (mount("none", pod.c_str(), "tmpfs", 0, "size=64k") != 0) {
    GTEST_SKIP() << "NOT TESTED: mounting a tmpfs needs root";
  }
  {
    auto log = Open();
    uint64_t offset = 0;
    const std::string line = std::string(999, 'x') + "\n";
    for (int i = 0; i < 200; ++i) {
      const auto stored = log->Append(Chunk(OutputChunk::STDOUT, offset, line));
      ASSERT_TRUE(stored.ok());
      offset += line.size();
      EXPECT_EQ(stored->stdout_bytes, offset);
    }
    const uint64_t dropped = log->dropped_lines();
    EXPECT_GT(dropped, 100u);
    const std::string content = ContentOf(LogText(), LogStream::kStdout);
    EXPECT_EQ(content.size() + dropped * line.size(), offset);

    ASSERT_EQ(truncate(log_path().c_str(), 0), 0);
    ASSERT_TRUE(log->Append(Chunk(OutputChunk::STDOUT, offset, "on\n")).ok());
    EXPECT_EQ(ContentOf(LogText(), LogStream::kStdout), "on\n");
    EXPECT_EQ(log->dropped_lines(), dropped);
  }
  EXPECT_EQ(Open()->dropped_lines() > 100u, true);
  EXPECT_EQ(umount2(pod.c_str(), MNT_DETACH), 0);
}

TEST_F(ContainerLogTest, APathOutOfTheDirectoryIsRefused) {
  ASSERT_EQ(symlink("/etc", (directory_ + "/pod/link").c_str()), 0);
  ASSERT_EQ(symlink("/etc/shadow", (directory_ + "/pod/file").c_str()), 0);
  ASSERT_EQ(mkfifo((directory_ + "/pod/fifo").c_str(), 0600), 0);
  ASSERT_TRUE(WriteFileAtomically(directory_ + "/victim", "v").ok());
  ASSERT_EQ(link((directory_ + "/victim").c_str(),
                 (directory_ + "/pod/hard").c_str()),
            0);
  for (const char* path : {"../x", "/etc/x", "a/../../x", "a//b", "./x", "a/",
                           "link/x", "file", "fifo", "hard", "web"}) {
    ASSERT_TRUE(MakeDirectories(directory_ + "/pod/web").ok());
    ContainerLogOptions options = Options();
    options.log_path = path;
    const auto log = ContainerLog::Open(options, &clock_);
    EXPECT_TRUE(absl::IsInvalidArgument(log.status()) ||
                absl::IsFailedPrecondition(log.status()))
        << path << ": " << log.status();
  }
  EXPECT_EQ(*ReadFile(directory_ + "/victim"), "v");
}

}  // namespace
}  // namespace podvisor
