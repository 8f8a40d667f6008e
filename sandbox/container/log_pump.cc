#include "sandbox/container/log_pump.h"

#include <algorithm>
#include <string>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "base/clean_text.h"
#include "base/log.h"

namespace podvisor {
namespace {

using agent::v1::OutputChunk;

// A peer that breaks the protocol this often in a row will not stop.
constexpr int kMaxBreaches = 3;

enum class NextStep { kDrained, kRetry, kGiveUp };

// Pure: what the end of a StreamOutput() call means.
NextStep Decide(const absl::Status& status, int breaches) {
  switch (status.code()) {
    case absl::StatusCode::kOk:
      return NextStep::kDrained;
    case absl::StatusCode::kNotFound:   // the agent has deleted it
    case absl::StatusCode::kCancelled:  // the agent's client was closed
      return NextStep::kGiveUp;
    case absl::StatusCode::kDataLoss:
      return breaches >= kMaxBreaches ? NextStep::kGiveUp : NextStep::kRetry;
    default:
      return NextStep::kRetry;
  }
}

}  // namespace

struct LogPump::State {
  ContainerId id;
  GuestStreams* streams;
  std::shared_ptr<ContainerLog> log;
  Clock* clock;
  PodMetrics* metrics;
  LogPumpOptions options;

  absl::Mutex mutex;
  bool stop ABSL_GUARDED_BY(mutex) = false;
  bool finished ABSL_GUARDED_BY(mutex) = false;  // `result` is there
  absl::Status result ABSL_GUARDED_BY(mutex);

  // Only on the thread.
  uint64_t dropped_lines = 0;

  void Run();
  absl::Status StreamOnce();
  absl::StatusOr<OutputOffsets> Store(const OutputChunk& chunk);
  void CountDrops();
  bool WaitForRetry(absl::Duration delay);
  bool Stopped() {
    absl::MutexLock lock(&mutex);
    return stop;
  }
};

void LogPump::State::Run() {
  dropped_lines = log->dropped_lines();
  absl::Duration delay = options.first_retry;
  int breaches = 0;
  absl::Status status;
  while (!Stopped()) {
    const OutputOffsets before = log->stored();
    status = StreamOnce();
    if (Stopped()) break;
    if (log->stored() != before) {
      delay = options.first_retry;
      breaches = 0;
    }
    if (absl::IsDataLoss(status)) ++breaches;
    const NextStep next = Decide(status, breaches);
    if (next != NextStep::kRetry) {
      // Of a closed client's container more may come, to a later daemon.
      if (absl::IsCancelled(status)) break;
      log->Flush();
      CountDrops();
      break;
    }
    if (!WaitForRetry(delay)) break;
    delay = std::min(2 * delay, options.last_retry);
  }
  if (Stopped()) {
    status = absl::CancelledError("the log pump was stopped");
  } else if (!status.ok() && !absl::IsCancelled(status)) {
    Log(LogLevel::kWarning, "container output ended early",
        {{"container_id", id.value()},
         {"error", CleanText(status.ToString())}});
  }
  absl::MutexLock lock(&mutex);
  result = status;
  finished = true;
}

absl::Status LogPump::State::StreamOnce() {
  return streams->StreamOutput(
      id, log->stored(),
      [this](const OutputChunk& chunk) { return Store(chunk); });
}

absl::StatusOr<OutputOffsets> LogPump::State::Store(const OutputChunk& chunk) {
  if (Stopped()) return absl::CancelledError("the log pump was stopped");
  absl::StatusOr<OutputOffsets> stored = log->Append(chunk);
  if (stored.ok()) CountDrops();
  return stored;
}

void LogPump::State::CountDrops() {
  const uint64_t now = log->dropped_lines();
  if (metrics != nullptr && now > dropped_lines) {
    metrics->CountDroppedLogLines(now - dropped_lines);
  }
  dropped_lines = now;
}

// False when the pump was stopped meanwhile.
bool LogPump::State::WaitForRetry(absl::Duration delay) {
  absl::MutexLock lock(&mutex);
  mutex.AwaitWithTimeout(absl::Condition(&stop), delay);
  return !stop;
}

LogPump::LogPump(const ContainerId& id, GuestStreams* streams,
                 std::shared_ptr<ContainerLog> log, Clock* clock,
                 PodMetrics* metrics, const LogPumpOptions& options)
    : state_(std::make_shared<State>()) {
  state_->id = id;
  state_->streams = streams;
  state_->log = std::move(log);
  state_->clock = clock;
  state_->metrics = metrics;
  state_->options = options;
}

LogPump::~LogPump() {
  const absl::Status status = Stop(state_->clock->Now() + absl::Seconds(5));
  if (!status.ok()) {
    Log(LogLevel::kError, "a log pump does not end",
        {{"container_id", state_->id.value()}});
  }
}

void LogPump::Start() {
  absl::MutexLock lock(&state_->mutex);
  thread_ = std::jthread([state = state_] { state->Run(); });
}

absl::Status LogPump::WaitDrained(absl::Time deadline) {
  const absl::Duration left = deadline - state_->clock->Now();
  absl::MutexLock lock(&state_->mutex);
  if (!state_->mutex.AwaitWithTimeout(absl::Condition(&state_->finished),
                                      left)) {
    return absl::DeadlineExceededError("container output has not ended");
  }
  return state_->result;
}

absl::Status LogPump::Stop(absl::Time deadline) {
  const absl::Duration left = deadline - state_->clock->Now();
  std::jthread thread;
  bool finished = true;
  {
    absl::MutexLock lock(&state_->mutex);
    state_->stop = true;
    // Not waited for again once it was left alone.
    if (thread_.joinable()) {
      finished = state_->mutex.AwaitWithTimeout(
          absl::Condition(&state_->finished), left);
    }
    thread.swap(thread_);
  }
  if (finished) return absl::OkStatus();  // and join, in the destructor
  if (thread.joinable()) thread.detach();
  return absl::DeadlineExceededError("the output call does not end");
}

absl::Status LogPump::Abandon(absl::Time deadline) {
  const absl::Status status = Stop(deadline);
  state_->log->Flush();
  return status;
}

const std::shared_ptr<ContainerLog>& LogPump::log() const {
  return state_->log;
}

}  // namespace podvisor
