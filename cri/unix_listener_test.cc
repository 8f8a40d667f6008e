#include "cri/unix_listener.h"

#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstring>
#include <string>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/synchronization/blocking_counter.h"
#include "absl/synchronization/notification.h"
#include "gtest/gtest.h"

namespace podvisor {
namespace {

constexpr absl::Duration kPatience = absl::Seconds(20);

class UnixListenerTest : public testing::Test {
 protected:
  UnixListenerTest() {
    std::string pattern = "/tmp/podvisor-listener.XXXXXX";
    directory_ = mkdtemp(pattern.data());
    path_ = directory_ + "/socket";
  }
  ~UnixListenerTest() override { rmdir(directory_.c_str()); }

  static UniqueFd Socket() {
    return UniqueFd(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  }
  bool Connect(const UniqueFd& client) const {
    sockaddr_un address = {};
    address.sun_family = AF_UNIX;
    strncpy(address.sun_path, path_.c_str(), sizeof(address.sun_path) - 1);
    return connect(client.get(), reinterpret_cast<sockaddr*>(&address),
                   sizeof(address)) == 0;
  }

  std::string directory_;
  std::string path_;
};

TEST_F(UnixListenerTest, ServesWhoConnectsAndNobodyOnceItHasGone) {
  absl::BlockingCounter served(2);
  auto listener = UnixListener::Listen(path_, [&](UniqueFd client) {
    EXPECT_EQ(write(client.get(), "x", 1), 1);
    served.DecrementCount();
  });
  ASSERT_TRUE(listener.ok()) << listener.status();
  struct stat file = {};
  ASSERT_EQ(stat(path_.c_str(), &file), 0);
  EXPECT_EQ(file.st_mode & 07777, 0660u);

  const UniqueFd one = Socket();
  const UniqueFd two = Socket();
  ASSERT_TRUE(Connect(one));
  ASSERT_TRUE(Connect(two));
  served.Wait();
  char heard = 0;
  EXPECT_EQ(read(two.get(), &heard, 1), 1);

  listener->reset();
  EXPECT_FALSE(Connect(Socket()));
  EXPECT_NE(stat(path_.c_str(), &file), 0);
}

TEST_F(UnixListenerTest, TakesThePlaceOfASocketThatWasLeft) {
  ASSERT_EQ(symlink("/etc/passwd", path_.c_str()), 0);

  const auto listener = UnixListener::Listen(path_, [](UniqueFd) {});

  EXPECT_TRUE(listener.ok()) << listener.status();
  EXPECT_TRUE(Connect(Socket()));
}

TEST_F(UnixListenerTest, SaysWhereItCannotListen) {
  for (const std::string& path : {directory_ + "/none/socket",
                                  directory_ + "/" + std::string(107, 's')}) {
    EXPECT_FALSE(UnixListener::Listen(path, [](UniqueFd) {}).ok()) << path;
  }
}

// CVE-2023-4785.
TEST_F(UnixListenerTest, ServesAgainOnceThereAreDescriptors) {
  absl::Notification served;
  const auto listener =
      UnixListener::Listen(path_, [&](UniqueFd) { served.Notify(); });
  ASSERT_TRUE(listener.ok()) << listener.status();
  const UniqueFd client = Socket();
  rlimit before = {};
  ASSERT_EQ(getrlimit(RLIMIT_NOFILE, &before), 0);
  rlimit none = before;
  none.rlim_cur = 0;
  ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &none), 0);

  EXPECT_TRUE(Connect(client));
  EXPECT_FALSE(served.WaitForNotificationWithTimeout(absl::Milliseconds(300)));

  ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &before), 0);
  EXPECT_TRUE(served.WaitForNotificationWithTimeout(kPatience));
}

}  // namespace
}  // namespace podvisor
