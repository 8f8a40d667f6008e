#include "guestagent/client/channel_peer.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <utility>

namespace podvisor {
namespace {

// A test's set-up that fails is a bug of the test.
void Require(bool condition) {
  if (!condition) std::abort();
}

void WaitFor(int fd, short events) {
  pollfd polled = {fd, events, 0};
  poll(&polled, 1, -1);
}

// False at the end of the connection, with what came before it in `hello`.
bool ReadHello(int fd, std::string* hello) {
  while (hello->size() < kChannelHelloSize) {
    std::array<char, kChannelHelloSize> buffer;
    const ssize_t got =
        recv(fd, buffer.data(), kChannelHelloSize - hello->size(), 0);
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) return false;
    hello->append(buffer.data(), static_cast<size_t>(got));
  }
  return true;
}

}  // namespace

ChannelPeer::ChannelPeer(Script script)
    : script_(std::move(script)),
      directory_("/tmp/podvisor-peer-XXXXXX"),
      stop_(eventfd(0, EFD_CLOEXEC)) {
  // Not in TEST_TMPDIR, which may be longer than a socket's path.
  Require(mkdtemp(directory_.data()) != nullptr);
  path_ = directory_ + "/agent.sock";
  listener_.Reset(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_un address = {};
  address.sun_family = AF_UNIX;
  std::memcpy(address.sun_path, path_.data(), path_.size());
  Require(bind(listener_.get(), reinterpret_cast<sockaddr*>(&address),
               sizeof(address)) == 0);
  Require(listen(listener_.get(), 1) == 0);
  thread_ = std::thread([this] { Serve(); });
}

ChannelPeer::~ChannelPeer() {
  Stop();
  thread_.join();
  unlink(path_.c_str());
  rmdir(directory_.c_str());
}

std::vector<ChannelSecret> ChannelPeer::secrets() const {
  absl::MutexLock lock(&mutex_);
  return secrets_;
}

int ChannelPeer::throw_away_connections() const {
  absl::MutexLock lock(&mutex_);
  return throw_away_;
}

void ChannelPeer::CloseConnection() {
  absl::MutexLock lock(&mutex_);
  if (serving_.valid()) shutdown(serving_.get(), SHUT_RDWR);
}

void ChannelPeer::Stop() {
  {
    absl::MutexLock lock(&mutex_);
    stopped_ = true;
  }
  shutdown(listener_.get(), SHUT_RDWR);
  const uint64_t one = 1;
  Require(write(stop_.get(), &one, sizeof(one)) == sizeof(one));
  CloseConnection();
}

void ChannelPeer::Serve() {
  int number = 0;
  while (true) {
    pollfd polled[2] = {{listener_.get(), POLLIN, 0}, {stop_.get(), POLLIN, 0}};
    poll(polled, 2, -1);
    if (polled[1].revents != 0) return;
    UniqueFd fd(accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC));
    if (!fd.valid()) continue;
    {
      absl::MutexLock lock(&mutex_);
      if (stopped_) return;
      serving_.Reset(fcntl(fd.get(), F_DUPFD_CLOEXEC, 0));
    }
    std::string bytes;
    const bool whole = ReadHello(fd.get(), &bytes);
    if (!whole && bytes.empty()) {
      absl::MutexLock lock(&mutex_);
      ++throw_away_;
    }
    const auto hello = MatchChannelHello(bytes);
    if (whole && hello.has_value()) {
      {
        absl::MutexLock lock(&mutex_);
        secrets_.push_back(hello->secret);
      }
      script_(++number, std::move(fd), *hello);
    }
    absl::MutexLock lock(&mutex_);
    if (serving_.valid()) shutdown(serving_.get(), SHUT_RDWR);
    serving_.Reset();
  }
}

bool SendBytes(int fd, absl::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t sent = send(fd, bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (sent < 0 && errno == EAGAIN) {
      WaitFor(fd, POLLOUT);
      continue;
    }
    if (sent < 0 && errno == EINTR) continue;
    if (sent <= 0) return false;
    bytes.remove_prefix(static_cast<size_t>(sent));
  }
  return true;
}

bool SendAck(int fd, const ChannelHello& hello) {
  const auto ack = EncodeChannelAck({.nonce = hello.nonce});
  return SendBytes(fd, absl::string_view(ack.data(), ack.size()));
}

void ReadUntilClosed(int fd) {
  std::array<char, 4096> buffer;
  while (true) {
    const ssize_t got = recv(fd, buffer.data(), buffer.size(), 0);
    if (got < 0 && errno == EAGAIN) {
      WaitFor(fd, POLLIN);
      continue;
    }
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) return;
  }
}

}  // namespace podvisor
