#include "sandbox/host/pod_cgroup.h"

#include <cstdlib>
#include <map>
#include <set>

#include "absl/strings/str_cat.h"
#include "base/file.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace podvisor {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

class PodCgroupTest : public testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = testing::TempDir() + "/cgroup.XXXXXX";
    ASSERT_NE(mkdtemp(pattern.data()), nullptr);
    root_ = pattern;
  }

  // A directory with these files and their texts.
  PodCgroup::Directory Make(const std::string& name, CgroupVersion version,
                            const std::set<std::string>& controllers,
                            const std::map<std::string, std::string>& files) {
    const std::string path = absl::StrCat(root_, "/", name);
    EXPECT_TRUE(MakeDirectories(path).ok());
    for (const auto& [file, text] : files) {
      EXPECT_TRUE(
          WriteFileAtomically(absl::StrCat(path, "/", file), text).ok());
    }
    return {{version, root_, controllers}, path};
  }
  std::string Text(const std::string& file) const {
    return ReadFile(absl::StrCat(root_, "/", file)).value_or("none");
  }

  std::string root_;
};

TEST_F(PodCgroupTest, WithVersion1EveryTreeHasAFileToEnterBy) {
  const PodCgroup cgroup("/p",
                         {Make("cpu", CgroupVersion::kV1, {"cpu"}, {}),
                          Make("memory", CgroupVersion::kV1, {"memory"}, {})});

  EXPECT_EQ(cgroup.path(), "/p");
  EXPECT_THAT(cgroup.ProcsFiles(), ElementsAre(root_ + "/cpu/cgroup.procs",
                                               root_ + "/memory/cgroup.procs"));
}

TEST_F(PodCgroupTest, TheCpuLimitIsAQuotaOfVersion1) {
  const PodCgroup cgroup("/p",
                         {Make("memory", CgroupVersion::kV1, {"memory"}, {}),
                          Make("cpu", CgroupVersion::kV1, {"cpu", "cpuacct"},
                               {{"cpu.cfs_quota_us", "-1\n"}}),
                          Make("unified", CgroupVersion::kV2, {}, {})});
  EXPECT_EQ(cgroup.CpuLimit().value(), std::nullopt);

  ASSERT_TRUE(cgroup.SetCpuLimit(500).ok());
  EXPECT_EQ(Text("cpu/cpu.cfs_quota_us"), "50000");
  EXPECT_EQ(cgroup.CpuLimit().value(), 500);

  ASSERT_TRUE(cgroup.SetCpuLimit(std::nullopt).ok());
  EXPECT_EQ(Text("cpu/cpu.cfs_quota_us"), "-1");
}

TEST_F(PodCgroupTest, TheCpuLimitIsAMaximumOfVersion2) {
  const PodCgroup cgroup(
      "/p", {Make("u", CgroupVersion::kV2, {}, {{"cpu.max", "max 100000\n"}})});
  EXPECT_EQ(cgroup.CpuLimit().value(), std::nullopt);

  ASSERT_TRUE(cgroup.SetCpuLimit(1300).ok());
  EXPECT_EQ(Text("u/cpu.max"), "130000 100000");
  EXPECT_EQ(cgroup.CpuLimit().value(), 1300);

  ASSERT_TRUE(cgroup.SetCpuLimit(std::nullopt).ok());
  EXPECT_EQ(Text("u/cpu.max"), "max");
}

TEST_F(PodCgroupTest, RaisingNeverLowers) {
  const PodCgroup cgroup(
      "/p", {Make("u", CgroupVersion::kV2, {}, {{"cpu.max", "max 100000"}})});
  const std::optional<int64_t> kNone;
  const struct {
    std::optional<int64_t> now, wanted, then;
  } kCases[] = {{500, 700, 700},     {700, 500, 700},
                {500, 500, 500},     {500, kNone, kNone},
                {kNone, 500, kNone}, {kNone, kNone, kNone}};
  for (const auto& c : kCases) {
    ASSERT_TRUE(cgroup.SetCpuLimit(c.now).ok());
    ASSERT_TRUE(cgroup.RaiseCpuLimit(c.wanted).ok());
    EXPECT_EQ(cgroup.CpuLimit().value(), c.then);
  }
}

TEST_F(PodCgroupTest, AHostWithoutTheControllerIsAnErrorOnlyForWhoNeedsIt) {
  const PodCgroup no_trees;
  const PodCgroup no_cpu("/p", {Make("u", CgroupVersion::kV2, {}, {})});
  for (const PodCgroup& cgroup : {no_trees, no_cpu}) {
    EXPECT_TRUE(cgroup.SetCpuLimit(std::nullopt).ok());
    EXPECT_TRUE(cgroup.RaiseCpuLimit(500).ok());
    EXPECT_TRUE(cgroup.LimitBlockIo({}).ok());

    const absl::Status cpu = cgroup.SetCpuLimit(500);
    EXPECT_TRUE(absl::IsFailedPrecondition(cpu)) << cpu;
    EXPECT_THAT(std::string(cpu.message()),
                HasSubstr("a base of part of a CPU"));
    const absl::Status io =
        cgroup.LimitBlockIo({{{BlockIoType::kWeight, "", 78}}});
    EXPECT_TRUE(absl::IsFailedPrecondition(io)) << io;
    EXPECT_THAT(std::string(io.message()), HasSubstr("blkio_cgroup"));
  }
  EXPECT_EQ(no_trees.path(), "");
}

TEST_F(PodCgroupTest, BlockIoGoesIntoTheTreeThatHasIt) {
  const PodCgroup cgroup(
      "/p", {Make("blkio", CgroupVersion::kV1, {"blkio"},
                  {{"blkio.weight", "500"}, {"blkio.leaf_weight", "500"}}),
             Make("u", CgroupVersion::kV2, {}, {{"io.weight", "100"}})});

  ASSERT_TRUE(cgroup
                  .LimitBlockIo({{{BlockIoType::kWeight, "", 78},
                                  {BlockIoType::kLeafWeight, "", 79}}})
                  .ok());

  EXPECT_EQ(Text("blkio/blkio.weight"), "78");
  EXPECT_EQ(Text("blkio/blkio.leaf_weight"), "79");
  EXPECT_EQ(Text("u/io.weight"), "100");
}

TEST_F(PodCgroupTest, ADeviceThatIsNotThereIsNamed) {
  const PodCgroup cgroup("/p",
                         {Make("u", CgroupVersion::kV2, {}, {{"io.max", ""}})});

  EXPECT_EQ(
      cgroup.LimitBlockIo({{{BlockIoType::kReadBytes, "/dev/no-disk", 400}}}),
      absl::InvalidArgumentError(
          "blkio_cgroup: /dev/no-disk: No such file or directory"));
  EXPECT_EQ(Text("u/io.max"), "");
}

}  // namespace
}  // namespace podvisor
