// The streams of FakeGuestAgent, and what waits for them.

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "guestagent/client/fake_guest_agent.h"

namespace podvisor {
namespace {

using agent::v1::ContainerExit;
using agent::v1::ContainerState;
using agent::v1::OutputChunk;

constexpr size_t kMaxChunkBytes = 64 << 10;

}  // namespace

class FakeGuestAgent::CallScope {
 public:
  explicit CallScope(FakeGuestAgent* agent) : agent_(agent) {
    absl::MutexLock lock(&agent_->mutex_);
    ++agent_->active_calls_;
  }
  ~CallScope() {
    absl::MutexLock lock(&agent_->mutex_);
    --agent_->active_calls_;
  }

 private:
  FakeGuestAgent* agent_;
};

absl::Status FakeGuestAgent::StreamOutput(const ContainerId& id,
                                          const OutputOffsets& begin,
                                          const OutputSink& sink) {
  const CallScope scope(this);
  uint64_t position[2] = {begin.stdout_bytes, begin.stderr_bytes};
  bool ended[2] = {false, false};
  uint64_t reader = 0;
  uint64_t connection = 0;
  {
    absl::MutexLock lock(&mutex_);
    Record(absl::StrCat("StreamOutput ", id.value()));
    const absl::StatusOr<Container*> container = Find(id);
    if (!container.ok()) return container.status();
    reader = (*container)->reader = ++readers_;
    connection = connection_;
    (*container)->acknowledged = begin;
  }
  while (!ended[0] || !ended[1]) {
    OutputChunk chunk;
    {
      absl::MutexLock lock(&mutex_);
      Container* container = nullptr;
      absl::Status over;
      const auto ready = [&]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
        const absl::StatusOr<Container*> found = Find(id);
        over = found.status();
        if (!found.ok()) return true;
        container = *found;
        if (connection_ != connection)
          over = absl::UnavailableError("connection broke");
        if (container->reader != reader) {
          over = absl::AbortedError("another reader took over");
        }
        if (!over.ok() || container->eof) return true;
        return container->output[0].size() > position[0] ||
               container->output[1].size() > position[1];
      };
      mutex_.Await(absl::Condition(&ready));
      if (!over.ok()) return over;
      for (int i = 0; i < 2 && chunk.data().empty() && !chunk.eof(); ++i) {
        const std::string& output = container->output[i];
        if (ended[i] || (output.size() <= position[i] && !container->eof)) {
          continue;
        }
        const size_t at = std::min<size_t>(position[i], output.size());
        chunk.set_stream(i == 0 ? OutputChunk::STDOUT : OutputChunk::STDERR);
        chunk.set_offset(position[i]);
        chunk.set_data(output.substr(at, kMaxChunkBytes));
        position[i] += chunk.data().size();
        ended[i] = container->eof && position[i] >= output.size();
        chunk.set_eof(ended[i]);
      }
    }
    const absl::StatusOr<OutputOffsets> stored = sink(chunk);
    if (!stored.ok()) return stored.status();
    absl::MutexLock lock(&mutex_);
    const auto found = containers_.find(id);
    if (found != containers_.end()) found->second.acknowledged = *stored;
  }
  return absl::OkStatus();
}

absl::Status FakeGuestAgent::WatchExits(
    const std::function<void(const ContainerExit&)>& on_exit) {
  const CallScope scope(this);
  std::vector<std::string> told;
  uint64_t connection = 0;
  {
    absl::MutexLock lock(&mutex_);
    Record("WatchExits");
    if (absl::Status answers = Answers(); !answers.ok()) return answers;
    connection = connection_;
  }
  while (true) {
    ContainerExit next;
    {
      absl::MutexLock lock(&mutex_);
      absl::Status over;
      const auto ready = [&]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
        over = Answers();
        if (over.ok() && connection_ != connection)
          over = absl::UnavailableError("connection broke");
        if (!over.ok()) return true;
        for (const ContainerExit& exit : exits_) {
          if (std::count(told.begin(), told.end(), exit.container_id()) == 0) {
            next = exit;
            return true;
          }
        }
        return false;
      };
      mutex_.Await(absl::Condition(&ready));
      if (!over.ok()) return over;
    }
    told.push_back(next.container_id());
    on_exit(next);
  }
}

absl::StatusOr<ExecSyncResult> FakeGuestAgent::ExecSync(
    const ExecSyncRequest& request, absl::Time /*deadline*/) {
  const CallScope scope(this);
  ExecHandler handler;
  {
    absl::MutexLock lock(&mutex_);
    Record(absl::StrCat("ExecSync ", request.container.value()));
    const absl::StatusOr<Container*> container = Find(request.container);
    if (!container.ok()) return container.status();
    if ((*container)->state.state() != ContainerState::RUNNING) {
      return absl::FailedPreconditionError("container is not running");
    }
    if (faults_.exec_hangs) return Hangs();
    handler = exec_;
  }
  if (!handler) return ExecSyncResult();
  absl::StatusOr<ExecSyncResult> result = handler(request);
  if (result.ok()) {
    size_t room = request.max_output_bytes;
    for (std::string* data : {&result->stdout_data, &result->stderr_data}) {
      data->resize(std::min(room, data->size()));
      room -= data->size();
    }
  }
  return result;
}

void FakeGuestAgent::SetStreamHandler(StreamHandler handler) {
  absl::MutexLock lock(&mutex_);
  stream_handler_ = std::move(handler);
}

absl::StatusOr<int> FakeGuestAgent::ServePeer(const ContainerId& id,
                                              absl::string_view call,
                                              StreamPeer* peer) {
  const CallScope scope(this);
  StreamHandler handler;
  {
    absl::MutexLock lock(&mutex_);
    Record(absl::StrCat(call, " ", id.value()));
    const absl::StatusOr<Container*> container = Find(id);
    if (!container.ok()) return container.status();
    if ((*container)->state.state() != ContainerState::RUNNING) {
      return absl::FailedPreconditionError("container is not running");
    }
    handler = stream_handler_;
  }
  return handler ? handler(peer) : 0;
}

absl::StatusOr<int> FakeGuestAgent::Exec(const GuestExec& request,
                                         StreamPeer* peer) {
  return ServePeer(request.container, "Exec", peer);
}

absl::StatusOr<int> FakeGuestAgent::Attach(const ContainerId& id,
                                           bool /*with_stdin*/,
                                           StreamPeer* peer) {
  return ServePeer(id, "Attach", peer);
}

absl::Status FakeGuestAgent::PortForward(uint16_t port, StreamPeer* peer) {
  const CallScope scope(this);
  StreamHandler handler;
  {
    absl::MutexLock lock(&mutex_);
    Record(absl::StrCat("PortForward ", port));
    if (absl::Status answers = Answers(); !answers.ok()) return answers;
    handler = stream_handler_;
  }
  return handler ? handler(peer).status() : absl::OkStatus();
}

}  // namespace podvisor
