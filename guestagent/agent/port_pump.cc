#include "guestagent/agent/port_pump.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <thread>
#include <utility>

#include "base/errno_status.h"
#include "base/log.h"
#include "base/status_macros.h"

namespace podvisor {
namespace {

// One read of the port gives at most one queue buffer of 4 KiB. Handing the
// gathered bytes to gRPC in one piece more than doubles the throughput.
constexpr size_t kPortBuffer = 4096;
constexpr size_t kGather = 64 << 10;
// An edge that got lost is made up for within this time.
constexpr std::chrono::milliseconds kRecheck{5'000};
constexpr std::chrono::milliseconds kReopenPause{100};
// How often one direction may go on before the other has its turn.
constexpr int kRounds = 8;

bool WouldBlock(ssize_t result) { return result < 0 && errno == EAGAIN; }

short PollNow(int fd, short events) {
  pollfd entry = {.fd = fd, .events = events, .revents = 0};
  return poll(&entry, 1, 0) > 0 ? entry.revents : 0;
}

}  // namespace

PortPump::PortPump(PortPumpOptions options)
    : options_(std::move(options)),
      epoll_(epoll_create1(EPOLL_CLOEXEC)),
      stop_event_(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {}

void PortPump::Stop() {
  const uint64_t one = 1;
  if (write(stop_event_.get(), &one, sizeof(one)) < 0) return;  // Set already.
}

absl::Status PortPump::Run() {
  epoll_event event = {.events = EPOLLIN, .data = {.fd = stop_event_.get()}};
  if (epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, stop_event_.get(), &event) != 0) {
    return ErrnoStatus(errno, "epoll");
  }
  while (!stopped_) {
    if (!port_.valid()) {
      const absl::Status opened = OpenPort();
      if (!opened.ok()) {
        Log(LogLevel::kError, "agent port", {{"error", opened.message()}});
        std::this_thread::sleep_for(kReopenPause);
        if (PollNow(stop_event_.get(), POLLIN) != 0) break;
        continue;
      }
    }
    bool more = true;
    for (int round = 0; more && round < kRounds; ++round) {
      more = PumpPortToSession();
      more = PumpSessionToPort() || more;
    }
    CheckTimeouts();
    if (!more && port_.valid()) RETURN_IF_ERROR(Wait());
  }
  EndSession();
  port_.Reset();
  return absl::OkStatus();
}

absl::Status PortPump::OpenPort() {
  ASSIGN_OR_RETURN(port_, options_.open_port());
  epoll_event event = {.events = EPOLLIN | EPOLLOUT | EPOLLET,
                       .data = {.fd = port_.get()}};
  if (epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, port_.get(), &event) != 0) {
    port_.Reset();
    return ErrnoStatus(errno, "epoll");
  }
  port_readable_ = port_writable_ = true;
  hung_up_since_.reset();
  return absl::OkStatus();
}

absl::Status PortPump::Wait() {
  SteadyClock::time_point until = SteadyClock::now() + kRecheck;
  if (ack_left_ > 0) until = std::min(until, ack_since_ + options_.ack_timeout);
  if (hung_up_since_.has_value()) {
    until = std::min(until, *hung_up_since_ + options_.hang_up_timeout);
  }
  if (!to_session_.empty()) {
    until = std::min(until, stalled_since_ + options_.stall_timeout);
  }
  const auto left =
      std::chrono::ceil<std::chrono::milliseconds>(until - SteadyClock::now());
  std::array<epoll_event, 3> events;
  const int count =
      epoll_wait(epoll_.get(), events.data(), events.size(),
                 static_cast<int>(std::max<int64_t>(left.count(), 0)));
  if (count < 0 && errno != EINTR) return ErrnoStatus(errno, "epoll_wait");
  if (count <= 0) {
    // Time to look at everything again, whatever edges were seen.
    port_readable_ = port_writable_ = true;
    session_readable_ = session_writable_ = session_.valid();
    return absl::OkStatus();
  }
  for (int i = 0; i < count; ++i) {
    const int fd = events[i].data.fd;
    if (fd == stop_event_.get()) {
      stopped_ = true;
    } else if (fd == port_.get()) {
      // Every event of the port may mean anything: order is not kept between
      // its data and its events.
      port_readable_ = port_writable_ = true;
    } else if (fd == session_.get()) {
      session_readable_ = session_writable_ = true;
    }
  }
  return absl::OkStatus();
}

bool PortPump::PumpPortToSession() {
  if (!port_.valid()) return false;
  ReadPort();
  FlushToSession();
  return port_readable_ && to_session_.size() + kPortBuffer <= kGather;
}

void PortPump::ReadPort() {
  std::array<char, kPortBuffer> buffer;
  while (port_readable_ && to_session_.size() + buffer.size() <= kGather) {
    const ssize_t size = read(port_.get(), buffer.data(), buffer.size());
    if (size > 0) {
      OnPortBytes(absl::string_view(buffer.data(), size));
      continue;
    }
    if (size < 0 && errno == EINTR) continue;
    port_readable_ = false;
    if (size == 0) {
      if (!hung_up_since_.has_value()) hung_up_since_ = SteadyClock::now();
    } else if (errno != EAGAIN) {
      Log(LogLevel::kError, "agent port is lost", {{"error", strerror(errno)}});
      EndSession();
      port_.Reset();
      std::this_thread::sleep_for(kReopenPause);
    }
    return;
  }
}

size_t PortPump::FindHello(absl::string_view bytes) const {
  // The first HELLO teaches the secret: no container exists yet. QEMU puts the
  // first bytes of a connection at the start of a queue buffer.
  if (!secret_.has_value()) {
    return MatchChannelHello(bytes).has_value() ? 0 : absl::string_view::npos;
  }
  return FindChannelHello(bytes, *secret_);
}

void PortPump::OnPortBytes(absl::string_view bytes) {
  for (size_t at = FindHello(bytes); at != absl::string_view::npos;
       at = FindHello(bytes)) {
    const std::optional<ChannelHello> hello =
        MatchChannelHello(bytes.substr(at));
    bytes.remove_prefix(at + kChannelHelloSize);
    StartSession(*hello);
  }
  if (!session_.valid()) return;
  if (to_session_.empty()) stalled_since_ = SteadyClock::now();
  to_session_.append(bytes.data(), bytes.size());
}

void PortPump::FlushToSession() {
  size_t sent = 0;
  while (session_.valid() && session_writable_ && sent < to_session_.size()) {
    const ssize_t size =
        send(session_.get(), to_session_.data() + sent,
             to_session_.size() - sent, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (size > 0) {
      sent += size;
    } else if (WouldBlock(size)) {
      session_writable_ = false;
    } else {
      EndSession();  // gRPC closed its end.
      return;
    }
  }
  if (sent > 0) {
    to_session_.erase(0, sent);
    stalled_since_ = SteadyClock::now();
  }
}

bool PortPump::PumpSessionToPort() {
  FlushToPort();
  if (!session_.valid() || !session_readable_ || !to_port_.empty()) {
    return port_.valid() && port_writable_ && !to_port_.empty();
  }
  to_port_.resize(kGather);
  const ssize_t size =
      recv(session_.get(), to_port_.data(), to_port_.size(), MSG_DONTWAIT);
  const bool would_block = WouldBlock(size);
  to_port_.resize(std::max<ssize_t>(size, 0));
  if (would_block) {
    session_readable_ = false;
    return false;
  }
  if (size <= 0) {
    EndSession();  // gRPC closed its end; the host waits for nothing more.
    return false;
  }
  FlushToPort();
  return true;
}

void PortPump::FlushToPort() {
  size_t sent = 0;
  while (port_.valid() && port_writable_ && sent < to_port_.size()) {
    const ssize_t size =
        write(port_.get(), to_port_.data() + sent, to_port_.size() - sent);
    if (size > 0) {
      sent += size;
    } else if (size < 0 && errno == EINTR) {
      continue;
    } else {
      // EAGAIN, also while no host is connected; the reader finds out about
      // a device that is gone.
      port_writable_ = false;
    }
  }
  to_port_.erase(0, sent);
  ack_left_ -= std::min(ack_left_, sent);
}

void PortPump::StartSession(const ChannelHello& hello) {
  EndSession();
  secret_ = hello.secret;
  hung_up_since_.reset();
  const auto ack = EncodeChannelAck({.nonce = hello.nonce});
  to_port_.assign(ack.data(), ack.size());
  ack_left_ = ack.size();
  ack_since_ = SteadyClock::now();
  port_writable_ = true;
  FlushToPort();
  // The ACK has told the host which version this is.
  if (hello.version != kChannelVersion) return;

  int ends[2];
  if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0,
                 ends) != 0) {
    Log(LogLevel::kError, "session", {{"error", strerror(errno)}});
    return;
  }
  session_.Reset(ends[0]);
  UniqueFd server_end(ends[1]);
  epoll_event event = {.events = EPOLLIN | EPOLLOUT | EPOLLET | EPOLLRDHUP,
                       .data = {.fd = session_.get()}};
  if (epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, session_.get(), &event) != 0) {
    Log(LogLevel::kError, "session", {{"error", strerror(errno)}});
    session_.Reset();
    return;
  }
  session_readable_ = session_writable_ = true;
  options_.on_session(std::move(server_end));
}

