#include "cri/ctl_check.h"

#include <sys/stat.h>

#include <fstream>
#include <sstream>
#include <string>

#include "absl/strings/match.h"
#include "base/file.h"
#include "gtest/gtest.h"

namespace podvisor {
namespace {

// A host whose files are all in one temporary directory.
class CheckHostTest : public testing::Test {
 protected:
  CheckHostTest() : root_(testing::TempDir() + "/check-host") {
    EXPECT_TRUE(RemoveTree(root_).ok());
    EXPECT_TRUE(MakeDirectories(root_ + "/bin").ok());
    EXPECT_TRUE(MakeDirectories(root_ + "/net.d").ok());
    paths_.kvm = root_ + "/kvm";
    paths_.tun = root_ + "/tun";
    paths_.cgroup = root_ + "/cgroup";
    paths_.meminfo = root_ + "/meminfo";
    paths_.programs = {root_ + "/bin"};
    config_.qemu.path = root_ + "/bin/qemu";
    config_.network.cni_conf_dir = root_ + "/net.d";
    config_.network.cni_bin_dirs = {root_ + "/bin"};
  }
  ~CheckHostTest() override { EXPECT_TRUE(RemoveTree(root_).ok()); }

  void Write(const std::string& name, const std::string& text = "",
             mode_t mode = 0644) {
    std::ofstream(root_ + "/" + name) << text;
    EXPECT_EQ(chmod((root_ + "/" + name).c_str(), mode), 0);
  }

  CheckLine Line(const std::string& what) {
    for (const CheckLine& line : CheckHost(config_, paths_)) {
      if (line.what == what) return line;
    }
    ADD_FAILURE() << "no line about " << what;
    return {};
  }

  std::string root_;
  HostPaths paths_;
  Config config_;
};

TEST_F(CheckHostTest, EveryFailureSaysWhatToDo) {
  for (const CheckLine& line : CheckHost(config_, paths_)) {
    EXPECT_EQ(line.result == CheckResult::kOk, line.advice.empty())
        << line.what;
  }
}

TEST_F(CheckHostTest, ProgramMustBeExecutable) {
  Write("bin/qemu", "", 0644);
  EXPECT_EQ(Line("qemu").result, CheckResult::kFail);

  Write("bin/qemu", "", 0755);
  EXPECT_EQ(Line("qemu").result, CheckResult::kOk);

  EXPECT_EQ(Line("skopeo").result, CheckResult::kFail);
  Write("bin/skopeo", "", 0755);
  EXPECT_EQ(Line("skopeo").found, root_ + "/bin/skopeo");
}

TEST_F(CheckHostTest, MissingKvmIsAWarningUnlessItIsDemanded) {
  EXPECT_EQ(Line("accelerator").result, CheckResult::kWarn);

  config_.qemu.accelerator = "kvm";
  EXPECT_EQ(Line("accelerator").result, CheckResult::kFail);

  config_.qemu.accelerator = "tcg";
  EXPECT_EQ(Line("accelerator").result, CheckResult::kOk);
}

TEST_F(CheckHostTest, AFileIsNoKvm) {
  Write("kvm");

  EXPECT_TRUE(absl::StrContains(Line("accelerator").found, "not the KVM"));
}

TEST_F(CheckHostTest, FirstCniConfigurationByName) {
  EXPECT_EQ(Line("CNI configuration").result, CheckResult::kFail);

  const std::string config = R"({"cniVersion":"1.0.0","type":"ptp","name":")";
  Write("net.d/20-b.conflist", config + "b\"}");
  Write("net.d/10-a.conflist", config + "a\"}");
  Write("net.d/00-readme.txt");
  EXPECT_EQ(Line("CNI configuration").found, root_ + "/net.d: network \"a\"");
}

TEST_F(CheckHostTest, APluginThatTheConfigurationNamesMustBeThere) {
  Write("net.d/10-a.conf", R"({"cniVersion":"1.0.0","type":"ptp","name":"a"})");
  EXPECT_EQ(Line("CNI plugins").result, CheckResult::kFail);

  Write("bin/ptp", "", 0755);
  EXPECT_EQ(Line("CNI plugins").result, CheckResult::kOk);
}

TEST_F(CheckHostTest, PartOfTheControllersIsAWarning) {
  EXPECT_EQ(Line("cgroups").result, CheckResult::kFail);

  EXPECT_TRUE(MakeDirectories(root_ + "/cgroup/cpu").ok());
  EXPECT_EQ(Line("cgroups").result, CheckResult::kWarn);

  for (const char* name : {"memory", "cpuset", "blkio"}) {
    EXPECT_TRUE(MakeDirectories(root_ + "/cgroup/" + name).ok());
  }
  EXPECT_EQ(Line("cgroups").result, CheckResult::kOk);
}

TEST(CheckAcceleratorTest, ABootThatFailedIsToldThoughTheDeviceMakesVms) {
  const AcceleratorChoice hangs = {Accelerator::kTcg, "KVM does not boot"};
  const AcceleratorChoice boots = {Accelerator::kKvm, "KVM booted the guest"};

  const CheckLine line = CheckAccelerator("auto", "", hangs);

  EXPECT_EQ(line.result, CheckResult::kWarn);
  EXPECT_EQ(line.found, "podvisord tried: KVM does not boot");
  EXPECT_EQ(CheckAccelerator("auto", "", boots).result, CheckResult::kOk);
  EXPECT_EQ(CheckAccelerator("auto", "", std::nullopt).result,
            CheckResult::kOk);
  EXPECT_EQ(CheckAccelerator("auto", "gone", boots).found, "gone");
}

TEST(CheckMemoryTest, CountsVmsThatFit) {
  EXPECT_EQ(CheckMemory("MemTotal: 9 kB\nMemAvailable:    4194304 kB\n", 1024),
            (CheckLine{CheckResult::kOk, "free memory",
                       "4096 MiB, for 4 VMs of default_memory", ""}));
  EXPECT_EQ(CheckMemory("MemAvailable: 1024 kB\n", 1024).result,
            CheckResult::kWarn);
  EXPECT_EQ(CheckMemory("", 1024).result, CheckResult::kWarn);
  EXPECT_EQ(CheckMemory("MemAvailable: x kB\n", 1024).result,
            CheckResult::kWarn);
}

TEST(PrintChecksTest, OneFailureMeansUnable) {
  std::ostringstream out;

  EXPECT_TRUE(PrintChecks({{CheckResult::kWarn, "a", "b", "c"}}, out));
  EXPECT_FALSE(PrintChecks({{CheckResult::kFail, "a", "b", "do c"},
                            {CheckResult::kOk, "d", "e", ""}},
                           out));
  EXPECT_TRUE(absl::StrContains(out.str(), "b: do c"));
}

}  // namespace
}  // namespace podvisor
