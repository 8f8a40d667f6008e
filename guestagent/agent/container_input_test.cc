#include "guestagent/agent/container_input.h"

#include <fcntl.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <memory>
#include <string>
#include <thread>
#include <utility>

#include "gtest/gtest.h"

namespace podvisor {
namespace {

class ContainerInputTest : public ::testing::Test {
 protected:
  void Open(ContainerInput::Traits traits) {
    int fds[2];
    ASSERT_EQ(pipe2(fds, O_CLOEXEC), 0);
    reader_.Reset(fds[0]);
    auto input = ContainerInput::Open(UniqueFd(fds[1]), traits);
    ASSERT_TRUE(input.ok()) << input.status();
    input_ = *input;
  }

  // Blocks like a container's first process; "" at the end of input.
  std::string Read() {
    char data[100];
    const ssize_t count = read(reader_.get(), data, sizeof(data));
    return std::string(data, static_cast<size_t>(std::max<ssize_t>(0, count)));
  }
  bool HasEnded() {
    fcntl(reader_.get(), F_SETFL, O_NONBLOCK);
    char byte;
    return read(reader_.get(), &byte, 1) == 0;
  }

  UniqueFd reader_;
  const UniqueFd stop_{eventfd(0, EFD_CLOEXEC)};
  std::shared_ptr<ContainerInput> input_;
};

TEST_F(ContainerInputTest, StaysOpenFromPeerToPeer) {
  Open({.accepts = true});
  input_->Write("one", stop_.get());
  EXPECT_EQ(Read(), "one");
  input_->PeerDone();
  EXPECT_FALSE(HasEnded());
  input_->Write("two", stop_.get());
  EXPECT_EQ(Read(), "two");
}

TEST_F(ContainerInputTest, OnceEndsWithTheFirstPeer) {
  Open({.accepts = true, .once = true});
  EXPECT_TRUE(input_->accepts());
  input_->Write("one", stop_.get());
  input_->PeerDone();
  EXPECT_EQ(Read(), "one");
  EXPECT_TRUE(HasEnded());
  EXPECT_FALSE(input_->accepts());
  input_->Write("dropped", stop_.get());
}

TEST_F(ContainerInputTest, TerminalDoesNotEnd) {
  Open({.accepts = true, .once = true, .terminal = true});
  input_->PeerDone();
  EXPECT_FALSE(HasEnded());
  EXPECT_TRUE(input_->accepts());
}

TEST_F(ContainerInputTest, WriterThatWaitsEndsWhenStoppedOrClosed) {
  Open({.accepts = true});
  const std::string big(1 << 20, 'x');
  std::thread stopped([&] { input_->Write(big, stop_.get()); });
  const UniqueFd never(eventfd(0, EFD_CLOEXEC));
  std::thread closed([&] { input_->Write(big, never.get()); });
  eventfd_write(stop_.get(), 1);
  stopped.join();
  input_->Close();
  closed.join();
}

TEST_F(ContainerInputTest, InputThatNobodyReadsIsDropped) {
  Open({.accepts = true});
  reader_.Reset();
  input_->Write("lost", stop_.get());
  EXPECT_FALSE(input_->accepts());
}

TEST_F(ContainerInputTest, NothingIsWrittenWhereNoInputWasAskedFor) {
  Open({.accepts = false, .terminal = true});
  input_->Write("x", stop_.get());
  fcntl(reader_.get(), F_SETFL, O_NONBLOCK);
  EXPECT_EQ(Read(), "");
  EXPECT_FALSE(HasEnded());
}

}  // namespace
}  // namespace podvisor
