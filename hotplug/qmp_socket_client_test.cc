#include "hotplug/qmp_socket_client.h"

#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <filesystem>
#include <functional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "base/unique_fd.h"
#include "gtest/gtest.h"

namespace podvisor {
namespace {

constexpr char kGreeting[] =
    R"({"QMP": {"version": {"qemu": {"micro": 1, "minor": 2, "major": 7}}}})"
    "\n";

absl::Time Soon() { return absl::Now() + absl::Seconds(20); }
// For waits that are meant to fail.
absl::Time AlmostNow() { return absl::Now() + absl::Milliseconds(50); }

std::pair<UniqueFd, UniqueFd> SocketPair() {
  int fds[2] = {-1, -1};
  EXPECT_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
  return {UniqueFd(fds[0]), UniqueFd(fds[1])};
}

// QEMU's end of the socket, word by word.
class Peer {
 public:
  explicit Peer(UniqueFd socket) : socket_(std::move(socket)) {}

  void Say(absl::string_view text) {
    while (!text.empty()) {
      const ssize_t sent =
          send(socket_.get(), text.data(), text.size(), MSG_NOSIGNAL);
      if (sent <= 0) return;  // the client hung up, as it may
      text.remove_prefix(sent);
    }
  }

  // One line, or "" at the end; a descriptor that comes with it is kept.
  std::string Hear() {
    std::string line;
    char c = 0;
    while (true) {
      iovec piece = {&c, 1};
      alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int))];
      msghdr message = {};
      message.msg_iov = &piece;
      message.msg_iovlen = 1;
      message.msg_control = control;
      message.msg_controllen = sizeof(control);
      if (recvmsg(socket_.get(), &message, MSG_CMSG_CLOEXEC) <= 0) return "";
      for (cmsghdr* header = CMSG_FIRSTHDR(&message); header != nullptr;
           header = CMSG_NXTHDR(&message, header)) {
        int fd = -1;
        memcpy(&fd, CMSG_DATA(header), sizeof(fd));
        received_.Reset(fd);
      }
      if (c == '\n') return line;
      line.push_back(c);
    }
  }

  void Greet() {
    Say(kGreeting);
    EXPECT_TRUE(absl::StrContains(Hear(), "qmp_capabilities"));
    Say("{\"return\": {}, \"id\": 1}\r\n");
  }

  const UniqueFd& received() const { return received_; }
  void HangUp() { socket_.Reset(); }

 private:
  UniqueFd socket_;
  UniqueFd received_;
};

// A connected client and a thread that plays QEMU after the greeting.
class QmpSocketClientTest : public testing::Test {
 protected:
  void Start(std::function<void(Peer&)> script) {
    auto [ours, theirs] = SocketPair();
    qemu_ = std::jthread(
        [peer = Peer(std::move(theirs)), script = std::move(script)]() mutable {
          peer.Greet();
          script(peer);
        });
    auto client = QmpSocketClient::Adopt(std::move(ours), Soon());
    ASSERT_TRUE(client.ok()) << client.status();
    client_ = *std::move(client);
  }

  std::jthread qemu_;
  std::unique_ptr<QmpSocketClient> client_;  // first to go: ends the script
};

TEST_F(QmpSocketClientTest, ReturnsTheReplyAndKnowsTheVersion) {
  Start([](Peer& peer) {
    EXPECT_TRUE(absl::StrContains(peer.Hear(), R"("execute":"query-x")"));
    peer.Say(R"({"return": [1, 2], "id": 2})"
             "\n");
  });

  EXPECT_EQ(client_->Execute("query-x", R"({"a":1})", Soon()).value_or(""),
            "[1,2]");
  EXPECT_EQ(client_->version(), (QemuVersion{7, 2, 1}));
}

