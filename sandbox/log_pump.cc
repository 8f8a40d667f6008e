#include "sandbox/log_pump.h"

#include <algorithm>
#include <map>
#include <string>
#include <utility>

#include "absl/base/thread_annotations.h"
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
  using Listeners = std::map<int, std::shared_ptr<OutputListener>>;

  ContainerId id;
  GuestStreams* streams;
  std::shared_ptr<ContainerLog> log;
  Clock* clock;
  PodMetrics* metrics;
  LogPumpOptions options;

  absl::Mutex mutex;
  bool stop ABSL_GUARDED_BY(mutex) = false;
  bool ended ABSL_GUARDED_BY(mutex) = false;     // listeners have been told
  bool finished ABSL_GUARDED_BY(mutex) = false;  // `result` is there
  absl::Status result ABSL_GUARDED_BY(mutex);
  Listeners listeners ABSL_GUARDED_BY(mutex);
  int next_listener ABSL_GUARDED_BY(mutex) = 1;
  bool delivering ABSL_GUARDED_BY(mutex) = false;

  // Only on the thread.
  uint64_t dropped_lines = 0;

  void Run();
  absl::Status StreamOnce();
  absl::StatusOr<OutputOffsets> Store(const OutputChunk& chunk);
  void CountDrops();
  void Deliver(LogStream stream, absl::string_view data, bool ended);
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
  Deliver(LogStream::kStdout, "", /*ended=*/true);
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
  const OutputOffsets before = log->received();
  absl::StatusOr<OutputOffsets> stored = log->Append(chunk);
  if (!stored.ok()) return stored;
  CountDrops();
  // After a reconnect the held-back bytes come again; listeners have them.
  const bool is_stderr = chunk.stream() == OutputChunk::STDERR;
  const uint64_t known =
      (is_stderr ? before.stderr_bytes : before.stdout_bytes) - chunk.offset();
  absl::string_view fresh(chunk.data());
  fresh.remove_prefix(std::min<uint64_t>(known, fresh.size()));
  if (!fresh.empty()) {
    Deliver(is_stderr ? LogStream::kStderr : LogStream::kStdout, fresh, false);
  }
  return stored;
}

void LogPump::State::CountDrops() {
  const uint64_t now = log->dropped_lines();
  if (metrics != nullptr && now > dropped_lines) {
    metrics->CountDroppedLogLines(now - dropped_lines);
  }
  dropped_lines = now;
}

void LogPump::State::Deliver(LogStream stream, absl::string_view data,
                             bool ended) {
  Listeners now;
  {
    absl::MutexLock lock(&mutex);
    now = listeners;
    if (ended) {
      listeners.clear();
      this->ended = true;
    }
    delivering = true;
  }
  for (const auto& [number, listener] : now) (*listener)(stream, data, ended);
  absl::MutexLock lock(&mutex);
  delivering = false;
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

absl::StatusOr<int> LogPump::AddListener(OutputListener listener) {
  absl::MutexLock lock(&state_->mutex);
  if (state_->ended || state_->stop) {
    return absl::FailedPreconditionError("the output has ended");
  }
  const int number = state_->next_listener++;
  state_->listeners[number] =
      std::make_shared<OutputListener>(std::move(listener));
  return number;
}

void LogPump::RemoveListener(int number) {
  absl::MutexLock lock(&state_->mutex);
  state_->listeners.erase(number);
  // Short: listeners do not block.
  state_->mutex.Await(absl::Condition(
      +[](bool* delivering) { return !*delivering; }, &state_->delivering));
}

const std::shared_ptr<ContainerLog>& LogPump::log() const {
  return state_->log;
}

}  // namespace podvisor
