#include "sandbox/container/log_pump.h"

#include <deque>
#include <memory>
#include <optional>
#include <random>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/synchronization/notification.h"
#include "base/file.h"
#include "base/log.h"
#include "gtest/gtest.h"

namespace podvisor {
namespace {

using agent::v1::OutputChunk;

// One call of StreamOutput: so many chunks, then this status. Without a status
// it goes on to the end of both streams.
struct Call {
  int chunks = 0;
  std::optional<absl::Status> status;
};

// An agent whose container has printed all it ever will, and whose connection
// breaks by a script. After the script it works.
class ScriptedStreams final : public GuestStreams {
 public:
  ScriptedStreams(std::string out, std::string err)
      : all_{std::move(out), std::move(err)} {}

  void Script(std::deque<Call> calls) { calls_ = std::move(calls); }
  // The call that ends the script blocks until then.
  void BlockUntil(absl::Notification* released) { released_ = released; }

  absl::Status StreamOutput(const ContainerId&, const OutputOffsets& begin,
                            const OutputSink& sink) override {
    Call call;
    if (!calls_.empty()) {
      call = calls_.front();
      calls_.pop_front();
    } else if (released_ != nullptr) {
      blocked_.Notify();
      released_->WaitForNotification();
      return absl::UnavailableError("the connection broke");
    }
    uint64_t at[2] = {begin.stdout_bytes, begin.stderr_bytes};
    bool ended[2] = {false, false};
    for (int n = 0; !ended[0] || !ended[1]; ++n) {
      if (call.status.has_value() && n == call.chunks) return *call.status;
      const int i = ended[0] ? 1 : ended[1] ? 0 : n % 2;
      OutputChunk chunk;
      chunk.set_stream(i == 0 ? OutputChunk::STDOUT : OutputChunk::STDERR);
      chunk.set_offset(at[i]);
      chunk.set_data(all_[i].substr(at[i], 1 + random_() % 50));
      at[i] += chunk.data().size();
      ended[i] = at[i] == all_[i].size();
      chunk.set_eof(ended[i]);
      const auto stored = sink(chunk);
      if (!stored.ok()) return stored.status();
      if (stored->stdout_bytes > at[0] || stored->stderr_bytes > at[1]) {
        return absl::InternalError("more acknowledged than sent");
      }
    }
    return absl::OkStatus();
  }

  void WaitUntilBlocked() { blocked_.WaitForNotification(); }

  absl::Status WatchExits(
      const std::function<void(const agent::v1::ContainerExit&)>&) override {
    return absl::UnimplementedError("");
  }
  absl::StatusOr<ExecSyncResult> ExecSync(const ExecSyncRequest&,
                                          absl::Time) override {
    return absl::UnimplementedError("");
  }
  absl::StatusOr<int> Exec(const GuestExec&, StreamPeer*) override {
    return absl::UnimplementedError("");
  }
  absl::StatusOr<int> Attach(const ContainerId&, bool, StreamPeer*) override {
    return absl::UnimplementedError("");
  }
  absl::Status PortForward(uint16_t, StreamPeer*) override {
    return absl::UnimplementedError("");
  }

 private:
  const std::string all_[2];
  std::deque<Call> calls_;
  std::mt19937 random_{1};
  absl::Notification* released_ = nullptr;
  absl::Notification blocked_;
};

std::string Numbered(const char* prefix, int count) {
  std::string text;
  for (int i = 0; i < count; ++i) absl::StrAppend(&text, prefix, i, "\n");
  return text + "unfinished";
}

class LogPumpTest : public testing::Test {
 protected:
  LogPumpTest()
      : directory_(absl::StrCat(testing::TempDir(), "/", RandomHexId())),
        out_(Numbered("out ", 200)),
        err_(Numbered("err ", 100)),
        streams_(out_, err_) {
    SetLogLevel(LogLevel::kError);
    EXPECT_TRUE(MakeDirectories(directory_).ok());
  }

  std::shared_ptr<ContainerLog> OpenLog() {
    auto log = ContainerLog::Open(
        {directory_, "0.log", directory_ + "/cursor", "c"}, &clock_);
    EXPECT_TRUE(log.ok()) << log.status();
    return *std::move(log);
  }

  std::unique_ptr<LogPump> Pump() {
    return std::make_unique<LogPump>(
        ContainerId(RandomHexId()), &streams_, OpenLog(), &clock_, &metrics_,
        LogPumpOptions{absl::ZeroDuration(), absl::ZeroDuration()});
  }

