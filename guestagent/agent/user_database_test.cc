#include "guestagent/agent/user_database.h"

#include <sys/stat.h>
#include <unistd.h>

#include <fstream>
#include <optional>
#include <string>
#include <vector>

#include "base/file.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace podvisor {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

constexpr char kPasswd[] =
    "root:x:0:0:root:/root:/bin/sh\n"
    "broken line\n"
    "web:x:1000:2000:Web:/srv/web:/bin/sh\n"
    "nohome:x:1001:1001:::\n"
    "huge:x:4294967295:0::/:/bin/sh\n"
    "4294967296:x:0:0::/:/bin/sh\n"
    "5000:x:0:0::/:/bin/sh\n"
    "evil:x:1002:1002::/a\x01:/bin/sh\n"
    "relative:x:1003:1003::home:/bin/sh";
constexpr char kGroup[] =
    "root:x:0:\n"
    "adm:x:4:web,root\n"
    "www:x:33:someone,web\n"
    "webs:x:2000:web\n"
    "bad:x:99999999999:web\n"
    "short:x\n"
    "other:x:77:webmaster";

agent::v1::User Named(const std::string& name) {
  agent::v1::User user;
  user.set_username(name);
  return user;
}

UserDatabase Database() { return {kPasswd, kGroup}; }

struct Accepted {
  std::string username;
  std::optional<int64_t> uid;
  std::optional<int64_t> gid;
  int64_t want_uid;
  int64_t want_gid;
  std::string want_home;
};

TEST(UserDatabaseTest, AcceptsTheseUsers) {
  const Accepted kCases[] = {
      {"", {}, {}, 0, 0, "/root"},
      {"root", {}, {}, 0, 0, "/root"},
      {"web", {}, {}, 1000, 2000, "/srv/web"},
      {"1000", {}, {}, 1000, 2000, "/srv/web"},
      {"0001000", {}, {}, 1000, 2000, "/srv/web"},
      {"web:adm", {}, {}, 1000, 4, "/srv/web"},
      {"web:5", {}, {}, 1000, 5, "/srv/web"},
      {"1000:33", {}, {}, 1000, 33, "/srv/web"},
      {"web:adm", {}, 9, 1000, 9, "/srv/web"},
      {"web", 1001, {}, 1001, 1001, "/"},
      {"", 1000, {}, 1000, 2000, "/srv/web"},
      {"", 1000, 0, 1000, 0, "/srv/web"},
      {"", 65534, {}, 65534, 0, "/"},
      {"65534", {}, {}, 65534, 0, "/"},
      {"2147483647", {}, {}, 2147483647, 0, "/"},
      {"5000", {}, {}, 5000, 0, "/"},  // a number is no name
      {"evil", {}, {}, 1002, 1002, "/"},
      {"relative", {}, {}, 1003, 1003, "/"},
  };
  for (const Accepted& test : kCases) {
    agent::v1::User user = Named(test.username);
    if (test.uid) user.set_uid(*test.uid);
    if (test.gid) user.set_gid(*test.gid);
    const auto resolved = ResolveUser(user, Database());
    ASSERT_TRUE(resolved.ok()) << test.username << ": " << resolved.status();
    EXPECT_EQ(resolved->uid, test.want_uid) << test.username;
    EXPECT_EQ(resolved->gid, test.want_gid) << test.username;
    EXPECT_EQ(resolved->home, test.want_home) << test.username;
    ASSERT_FALSE(resolved->groups.empty());
    EXPECT_EQ(resolved->groups[0], resolved->gid) << test.username;
  }
}

TEST(UserDatabaseTest, RefusesNumbersThatWrapToRoot) {
  for (const char* name :
       {"4294967296", "4294967295", "2147483648", "-1", "+0", "-0",
        "9223372036854775808", "99999999999999999999999", "1000:4294967296",
        "1000:-1", ":0", ":", "huge", "nobody", "web:none", "web:bad"}) {
    const auto resolved = ResolveUser(Named(name), Database());
    EXPECT_EQ(resolved.status().code(), absl::StatusCode::kInvalidArgument)
        << name;
  }
  for (int64_t id : {int64_t{-1}, int64_t{1} << 31, (int64_t{1} << 32) - 1,
                     int64_t{1} << 32, INT64_MAX, INT64_MIN}) {
    agent::v1::User user;
    user.set_uid(id);
    EXPECT_EQ(ResolveUser(user, Database()).status().code(),
              absl::StatusCode::kInvalidArgument);
    user.set_uid(1);
    user.set_gid(id);
    EXPECT_EQ(ResolveUser(user, Database()).status().code(),
              absl::StatusCode::kInvalidArgument);
    user.clear_gid();
    user.add_supplemental_groups(id);
    EXPECT_EQ(ResolveUser(user, Database()).status().code(),
              absl::StatusCode::kInvalidArgument);
  }
}

