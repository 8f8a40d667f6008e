// The pod's processes on the host: where they are, what limits them, and that
// nothing of it stays. On cgroups of version 1, 2, or both.

#include <dirent.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <memory>
#include <set>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "base/file.h"
#include "e2e/pod_cgroup.h"
#include "e2e/test_node.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace podvisor::e2e {
namespace {

using testing::AnyOf;
using testing::Contains;
using testing::Each;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;

constexpr char kForever[] = "trap 'exit 0' TERM; while :; do sleep 0.1; done";
constexpr char kCpu[] = "com.github.containers.virtcontainers.sandbox_cpu";
constexpr char kBlkio[] = "com.github.containers.virtcontainers.blkio_cgroup";
constexpr char kFiles[] = "com.github.containers.virtcontainers.files_limit";
constexpr char kDisk[] = "/dev/loop0";

bool Exists(const std::string& path) {
  struct stat info;
  return lstat(path.c_str(), &info) == 0;
}

// What of the cgroup is there, in all trees.
std::vector<std::string> Found(const std::string& cgroup) {
  std::vector<std::string> found;
  for (const std::string& tree : CgroupTrees()) {
    if (Exists(tree + cgroup)) found.push_back(tree + cgroup);
  }
  return found;
}

// "cpu:/a/b" for each tree with a controller that counts or limits a VM.
std::set<std::string> CgroupsOf(const std::string& proc) {
  static const std::set<std::string> kControllers = {
      "cpu", "cpuacct", "cpuset", "memory", "blkio", "pids", "hugetlb", ""};
  std::set<std::string> cgroups;
  const std::string text = ReadFile(proc + "/cgroup").value_or("");
  for (const absl::string_view line :
       absl::StrSplit(text, '\n', absl::SkipEmpty())) {
    const std::vector<std::string> fields =
        absl::StrSplit(line, absl::MaxSplits(':', 2));
    for (const absl::string_view name : absl::StrSplit(fields[1], ',')) {
      if (kControllers.count(std::string(name)) > 0) {
        cgroups.insert(absl::StrCat(name, ":", fields[2]));
      }
    }
  }
  return cgroups;
}

class HostCgroupE2eTest : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    node_ = new TestNode();
    node_->PullImage();
  }
  static void TearDownTestSuite() { delete node_; }

  static std::string CgroupOf(const std::string& pod) {
    return node_->PodInfoText(pod, "/cgroupPath");
  }
  static grpc::Status TryRun(const cri::PodSandboxConfig& config) {
    cri::RunPodSandboxRequest request;
    *request.mutable_config() = config;
    cri::RunPodSandboxResponse response;
    Call call;
    return node_->runtime().RunPodSandbox(&call, request, &response);
  }
  // Starts a container; with a directory of the host, which needs virtiofsd.
  static std::string Start(const std::string& pod,
                           const cri::PodSandboxConfig& config,
                           const std::string& name, int64_t milli_cpu,
                           bool with_mount = false) {
    cri::ContainerConfig container = node_->ContainerConfig(name, kForever);
    *container.mutable_linux()->mutable_resources() = Resources(milli_cpu, 32);
    if (with_mount) {
      cri::Mount* const mount = container.add_mounts();
      mount->set_host_path(node_->directory() + "/logs");
      mount->set_container_path("/data");
    }
    const std::string id = node_->CreateContainer(pod, container, config);
    node_->StartContainer(id);
    return id;
  }
  static void Remove(const std::string& container) {
    cri::RemoveContainerRequest request;
    request.set_container_id(container);
    cri::RemoveContainerResponse response;
    Call call;
    EXPECT_TRUE(
        node_->runtime().RemoveContainer(&call, request, &response).ok());
  }
  // The pod's processes by name, from the files of its cgroup.
  static std::vector<int64_t> Processes(const std::string& cgroup,
                                        const std::string& name) {
    std::vector<int64_t> pids;
    for (const std::string& tree : CgroupTrees()) {
      const auto procs = ReadFile(absl::StrCat(tree, cgroup, "/cgroup.procs"));
      if (!procs.ok()) continue;
      for (const absl::string_view text :
           absl::StrSplit(*procs, '\n', absl::SkipEmpty())) {
        int64_t pid = 0;
        if (absl::SimpleAtoi(text, &pid) &&
            absl::StartsWith(
                ReadFile(absl::StrCat("/proc/", pid, "/comm")).value_or(""),
                name)) {
          pids.push_back(pid);
        }
      }
      return pids;
    }
    return pids;
  }
  // How much CPU time the pod's processes get: "50000", or "-1" or "max".
  static std::string Quota(const std::string& cgroup) {
    const std::string text =
        CgroupFile(cgroup, {"cpu.cfs_quota_us", "cpu.max"});
    return text.substr(0, text.find(' '));
  }
  static void ExpectQuota(const std::string& cgroup, const std::string& quota) {
    AwaitTrue(absl::Seconds(20), [&] { return Quota(cgroup) == quota; });
    EXPECT_EQ(Quota(cgroup), quota);
  }

  static TestNode* node_;
};

