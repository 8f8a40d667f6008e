#include "cri/seccomp_profile.h"

#include <sys/stat.h>

#include <fstream>
#include <map>
#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "nlohmann/json.hpp"

namespace podvisor {
namespace {

using nlohmann::json;
using testing::HasSubstr;
using Kind = SeccompChoice::Kind;

std::string WriteProfile(const std::string& name, const std::string& text) {
  const std::string path = testing::TempDir() + "/" + name;
  std::ofstream(path) << text;
  return path;
}

absl::StatusOr<std::string> LoadFile(const std::string& path) {
  return LoadSeccompProfile({Kind::kLocalhost, path}, "{}", {});
}

TEST(SeccompProfileTest, UnconfinedIsEmpty) {
  EXPECT_EQ(LoadSeccompProfile({}, "{}", {}).value(), "");
}

TEST(SeccompProfileTest, WithoutAProfileOnThisHostRuntimeDefaultIsRefused) {
  const absl::StatusOr<std::string> none = ReadDefaultSeccomp("/no/such.json");

  const absl::Status refused =
      LoadSeccompProfile({Kind::kRuntimeDefault, ""}, none, {}).status();

  EXPECT_TRUE(absl::IsFailedPrecondition(refused));
  EXPECT_THAT(std::string(refused.message()), HasSubstr("/no/such.json"));
}

// The rules of the host's own file for one container, by system call.
std::map<std::string, json> DefaultRules(const SecuritySpec& security) {
  const absl::StatusOr<std::string> text =
      LoadSeccompProfile({Kind::kRuntimeDefault, ""},
                         ReadDefaultSeccomp(kDefaultSeccompPath), security);
  EXPECT_TRUE(text.ok()) << text.status();
  std::map<std::string, json> rules;
  const json profile = json::parse(text.value_or("{}"));
  for (const json& rule : profile["syscalls"]) {
    for (const json& name : rule["names"]) rules[name] = rule["action"];
  }
  return rules;
}

TEST(SeccompProfileTest, RuntimeDefaultFollowsTheContainersCapabilities) {
  struct Case {
    SecuritySpec security;
    bool chroot;  // CAP_SYS_CHROOT, which is one of the usual
    bool bpf;     // CAP_SYS_ADMIN, which is not
  };
  const auto with = [](std::vector<std::string> add,
                       std::vector<std::string> drop,
                       std::vector<std::string> ambient = {}) {
    SecuritySpec security;
    security.add_capabilities = std::move(add);
    security.drop_capabilities = std::move(drop);
    security.add_ambient_capabilities = std::move(ambient);
    return security;
  };
  const Case kCases[] = {
      {with({}, {}), true, false},
      {with({"CAP_SYS_ADMIN"}, {}), true, true},
      {with({"ALL"}, {}), true, true},
      {with({"ALL"}, {"CAP_SYS_CHROOT"}), false, true},
      {with({}, {"ALL"}), false, false},
      {with({"CAP_SYS_ADMIN"}, {"ALL"}), false, true},
      {with({}, {"ALL"}, {"CAP_SYS_CHROOT"}), true, false},
  };
  for (const Case& c : kCases) {
    std::map<std::string, json> rules = DefaultRules(c.security);
    EXPECT_EQ(rules["chroot"] == "SCMP_ACT_ALLOW", c.chroot);
    EXPECT_EQ(rules["bpf"] == "SCMP_ACT_ALLOW", c.bpf);
    EXPECT_EQ(rules["read"], "SCMP_ACT_ALLOW");
    EXPECT_EQ(rules["kexec_load"], "SCMP_ACT_ERRNO");
  }
}

TEST(SeccompProfileTest, LocalhostProfileIsRead) {
  const std::string text = "{\"defaultAction\":\"SCMP_ACT_ALLOW\"}";

  EXPECT_EQ(LoadFile(WriteProfile("good.json", text)).value(), text);
}

TEST(SeccompProfileTest, NothingUnusableBecomesUnconfined) {
  const std::string fifo = testing::TempDir() + "/fifo.json";
  ASSERT_EQ(mkfifo(fifo.c_str(), 0600), 0);
  for (const std::string& path : {
           WriteProfile("empty.json", ""),
           WriteProfile("blank.json", " \n"),
           WriteProfile("list.json", "[]"),
           WriteProfile("cut.json", "{\"a\":"),
           WriteProfile("long.json",
                        "{\"a\":\"" + std::string(1 << 20, 'a') + "\"}"),
           std::string("/does/not/exist.json"),
           testing::TempDir(),
           fifo,
       }) {
    EXPECT_TRUE(absl::IsInvalidArgument(LoadFile(path).status())) << path;
  }
}

}  // namespace
}  // namespace podvisor
