#include "sandbox/host/host_cgroups.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#include <fstream>
#include <memory>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "base/file.h"
#include "base/process.h"
#include "base/unique_fd.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace podvisor {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

bool Exists(const std::string& path) {
  struct stat info;
  return lstat(path.c_str(), &info) == 0;
}

absl::Time Soon() { return absl::Now() + absl::Seconds(10); }

// Directories play cgroups: what the kernel would put into them is there before
// they are made, or is not there.
class HostCgroupsTest : public testing::Test {
 protected:
  void SetUp() override {
    if (geteuid() != 0) GTEST_SKIP() << "NOT TESTED: marks need root";
    std::string pattern = testing::TempDir() + "/cgroups.XXXXXX";
    ASSERT_NE(mkdtemp(pattern.data()), nullptr);
    root_ = pattern;
  }

  CgroupMount Tree(const std::string& name, CgroupVersion version,
                   const std::set<std::string>& controllers) {
    EXPECT_TRUE(MakeDirectories(absl::StrCat(root_, "/", name)).ok());
    return {version, absl::StrCat(root_, "/", name), controllers};
  }
  CgroupMount Unified() { return Tree("unified", CgroupVersion::kV2, {}); }
  void Put(const std::string& directory, const std::string& file,
           const std::string& text) {
    EXPECT_TRUE(MakeDirectories(absl::StrCat(root_, "/", directory)).ok());
    EXPECT_TRUE(WriteFileAtomically(
                    absl::StrCat(root_, "/", directory, "/", file), text)
                    .ok());
  }
  std::string Text(const std::string& file) const {
    return ReadFile(absl::StrCat(root_, "/", file)).value_or("none");
  }
  bool Has(const std::string& path) const {
    return Exists(absl::StrCat(root_, "/", path));
  }
  std::string Leaf() const { return absl::StrCat("podvisor-", id_.value()); }

  const PodId id_{RandomHexId()};
  SystemClock clock_;
  std::string root_;
};

TEST_F(HostCgroupsTest, APodIsInEveryTreeBelowItsParent) {
  HostCgroups cgroups({Tree("cpu", CgroupVersion::kV1, {"cpu"}), Unified()},
                      &clock_);

  const PodCgroup made = cgroups.Create("/kubepods/pod1", id_).value();

  EXPECT_EQ(made.path(), absl::StrCat("/kubepods/pod1/", Leaf()));
  EXPECT_THAT(made.ProcsFiles(),
              ElementsAre(absl::StrCat(root_, "/cpu/kubepods/pod1/", Leaf(),
                                       "/cgroup.procs"),
                          absl::StrCat(root_, "/unified/kubepods/pod1/", Leaf(),
                                       "/cgroup.procs")));
  EXPECT_TRUE(Has(absl::StrCat("cpu/kubepods/pod1/", Leaf())));
  EXPECT_EQ(cgroups.Create("/kubepods/pod1", id_)->directories(),
            made.directories());
  EXPECT_EQ(cgroups.Open("/kubepods/pod1", id_).directories(),
            made.directories());
}

TEST_F(HostCgroupsTest, RemovingTakesWhatWasMadeAndLeavesTheKubelets) {
  Put("unified/kubepods/pod1", "cgroup.procs", "");
  HostCgroups cgroups({Unified()}, &clock_);
  const PodId other(RandomHexId());
  ASSERT_TRUE(cgroups.Create("/kubepods/pod1", id_).ok());
  ASSERT_TRUE(cgroups.Create("", id_).ok());
  ASSERT_TRUE(cgroups.Create("", other).ok());

  ASSERT_TRUE(cgroups.Remove("/kubepods/pod1", id_, Soon()).ok());
  EXPECT_FALSE(Has(absl::StrCat("unified/kubepods/pod1/", Leaf())));
  EXPECT_TRUE(Has("unified/kubepods/pod1"));

  ASSERT_TRUE(cgroups.Remove("", id_, Soon()).ok());
  EXPECT_FALSE(Has(absl::StrCat("unified/podvisor/", Leaf())));
  EXPECT_TRUE(Has("unified/podvisor"));
  ASSERT_TRUE(cgroups.Remove("", other, Soon()).ok());
  EXPECT_FALSE(Has("unified/podvisor"));
  EXPECT_TRUE(Has("unified"));
  EXPECT_TRUE(cgroups.Remove("", other, Soon()).ok());
  EXPECT_TRUE(cgroups.Open("", other).directories().empty());
}

