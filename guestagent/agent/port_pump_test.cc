#include "guestagent/agent/port_pump.h"

#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "gtest/gtest.h"

namespace podvisor {
namespace {

constexpr absl::Duration kLong = absl::Seconds(30);  // never waited out

std::string Bytes(const ChannelHello& hello) {
  const auto bytes = EncodeChannelHello(hello);
  return std::string(bytes.data(), bytes.size());
}

std::string AckBytes(const ChannelNonce& nonce, uint32_t version = 1) {
  const auto bytes = EncodeChannelAck({.nonce = nonce, .version = version});
  return std::string(bytes.data(), bytes.size());
}

// A pump whose port is one end of a pair of packet sockets: like the port's
// queue buffers, packets keep what was sent together together.
class PortPumpTest : public testing::Test {
 protected:
  void Start(std::chrono::milliseconds stall = std::chrono::seconds(60)) {
    pump_ = std::make_unique<PortPump>(PortPumpOptions{
        .open_port = [this] { return OpenPort(); },
        .rebind_port =
            [this] {
              ++rebinds_;
              return absl::OkStatus();
            },
        .on_session =
            [this](UniqueFd session) {
              absl::MutexLock lock(&mutex_);
              sessions_.push_back(std::move(session));
            },
        .ack_timeout = std::chrono::milliseconds(20),
        .hang_up_timeout = std::chrono::milliseconds(20),
        .stall_timeout = stall,
    });
    thread_ = std::thread([this] { EXPECT_TRUE(pump_->Run().ok()); });
    absl::MutexLock lock(&mutex_);
    mutex_.Await(absl::Condition(&host_ready_));
  }

  ~PortPumpTest() override {
    if (pump_ == nullptr) return;
    pump_->Stop();
    thread_.join();
  }

  absl::StatusOr<UniqueFd> OpenPort() {
    int ends[2];
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK, 0, ends) != 0) {
      return absl::InternalError("socketpair");
    }
    absl::MutexLock lock(&mutex_);
    host_.Reset(ends[0]);
    host_ready_ = true;
    return UniqueFd(ends[1]);
  }

