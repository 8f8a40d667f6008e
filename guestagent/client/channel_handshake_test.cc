#include "guestagent/client/channel_handshake.h"

#include <fcntl.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <string>
#include <utility>

#include "base/clock.h"
#include "gtest/gtest.h"
#include "guestagent/client/channel_peer.h"

namespace podvisor {
namespace {

constexpr absl::string_view kFirstSessionBytes = "first bytes of HTTP/2";

class ChannelHandshakeTest : public testing::Test {
 protected:
  absl::StatusOr<AgentChannel> Open(
      const std::string& path, absl::Duration timeout = absl::Seconds(20)) {
    return OpenAgentChannel(path, secret_, clock_.Now() + timeout, options_,
                            clock_);
  }

  // The peer's session bytes are the next ones, whole.
  static void ExpectSessionFollows(const AgentChannel& channel) {
    ASSERT_TRUE(fcntl(channel.fd.get(), F_GETFL) & O_NONBLOCK);
    ASSERT_EQ(fcntl(channel.fd.get(), F_SETFL, 0), 0);
    std::string bytes(kFirstSessionBytes.size(), '\0');
    EXPECT_EQ(recv(channel.fd.get(), bytes.data(), bytes.size(), MSG_WAITALL),
              static_cast<ssize_t>(bytes.size()));
    EXPECT_EQ(bytes, kFirstSessionBytes);
  }

  // Everything that a good agent does after HELLO.
  static void Answer(int fd, const ChannelHello& hello) {
    if (SendAck(fd, hello) && SendBytes(fd, kFirstSessionBytes)) {
      ReadUntilClosed(fd);
    }
  }