void PortPump::EndSession() {
  session_.Reset();  // Also takes it out of epoll.
  session_readable_ = session_writable_ = false;
  to_session_.clear();
  to_port_.clear();
  ack_left_ = 0;
}

void PortPump::CheckTimeouts() {
  const SteadyClock::time_point now = SteadyClock::now();
  if (!port_.valid()) return;
  if (hung_up_since_.has_value()) {
    if ((PollNow(port_.get(), POLLIN) & POLLHUP) == 0) {
      hung_up_since_.reset();
    } else if (now - *hung_up_since_ >= options_.hang_up_timeout) {
      hung_up_since_.reset();
      EndSession();
    }
  }
  if (!to_session_.empty() && now - stalled_since_ >= options_.stall_timeout) {
    // The server does not read; a HELLO behind these bytes must be found.
    EndSession();
  }
  if (ack_left_ > 0 && now - ack_since_ >= options_.ack_timeout) {
    const short events = PollNow(port_.get(), POLLOUT);
    if ((events & (POLLOUT | POLLHUP)) == 0) {
      Rebind();
    } else {
      port_writable_ = true;
    }
    ack_since_ = SteadyClock::now();
  }
}

void PortPump::Rebind() {
  Log(LogLevel::kWarning, "agent port is stuck, resetting its device");
  port_.Reset();
  const absl::Status rebound = options_.rebind_port();
  if (!rebound.ok()) {
    Log(LogLevel::kError, "rebind", {{"error", rebound.message()}});
  }
}

}  // namespace podvisor
