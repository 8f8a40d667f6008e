#include "e2e/crictl_session.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pty.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

#include <algorithm>
#include <utility>

#include "absl/strings/match.h"
#include "absl/time/clock.h"
#include "gtest/gtest.h"

namespace podvisor::e2e {
namespace {

constexpr absl::Duration kPatience = absl::Seconds(60);

void KeepFromChildren(int fd) { EXPECT_EQ(fcntl(fd, F_SETFD, FD_CLOEXEC), 0); }

}  // namespace

CrictlSession::CrictlSession(CrictlNode* node, Through through,
                             std::vector<std::string> arguments) {
  SpawnOptions options;
  options.argv = node->Arguments(std::move(arguments));
  UniqueFd its_in, its_out;
  if (through == Through::kTerminal) {
    winsize size = {};
    size.ws_col = 80;
    size.ws_row = 24;
    int master = -1;
    int slave = -1;
    // Raw from the start, as crictl makes it before long: until then it would
    // echo what the test says.
    termios raw = {};
    cfmakeraw(&raw);
    EXPECT_EQ(openpty(&master, &slave, nullptr, &raw, &size), 0);
    KeepFromChildren(master);
    KeepFromChildren(slave);
    in_.Reset(master);
    out_.Reset(fcntl(master, F_DUPFD_CLOEXEC, 3));
    its_in.Reset(slave);
    its_out.Reset(fcntl(slave, F_DUPFD_CLOEXEC, 3));
  } else {
    int pipes[2][2];
    for (int* ends : pipes) EXPECT_EQ(pipe2(ends, O_CLOEXEC), 0);
    its_in.Reset(pipes[0][0]);
    in_.Reset(pipes[0][1]);
    out_.Reset(pipes[1][0]);
    its_out.Reset(pipes[1][1]);
  }
  options.stdin_fd = its_in.get();
  options.stdout_fd = its_out.get();
  options.stderr_fd = its_out.get();
  process_ = StartProgram(kCrictl, options);
}

CrictlSession::~CrictlSession() { Kill(); }

void CrictlSession::Say(const std::string& text) {
  EXPECT_EQ(write(in_.get(), text.data(), text.size()),
            static_cast<ssize_t>(text.size()));
}

void CrictlSession::Resize(uint16_t width, uint16_t height) {
  winsize size = {};
  size.ws_col = width;
  size.ws_row = height;
  EXPECT_EQ(ioctl(in_.get(), TIOCSWINSZ, &size), 0);
  // It is nobody's controlling terminal, so no kernel tells of it.
  EXPECT_EQ(kill(process_.pid, SIGWINCH), 0);
}

bool CrictlSession::Hear(absl::Time deadline) {
  const int64_t left = absl::ToInt64Milliseconds(deadline - absl::Now());
  pollfd polled = {out_.get(), POLLIN, 0};
  if (poll(&polled, 1, static_cast<int>(std::max<int64_t>(left, 0))) <= 0) {
    return false;
  }
  char piece[4096];
  const ssize_t count = read(out_.get(), piece, sizeof(piece));
  if (count <= 0) return false;  // a terminal ends with EIO
  heard_.append(piece, static_cast<size_t>(count));
  return true;
}

const std::string& CrictlSession::Await(const std::string& text) {
  const absl::Time deadline = absl::Now() + kPatience;
  while (!absl::StrContains(heard_, text) && Hear(deadline)) {
  }
  EXPECT_TRUE(absl::StrContains(heard_, text))
      << "waited for \"" << text << "\", heard \"" << heard_ << "\"";
  return heard_;
}

int CrictlSession::AwaitExit() {
  const absl::Time deadline = absl::Now() + kPatience;
  while (Hear(deadline)) {
  }
  const absl::StatusOr<int> status = WaitProcess(process_, deadline);
  EXPECT_TRUE(status.ok()) << status.status() << ", heard \"" << heard_ << "\"";
  ended_ = status.ok();
  return status.ok() && WIFEXITED(*status) ? WEXITSTATUS(*status) : -1;
}

void CrictlSession::Kill() {
  if (std::exchange(ended_, true)) return;
  EXPECT_TRUE(KillGroup(process_, absl::Now() + kPatience).ok());
}

}  // namespace podvisor::e2e
