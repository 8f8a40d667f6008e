#include "hotplug/qmp_socket_client.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <algorithm>
#include <limits>
#include <utility>
#include <variant>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "base/errno_status.h"
#include "base/status_macros.h"
#include "hotplug/qmp_event_queue.h"

namespace podvisor {
namespace {

constexpr size_t kReadBytes = 64 << 10;
// Each command that nobody waits for any more is still to be answered. A QEMU
// that owes this many answers is not coming back.
constexpr size_t kMaxAbandoned = 256;

class QueueSubscription final : public QmpSubscription {
 public:
  explicit QueueSubscription(std::shared_ptr<QmpEventQueue> queue)
      : queue_(std::move(queue)) {}

  absl::StatusOr<QmpEvent> Next(absl::Time deadline) override {
    return queue_->Take(deadline);
  }

 private:
  const std::shared_ptr<QmpEventQueue> queue_;
};

// For poll(2): at least 0, rounded up, without end for an infinite deadline.
int PollTimeout(absl::Time deadline) {
  if (deadline == absl::InfiniteFuture()) return -1;
  const int64_t left = absl::ToInt64Milliseconds(deadline - absl::Now()) + 1;
  return static_cast<int>(
      std::clamp<int64_t>(left, 0, std::numeric_limits<int>::max()));
}

// One non-blocking send, with a descriptor when `fd` is one.
ssize_t SendSome(int socket, absl::string_view data, int fd) {
  iovec piece = {.iov_base = const_cast<char*>(data.data()),
                 .iov_len = data.size()};
  msghdr message = {};
  message.msg_iov = &piece;
  message.msg_iovlen = 1;
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int))] = {};
  if (fd >= 0) {
    message.msg_control = control;
    message.msg_controllen = sizeof(control);
    cmsghdr* header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(sizeof(int));
    memcpy(CMSG_DATA(header), &fd, sizeof(int));
  }
  return sendmsg(socket, &message, MSG_DONTWAIT | MSG_NOSIGNAL);
}

// Connects without waiting: on a Unix socket a connect succeeds at once or the
// listener's queue is full.
absl::StatusOr<UniqueFd> ConnectTo(const std::string& path) {
  const size_t slash = path.rfind('/');
  const std::string directory =
      slash == std::string::npos ? "." : path.substr(0, slash + 1);
  const std::string name =
      slash == std::string::npos ? path : path.substr(slash + 1);

  // A socket address holds 107 bytes, less than a path with two long ids.
  UniqueFd parent(open(directory.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
  if (!parent.valid()) return ErrnoStatus(errno, directory);
  const std::string short_path =
      absl::StrCat("/proc/self/fd/", parent.get(), "/", name);

  sockaddr_un address = {};
  address.sun_family = AF_UNIX;
  if (name.empty() || short_path.size() >= sizeof(address.sun_path)) {
    return absl::InvalidArgumentError(absl::StrCat(path, ": no socket name"));
  }
  memcpy(address.sun_path, short_path.data(), short_path.size());
  UniqueFd socket(
      ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!socket.valid()) return ErrnoStatus(errno, "socket");
  if (connect(socket.get(), reinterpret_cast<const sockaddr*>(&address),
              sizeof(address)) != 0) {
    if (errno == EAGAIN) {
      return absl::UnavailableError(
          absl::StrCat(path, ": too many clients wait for it"));
    }
    return ErrnoStatus(errno, path);
  }
  return socket;
}

}  // namespace

absl::StatusOr<std::unique_ptr<QmpSocketClient>> QmpSocketClient::Connect(
    const std::string& path, absl::Time deadline) {
  ASSIGN_OR_RETURN(UniqueFd socket, ConnectTo(path));
  return Adopt(std::move(socket), deadline);
}

absl::StatusOr<std::unique_ptr<QmpSocketClient>> QmpSocketClient::Adopt(
    UniqueFd socket, absl::Time deadline) {
  std::unique_ptr<QmpSocketClient> client(
      new QmpSocketClient(std::move(socket)));
  client->reader_ = std::jthread([raw = client.get()] { raw->ReadLoop(); });
  RETURN_IF_ERROR(client->Negotiate(deadline));
  return client;
}

QmpSocketClient::QmpSocketClient(UniqueFd socket)
    : socket_(std::move(socket)) {}

QmpSocketClient::~QmpSocketClient() {
  Die(absl::UnavailableError("QMP connection closed"));
  if (reader_.joinable()) reader_.join();
}

absl::Status QmpSocketClient::Negotiate(absl::Time deadline) {
  {
    absl::MutexLock lock(&mutex_);
    const auto ready = [this]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
      return greeting_.has_value() || !dead_.ok();
    };
    if (!mutex_.AwaitWithDeadline(absl::Condition(&ready), deadline)) {
      return absl::DeadlineExceededError("QMP: no greeting in time");
    }
    if (!dead_.ok()) return dead_;
  }
  return Execute("qmp_capabilities", "", deadline).status();
}