TestNode* HostCgroupE2eTest::node_ = nullptr;

TEST_F(HostCgroupE2eTest, EveryProcessIsBelowTheParentAndTheKubeletsStays) {
  const std::string parent = absl::StrCat("/podvisor-e2e-", getpid());
  for (const std::string& tree : CgroupTrees())
    mkdir((tree + parent).c_str(), 0755);
  cri::PodSandboxConfig config = node_->PodConfig("placed");
  config.mutable_linux()->set_cgroup_parent(parent);

  const std::string pod = node_->RunPod(config);
  Start(pod, config, "main", 2000, /*with_mount=*/true);

  const std::string cgroup = absl::StrCat(parent, "/podvisor-", pod);
  EXPECT_EQ(CgroupOf(pod), cgroup);
  std::vector<std::string> processes = {
      absl::StrCat("/proc/", node_->PodInfo(pod, "/pid"))};
  for (const int64_t pid : Processes(cgroup, "virtiofsd")) {
    processes.push_back(absl::StrCat("/proc/", pid));
  }
  EXPECT_GE(processes.size(), 2u) << "no virtiofsd in the cgroup";
  for (const std::string& process : processes) {
    EXPECT_THAT(CgroupsOf(process), Not(IsEmpty()));
    EXPECT_THAT(CgroupsOf(process), Each(testing::EndsWith(":" + cgroup)));
  }
  const std::string threads = processes[0] + "/task/";
  const std::unique_ptr<DIR, int (*)(DIR*)> tasks(opendir(threads.c_str()),
                                                  closedir);
  ASSERT_NE(tasks, nullptr);
  while (const dirent* entry = readdir(tasks.get())) {
    if (entry->d_name[0] == '.') continue;
    EXPECT_THAT(CgroupsOf(threads + entry->d_name),
                Each(testing::EndsWith(":" + cgroup)));
  }

  node_->RemovePod(pod);
  EXPECT_THAT(Found(cgroup), IsEmpty());
  EXPECT_EQ(Found(parent).size(), CgroupTrees().size());
  for (const std::string& path : Found(parent)) rmdir(path.c_str());
}

TEST_F(HostCgroupE2eTest, ASlicesNameIsItsPlaceAndGoesWithTheLastPod) {
  const std::string slice = absl::StrCat("podvisore2e", getpid());
  cri::PodSandboxConfig config = node_->PodConfig("sliced");
  config.mutable_linux()->set_cgroup_parent(slice + "-pod1.slice");

  const std::string pod = node_->RunPod(config);

  const std::string top = absl::StrCat("/", slice, ".slice");
  EXPECT_EQ(CgroupOf(pod),
            absl::StrCat(top, "/", slice, "-pod1.slice/podvisor-", pod));
  EXPECT_THAT(Found(CgroupOf(pod)), Not(IsEmpty()));
  node_->RemovePod(pod);
  EXPECT_THAT(Found(top), IsEmpty());
}

