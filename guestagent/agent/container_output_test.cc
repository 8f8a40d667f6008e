#include "guestagent/agent/container_output.h"

#include <fcntl.h>
#include <unistd.h>

#include <memory>
#include <optional>
#include <random>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "base/file.h"
#include "gtest/gtest.h"

namespace podvisor {
namespace {

class ContainerOutputTest : public ::testing::Test {
 protected:
  void SetUp() override {
    int out[2], err[2];
    ASSERT_EQ(pipe2(out, O_CLOEXEC), 0);
    ASSERT_EQ(pipe2(err, O_CLOEXEC), 0);
    out_.Reset(out[1]);
    err_.Reset(err[1]);
    auto output =
        ContainerOutput::Open(&pump_, UniqueFd(out[0]), UniqueFd(err[0]));
    ASSERT_TRUE(output.ok());
    output_ = *output;
  }
  void TearDown() override { output_->Abandon(); }

  uint64_t Begin(uint64_t out, uint64_t err) {
    const auto session = output_->Begin(out, err, nullptr);
    EXPECT_TRUE(session.ok()) << session.status();
    return session.value_or(0);
  }

  OutputPump pump_;
  UniqueFd out_;
  UniqueFd err_;
  std::shared_ptr<ContainerOutput> output_;
};

using Chunk = agent::v1::OutputChunk;

TEST_F(ContainerOutputTest, BothStreamsArriveWithTheirEnds) {
  ASSERT_TRUE(WriteAll(out_.get(), "out").ok());
  ASSERT_TRUE(WriteAll(err_.get(), "error").ok());
  out_.Reset();
  err_.Reset();
  const uint64_t session = Begin(0, 0);
  std::string text[2];
  for (;;) {
    const auto chunk = output_->Next(session);
    ASSERT_TRUE(chunk.ok()) << chunk.status();
    if (!chunk->has_value()) break;
    std::string& into = text[(*chunk)->stream() == Chunk::STDERR];
    EXPECT_EQ((*chunk)->offset(), into.size());
    into += (*chunk)->data();
  }
  EXPECT_EQ(text[0], "out");
  EXPECT_EQ(text[1], "error");
  EXPECT_FALSE(output_->IsComplete());
  ASSERT_TRUE(output_->Acknowledge(session, 3, 5).ok());
  EXPECT_TRUE(output_->IsComplete());
}

TEST_F(ContainerOutputTest, LaterSessionGetsWhatWasNotAcknowledged) {
  ASSERT_TRUE(WriteAll(out_.get(), "abcdef").ok());
  const uint64_t first = Begin(0, 0);
  ASSERT_TRUE(output_->Next(first).ok());
  ASSERT_TRUE(output_->Acknowledge(first, 2, 0).ok());
  const uint64_t second = Begin(4, 0);
  EXPECT_EQ(output_->Next(first).status().code(), absl::StatusCode::kAborted);
  EXPECT_FALSE(output_->Acknowledge(first, 5, 0).ok());
  const auto chunk = output_->Next(second);
  ASSERT_TRUE(chunk.ok());
  EXPECT_EQ((*chunk)->offset(), 4u);
  EXPECT_EQ((*chunk)->data(), "ef");
  EXPECT_EQ(output_->Begin(3, 0, nullptr).status().code(),
            absl::StatusCode::kOutOfRange);
  EXPECT_EQ(output_->Begin(7, 0, nullptr).status().code(),
            absl::StatusCode::kOutOfRange);
}

TEST_F(ContainerOutputTest, SessionIsCancelledOnceByItsSuccessor) {
  int cancelled = 0;
  const auto cancel = [&cancelled] { ++cancelled; };
  ASSERT_TRUE(output_->Begin(0, 0, cancel).ok());
  const uint64_t second = Begin(0, 0);
  EXPECT_EQ(cancelled, 1);
  Begin(0, 0);
  EXPECT_EQ(cancelled, 1);
  output_->End(second);
}

TEST_F(ContainerOutputTest, EndedSessionIsNotCancelled) {
  bool cancelled = false;
  const auto session = output_->Begin(0, 0, [&cancelled] { cancelled = true; });
  output_->End(*session);
  EXPECT_EQ(output_->Next(*session).status().code(),
            absl::StatusCode::kCancelled);
  output_->Abandon();
  EXPECT_FALSE(cancelled);
}

TEST_F(ContainerOutputTest, AbandonWakesTheReader) {
  const uint64_t session = Begin(0, 0);
  std::thread reader([this, session] {
    EXPECT_EQ(output_->Next(session).status().code(),
              absl::StatusCode::kNotFound);
  });
  output_->Abandon();
  reader.join();
  EXPECT_EQ(output_->Begin(0, 0, nullptr).status().code(),
            absl::StatusCode::kNotFound);
}

TEST_F(ContainerOutputTest, WriterWaitsWhileNothingIsAcknowledged) {
  ASSERT_EQ(fcntl(out_.get(), F_SETFL, O_NONBLOCK), 0);
  const int pipe_bytes = fcntl(out_.get(), F_GETPIPE_SZ);
  const std::string block(4096, 'x');
  const size_t most = ContainerOutput::kCapacity + pipe_bytes;
  size_t written = 0;
  // The pump reads on while there is room, so this ends at exactly `most`.
  while (written < most) {
    const ssize_t count = write(out_.get(), block.data(), block.size());
    if (count > 0) written += static_cast<size_t>(count);
    std::this_thread::yield();
  }
  EXPECT_EQ(write(out_.get(), block.data(), 1), -1);
  EXPECT_EQ(errno, EAGAIN);
  // An acknowledgement makes room again.
  const uint64_t session = Begin(0, 0);
  ASSERT_TRUE(output_->Next(session).ok());
  ASSERT_TRUE(output_->Acknowledge(session, 65536, 0).ok());
  while (write(out_.get(), block.data(), block.size()) < 0) {
    std::this_thread::yield();
  }
}

TEST_F(ContainerOutputTest, ReconnectsLoseAndRepeatNothing) {
  std::mt19937 random(7);
  std::string source(2 << 20, '\0');
  for (char& c : source) c = static_cast<char>(random());
  std::thread writer([this, &source] {
    EXPECT_TRUE(WriteAll(out_.get(), source).ok());
    out_.Reset();
    err_.Reset();
  });
  std::string stored;
  bool done = false;
  while (!done) {
    const uint64_t session = Begin(stored.size(), 0);
    std::string received = stored;
    for (int chunks = random() % 20; chunks >= 0 && !done; --chunks) {
      const auto chunk = output_->Next(session);
      ASSERT_TRUE(chunk.ok()) << chunk.status();
      done = !chunk->has_value();
      if (done || (*chunk)->stream() != Chunk::STDOUT) continue;
      ASSERT_EQ((*chunk)->offset(), received.size());
      received += (*chunk)->data();
      if (random() % 2 == 0) {
        stored = received;
        ASSERT_TRUE(output_->Acknowledge(session, stored.size(), 0).ok());
      }
      // Unacknowledged bytes would block the next chunk for good.
      if (received.size() - stored.size() >= ContainerOutput::kCapacity) break;
    }
    if (done) stored = received;
  }
  writer.join();
  EXPECT_TRUE(stored == source);
}

TEST_F(ContainerOutputTest, TapGetsWhatComesAfterItAndLeavesTheLogAlone) {
  const uint64_t session = Begin(0, 0);
  ASSERT_TRUE(WriteAll(out_.get(), "before").ok());
  ASSERT_TRUE(output_->Next(session).ok());
  const auto tap = output_->OpenTap();
  ASSERT_TRUE(tap.ok()) << tap.status();
  ASSERT_TRUE(WriteAll(out_.get(), "after").ok());

  EXPECT_EQ((*tap)->Next(Deadline::Never())->data, "after");
  const auto chunk = output_->Next(session);
  ASSERT_TRUE(chunk.ok());
  EXPECT_EQ((*chunk)->data(), "after");
  EXPECT_EQ((*chunk)->offset(), 6u);
  out_.Reset();
  err_.Reset();
  EXPECT_TRUE(absl::IsOutOfRange((*tap)->Next(Deadline::Never()).status()));
}

TEST_F(ContainerOutputTest, TapThatNobodyReadsDoesNotHoldTheLogUp) {
  const auto tap = output_->OpenTap();
  ASSERT_TRUE(tap.ok()) << tap.status();
  const uint64_t session = Begin(0, 0);
  const std::string data(4 << 20, 'x');
  std::thread writer([&] {
    EXPECT_TRUE(WriteAll(out_.get(), data).ok());
    out_.Reset();
  });
  uint64_t received = 0;
  while (received < data.size()) {
    const auto chunk = output_->Next(session);
    ASSERT_TRUE(chunk.ok()) << chunk.status();
    received += (*chunk)->data().size();
    ASSERT_TRUE(output_->Acknowledge(session, received, 0).ok());
  }
  writer.join();
  EXPECT_TRUE(
      absl::IsResourceExhausted((*tap)->Next(Deadline::Never()).status()));
}

TEST_F(ContainerOutputTest, TapsAreLimitedAndLearnOfTheEnd) {
  std::vector<std::shared_ptr<OutputTap>> taps;
  for (size_t i = 0; i < ContainerOutput::kMaxTaps; ++i) {
    const auto tap = output_->OpenTap();
    ASSERT_TRUE(tap.ok()) << tap.status();
    taps.push_back(*tap);
  }
  EXPECT_TRUE(absl::IsResourceExhausted(output_->OpenTap().status()));
  output_->CloseTap(taps[3]);
  EXPECT_TRUE(output_->OpenTap().ok());
  output_->Abandon();
  EXPECT_TRUE(absl::IsNotFound(taps[0]->Next(Deadline::Never()).status()));
  EXPECT_TRUE(absl::IsNotFound(output_->OpenTap().status()));
}

}  // namespace
}  // namespace podvisor