absl::StatusOr<std::string> QmpSocketClient::Execute(
    absl::string_view command, absl::string_view arguments_json,
    absl::Time deadline) {
  return ExecuteWithFd(command, arguments_json, -1, deadline);
}

absl::StatusOr<std::string> QmpSocketClient::ExecuteWithFd(
    absl::string_view command, absl::string_view arguments_json, int fd,
    absl::Time deadline) {
  uint64_t id = 0;
  {
    absl::MutexLock lock(&mutex_);
    if (!dead_.ok()) return absl::UnavailableError(dead_.message());
    if (abandoned_.size() >= kMaxAbandoned) {
      return absl::UnavailableError("QMP: QEMU owes too many answers");
    }
    id = next_id_++;
  }
  ASSIGN_OR_RETURN(const std::string line,
                   RenderQmpCommand(id, command, arguments_json));
  {
    absl::MutexLock lock(&mutex_);
    const auto turn = [this]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
      return !sending_ || !dead_.ok();
    };
    if (!mutex_.AwaitWithDeadline(absl::Condition(&turn), deadline)) {
      return absl::DeadlineExceededError(
          absl::StrCat(command, ": QEMU does not read"));
    }
    if (!dead_.ok()) return absl::UnavailableError(dead_.message());
    sending_ = true;
    pending_[id] = std::nullopt;
  }
  const absl::Status sent = Send(line, fd, deadline);
  {
    absl::MutexLock lock(&mutex_);
    sending_ = false;
    if (!sent.ok()) pending_.erase(id);
  }
  if (!sent.ok()) return Annotate(sent, command);
  return AwaitReply(id, command, deadline);
}

absl::Status QmpSocketClient::Send(absl::string_view line, int fd,
                                   absl::Time deadline) {
  absl::string_view rest = line;
  while (!rest.empty()) {
    const ssize_t sent = SendSome(socket_.get(), rest, fd);
    if (sent > 0) {
      rest.remove_prefix(static_cast<size_t>(sent));
      fd = -1;  // it went with the first byte
      continue;
    }
    if (sent < 0 && errno == EINTR) continue;
    if (sent < 0 && errno != EAGAIN && errno != EWOULDBLOCK) {
      // A bad descriptor of the caller is not the connection's end.
      const int error = errno;
      if (error == EBADF && rest.size() == line.size()) {
        return absl::InvalidArgumentError("not a descriptor");
      }
      Die(absl::UnavailableError(absl::StrCat("QMP: ", strerror(error))));
      return absl::UnavailableError(absl::StrCat("QMP: ", strerror(error)));
    }
    pollfd writable = {.fd = socket_.get(), .events = POLLOUT, .revents = 0};
    const int ready = poll(&writable, 1, PollTimeout(deadline));
    if (ready == 0 && absl::Now() >= deadline) {
      // Half a command on the wire would spoil the next one.
      if (rest.size() != line.size()) {
        Die(absl::UnavailableError("QMP: QEMU stopped reading in a command"));
      }
      return absl::DeadlineExceededError("QEMU does not read");
    }
  }
  return absl::OkStatus();
}

absl::StatusOr<std::string> QmpSocketClient::AwaitReply(
    uint64_t id, absl::string_view command, absl::Time deadline) {
  absl::MutexLock lock(&mutex_);
  const auto answered = [this, id]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    return pending_[id].has_value() || !dead_.ok();
  };
  const bool in_time =
      mutex_.AwaitWithDeadline(absl::Condition(&answered), deadline);
  const std::optional<QmpMessage> answer = std::move(pending_[id]);
  pending_.erase(id);
  if (!answer.has_value()) {
    if (!dead_.ok()) return Annotate(dead_, command);
    if (!in_time) abandoned_.insert(id);
    return absl::DeadlineExceededError(
        absl::StrCat(command, ": no reply from QEMU in time"));
  }
  if (const auto* rejection = std::get_if<QmpRejection>(&*answer)) {
    return RejectionStatus(command, *rejection);
  }
  return std::get<QmpReply>(*answer).return_json;
}

