#include "sandbox/host/cgroup_path.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace podvisor {
namespace {

TEST(CgroupPathTest, PathsAreTakenAsTheyAreAndSlicesExpand) {
  const std::pair<const char*, const char*> kCases[] = {
      {"", "/podvisor"},
      {"/", ""},
      {"/kubepods/burstable/pod0f8c", "/kubepods/burstable/pod0f8c"},
      {"/kubepods//pod1/", "/kubepods/pod1"},
      {"/kubepods.slice/kubepods-pod1.slice",
       "/kubepods.slice/kubepods-pod1.slice"},
      {"kubepods.slice", "/kubepods.slice"},
      {"kubepods-besteffort-pod1.slice",
       "/kubepods.slice/kubepods-besteffort.slice/"
       "kubepods-besteffort-pod1.slice"},
      {R"(a\x2db.slice)", R"(/a\x2db.slice)"},
      {"/..a/b..", "/..a/b.."},
  };
  for (const auto& [parent, path] : kCases) {
    const absl::StatusOr<std::string> made = CgroupParentPath(parent);
    ASSERT_TRUE(made.ok()) << parent << ": " << made.status();
    EXPECT_EQ(*made, path);
  }
}

TEST(CgroupPathTest, NothingLeavesTheTree) {
  const std::string long_name = "/" + std::string(256, 'a');
  std::string long_path;
  for (int i = 0; i < 1600; ++i) long_path += "/a";
  std::string long_slice = "a";
  for (int i = 0; i < 200; ++i) long_slice += "-a";
  for (const std::string& parent : {std::string("/../../init.scope"),
                                    std::string("/kubepods/../x"),
                                    std::string("/kubepods/./x"),
                                    std::string("/kubepods/.."),
                                    std::string("."),
                                    std::string("kubepods/pod1"),
                                    std::string("kubepods"),
                                    std::string("../a.slice"),
                                    std::string("-.slice"),
                                    std::string(".slice"),
                                    std::string("a--b.slice"),
                                    std::string("-a.slice"),
                                    std::string("a-.slice"),
                                    std::string("/a\0b", 4),
                                    std::string("/a\nb"),
                                    std::string("/a\x7f"),
                                    std::string("a\0.slice", 8),
                                    long_name,
                                    long_path,
                                    long_slice + ".slice"}) {
    const absl::Status status = CgroupParentPath(parent).status();
    EXPECT_TRUE(absl::IsInvalidArgument(status)) << parent;
    EXPECT_THAT(std::string(status.message()),
                testing::StartsWith("cgroup_parent \""));
  }
}

TEST(CgroupPathTest, APodsCgroupIsNamedAfterItsId) {
  EXPECT_EQ(PodCgroupName(PodId("0f")), "podvisor-0f");
}

}  // namespace
}  // namespace podvisor