TEST_F(QmpSocketClientTest, TakesLinesInAnyPieces) {
  Start([](Peer& peer) {
    peer.Hear();
    for (const char c : std::string(R"({"return": 5, "id": 2})"
                                    "\n")) {
      peer.Say(absl::string_view(&c, 1));
    }
    peer.Hear();
    peer.Say(R"({"event": "STOP"})"
             "\n"
             R"({"return": 6, "id": 3})"
             "\n"
             R"({"event": "RESUME"})"
             "\n");
  });
  const auto events = client_->Subscribe({"STOP", "RESUME"});

  EXPECT_EQ(client_->Execute("a", "", Soon()).value_or(""), "5");
  EXPECT_EQ(client_->Execute("b", "", Soon()).value_or(""), "6");
  EXPECT_EQ(events->Next(Soon())->name, "STOP");
  EXPECT_EQ(events->Next(Soon())->name, "RESUME");
}

TEST_F(QmpSocketClientTest, NoEventIsLostBetweenCommandAndWait) {
  Start([](Peer& peer) {
    peer.Hear();
    peer.Say(R"({"event": "DEVICE_DELETED", "data": {"device": "cpu1"}})"
             "\n"
             R"({"event": "OTHER"})"
             "\n"
             R"({"return": {}, "id": 2})"
             "\n");
    peer.Hear();
  });
  const auto before = client_->Subscribe({"DEVICE_DELETED"});
  ASSERT_TRUE(client_->Execute("device_del", "", Soon()).ok());
  const auto after = client_->Subscribe({"DEVICE_DELETED"});

  EXPECT_EQ(before->Next(Soon())->device, "cpu1");
  EXPECT_TRUE(absl::IsDeadlineExceeded(before->Next(AlmostNow()).status()));
  EXPECT_TRUE(absl::IsDeadlineExceeded(after->Next(AlmostNow()).status()));
}

TEST_F(QmpSocketClientTest, OfAFloodOfEventsTheLastAreKept) {
  Start([](Peer& peer) {
    peer.Hear();
    for (int i = 0; i < 3000; ++i) {
      peer.Say(absl::StrCat(R"({"event":"E","data":{"id":"d)", i, "\"}}\n"));
    }
    peer.Say(R"({"return": {}, "id": 2})"
             "\n");
    peer.Hear();
  });
  const auto events = client_->Subscribe({"E"});
  ASSERT_TRUE(client_->Execute("x", "", Soon()).ok());

  EXPECT_EQ(events->Next(Soon())->device, "d1976");  // 3000 - 1024
}

TEST_F(QmpSocketClientTest, ALateReplyIsDroppedAndTheNextCommandWorks) {
  Start([](Peer& peer) {
    peer.Hear();
    peer.Hear();
    peer.Say(R"({"return": "late", "id": 2})"
             "\n"
             R"({"return": "good", "id": 3})"
             "\n");
  });

  EXPECT_TRUE(absl::IsDeadlineExceeded(
      client_->Execute("slow", "", AlmostNow()).status()));
  EXPECT_EQ(client_->Execute("next", "", Soon()).value_or(""), "\"good\"");
}

TEST_F(QmpSocketClientTest, CommandsOfManyThreadsGetTheirOwnReplies) {
  Start([](Peer& peer) {
    for (std::string line; !(line = peer.Hear()).empty();) {
      const size_t id = line.find("\"id\":") + 5;
      const size_t n = line.find("\"n\":") + 4;
      peer.Say(absl::StrCat("{\"return\": ", line.substr(n, 4), ", \"id\": ",
                            line.substr(id, line.find('}', id) - id), "}\n"));
    }
  });

  std::vector<std::jthread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([this, t] {
      for (int i = 0; i < 200; ++i) {
        const int n = 1000 + t * 1000 + i;
        EXPECT_EQ(
            client_->Execute("echo", absl::StrCat("{\"n\":", n, "}"), Soon())
                .value_or(""),
            absl::StrCat(n));
      }
    });
  }
}

