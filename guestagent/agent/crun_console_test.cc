#include "guestagent/agent/crun_console.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <string>

#include "gtest/gtest.h"

namespace podvisor {
namespace {

Deadline Soon() { return Deadline::After(absl::Seconds(20)); }

std::string SocketPath() {
  std::string pattern = "/tmp/consoleXXXXXX";
  EXPECT_NE(mkdtemp(pattern.data()), nullptr);
  return pattern + "/s";
}

UniqueFd Connect(const std::string& path) {
  UniqueFd fd(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_un address = {};
  address.sun_family = AF_UNIX;
  strncpy(address.sun_path, path.c_str(), sizeof(address.sun_path) - 1);
  EXPECT_EQ(
      connect(fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof(address)),
      0);
  return fd;
}

// As crun does: the terminal's name with the descriptor beside it.
void SendDescriptor(int socket, int fd) {
  char name[] = "/dev/ptmx";
  iovec data = {name, sizeof(name)};
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int))] = {};
  msghdr message = {};
  message.msg_iov = &data;
  message.msg_iovlen = 1;
  message.msg_control = control;
  message.msg_controllen = sizeof(control);
  cmsghdr* header = CMSG_FIRSTHDR(&message);
  header->cmsg_level = SOL_SOCKET;
  header->cmsg_type = SCM_RIGHTS;
  header->cmsg_len = CMSG_LEN(sizeof(int));
  memcpy(CMSG_DATA(header), &fd, sizeof(fd));
  ASSERT_GT(sendmsg(socket, &message, 0), 0);
}

class CrunConsoleTest : public ::testing::Test {
 protected:
  void TearDown() override {
    EXPECT_NE(access(path_.c_str(), F_OK), 0) << "the socket is left over";
    rmdir(path_.substr(0, path_.rfind('/')).c_str());
  }
  const std::string path_ = SocketPath();
};

TEST_F(CrunConsoleTest, TerminalArrives) {
  auto console = ConsoleSocket::Listen(path_);
  ASSERT_TRUE(console.ok()) << console.status();
  const UniqueFd peer = Connect(path_);
  const UniqueFd master(posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC));
  ASSERT_TRUE(master.valid());
  SendDescriptor(peer.get(), master.get());
  const auto received = console->Receive(Soon());
  ASSERT_TRUE(received.ok()) << received.status();
  EXPECT_TRUE(isatty(received->get()));
  EXPECT_NE(fcntl(received->get(), F_GETFL) & O_NONBLOCK, 0);
}

TEST_F(CrunConsoleTest, OtherDescriptorsAreRefused) {
  auto console = ConsoleSocket::Listen(path_);
  ASSERT_TRUE(console.ok());
  const UniqueFd peer = Connect(path_);
  SendDescriptor(peer.get(), peer.get());
  EXPECT_EQ(console->Receive(Soon()).status().code(),
            absl::StatusCode::kDataLoss);
}

TEST_F(CrunConsoleTest, PeerThatSendsNothingIsRefused) {
  auto console = ConsoleSocket::Listen(path_);
  ASSERT_TRUE(console.ok());
  EXPECT_EQ(console->Receive(Deadline::Now()).status().code(),
            absl::StatusCode::kDeadlineExceeded);
  UniqueFd peer = Connect(path_);
  peer.Reset();
  EXPECT_EQ(console->Receive(Soon()).status().code(),
            absl::StatusCode::kDataLoss);
}

}  // namespace
}  // namespace podvisor
