#include "cri/pause.h"

#include <fcntl.h>
#include <unistd.h>

#include <csignal>

#include "base/unique_fd.h"
#include "gtest/gtest.h"

namespace podvisor {
namespace {

TEST(PauseTest, EndsWithItsTimeASignalOrItsReader) {
  int fds[2];
  ASSERT_EQ(pipe2(fds, O_CLOEXEC), 0);
  UniqueFd reader(fds[0]);
  UniqueFd writer(fds[1]);
  const auto pause = PauseUntilInterrupted(writer.get());
  ASSERT_TRUE(pause.ok()) << pause.status();

  EXPECT_TRUE((*pause)->For(absl::Milliseconds(1)));

  for (const int signal : {SIGINT, SIGTERM}) {
    raise(signal);
    EXPECT_FALSE((*pause)->For(absl::InfiniteDuration())) << signal;
    int taken = 0;
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, signal);
    sigwait(&set, &taken);
  }
  EXPECT_TRUE((*pause)->For(absl::ZeroDuration()));

  reader.Reset();
  EXPECT_FALSE((*pause)->For(absl::InfiniteDuration()));
}

}  // namespace
}  // namespace podvisor
