#include "cri/streaming/stream_server.h"

#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>

#include <atomic>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "absl/synchronization/mutex.h"
#include "absl/synchronization/notification.h"
#include "base/clock.h"
#include "base/unique_fd.h"
#include "cri/streaming/big_endian.h"
#include "cri/streaming/spdy_headers.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace podvisor {
namespace {

using testing::HasSubstr;
using testing::StartsWith;
using Kind = StreamPeer::Input::Kind;

constexpr int kPatienceMillis = 20'000;

// A guest that is what the test says.
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
absl::StatusOr<int> Echo(StreamPeer* peer) {
  for (;;) {
    const StreamPeer::Input input = peer->NextInput();
    if (input.kind == Kind::kEndOfData) return 0;
    if (input.kind != Kind::kData) return absl::CancelledError("gone");
    const absl::Status taken = peer->TakeOutput(false, input.data);
    if (!taken.ok()) return taken;
  }
}

// A client that speaks as kubelet does, one thread, raw bytes.
class Client {
 public:
  explicit Client(const std::string& address)
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

  void Say(absl::string_view bytes) {
    while (!bytes.empty()) {
      const ssize_t count =
          send(socket_.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL);
      ASSERT_GT(count, 0);
      bytes.remove_prefix(static_cast<size_t>(count));
    }
  }

  // False at the end of the connection.
  bool Hear() {
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

  // Posts for `url` and upgrades; the answer's head.
  std::string Upgrade(const std::string& url, const std::string& protocol,
                      const std::string& more = "") {
    const size_t path = url.find('/', strlen("http://"));
    Say(absl::StrCat("POST ", url.substr(path), " HTTP/1.1\r\nHost: h\r\n",
                     "Connection: Upgrade\r\nUpgrade: SPDY/3.1\r\n",
                     "X-Stream-Protocol-Version: ", protocol, "\r\n",
                     "Content-Length: 0\r\n", more, "\r\n"));
    return HearHead();
  }

  void Open(uint32_t stream, const SpdyHeaders& headers) {
    std::string body;
    AppendBigEndian32(stream, &body);
    AppendBigEndian32(0, &body);
    body.append(2, '\0');
    body += writer_.Write(headers);
    std::string frame;
    AppendBigEndian32(0x80030001, &frame);
    AppendBigEndian32(static_cast<uint32_t>(body.size()), &frame);
    Say(frame + body);
  }

  void Data(uint32_t stream, absl::string_view data, bool last = false) {
    std::string frame;
    AppendBigEndian32(stream, &frame);
    AppendBigEndian32(
        (last ? 0x01000000u : 0u) | static_cast<uint32_t>(data.size()), &frame);
    Say(absl::StrCat(frame, data));
  }

  void Abort(uint32_t stream) {
    std::string frame;
    for (const uint32_t word : {0x80030003u, 8u, stream, 5u}) {
      AppendBigEndian32(word, &frame);
    }
    Say(frame);
  }

  void Close() { socket_.Reset(); }

  // Takes frames until `stream` is closed or the connection is; what its
  // streams carried.
  const std::map<uint32_t, std::string>& HearUntilEndOf(uint32_t stream) {
    while (!closed_[stream]) {
      if (TakeFrame()) continue;
      if (!Hear()) break;
    }
    return carried_;
  }

  // Takes frames until `stream` has carried so much.
  std::string HearData(uint32_t stream, size_t bytes) {
    while (carried_[stream].size() < bytes) {
      if (!TakeFrame() && !Hear()) break;
    }
    return carried_[stream];
  }

 private:
  bool TakeFrame() {
    if (heard_.size() < 8) return false;
    const uint32_t first = ReadBigEndian32(heard_);
    const uint32_t second = ReadBigEndian32(heard_, 4);
    const size_t length = second & 0xffffff;
    if (heard_.size() < 8 + length) return false;
    if (first >> 31 == 0) {
      carried_[first] += heard_.substr(8, length);
      if ((second >> 24 & 1) != 0) closed_[first] = true;
    } else if ((first & 0xffff) == 3) {
      closed_[ReadBigEndian32(heard_, 8)] = true;
    }
    heard_.erase(0, 8 + length);
    return true;
  }

  UniqueFd socket_;
  std::string heard_;
  SpdyHeaderWriter writer_;
  std::map<uint32_t, std::string> carried_;
  std::map<uint32_t, bool> closed_;
};

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
  std::string ForwardUrl() {
    return *server_->UrlFor(PortForwardRequest{PodId(std::string(64, 'b'))});
  }