TEST_F(HostCgroupE2eTest, AKilledDaemonsCgroupsAreFoundAgainAndRemoved) {
  const cri::PodSandboxConfig config = node_->PodConfig("survivor");
  const std::string pod = node_->RunPod(config);
  const std::string lost = node_->RunPod(node_->PodConfig("lost"));
  const std::string cgroup = absl::StrCat("/podvisor/podvisor-", pod);
  const std::string lost_cgroup = absl::StrCat("/podvisor/podvisor-", lost);
  EXPECT_THAT(Found(lost_cgroup), Not(IsEmpty()));
  const int64_t lost_qemu = node_->PodInfo(lost, "/pid");
  ASSERT_GT(lost_qemu, 1);

  node_->EndDaemon(SIGKILL);
  kill(static_cast<pid_t>(lost_qemu), SIGKILL);
  node_->StartDaemon();

  EXPECT_THAT(Found(lost_cgroup), IsEmpty());
  EXPECT_EQ(CgroupOf(pod), cgroup);
  Start(pod, config, "late", 1000, /*with_mount=*/true);
  EXPECT_THAT(Processes(cgroup, "virtiofsd"), Not(IsEmpty()));

  node_->EndDaemon(SIGKILL);
  node_->StartDaemon();
  node_->RemovePod(pod);
  node_->RemovePod(lost);
  EXPECT_THAT(Found(cgroup), IsEmpty());
}

TEST_F(HostCgroupE2eTest, HalfACpuIsALimitOnTheHostThatFollowsTheContainers) {
  cri::PodSandboxConfig config = node_->PodConfig("half");
  (*config.mutable_annotations())[kCpu] = "0.5";

  const std::string pod = node_->RunPod(config);
  const std::string cgroup = CgroupOf(pod);
  EXPECT_EQ(node_->PodInfo(pod, "/vcpus/online"), 1);
  ExpectQuota(cgroup, "50000");
  Start(pod, config, "small", 300);
  ExpectQuota(cgroup, "50000");
  const std::string large = Start(pod, config, "large", 1000);
  EXPECT_EQ(node_->PodInfo(pod, "/vcpus/online"), 2);
  EXPECT_EQ(Quota(cgroup), "130000");

  node_->EndDaemon(SIGKILL);
  node_->StartDaemon();
  ExpectQuota(cgroup, "130000");
  Remove(large);
  EXPECT_EQ(node_->AwaitPodInfo(pod, "/vcpus/online", 1), 1);
  ExpectQuota(cgroup, "50000");
  Start(pod, config, "rest", 700);
  EXPECT_THAT(Quota(cgroup), AnyOf("-1", "max"));
  node_->RemovePod(pod);
}

TEST_F(HostCgroupE2eTest, WholeCpusAreNotLimitedOnTheHost) {
  const cri::PodSandboxConfig config = node_->PodConfig("whole");
  const std::string pod = node_->RunPod(config);

  Start(pod, config, "main", 1300);

  EXPECT_THAT(Quota(CgroupOf(pod)), AnyOf("-1", "max", "none"));
  node_->RemovePod(pod);
}

TEST_F(HostCgroupE2eTest, BlockIoLimitsAreInTheFilesOfTheHost) {
  if (!Exists(kDisk)) GTEST_SKIP() << "NOT TESTED: no " << kDisk;
  cri::PodSandboxConfig config = node_->PodConfig("blkio");
  (*config.mutable_annotations())[kBlkio] =
      absl::StrCat(R"({"blkiocgroup":[{"path":")", kDisk, R"(","limits":[)",
                   R"({"type":"throttle_read_bps","value":400000000},)",
                   R"({"type":"throttle_write_bps","value":300000000},)",
                   R"({"type":"throttle_read_iops","value":7000},)",
                   R"({"type":"throttle_write_iops","value":6000}]},)",
                   R"({"limits":[{"type":"blkio_weight","value":78}]}]})");

  const std::string pod = node_->RunPod(config);

  const std::string cgroup = CgroupOf(pod);
  const auto is = [](const std::string& v1, const std::string& v2) {
    return AnyOf(v1, HasSubstr(v2));
  };
  EXPECT_THAT(CgroupFile(cgroup, {"blkio.throttle.read_bps_device", "io.max"}),
              is("7:0 400000000", "rbps=400000000"));
  EXPECT_THAT(CgroupFile(cgroup, {"blkio.throttle.write_bps_device", "io.max"}),
              is("7:0 300000000", "wbps=300000000"));
  EXPECT_THAT(CgroupFile(cgroup, {"blkio.throttle.read_iops_device", "io.max"}),
              is("7:0 7000", "riops=7000"));
  EXPECT_THAT(
      CgroupFile(cgroup, {"blkio.throttle.write_iops_device", "io.max"}),
      is("7:0 6000", "wiops=6000"));
  EXPECT_THAT(CgroupFile(cgroup, {"blkio.weight", "blkio.bfq.weight",
                                  "io.weight", "io.bfq.weight"}),
              AnyOf("78", "default 687", "default 78"));
  node_->RemovePod(pod);
}

