#include "cri/streaming/stream_server.h"

#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/synchronization/notification.h"
#include "cri/streaming/spdy_test_client.h"
#include "cri/streaming/stream_server_fixture.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace podvisor {
namespace {

using testing::HasSubstr;
using testing::StartsWith;
using Client = SpdyTestClient;
using Kind = StreamPeer::Input::Kind;

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