TEST_F(HostCgroupsTest, AHalfDoneCreateIsRemovedWhole) {
  HostCgroups cgroups({Unified()}, &clock_);
  ASSERT_TRUE(cgroups.Create("/a/b", id_).ok());
  ASSERT_EQ(rmdir(absl::StrCat(root_, "/unified/a/b/", Leaf()).c_str()), 0);

  EXPECT_TRUE(cgroups.Remove("/a/b", id_, Soon()).ok());

  EXPECT_FALSE(Has("unified/a"));
}

TEST_F(HostCgroupsTest, WhoseRecordIsLostIsFoundByItsName) {
  HostCgroups cgroups({Tree("cpu", CgroupVersion::kV1, {"cpu"}), Unified()},
                      &clock_);
  const PodId other(RandomHexId());
  ASSERT_TRUE(cgroups.Create("/x/y", id_).ok());
  ASSERT_TRUE(cgroups.Create("/x", other).ok());

  EXPECT_TRUE(cgroups.RemoveStray(id_, Soon()).ok());

  EXPECT_FALSE(Has("cpu/x/y"));
  EXPECT_FALSE(Has("unified/x/y"));
  EXPECT_EQ(cgroups.Open("/x", other).directories().size(), 2u);
}

TEST_F(HostCgroupsTest, ATreeThatCannotBeUsedIsLeftOut) {
  // One is not there; in the other nobody may make a directory.
  HostCgroups cgroups({{CgroupVersion::kV1, root_ + "/gone", {"cpu"}},
                       {CgroupVersion::kV1, "/sys", {"memory"}},
                       Unified()},
                      &clock_);

  const PodCgroup made = cgroups.Create("/kubepods/pod1", id_).value();

  ASSERT_EQ(made.directories().size(), 1u);
  EXPECT_EQ(made.directories()[0].tree, Unified());
}

TEST_F(HostCgroupsTest, WithoutACgroupInAUsableTreeThereIsNoPod) {
  // A file where the cgroup would be.
  Put("memory", "kubepods", "");
  HostCgroups cgroups(
      {Unified(), Tree("memory", CgroupVersion::kV1, {"memory"})}, &clock_);

  const absl::Status refused = cgroups.Create("/kubepods/pod1", id_).status();

  EXPECT_FALSE(refused.ok());
  EXPECT_THAT(std::string(refused.message()), HasSubstr("/memory/kubepods"));
  // What was made before goes as that of any other pod.
  ASSERT_EQ(unlink(absl::StrCat(root_, "/memory/kubepods").c_str()), 0);
  EXPECT_TRUE(cgroups.Remove("/kubepods/pod1", id_, Soon()).ok());
  EXPECT_FALSE(Has("unified/kubepods"));
  EXPECT_TRUE(cgroups.Create("/other", id_).ok());
  EXPECT_TRUE(cgroups.Remove("/other", id_, Soon()).ok());
}

