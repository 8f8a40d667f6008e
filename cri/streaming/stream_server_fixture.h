#ifndef PODVISOR_CRI_STREAMING_STREAM_SERVER_FIXTURE_H_
#define PODVISOR_CRI_STREAMING_STREAM_SERVER_FIXTURE_H_

#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>

#include <atomic>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/string_view.h"
#include "base/clock.h"
#include "base/unique_fd.h"
#include "cri/streaming/stream_backend.h"
#include "cri/streaming/stream_request.h"
#include "cri/streaming/stream_server.h"
#include "gtest/gtest.h"

namespace podvisor {

// For tests of the streaming server: a guest that is what the test says.
class ScriptedBackend final : public StreamBackend {
 public:
  std::function<absl::StatusOr<int>(StreamPeer*)> script = [](StreamPeer*) {
    return 0;
  };

  absl::StatusOr<int> Exec(const ExecStreamRequest&,
                           StreamPeer* peer) override {
    return script(peer);
  }
  absl::StatusOr<int> Attach(const AttachStreamRequest&,
                             StreamPeer* peer) override {
    return script(peer);
  }
  absl::Status PortForward(const PodId&, uint16_t port,
                           StreamPeer* peer) override {
    last_port = port;
    return script(peer).status();
  }

  std::atomic<int> last_port{0};
};

// Sends back what it is sent, until the end of it.
inline absl::StatusOr<int> Echo(StreamPeer* peer) {
  for (;;) {
    using Kind = StreamPeer::Input::Kind;
    const StreamPeer::Input input = peer->NextInput();
    if (input.kind == Kind::kEndOfData) return 0;
    if (input.kind != Kind::kData) return absl::CancelledError("gone");
    const absl::Status taken = peer->TakeOutput(false, input.data);
    if (!taken.ok()) return taken;
  }
}

// A client's end of one connection, used by one thread.
class RawClient {
 public:
  explicit RawClient(const std::string& address)
      : socket_(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    int port = 0;
    EXPECT_TRUE(
        absl::SimpleAtoi(address.substr(address.rfind(':') + 1), &port));
    sockaddr_in to = {};
    to.sin_family = AF_INET;
    to.sin_port = htons(static_cast<uint16_t>(port));
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    EXPECT_EQ(
        connect(socket_.get(), reinterpret_cast<sockaddr*>(&to), sizeof(to)),
        0);
  }

  virtual ~RawClient() = default;

  virtual void Say(absl::string_view bytes) {
    while (!bytes.empty()) {
      const ssize_t count =
          send(socket_.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL);
      ASSERT_GT(count, 0);
      bytes.remove_prefix(static_cast<size_t>(count));
    }
  }

  // False at the end of the connection.
  virtual bool Hear() {
    pollfd polled = {socket_.get(), POLLIN, 0};
    EXPECT_GT(poll(&polled, 1, kPatienceMillis), 0) << "the server is silent";
    char piece[4096];
    const ssize_t count = recv(socket_.get(), piece, sizeof(piece), 0);
    if (count > 0) heard_.append(piece, static_cast<size_t>(count));
    return count > 0;
  }

  std::string HearHead() {
    size_t end = heard_.find("\r\n\r\n");
    while (end == std::string::npos && Hear()) end = heard_.find("\r\n\r\n");
    if (end == std::string::npos) return std::exchange(heard_, "");
    std::string head = heard_.substr(0, end);
    heard_.erase(0, end + 4);
    return head;
  }

  // The next so many.
  std::string HearBytes(size_t count) {
    while (heard_.size() < count && Hear()) {
    }
    std::string bytes = heard_.substr(0, count);
    heard_.erase(0, count);
    return bytes;
  }

  void Close() { socket_.Reset(); }

 protected:
  std::string heard_;

 private:
  static constexpr int kPatienceMillis = 20'000;

  UniqueFd socket_;
};

// The server between the two.
class StreamServerTest : public testing::Test {
 protected:
  void Start(StreamServerOptions options = {}) {
    absl::StatusOr<std::unique_ptr<StreamServer>> server =
        StreamServer::Start(options, &backend_, &clock_);
    ASSERT_TRUE(server.ok()) << server.status();
    server_ = *std::move(server);
  }

  std::string ExecUrl(ProcessStreams streams) {
    return *server_->UrlFor(
        ExecStreamRequest{ContainerId(std::string(64, 'a')), {"cat"}, streams});
  }
  std::string ForwardUrl(const std::vector<uint16_t>& ports = {}) {
    return *server_->UrlFor(
        PortForwardRequest{PodId(std::string(64, 'b')), ports});
  }

  ScriptedBackend backend_;
  SystemClock clock_;
  std::unique_ptr<StreamServer> server_;
};

}  // namespace podvisor

#endif  // PODVISOR_CRI_STREAMING_STREAM_SERVER_FIXTURE_H_