TEST_F(HostCgroupE2eTest, OpenFilesAreLimitedAsThePodSays) {
  int64_t file_max = 0;
  ASSERT_TRUE(absl::SimpleAtoi(ReadFile("/proc/sys/fs/file-max").value_or(""),
                               &file_max));
  int64_t nr_open = 0;
  ASSERT_TRUE(absl::SimpleAtoi(ReadFile("/proc/sys/fs/nr_open").value_or(""),
                               &nr_open));
  const int64_t share = std::clamp<int64_t>(file_max / 400, 1024,
                                            std::max<int64_t>(nr_open, 1024));
  for (const auto& [text, limit] :
       {std::pair("1", int64_t{1024}), std::pair("5000", int64_t{5000}),
        std::pair("0", share)}) {
    cri::PodSandboxConfig config = node_->PodConfig("files");
    (*config.mutable_annotations())[kFiles] = text;

    const std::string pod = node_->RunPod(config);
    Start(pod, config, "main", 100, /*with_mount=*/true);

    EXPECT_EQ(OpenFilesLimit(node_->PodInfo(pod, "/pid")), limit) << text;
    const std::vector<int64_t> virtiofsd =
        Processes(CgroupOf(pod), "virtiofsd");
    EXPECT_THAT(virtiofsd, Not(IsEmpty()));
    for (const int64_t pid : virtiofsd) {
      EXPECT_EQ(OpenFilesLimit(pid), limit) << text;
    }
    node_->RemovePod(pod);
  }
}

TEST_F(HostCgroupE2eTest, WhatCannotBeIsRefusedWithItsReasonAndLeavesNothing) {
  // The others are in published_rules_e2e_test.cc.
  const struct {
    const char* annotation;
    std::string value;
    const char* message;
  } kCases[] = {
      {kFiles, "1e4", "files_limit = \"1e4\": must be a number of files"},
      {kBlkio, R"({"blkiocgroup":[],"blkiocgroup":[]})",
       "has the key \"blkiocgroup\" twice"},
      {kBlkio,
       absl::StrCat(
           R"({"blkiocgroup":[{"path":")", kDisk,
           R"(","limits":[{"type":"throttle_read_bps","value":-1}]}]})"),
       "blkiocgroup[0].limits[0].value: must be a whole number from 1"},
  };
  const std::string parent = absl::StrCat("/podvisor-e2e-no-", getpid());
  for (const auto& c : kCases) {
    cri::PodSandboxConfig config = node_->PodConfig("refused");
    config.mutable_linux()->set_cgroup_parent(parent);
    (*config.mutable_annotations())[c.annotation] = c.value;

    const grpc::Status status = TryRun(config);

    EXPECT_EQ(status.error_code(), grpc::StatusCode::INVALID_ARGUMENT)
        << c.value;
    EXPECT_THAT(status.error_message(), HasSubstr(c.message)) << c.value;
  }
  cri::PodSandboxConfig config = node_->PodConfig("refused");
  config.mutable_linux()->set_cgroup_parent("/../init.scope");
  EXPECT_EQ(TryRun(config).error_message(),
            "config.linux: cgroup_parent \"/../init.scope\": contains \".\" or "
            "\"..\"");
  EXPECT_THAT(Found(parent), IsEmpty());
  EXPECT_EQ(node_->Leftovers(), "");
}

TEST_F(HostCgroupE2eTest, AWeightThatThisHostDoesNotHaveIsNamed) {
  cri::PodSandboxConfig config = node_->PodConfig("leaf");
  config.mutable_linux()->set_cgroup_parent(
      absl::StrCat("/podvisor-e2e-leaf-", getpid()));
  (*config.mutable_annotations())[kBlkio] =
      R"({"blkiocgroup":[{"limits":[{"type":"blkio_leaf_weight",)"
      R"("value":78}]}]})";

  const grpc::Status status = TryRun(config);

  // Linux has had it with the CFQ scheduler only, until 4.20.
  EXPECT_EQ(status.error_code(), grpc::StatusCode::FAILED_PRECONDITION);
  EXPECT_THAT(status.error_message(), HasSubstr("blkio_leaf_weight"));
  EXPECT_THAT(Found(config.linux().cgroup_parent()), IsEmpty());
}

}  // namespace
}  // namespace podvisor::e2e