TEST_F(HostCgroupsTest, ACpusetIsFilledFromItsParentBeforeAnybodyEnters) {
  Put("cpuset", "cpuset.cpus", "0-3\n");
  Put("cpuset", "cpuset.mems", "0\n");
  Put("cpuset/kubepods", "cpuset.cpus", "1-2\n");
  Put("cpuset/kubepods", "cpuset.mems", "\n");
  const std::string pod = absl::StrCat("cpuset/kubepods/", Leaf());
  Put(pod, "cpuset.cpus", "\n");
  Put(pod, "cpuset.mems", "\n");
  HostCgroups cgroups({Tree("cpuset", CgroupVersion::kV1, {"cpuset"})},
                      &clock_);

  ASSERT_EQ(cgroups.Create("/kubepods", id_)->directories().size(), 1u);

  EXPECT_EQ(Text("cpuset/kubepods/cpuset.cpus"), "1-2\n");
  EXPECT_EQ(Text("cpuset/kubepods/cpuset.mems"), "0");
  EXPECT_EQ(Text(pod + "/cpuset.cpus"), "1-2");
  EXPECT_EQ(Text(pod + "/cpuset.mems"), "0");
}

TEST_F(HostCgroupsTest, WithVersion2ControllersAreHandedDownToThePod) {
  Put("unified", "cgroup.controllers", "cpuset cpu io memory\n");
  Put("unified", "cgroup.subtree_control", "cpu io memory\n");
  Put("unified/kubepods", "cgroup.controllers", "cpu memory\n");
  Put("unified/kubepods", "cgroup.subtree_control", "memory\n");
  HostCgroups cgroups({Unified()}, &clock_);

  ASSERT_TRUE(cgroups.Create("/kubepods", id_).ok());

  EXPECT_EQ(Text("unified/cgroup.subtree_control"), "cpu io memory\n");
  EXPECT_EQ(Text("unified/kubepods/cgroup.subtree_control"), "+cpu");
}

TEST_F(HostCgroupsTest, WithVersion2AParentWithProcessesHandsNothingDown) {
  for (const char* path : {"unified", "unified/busy", "unified/idle"}) {
    Put(path, "cgroup.controllers", "cpu io\n");
    Put(path, "cgroup.subtree_control", "\n");
  }
  Put("unified", "cgroup.procs", "1\n");  // the root may have them
  Put("unified/busy", "cgroup.type", "domain\n");
  Put("unified/busy", "cgroup.procs", "7\n");
  Put("unified/idle", "cgroup.type", "domain\n");
  Put("unified/idle", "cgroup.procs", "");
  HostCgroups cgroups({Unified()}, &clock_);

  ASSERT_TRUE(cgroups.Create("/busy", id_).ok());
  ASSERT_TRUE(cgroups.Create("/idle", id_).ok());

  EXPECT_THAT(Text("unified/cgroup.subtree_control"), HasSubstr("+"));
  EXPECT_EQ(Text("unified/busy/cgroup.subtree_control"), "\n");
  EXPECT_THAT(Text("unified/idle/cgroup.subtree_control"), HasSubstr("+"));
}

TEST_F(HostCgroupsTest, WhatIsNoParentAndNoIdIsRefused) {
  HostCgroups cgroups({Unified()}, &clock_);

  EXPECT_TRUE(absl::IsInvalidArgument(cgroups.Create("/../x", id_).status()));
  EXPECT_TRUE(
      absl::IsInvalidArgument(cgroups.Create("", PodId("../x")).status()));
  EXPECT_TRUE(cgroups.Open("/../x", id_).directories().empty());
  EXPECT_TRUE(cgroups.Remove("/../x", id_, Soon()).ok());
}

// On the cgroups of this host, whatever they are.
class RealCgroupsTest : public testing::Test {
 protected:
  void SetUp() override {
    if (geteuid() != 0) GTEST_SKIP() << "NOT TESTED: cgroups need root";
    trees_ = ParseCgroupMounts(ReadFile("/proc/self/mountinfo").value());
    cgroups_ = std::make_unique<HostCgroups>(trees_, &clock_);
    if (cgroups_->Create(parent_, id_)->directories().empty()) {
      GTEST_SKIP() << "NOT TESTED: this host has no cgroups that can be made";
    }
  }
  void TearDown() override {
    if (process_.pid != 0) {
      EXPECT_TRUE(KillGroup(process_, Soon()).ok());
    }
    if (cgroups_ == nullptr) return;
    EXPECT_TRUE(cgroups_->Remove(parent_, id_, Soon()).ok());
    for (const CgroupMount& tree : trees_) {
      EXPECT_FALSE(Exists(tree.path + parent_)) << tree.path;
    }
  }