  void Send(const std::string& bytes) {
    pollfd entry = {.fd = host_.get(), .events = POLLOUT, .revents = 0};
    ASSERT_EQ(poll(&entry, 1, 30'000), 1);
    ASSERT_EQ(send(host_.get(), bytes.data(), bytes.size(), 0),
              static_cast<ssize_t>(bytes.size()));
  }

  // Exactly what arrives first, up to `size` bytes.
  static std::string Receive(int fd, size_t size) {
    std::string result;
    while (result.size() < size) {
      pollfd entry = {.fd = fd, .events = POLLIN, .revents = 0};
      if (poll(&entry, 1, 30'000) != 1) break;
      std::string part(64 << 10, '\0');
      const ssize_t got = recv(fd, part.data(), part.size(), 0);
      if (got <= 0) break;
      result.append(part, 0, got);
    }
    return result;
  }

  int Session(size_t number) {
    absl::MutexLock lock(&mutex_);
    const auto there = [&] {
      mutex_.AssertReaderHeld();
      return sessions_.size() > number;
    };
    mutex_.AwaitWithTimeout(absl::Condition(&there), kLong);
    return sessions_.size() > number ? sessions_[number].get() : -1;
  }

  static bool HangsUp(int fd) {
    pollfd entry = {.fd = fd, .events = 0, .revents = 0};
    return poll(&entry, 1, 30'000) == 1 && (entry.revents & POLLHUP) != 0;
  }

  const ChannelSecret secret_ = {'s', 'e', 'c', 'r', 'e', 't'};
  const ChannelNonce first_ = {'1'};
  const ChannelNonce second_ = {'2'};

  absl::Mutex mutex_;
  UniqueFd host_;
  bool host_ready_ ABSL_GUARDED_BY(mutex_) = false;
  std::vector<UniqueFd> sessions_ ABSL_GUARDED_BY(mutex_);
  std::atomic<int> rebinds_{0};
  std::unique_ptr<PortPump> pump_;
  std::thread thread_;
};

TEST_F(PortPumpTest, HelloIsAnsweredBeforeAnythingElseAndBytesPassBothWays) {
  Start();
  Send(Bytes({.secret = secret_, .nonce = first_}) + "to guest");
  const int session = Session(0);

  EXPECT_EQ(Receive(session, 8), "to guest");
  ASSERT_EQ(send(session, "to host", 7, 0), 7);
  EXPECT_EQ(Receive(host_.get(), 32 + 7), AckBytes(first_) + "to host");
}

TEST_F(PortPumpTest, BytesWithoutASessionAreDropped) {
  Start();
  Send("stale bytes of an earlier host");
  Send(Bytes({.secret = secret_, .nonce = first_}));

  EXPECT_EQ(Receive(host_.get(), 32), AckBytes(first_));
  Send("fresh");
  EXPECT_EQ(Receive(Session(0), 5), "fresh");
}

TEST_F(PortPumpTest, NewHelloEndsTheOldSessionAndDropsItsBytes) {
  Start();
  Send(Bytes({.secret = secret_, .nonce = first_}));
  const int old_session = Session(0);
  ASSERT_EQ(Receive(host_.get(), 32), AckBytes(first_));

  // The end of the old host's bytes and the new HELLO in one buffer.
  Send("torn" + Bytes({.secret = secret_, .nonce = second_}) + "new");

  EXPECT_EQ(Receive(host_.get(), 32), AckBytes(second_));
  EXPECT_EQ(Receive(Session(1), 3), "new");
  EXPECT_TRUE(HangsUp(old_session));
}

TEST_F(PortPumpTest, HelloWithAnotherSecretIsData) {
  Start();
  Send(Bytes({.secret = secret_, .nonce = first_}));
  ASSERT_EQ(Receive(host_.get(), 32), AckBytes(first_));
  const std::string forged = Bytes({.secret = {'x'}, .nonce = second_});

  Send(forged);

  EXPECT_EQ(Receive(Session(0), forged.size()), forged);
}

TEST_F(PortPumpTest, HostOfAnotherVersionLearnsOursAndGetsNoSession) {
  Start();
  Send(Bytes({.secret = secret_, .nonce = first_, .version = 9}));
  EXPECT_EQ(Receive(host_.get(), 32), AckBytes(first_, kChannelVersion));

  Send(Bytes({.secret = secret_, .nonce = second_}));

  EXPECT_EQ(Receive(host_.get(), 32), AckBytes(second_));
  Session(0);
  absl::MutexLock lock(&mutex_);
  EXPECT_EQ(sessions_.size(), 1u);
}

TEST_F(PortPumpTest, SessionThatGrpcClosedDoesNotStopTheNextOne) {
  Start();
  Send(Bytes({.secret = secret_, .nonce = first_}));
  const int session = Session(0);
  ASSERT_EQ(Receive(host_.get(), 32), AckBytes(first_));
  shutdown(session, SHUT_RDWR);
  Send("into the void");

  Send(Bytes({.secret = secret_, .nonce = second_}));

  EXPECT_EQ(Receive(host_.get(), 32), AckBytes(second_));
}

TEST_F(PortPumpTest, HangUpThatLastsEndsTheSession) {
  Start();
  Send(Bytes({.secret = secret_, .nonce = first_}));
  const int session = Session(0);

  host_.Reset();

  EXPECT_TRUE(HangsUp(session));
}

TEST_F(PortPumpTest, ServerThatDoesNotReadLosesItsSession) {
  Start(std::chrono::milliseconds(20));
  Send(Bytes({.secret = secret_, .nonce = first_}));
  const int session = Session(0);
  ASSERT_EQ(Receive(host_.get(), 32), AckBytes(first_));
  const std::string block(4096, 'x');
  for (int i = 0; i < 512 && !testing::Test::HasFatalFailure(); ++i)
    Send(block);

  Send(Bytes({.secret = secret_, .nonce = second_}));

  EXPECT_EQ(Receive(host_.get(), 32), AckBytes(second_));
  EXPECT_TRUE(HangsUp(session));
}

TEST_F(PortPumpTest, AckThatCannotBeWrittenRebindsThePortOnce) {
  Start();
  Send(Bytes({.secret = secret_, .nonce = first_}));
  const int session = Session(0);
  const std::string block(32 << 10, 'x');
  // Nobody reads: the pump's way to the host fills up.
  int sent = 0;
  pollfd entry = {.fd = session, .events = POLLOUT, .revents = 0};
  while (poll(&entry, 1, 200) == 1) {
    if (send(session, block.data(), block.size(), 0) > 0) ++sent;
  }
  ASSERT_GT(sent, 0);
  const UniqueFd old_host = [&] {
    absl::MutexLock lock(&mutex_);
    host_ready_ = false;
    return UniqueFd(dup(host_.get()));
  }();

  Send(Bytes({.secret = secret_, .nonce = second_}));

  {
    absl::MutexLock lock(&mutex_);
    ASSERT_TRUE(mutex_.AwaitWithTimeout(absl::Condition(&host_ready_), kLong));
  }
  EXPECT_EQ(Receive(host_.get(), 32), AckBytes(second_));
  EXPECT_EQ(rebinds_, 1);
}

TEST_F(PortPumpTest, EveryByteOfALongTransferArrivesInOrder) {
  Start();
  Send(Bytes({.secret = secret_, .nonce = first_}));
  const int session = Session(0);
  ASSERT_EQ(Receive(host_.get(), 32), AckBytes(first_));
  std::string expected;
  for (int i = 0; i < 1024; ++i) {
    expected += std::string(4096, static_cast<char>(i * 7));
  }
  std::thread sender([&] {
    for (size_t at = 0; at < expected.size(); at += 4096) {
      Send(expected.substr(at, 4096));
    }
  });

  const std::string received = Receive(session, expected.size());

  sender.join();
  EXPECT_TRUE(received == expected);
}

}  // namespace
}  // namespace podvisor