  ScriptedBackend backend_;
  SystemClock clock_;
  std::unique_ptr<StreamServer> server_;
};

TEST_F(StreamServerTest, CarriesStandardInputToTheCommandAndItsOutputBack) {
  backend_.script = Echo;
  Start();
  Client client(server_->address());

  EXPECT_THAT(client.Upgrade(ExecUrl({.in = true, .out = true}),
                             "v5.channel.k8s.io, v4.channel.k8s.io"),
              HasSubstr("X-Stream-Protocol-Version: v4.channel.k8s.io"));
  client.Open(1, {{"streamtype", "error"}});
  client.Open(3, {{"streamtype", "stdin"}});
  client.Open(5, {{"streamtype", "stdout"}});
  client.Data(3, "hello ");
  client.Data(3, "world", true);

  const auto carried = client.HearUntilEndOf(1);
  EXPECT_EQ(carried.at(5), "hello world");
  EXPECT_THAT(carried.at(1), HasSubstr("\"Success\""));
}

TEST_F(StreamServerTest, TellsTheExitCode) {
  backend_.script = [](StreamPeer* peer) -> absl::StatusOr<int> {
    EXPECT_TRUE(peer->TakeOutput(true, "no\n").ok());
    return 7;
  };
  Start();
  Client client(server_->address());
  client.Upgrade(ExecUrl({.out = true, .err = true}), "v4.channel.k8s.io");
  client.Open(1, {{"streamtype", "error"}});
  client.Open(3, {{"streamtype", "stdout"}});
  client.Open(5, {{"streamtype", "stderr"}});

  const auto carried = client.HearUntilEndOf(1);

  EXPECT_EQ(carried.at(5), "no\n");
  EXPECT_THAT(carried.at(1), HasSubstr("\"message\":\"7\""));
}

TEST_F(StreamServerTest, HangsUpOnTheCommandWhenItsClientLeaves) {
  absl::Notification gone;
  absl::Notification started;
  backend_.script = [&](StreamPeer* peer) -> absl::StatusOr<int> {
    started.Notify();
    EXPECT_EQ(peer->NextInput().kind, Kind::kGone);
    gone.Notify();
    return absl::CancelledError("");
  };
  Start();
  Client client(server_->address());
  client.Upgrade(ExecUrl({.out = true}), "v4.channel.k8s.io");
  client.Open(1, {{"streamtype", "error"}});
  client.Open(3, {{"streamtype", "stdout"}});
  started.WaitForNotification();

  client.Close();

  EXPECT_TRUE(gone.WaitForNotificationWithTimeout(absl::Seconds(20)));
}

TEST_F(StreamServerTest, EndsWhileACommandRuns) {
  absl::Notification started;
  backend_.script = [&](StreamPeer* peer) -> absl::StatusOr<int> {
    started.Notify();
    EXPECT_EQ(peer->NextInput().kind, Kind::kGone);
    return absl::CancelledError("");
  };
  Start();
  Client client(server_->address());
  client.Upgrade(ExecUrl({.out = true}), "v4.channel.k8s.io");
  client.Open(1, {{"streamtype", "error"}});
  client.Open(3, {{"streamtype", "stdout"}});
  started.WaitForNotification();

  server_.reset();

  EXPECT_THAT(client.HearUntilEndOf(1).at(1), HasSubstr("podvisord ends"));
}

// More than waits anywhere for a guest that takes none of it.
constexpr size_t kTooMuch = 600 << 10;

TEST_F(StreamServerTest, HangsUpOnACommandThatTakesNoInput) {
  absl::Notification started;
  absl::Notification gone;
  backend_.script = [&](StreamPeer* peer) -> absl::StatusOr<int> {
    peer->OnGone([&] { gone.Notify(); });
    started.Notify();
    gone.WaitForNotification();
    return absl::CancelledError("");
  };
  Start();
  Client client(server_->address());
  client.Upgrade(ExecUrl({.in = true}), "v4.channel.k8s.io");
  client.Open(1, {{"streamtype", "error"}});
  client.Open(3, {{"streamtype", "stdin"}});
  client.Data(3, std::string(kTooMuch, 'x'));
  started.WaitForNotification();

  client.Close();

  EXPECT_TRUE(gone.WaitForNotificationWithTimeout(absl::Seconds(20)));
}

TEST_F(StreamServerTest, EndsThoughNobodyTakesItsClientsInput) {
  absl::Notification started;
  absl::Notification gone;
  backend_.script = [&](StreamPeer* peer) -> absl::StatusOr<int> {
    peer->OnGone([&] { gone.Notify(); });
    started.Notify();
    gone.WaitForNotification();
    return absl::CancelledError("");
  };
  Start();
  Client client(server_->address());
  client.Upgrade(ExecUrl({.in = true}), "v4.channel.k8s.io");
  client.Open(1, {{"streamtype", "error"}});
  client.Open(3, {{"streamtype", "stdin"}});
  client.Data(3, std::string(kTooMuch, 'x'));
  started.WaitForNotification();

  const absl::Time begin = clock_.Now();
  server_.reset();

  EXPECT_LT(clock_.Now() - begin, absl::Seconds(20));
}

TEST_F(StreamServerTest, TellsWhyACommandFailedThoughItsInputIsNotTaken) {
  absl::Notification full;
  backend_.script = [&](StreamPeer*) -> absl::StatusOr<int> {
    full.WaitForNotification();
    return absl::NotFoundError("no such container");
  };
  Start();
  Client client(server_->address());
  client.Upgrade(ExecUrl({.in = true}), "v4.channel.k8s.io");
  client.Open(1, {{"streamtype", "error"}});
  client.Open(3, {{"streamtype", "stdin"}});
  client.Data(3, std::string(kTooMuch, 'x'));
  full.Notify();

  EXPECT_THAT(client.HearUntilEndOf(1).at(1), HasSubstr("no such container"));
  while (client.Hear()) {
  }
}

TEST_F(StreamServerTest, RefusesATokenThatWasUsed) {
  Start();
  const std::string url = ExecUrl({.out = true});
  Client first(server_->address());
  EXPECT_THAT(first.Upgrade(url, "v4.channel.k8s.io"),
              StartsWith("HTTP/1.1 101"));

  Client second(server_->address());

  EXPECT_THAT(second.Upgrade(url, "v4.channel.k8s.io"),
              StartsWith("HTTP/1.1 404"));
  EXPECT_FALSE(second.Hear() && second.Hear());  // body, then the end
}

TEST_F(StreamServerTest, RefusesAnotherOriginAndKeepsTheToken) {
  Start();
  const std::string url = ExecUrl({.out = true});
  Client page(server_->address());
  EXPECT_THAT(page.Upgrade(url, "v4.channel.k8s.io", "Origin: http://evil\r\n"),
              StartsWith("HTTP/1.1 403"));

  Client client(server_->address());
  EXPECT_THAT(client.Upgrade(url, "v4.channel.k8s.io"),
              StartsWith("HTTP/1.1 101"));
}

TEST_F(StreamServerTest, ForwardsConnectionsSideBySide) {
  backend_.script = Echo;
  Start();
  Client client(server_->address());
  client.Upgrade(ForwardUrl(), "portforward.k8s.io");
  for (uint32_t pair = 0; pair < 3; ++pair) {
    for (const uint32_t stream : {pair * 4 + 1, pair * 4 + 3}) {
      client.Open(stream, {{"streamtype", stream % 4 == 1 ? "error" : "data"},
                           {"port", "8080"},
                           {"requestid", absl::StrCat(pair)}});
    }
  }
  client.Data(3, "one");
  client.Data(7, "two");
  client.Data(11, "three", true);

  EXPECT_EQ(client.HearUntilEndOf(11).at(11), "three");
  EXPECT_EQ(client.HearData(3, 3), "one");
  EXPECT_EQ(client.HearData(7, 3), "two");
  EXPECT_EQ(backend_.last_port, 8080);
}

// client-go does so once it has heard all, and takes any word on the error
// stream for a reason to give up the connections beside this one.
TEST_F(StreamServerTest, SaysNothingOfAForwardThatItsClientHasAborted) {
  backend_.script = [](StreamPeer* peer) -> absl::StatusOr<int> {
    EXPECT_TRUE(peer->TakeOutput(false, "all").ok());
    EXPECT_TRUE(peer->TakeOutput(false, "").ok());
    EXPECT_EQ(peer->NextInput().kind, Kind::kGone);
    return absl::CancelledError("the peer has left");
  };
  Start();
  Client client(server_->address());
  client.Upgrade(ForwardUrl(), "portforward.k8s.io");
  client.Open(1, {{"streamtype", "error"}, {"port", "80"}, {"requestid", "0"}});
  client.Open(3, {{"streamtype", "data"}, {"port", "80"}, {"requestid", "0"}});
  EXPECT_EQ(client.HearUntilEndOf(3).at(3), "all");

  client.Abort(3);

  EXPECT_EQ(client.HearUntilEndOf(1).count(1), 1u) << "closed, not broken off";
  EXPECT_EQ(client.HearUntilEndOf(1).at(1), "");
}

TEST_F(StreamServerTest, TellsOnTheErrorStreamThatNobodyListens) {
  backend_.script = [](StreamPeer*) -> absl::StatusOr<int> {
    return absl::FailedPreconditionError("port 81: refused");
  };
  Start();
  Client client(server_->address());
  client.Upgrade(ForwardUrl(), "portforward.k8s.io");
  client.Open(1, {{"streamtype", "error"}, {"port", "81"}, {"requestid", "0"}});
  client.Open(3, {{"streamtype", "data"}, {"port", "81"}, {"requestid", "0"}});

  EXPECT_EQ(client.HearUntilEndOf(1).at(1), "port 81: refused");
}

TEST_F(StreamServerTest, ClosesOnWhatIsNoRequest) {
  Start();
  for (const std::string& bad :
       {std::string("nonsense\r\n\r\n"), std::string(32 << 10, 'a'),
        std::string("GET /exec/x HTTP/1.1\r\nContent-Length: 1\r\n"
                    "Content-Length: 2\r\n\r\n"),
        std::string("GET /exec/x HTTP/1.1\r\nContent-Length: 5\r\n\r\nabcde"),
        std::string("GET / HTTP/1.1\r\nHost: h\r\n\r\n")}) {
    Client client(server_->address());
    client.Say(bad);
    EXPECT_THAT(client.HearHead(), StartsWith("HTTP/1.1 40")) << bad;
  }
}

TEST_F(StreamServerTest, ClosesAConnectionThatAsksForNothing) {
  StreamServerOptions options;
  options.request = absl::Milliseconds(20);
  Start(options);
  Client client(server_->address());

  EXPECT_THAT(client.HearHead(), StartsWith("HTTP/1.1 400"));
}

TEST_F(StreamServerTest, ClosesAConnectionWithoutItsStreams) {
  StreamServerOptions options;
  options.creation = absl::Milliseconds(20);
  Start(options);
  Client client(server_->address());
  client.Upgrade(ExecUrl({.out = true}), "v4.channel.k8s.io");

  EXPECT_FALSE(client.Hear());
}

}  // namespace
}  // namespace podvisor