  std::string Content(LogStream stream) {
    const std::string log = *ReadFile(directory_ + "/0.log");
    std::string content;
    for (size_t at = 0; at < log.size();) {
      const size_t end = log.find('\n', at);
      const auto line =
          ParseLogLine(absl::string_view(log).substr(at, end - at));
      EXPECT_TRUE(line.has_value());
      if (line->stream == stream) {
        absl::StrAppend(&content, line->content, line->full ? "\n" : "");
      }
      at = end + 1;
    }
    return content;
  }

  absl::Time Soon() { return clock_.Now() + absl::Seconds(30); }

  const std::string directory_;
  const std::string out_;
  const std::string err_;
  FakeClock clock_;
  PodMetrics metrics_;
  ScriptedStreams streams_;
};

TEST_F(LogPumpTest, DrainsBothStreamsToTheLastByte) {
  auto pump = Pump();
  pump->Start();

  EXPECT_TRUE(pump->WaitDrained(Soon()).ok());

  EXPECT_EQ(Content(LogStream::kStdout), out_);
  EXPECT_EQ(Content(LogStream::kStderr), err_);
}

TEST_F(LogPumpTest, BrokenConnectionsLoseAndDoubleNothing) {
  std::deque<Call> calls;
  for (int i = 0; i < 30; ++i) {
    calls.push_back({i % 7, absl::UnavailableError("broken")});
  }
  streams_.Script(calls);
  auto pump = Pump();
  pump->Start();

  EXPECT_TRUE(pump->WaitDrained(Soon()).ok());

  EXPECT_EQ(Content(LogStream::kStdout), out_);
  EXPECT_EQ(Content(LogStream::kStderr), err_);
}

TEST_F(LogPumpTest, ALaterPumpContinuesWhereOneWasCancelled) {
  for (int i = 0; i < 5; ++i) {
    streams_.Script({{17, absl::CancelledError("disconnected")}});
    auto pump = Pump();
    pump->Start();
    EXPECT_TRUE(absl::IsCancelled(pump->WaitDrained(Soon())));
  }
  auto pump = Pump();
  pump->Start();

  EXPECT_TRUE(pump->WaitDrained(Soon()).ok());

  EXPECT_EQ(Content(LogStream::kStdout), out_);
  EXPECT_EQ(Content(LogStream::kStderr), err_);
}

TEST_F(LogPumpTest, AContainerThatIsGoneLeavesItsUnfinishedLine) {
  streams_.Script({{21, absl::NotFoundError("no such container")}});
  auto pump = Pump();
  pump->Start();

  EXPECT_TRUE(absl::IsNotFound(pump->WaitDrained(Soon())));

  EXPECT_EQ(pump->log()->stored(), pump->log()->received());
  EXPECT_EQ(Content(LogStream::kStdout),
            out_.substr(0, pump->log()->stored().stdout_bytes));
}

TEST_F(LogPumpTest, APeerThatKeepsBreakingTheProtocolIsGivenUp) {
  const Call breach = {0, absl::DataLossError("a gap")};
  streams_.Script({breach,
                   breach,
                   {40, absl::UnavailableError("")},
                   breach,
                   breach,
                   breach,
                   breach});
  auto pump = Pump();
  pump->Start();

  EXPECT_TRUE(absl::IsDataLoss(pump->WaitDrained(Soon())));
}

TEST_F(LogPumpTest, StopDoesNotWaitForACallThatDoesNotEnd) {
  absl::Notification released;
  streams_.BlockUntil(&released);
  auto pump = Pump();
  pump->Start();
  streams_.WaitUntilBlocked();

  EXPECT_TRUE(absl::IsDeadlineExceeded(pump->WaitDrained(clock_.Now())));
  EXPECT_TRUE(absl::IsDeadlineExceeded(pump->Stop(clock_.Now())));

  const std::shared_ptr<ContainerLog> log = pump->log();
  released.Notify();
  // Its result comes although nobody joins it.
  EXPECT_TRUE(absl::IsCancelled(pump->WaitDrained(Soon())));
}

TEST_F(LogPumpTest, AbandonWritesWhatWasHeldBack) {
  absl::Notification released;
  streams_.Script({{21, absl::UnavailableError("the VM is gone")}});
  streams_.BlockUntil(&released);
  auto pump = Pump();
  pump->Start();
  streams_.WaitUntilBlocked();
  released.Notify();

  EXPECT_TRUE(pump->Abandon(Soon()).ok());

  EXPECT_EQ(pump->log()->stored(), pump->log()->received());
}

TEST_F(LogPumpTest, APumpThatNeverStartedStops) {
  EXPECT_TRUE(Pump()->Stop(Soon()).ok());
}

}  // namespace
}  // namespace podvisor
