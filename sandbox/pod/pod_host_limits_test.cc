// What limits a pod's processes on the host: a directory plays the tree of
// cgroups, in which no kernel makes files.

#include "base/file.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "sandbox/pod/pod_manager_fixture.h"

namespace podvisor {
namespace {

using testing::ElementsAre;

class PodHostLimitsTest : public PodManagerFixture {
 protected:
  std::vector<CgroupMount> CgroupTrees() override {
    EXPECT_TRUE(MakeDirectories(Tree()).ok());
    return {{CgroupVersion::kV2, Tree(), {}}};
  }
  std::string Tree() const { return directory_ + "/cgroup"; }
  bool HasCgroup(const std::string& path) const {
    return access((Tree() + path).c_str(), F_OK) == 0;
  }
  std::shared_ptr<Pod> Find(const PodId& id) {
    return pods_->FindPod(id.value()).value();
  }
};

TEST_F(PodHostLimitsTest, QemuEntersACgroupBelowThePodsParentThatGoesWithIt) {
  PodSpec spec = Spec("placed");
  spec.cgroup_parent = "/kubepods/pod1";
  const PodId id = pods_->RunPod(spec, Soon()).value();

  const std::string cgroup = "/kubepods/pod1/podvisor-" + id.value();
  EXPECT_EQ(Find(id)->Snapshot().cgroup_path, cgroup);
  EXPECT_THAT(launcher_.launched().back().cgroup_procs,
              ElementsAre(Tree() + cgroup + "/cgroup.procs"));
  EXPECT_TRUE(HasCgroup(cgroup));
  Restart();
  EXPECT_EQ(Find(id)->Snapshot().cgroup_path, cgroup);

  ASSERT_TRUE(pods_->RemovePod(Find(id), Soon()).ok());
  EXPECT_FALSE(HasCgroup("/kubepods"));
}

TEST_F(PodHostLimitsTest, APodWhoseVmIsLostLosesItsCgroup) {
  const PodId id = Run("lost")->id();
  EXPECT_TRUE(HasCgroup("/podvisor"));
  LaunchFaults faults;
  faults.adopt = absl::NotFoundError("QEMU is gone");
  launcher_.SetFaults(faults);

  Restart();

  EXPECT_EQ(Find(id)->state(), SandboxState::kStopped);
  EXPECT_FALSE(HasCgroup("/podvisor"));
}

TEST_F(PodHostLimitsTest, ADaemonKilledInABootLeavesItsCgroupToTheNext) {
  PodRecord record;
  record.id = PodId(RandomHexId());
  record.spec = Spec("unborn");
  record.spec.cgroup_parent = "/kubepods/pod1";
  ASSERT_TRUE(store_->PutPod(record).ok());
  ASSERT_TRUE(cgroups_->Create("/kubepods/pod1", record.id).ok());

  Restart();

  EXPECT_TRUE(pods_->ListPods().empty());
  EXPECT_FALSE(HasCgroup("/kubepods"));
}

TEST_F(PodHostLimitsTest, APodWhoseRecordIsLostLosesItsCgroup) {
  const PodId id(RandomHexId());
  ASSERT_TRUE(MakeDirectories(settings_.run_dir + "/pods/" + id.value()).ok());
  ASSERT_TRUE(cgroups_->Create("/kubepods/pod1", id).ok());

  Restart();

  EXPECT_FALSE(HasCgroup("/kubepods"));
}

TEST_F(PodHostLimitsTest, AFailedBootLeavesNoCgroup) {
  LaunchFaults faults;
  faults.launch = absl::UnavailableError("panic");
  launcher_.SetFaults(faults);

  EXPECT_FALSE(pods_->RunPod(Spec("failed"), Soon()).ok());

  EXPECT_FALSE(HasCgroup("/podvisor"));
}

TEST_F(PodHostLimitsTest, ALimitThatTheHostCannotSetIsNoPodAndLeavesNothing) {
  PodSpec half = Spec("half");
  half.size.base_milli_cpu = 500;
  PodSpec weight = Spec("weight");
  weight.host.block_io = {{BlockIoType::kWeight, "", 78}};
  PodSpec disk = Spec("disk");
  disk.host.block_io = {{BlockIoType::kReadBytes, "/dev/no-disk", 400}};
  PodSpec files = Spec("files");
  files.host.files_limit = int64_t{1} << 60;

  EXPECT_TRUE(absl::IsFailedPrecondition(pods_->RunPod(half, Soon()).status()));
  EXPECT_TRUE(
      absl::IsFailedPrecondition(pods_->RunPod(weight, Soon()).status()));
  EXPECT_TRUE(absl::IsInvalidArgument(pods_->RunPod(disk, Soon()).status()));
  EXPECT_TRUE(absl::IsInvalidArgument(pods_->RunPod(files, Soon()).status()));

  EXPECT_EQ(launcher_.running(), 0);
  EXPECT_TRUE(pods_->ListPods().empty());
  EXPECT_FALSE(HasCgroup("/podvisor"));
}

TEST_F(PodHostLimitsTest, AFewOpenFilesAreRaisedToTheLeast) {
  PodSpec spec = Spec("files");
  spec.host.files_limit = 1;

  ASSERT_TRUE(pods_->RunPod(spec, Soon()).ok());

  EXPECT_EQ(launcher_.launched().back().files_limit, 1024);
}

}  // namespace
}  // namespace podvisor