  // Starts a process that enters as QEMU does, and waits until it is inside.
  void StartInside() {
    int ends[2];
    ASSERT_EQ(pipe2(ends, O_CLOEXEC), 0);
    const UniqueFd reads(ends[0]);
    UniqueFd writes(ends[1]);
    SpawnOptions spawn;
    spawn.argv = {"/bin/sh", "-c",
                  "for f in \"$@\"; do echo 0 > \"$f\"; done; echo; "
                  "exec sleep 60 >/dev/null",
                  "enter"};
    for (const std::string& file : Cgroup().ProcsFiles()) {
      spawn.argv.push_back(file);
    }
    spawn.stdout_fd = writes.get();
    process_ = Spawn(spawn).value();
    writes.Reset();
    char line = 0;
    EXPECT_EQ(read(reads.get(), &line, 1), 1);
  }
  PodCgroup Cgroup() const { return cgroups_->Open(parent_, id_); }

  const PodId id_{RandomHexId()};
  const std::string parent_ = absl::StrCat("/podvisor-test-", getpid());
  SystemClock clock_;
  std::vector<CgroupMount> trees_;
  std::unique_ptr<HostCgroups> cgroups_;
  ProcessIdentity process_;
};

TEST_F(RealCgroupsTest, AProcessThatEnteredIsInAllOfThem) {
  StartInside();

  for (const std::string& file : Cgroup().ProcsFiles()) {
    EXPECT_EQ(ReadFile(file).value_or("none"), absl::StrCat(process_.pid, "\n"))
        << file;
  }
}

TEST_F(RealCgroupsTest, ACgroupInUseStaysUntilItsProcessesAreGone) {
  StartInside();
  const std::string first = Cgroup().ProcsFiles()[0];

  const absl::Status busy =
      cgroups_->Remove(parent_, id_, absl::Now() + absl::Milliseconds(50));

  EXPECT_TRUE(absl::IsDeadlineExceeded(busy)) << busy;
  EXPECT_THAT(std::string(busy.message()), HasSubstr(id_.value()));
  EXPECT_TRUE(Exists(first));
}

TEST_F(RealCgroupsTest, ALimitOnTheCpuIsInForce) {
  const absl::Status set = Cgroup().SetCpuLimit(500);
  if (absl::IsFailedPrecondition(set)) GTEST_SKIP() << "NOT TESTED: " << set;
  ASSERT_TRUE(set.ok()) << set;

  EXPECT_EQ(Cgroup().CpuLimit().value(), 500);
  EXPECT_TRUE(Cgroup().SetCpuLimit(std::nullopt).ok());
  EXPECT_EQ(Cgroup().CpuLimit().value(), std::nullopt);
}

TEST_F(RealCgroupsTest, AParentThatHasLessStaysInForce) {
  const PodCgroup cgroup = Cgroup();
  for (const PodCgroup::Directory& directory : cgroup.directories()) {
    if (directory.tree.controllers.count("cpu") == 0) continue;
    std::ofstream(directory.tree.path + parent_ + "/cpu.cfs_quota_us") << 30000;

    EXPECT_TRUE(cgroup.SetCpuLimit(500).ok());
    EXPECT_EQ(cgroup.CpuLimit().value(), std::nullopt);
    EXPECT_TRUE(cgroup.SetCpuLimit(200).ok());
    EXPECT_EQ(cgroup.CpuLimit().value(), 200);
    return;
  }
  GTEST_SKIP() << "NOT TESTED: no cpu controller of version 1";
}

}  // namespace
}  // namespace podvisor