std::unique_ptr<QmpSubscription> QmpSocketClient::Subscribe(
    std::vector<std::string> event_names) {
  auto queue = std::make_shared<QmpEventQueue>(std::move(event_names));
  absl::MutexLock lock(&mutex_);
  std::erase_if(queues_, [](const auto& weak) { return weak.expired(); });
  if (dead_.ok()) {
    queues_.push_back(queue);
  } else {
    queue->Close(absl::UnavailableError(dead_.message()));
  }
  return std::make_unique<QueueSubscription>(std::move(queue));
}

QemuVersion QmpSocketClient::version() const {
  absl::MutexLock lock(&mutex_);
  return greeting_.has_value() ? greeting_->version : QemuVersion{};
}

void QmpSocketClient::ReadLoop() {
  std::string buffer;
  std::vector<char> piece(kReadBytes);
  while (true) {
    pollfd readable = {.fd = socket_.get(), .events = POLLIN, .revents = 0};
    if (poll(&readable, 1, -1) < 0 && errno != EINTR) {
      return Die(absl::UnavailableError("QMP: poll failed"));
    }
    const ssize_t got =
        recv(socket_.get(), piece.data(), piece.size(), MSG_DONTWAIT);
    if (got == 0) return Die(absl::UnavailableError("QMP: QEMU hung up"));
    if (got < 0) {
      if (errno == EINTR || errno == EAGAIN || errno == EWOULDBLOCK) continue;
      return Die(absl::UnavailableError("QMP: connection reset"));
    }
    buffer.append(piece.data(), static_cast<size_t>(got));
    size_t begin = 0;
    // Only the new bytes: a line that comes byte by byte costs its length.
    size_t end = buffer.find('\n', buffer.size() - static_cast<size_t>(got));
    while (end != std::string::npos) {
      const absl::Status taken =
          TakeLine(absl::string_view(buffer).substr(begin, end - begin));
      if (!taken.ok()) return Die(taken);
      begin = end + 1;
      end = buffer.find('\n', begin);
    }
    buffer.erase(0, begin);
    if (buffer.size() > kMaxQmpLineBytes) {
      return Die(absl::DataLossError("malformed QMP: line too long"));
    }
  }
}

absl::Status QmpSocketClient::TakeLine(absl::string_view line) {
  while (!line.empty() && line.back() == '\r') line.remove_suffix(1);
  ASSIGN_OR_RETURN(QmpMessage message, ParseQmpMessage(line));
  absl::MutexLock lock(&mutex_);
  if (const auto* greeting = std::get_if<QmpGreeting>(&message)) {
    if (greeting_.has_value()) {
      return absl::DataLossError("malformed QMP: a second greeting");
    }
    greeting_ = *greeting;
    return absl::OkStatus();
  }
  if (!greeting_.has_value()) {
    return absl::DataLossError("malformed QMP: no greeting first");
  }
  if (const auto* event = std::get_if<QmpEvent>(&message)) {
    Dispatch(*event);
    return absl::OkStatus();
  }
  std::optional<uint64_t> id;
  if (const auto* reply = std::get_if<QmpReply>(&message)) id = reply->id;
  if (const auto* rejection = std::get_if<QmpRejection>(&message)) {
    id = rejection->id;
  }
  return TakeAnswer(id, std::move(message));
}

absl::Status QmpSocketClient::TakeAnswer(std::optional<uint64_t> id,
                                         QmpMessage message) {
  if (id.has_value() && abandoned_.erase(*id) > 0) return absl::OkStatus();
  const auto waiting = id.has_value() ? pending_.find(*id) : pending_.end();
  if (waiting == pending_.end() || waiting->second.has_value()) {
    return absl::DataLossError("malformed QMP: an answer to no question");
  }
  waiting->second = std::move(message);
  return absl::OkStatus();
}

void QmpSocketClient::Dispatch(const QmpEvent& event) {
  for (const std::weak_ptr<QmpEventQueue>& weak : queues_) {
    if (const std::shared_ptr<QmpEventQueue> queue = weak.lock()) {
      queue->Put(event);
    }
  }
}

void QmpSocketClient::Die(const absl::Status& reason) {
  // Wakes the reader and a sender; the descriptor closes with the object.
  shutdown(socket_.get(), SHUT_RDWR);
  absl::MutexLock lock(&mutex_);
  if (dead_.ok()) dead_ = reason;
  const absl::Status closed = absl::UnavailableError(dead_.message());
  for (const std::weak_ptr<QmpEventQueue>& weak : queues_) {
    if (const std::shared_ptr<QmpEventQueue> queue = weak.lock()) {
      queue->Close(closed);
    }
  }
  queues_.clear();
}

}  // namespace podvisor