TEST_F(QmpSocketClientTest, ADescriptorTravelsWithItsCommand) {
  Start([](Peer& peer) {
    EXPECT_TRUE(absl::StrContains(peer.Hear(), "add-fd"));
    EXPECT_TRUE(peer.received().valid());
    char byte = 0;
    EXPECT_EQ(read(peer.received().get(), &byte, 1), 1);
    EXPECT_EQ(byte, '!');
    peer.Say(R"({"return": {"fdset-id": 0}, "id": 2})"
             "\n");
  });
  int pipe_fds[2] = {-1, -1};
  ASSERT_EQ(pipe2(pipe_fds, O_CLOEXEC), 0);
  const UniqueFd reader(pipe_fds[0]);
  const UniqueFd writer(pipe_fds[1]);
  ASSERT_EQ(write(writer.get(), "!", 1), 1);

  EXPECT_TRUE(client_->ExecuteWithFd("add-fd", "", reader.get(), Soon()).ok());
  EXPECT_GE(fcntl(reader.get(), F_GETFD), 0);  // still ours
}

TEST_F(QmpSocketClientTest, RejectionsKeepTheConnection) {
  Start([](Peer& peer) {
    peer.Hear();
    peer.Say(R"({"id": 2, "error": {"class": "DeviceNotFound", "desc": "x"}})"
             "\n");
    peer.Hear();
    peer.Say(R"({"return": {}, "id": 3})"
             "\n");
    peer.Hear();  // nothing: it stays until the client goes
  });

  EXPECT_TRUE(absl::IsNotFound(client_->Execute("a", "", Soon()).status()));
  EXPECT_TRUE(client_->Execute("b", "", Soon()).ok());
  EXPECT_TRUE(
      absl::IsInvalidArgument(client_->Execute("c", "[]", Soon()).status()));
}

TEST_F(QmpSocketClientTest, HangingUpEndsWaitsOfBothKinds) {
  Start([](Peer& peer) { peer.Hear(); });  // then it hangs up
  const auto events = client_->Subscribe({"SHUTDOWN"});

  EXPECT_TRUE(absl::IsUnavailable(
      client_->Execute("a", "", absl::InfiniteFuture()).status()));
  EXPECT_TRUE(
      absl::IsUnavailable(events->Next(absl::InfiniteFuture()).status()));
  EXPECT_TRUE(absl::IsUnavailable(client_->Execute("b", "", Soon()).status()));
  EXPECT_TRUE(absl::IsUnavailable(
      client_->Subscribe({"SHUTDOWN"})->Next(Soon()).status()));
}

TEST_F(QmpSocketClientTest, ASubscriptionMayOutliveItsClient) {
  Start([](Peer& peer) { peer.Hear(); });
  const auto events = client_->Subscribe({"SHUTDOWN"});
  client_.reset();

  EXPECT_TRUE(absl::IsUnavailable(events->Next(Soon()).status()));
}

TEST(QmpSocketClientSendTest, APeerThatStopsReadingCostsOnlyTheDeadline) {
  auto [ours, theirs] = SocketPair();
  Peer peer(std::move(theirs));
  std::jthread greeter([&peer] { peer.Greet(); });
  const auto client = QmpSocketClient::Adopt(std::move(ours), Soon());
  ASSERT_TRUE(client.ok()) << client.status();
  greeter.join();
  // More than the socket holds.
  const std::string large =
      absl::StrCat("{\"a\":\"", std::string(4 << 20, 'x'), "\"}");

  EXPECT_TRUE(absl::IsDeadlineExceeded(
      (*client)->Execute("a", large, AlmostNow()).status()));
  // Half a command is on the wire: nothing can follow it.
  EXPECT_TRUE(
      absl::IsUnavailable((*client)->Execute("b", "", Soon()).status()));
}

// Each of these is said instead of the reply to the first command.
class QmpNonsenseTest : public QmpSocketClientTest,
                        public testing::WithParamInterface<std::string> {};

TEST_P(QmpNonsenseTest, IsDataLossAndTheEndOfTheConnection) {
  Start([](Peer& peer) {
    peer.Hear();
    peer.Say(GetParam());
    peer.Hear();  // until the client hangs up
  });

  EXPECT_TRUE(absl::IsDataLoss(
      client_->Execute("a", "", absl::InfiniteFuture()).status()));
  EXPECT_TRUE(absl::IsUnavailable(client_->Execute("b", "", Soon()).status()));
}

