#include "cri/seccomp_profile.h"

#include <sys/stat.h>

#include <fstream>
#include <string>

#include "gtest/gtest.h"

namespace podvisor {
namespace {

using Kind = SeccompChoice::Kind;

std::string WriteProfile(const std::string& name, const std::string& text) {
  const std::string path = testing::TempDir() + "/" + name;
  std::ofstream(path) << text;
  return path;
}

absl::StatusOr<std::string> LoadFile(const std::string& path) {
  return LoadSeccompProfile({Kind::kLocalhost, path}, "{}");
}

TEST(SeccompProfileTest, UnconfinedIsEmpty) {
  EXPECT_EQ(LoadSeccompProfile({}, "{}").value(), "");
}

TEST(SeccompProfileTest, RuntimeDefaultIsWhatTheHostHas) {
  EXPECT_EQ(LoadSeccompProfile({Kind::kRuntimeDefault, ""}, "{1}").value(),
            "{1}");
  EXPECT_TRUE(absl::IsFailedPrecondition(
      LoadSeccompProfile({Kind::kRuntimeDefault, ""}, "").status()));
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