  SystemClock clock_;
  HandshakeOptions options_;
  const AgentSecret secret_ = AgentSecret::Random();
};

TEST_F(ChannelHandshakeTest, FindsTheSessionBehindAThrowAwayConnection) {
  ChannelPeer peer([](int, UniqueFd fd, const ChannelHello& hello) {
    Answer(fd.get(), hello);
  });

  const absl::StatusOr<AgentChannel> channel = Open(peer.path());

  ASSERT_TRUE(channel.ok()) << channel.status();
  ExpectSessionFollows(*channel);
  EXPECT_EQ(channel->stale_bytes, 0u);
  EXPECT_GE(peer.throw_away_connections(), 1);
  EXPECT_EQ(peer.secrets().at(0), secret_.bytes());
}

TEST_F(ChannelHandshakeTest, DiscardsAPortFullOfStaleBytes) {
  constexpr size_t kStale = 2 << 20;  // the most that was ever seen
  options_.first_try_timeout = absl::Seconds(10);
  ChannelPeer peer([](int, UniqueFd fd, const ChannelHello& hello) {
    if (SendBytes(fd.get(), std::string(kStale, 'P'))) Answer(fd.get(), hello);
  });

  const absl::StatusOr<AgentChannel> channel = Open(peer.path());

  ASSERT_TRUE(channel.ok()) << channel.status();
  ExpectSessionFollows(*channel);
  EXPECT_EQ(channel->stale_bytes, kStale);
  EXPECT_EQ(channel->tries, 1);
}

TEST_F(ChannelHandshakeTest, LateAckOfAnEarlierTryIsDiscarded) {
  options_.first_try_timeout = absl::Milliseconds(20);
  ChannelHello first;
  ChannelPeer peer([&](int number, UniqueFd fd, const ChannelHello& hello) {
    if (number == 1) {
      first = hello;
      ReadUntilClosed(fd.get());
      return;
    }
    if (SendAck(fd.get(), first)) Answer(fd.get(), hello);
  });

  const absl::StatusOr<AgentChannel> channel = Open(peer.path());

  ASSERT_TRUE(channel.ok()) << channel.status();
  ExpectSessionFollows(*channel);
  EXPECT_EQ(channel->stale_bytes, kChannelAckSize);
  EXPECT_GE(channel->tries, 2);
}

TEST_F(ChannelHandshakeTest, AckMayArriveByteByByte) {
  ChannelPeer peer([](int, UniqueFd fd, const ChannelHello& hello) {
    const auto ack = EncodeChannelAck({.nonce = hello.nonce});
    bool sent = true;
    for (const char byte : ack) {
      sent = sent && SendBytes(fd.get(), absl::string_view(&byte, 1));
    }
    if (sent && SendBytes(fd.get(), kFirstSessionBytes)) {
      ReadUntilClosed(fd.get());
    }
  });

  const absl::StatusOr<AgentChannel> channel = Open(peer.path());

  ASSERT_TRUE(channel.ok()) << channel.status();
  ExpectSessionFollows(*channel);
}

TEST_F(ChannelHandshakeTest, SilenceEndsByTheDeadlineWithANewNonceForEachTry) {
  options_.first_try_timeout = absl::Milliseconds(5);
  std::vector<ChannelNonce> nonces;
  {
    ChannelPeer peer([&](int, UniqueFd fd, const ChannelHello& hello) {
      nonces.push_back(hello.nonce);
      ReadUntilClosed(fd.get());
    });

    const absl::Status status =
        Open(peer.path(), absl::Milliseconds(200)).status();

    EXPECT_TRUE(absl::IsDeadlineExceeded(status)) << status;
  }
  ASSERT_GE(nonces.size(), 2u);
  EXPECT_NE(nonces[0], nonces[1]);
}

TEST_F(ChannelHandshakeTest, EndlessStaleBytesAreDataLoss) {
  options_.first_try_timeout = absl::Seconds(10);
  ChannelPeer peer([](int, UniqueFd fd, const ChannelHello&) {
    while (SendBytes(fd.get(), std::string(64 << 10, 'x'))) {
    }
  });

  const absl::Status status = Open(peer.path()).status();

  EXPECT_EQ(status.code(), absl::StatusCode::kDataLoss) << status;
}

TEST_F(ChannelHandshakeTest, PeerThatHangsUpIsUnavailable) {
  ChannelPeer peer([](int, UniqueFd, const ChannelHello&) {});

  const absl::Status status = Open(peer.path()).status();

  EXPECT_TRUE(absl::IsUnavailable(status)) << status;
}

TEST_F(ChannelHandshakeTest, NobodyListeningIsUnavailableAtOnce) {
  std::string path;
  {
    ChannelPeer peer([](int, UniqueFd, const ChannelHello&) {});
    path = peer.path();
  }

  EXPECT_TRUE(absl::IsUnavailable(Open(path).status()));
}

TEST_F(ChannelHandshakeTest, AnotherVersionIsFailedPrecondition) {
  ChannelPeer peer([](int, UniqueFd fd, const ChannelHello& hello) {
    const auto ack = EncodeChannelAck(
        {.nonce = hello.nonce, .version = kChannelVersion + 1});
    SendBytes(fd.get(), absl::string_view(ack.data(), ack.size()));
    ReadUntilClosed(fd.get());
  });

  const absl::Status status = Open(peer.path()).status();

  EXPECT_TRUE(absl::IsFailedPrecondition(status)) << status;
}

TEST_F(ChannelHandshakeTest, CancelEndsAWaitWithoutADeadline) {
  const UniqueFd cancel(eventfd(0, EFD_CLOEXEC));
  options_.cancel_fd = cancel.get();
  options_.first_try_timeout = absl::Hours(1);
  ChannelPeer peer([&](int, UniqueFd fd, const ChannelHello&) {
    eventfd_write(cancel.get(), 1);
    ReadUntilClosed(fd.get());
  });

  const absl::Status status =
      Open(peer.path(), absl::InfiniteDuration()).status();

  EXPECT_TRUE(absl::IsCancelled(status)) << status;
}

TEST_F(ChannelHandshakeTest, PathTooLongForASocketIsInvalid) {
  EXPECT_TRUE(
      absl::IsInvalidArgument(Open("/" + std::string(200, 'x')).status()));
  EXPECT_TRUE(absl::IsInvalidArgument(Open("").status()));
}

}  // namespace
}  // namespace podvisor