INSTANTIATE_TEST_SUITE_P(
    All, QmpNonsenseTest,
    testing::Values("garbage\n", "\n", "[]\n", "\xff\n",
                    "{\"return\": {}, \"id\": 99}\n",
                    "{\"return\": {}, \"id\": 1}\n", "{\"return\": {}}\n",
                    "{\"error\": {\"class\": \"GenericError\"}}\n",
                    std::string(kGreeting), std::string((1 << 20) + 1, 'x'),
                    std::string(3 << 20, '{')));

TEST(QmpSocketClientGreetingTest, AGreetingThatNeverComesIsDeadlineExceeded) {
  auto [ours, theirs] = SocketPair();

  EXPECT_TRUE(absl::IsDeadlineExceeded(
      QmpSocketClient::Adopt(std::move(ours), AlmostNow()).status()));
}

TEST(QmpSocketClientGreetingTest, CapabilitiesThatNeverComeAreToo) {
  auto [ours, theirs] = SocketPair();
  Peer(UniqueFd(dup(theirs.get()))).Say(kGreeting);

  EXPECT_TRUE(absl::IsDeadlineExceeded(
      QmpSocketClient::Adopt(std::move(ours), AlmostNow()).status()));
}

TEST(QmpSocketClientGreetingTest, AnythingButAGreetingIsDataLoss) {
  for (const char* line : {"SSH-2.0-OpenSSH\r\n", "{\"event\": \"STOP\"}\n",
                           "{\"return\": {}, \"id\": 1}\n"}) {
    auto [ours, theirs] = SocketPair();
    Peer(UniqueFd(dup(theirs.get()))).Say(line);

    EXPECT_TRUE(absl::IsDataLoss(
        QmpSocketClient::Adopt(std::move(ours), Soon()).status()));
  }
}

TEST(QmpSocketClientConnectTest, NamesWhyThereIsNoConnection) {
  const std::string dir = testing::TempDir();
  EXPECT_TRUE(absl::IsNotFound(
      QmpSocketClient::Connect(dir + "/nosuch/qmp", Soon()).status()));
  EXPECT_TRUE(absl::IsNotFound(
      QmpSocketClient::Connect(dir + "/nosuch", Soon()).status()));
  EXPECT_TRUE(absl::IsInvalidArgument(
      QmpSocketClient::Connect(dir + "/", Soon()).status()));
}

TEST(QmpSocketClientConnectTest, ReachesASocketWhosePathIsTooLongForOne) {
  const std::string dir =
      absl::StrCat(testing::TempDir(), "/", std::string(64, 'a'));
  const std::string deep = absl::StrCat(dir, "/", std::string(64, 'b'));
  std::filesystem::create_directories(deep);
  // Bound under a short name, as a QEMU does that works in its directory.
  const UniqueFd parent(open(deep.c_str(), O_PATH | O_CLOEXEC));
  sockaddr_un address = {};
  address.sun_family = AF_UNIX;
  const std::string name = absl::StrCat("/proc/self/fd/", parent.get(), "/qmp");
  memcpy(address.sun_path, name.data(), name.size());
  const UniqueFd listener(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  ASSERT_EQ(bind(listener.get(), reinterpret_cast<sockaddr*>(&address),
                 sizeof(address)),
            0);
  EXPECT_TRUE(absl::IsUnavailable(
      QmpSocketClient::Connect(deep + "/qmp", Soon()).status()));
  ASSERT_EQ(listen(listener.get(), 1), 0);
  std::jthread qemu([&] {
    Peer peer(UniqueFd(accept(listener.get(), nullptr, nullptr)));
    peer.Greet();
  });

  const auto client = QmpSocketClient::Connect(deep + "/qmp", Soon());

  EXPECT_TRUE(client.ok()) << client.status();
  qemu.join();
  std::filesystem::remove_all(dir);
}

}  // namespace
}  // namespace podvisor