TEST(UserDatabaseTest, MergesGroupsOfTheImage) {
  agent::v1::User user = Named("web");
  user.add_supplemental_groups(500);
  user.add_supplemental_groups(33);
  EXPECT_THAT(ResolveUser(user, Database())->groups,
              ElementsAre(2000, 4, 33, 500));
  user.clear_username();
  user.set_uid(1000);
  user.set_gid(7);
  EXPECT_THAT(ResolveUser(user, Database())->groups,
              ElementsAre(7, 4, 33, 2000, 500));
}

TEST(UserDatabaseTest, StrictGroupsComeFromTheRequestOnly) {
  agent::v1::User user = Named("web");
  user.set_strict_groups(true);
  user.add_supplemental_groups(500);
  EXPECT_THAT(ResolveUser(user, Database())->groups, ElementsAre(2000, 500));
}

TEST(UserDatabaseTest, ErrorTextHasNoLineBreakFromTheRequest) {
  const auto resolved = ResolveUser(Named("a\nroot:x:0:0"), Database());
  ASSERT_FALSE(resolved.ok());
  EXPECT_EQ(resolved.status().message().find('\n'), absl::string_view::npos);
}

class UserDatabaseFileTest : public ::testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = testing::TempDir() + "/rootXXXXXX";
    ASSERT_NE(mkdtemp(pattern.data()), nullptr);
    root_ = pattern;
    ASSERT_EQ(mkdir((root_ + "/etc").c_str(), 0755), 0);
  }
  void TearDown() override { EXPECT_TRUE(RemoveTree(root_).ok()); }

  void Write(const std::string& path, const std::string& text) {
    std::ofstream(root_ + path) << text;
  }

  std::string root_;
};

TEST_F(UserDatabaseFileTest, MissingFilesAreEmpty) {
  const auto database = ReadUserDatabase(root_);
  ASSERT_TRUE(database.ok()) << database.status();
  EXPECT_EQ(database->passwd, "");
  EXPECT_EQ(database->group, "");
}

TEST_F(UserDatabaseFileTest, LinksStayInsideTheRoot) {
  Write("/real", "inside");
  ASSERT_EQ(symlink("/../../real", (root_ + "/etc/passwd").c_str()), 0);
  ASSERT_EQ(symlink("/proc/self/status", (root_ + "/etc/group").c_str()), 0);
  const auto database = ReadUserDatabase(root_);
  ASSERT_TRUE(database.ok()) << database.status();
  EXPECT_EQ(database->passwd, "inside");
  EXPECT_EQ(database->group, "");
}

TEST_F(UserDatabaseFileTest, RefusesOtherThanBoundedRegularFiles) {
  ASSERT_EQ(mkfifo((root_ + "/etc/passwd").c_str(), 0644), 0);
  EXPECT_THAT(std::string(ReadUserDatabase(root_).status().message()),
              HasSubstr("not a regular file"));
  ASSERT_EQ(unlink((root_ + "/etc/passwd").c_str()), 0);
  ASSERT_EQ(symlink("passwd", (root_ + "/etc/passwd").c_str()), 0);
  EXPECT_EQ(ReadUserDatabase(root_).status().code(),
            absl::StatusCode::kInvalidArgument);
  ASSERT_EQ(unlink((root_ + "/etc/passwd").c_str()), 0);
  Write("/etc/passwd", "");
  ASSERT_EQ(truncate((root_ + "/etc/passwd").c_str(), int64_t{4} << 30), 0);
  EXPECT_THAT(std::string(ReadUserDatabase(root_).status().message()),
              HasSubstr("longer than 1 MiB"));
}

}  // namespace
}  // namespace podvisor
