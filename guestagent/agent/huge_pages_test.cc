#include "guestagent/agent/huge_pages.h"

#include <stdlib.h>

#include <map>
#include <string>

#include "absl/strings/str_cat.h"
#include "base/file.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace podvisor {
namespace {

using ::testing::HasSubstr;
using ::testing::Pair;
using ::testing::UnorderedElementsAre;

using Files = std::map<std::string, std::string>;

agent::v1::LinuxResources Resources(const Files& files) {
  agent::v1::LinuxResources resources;
  for (const auto& [file, value] : files) {
    (*resources.mutable_unified())[file] = value;
  }
  return resources;
}

Files FilesOf(const agent::v1::LinuxResources& resources) {
  return {resources.unified().begin(), resources.unified().end()};
}

TEST(HugePageSizesTest, OnlySizesThatAreMadeOnDemandCount) {
  std::string directory = testing::TempDir() + "/hugepagesXXXXXX";
  ASSERT_NE(mkdtemp(directory.data()), nullptr);
  for (const auto& [name, pages] :
       std::map<std::string, std::string>{{"hugepages-64kB", "16\n"},
                                          {"hugepages-2048kB", "1048576\n"},
                                          {"hugepages-1048576kB", "0\n"},
                                          {"hugepages-xkB", "5\n"},
                                          {"other", "5\n"}}) {
    ASSERT_TRUE(MakeDirectories(absl::StrCat(directory, "/", name)).ok());
    ASSERT_TRUE(WriteFileAtomically(absl::StrCat(directory, "/", name,
                                                 "/nr_overcommit_hugepages"),
                                    pages)
                    .ok());
  }

  EXPECT_THAT(HugePageSizes(directory), UnorderedElementsAre("64KB", "2MB"));
  EXPECT_TRUE(HugePageSizes(directory + "/none").empty());
  EXPECT_TRUE(RemoveTree(directory).ok());
}

TEST(HugePagesTest, ANewContainerHasNoneButWhatItWasGranted) {
  agent::v1::LinuxResources nothing;
  ASSERT_TRUE(LimitHugePages({"2MB"}, &nothing).ok());
  EXPECT_EQ(FilesOf(nothing),
            (Files{{"hugetlb.2MB.max", "0"}, {"hugetlb.2MB.rsvd.max", "0"}}));

  agent::v1::LinuxResources granted = Resources(
      {{"hugetlb.2MB.max", "4096"}, {"hugetlb.2MB.rsvd.max", "4096"}});
  const Files before = FilesOf(granted);
  ASSERT_TRUE(LimitHugePages({"2MB"}, &granted).ok());
  EXPECT_EQ(FilesOf(granted), before);
}

TEST(HugePagesTest, NoneOfASizeThatIsNotThereIsDropped) {
  agent::v1::LinuxResources resources =
      Resources({{"hugetlb.1GB.max", "0"},
                 {"hugetlb.1GB.rsvd.max", "0"},
                 {"memory.high", "7"}});
  ASSERT_TRUE(CheckHugePages({"2MB"}, &resources).ok());
  EXPECT_THAT(FilesOf(resources),
              UnorderedElementsAre(Pair("memory.high", "7")));
}

TEST(HugePagesTest, APageOfASizeThatIsNotThereIsRefusedByName) {
  for (const char* file : {"hugetlb.1GB.max", "hugetlb.1GB.rsvd.max"}) {
    agent::v1::LinuxResources resources = Resources({{file, "1073741824"}});

    const absl::Status status = LimitHugePages({"2MB"}, &resources);

    EXPECT_TRUE(absl::IsInvalidArgument(status)) << file;
    EXPECT_THAT(std::string(status.message()), HasSubstr("1GB"));
  }
}

}  // namespace
}  // namespace podvisor
