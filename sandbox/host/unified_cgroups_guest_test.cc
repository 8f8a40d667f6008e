// The host's cgroups of version 2 with their controllers, on a real kernel:
// that of a guest, of which this program is the init. host_cgroups_vm_test
// boots it and reads the result from the console.
//
// As PID 1 it prepares the guest, runs the tests and powers the VM off; with
// arguments it is a process for them to put into cgroups.

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/time/clock.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/ids.h"
#include "base/process.h"
#include "base/unique_fd.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "sandbox/host/cgroup_mounts.h"
#include "sandbox/host/host_cgroups.h"

namespace podvisor {
namespace {

using testing::HasSubstr;

constexpr char kTree[] = "/sys/fs/cgroup";
constexpr char kDisk[] = "/dev/vda";
constexpr int64_t kMiB = int64_t{1} << 20;

absl::Time In(int seconds) { return absl::Now() + absl::Seconds(seconds); }

bool Write(const std::string& file, const std::string& text) {
  const UniqueFd fd(open(file.c_str(), O_WRONLY | O_CLOEXEC));
  return fd.valid() && write(fd.get(), text.data(), text.size()) ==
                           static_cast<ssize_t>(text.size());
}
std::string Read(const std::string& file) {
  return ReadFile(file).value_or("none");
}
bool Exists(const std::string& path) {
  struct stat info;
  return lstat(path.c_str(), &info) == 0;
}
// The kernel tells of none of what is waited for here.
bool AwaitTrue(const std::function<bool()>& done) {
  const absl::Time end = In(20);
  while (!done()) {
    if (absl::Now() >= end) return false;
    std::fflush(stdout);
  }
  return true;
}

// --- The processes.

// helper FILE... WHAT: enters the cgroups as QEMU does, then does it.
int Help(const std::vector<std::string>& arguments) {
  for (size_t i = 0; i + 1 < arguments.size(); ++i) {
    if (!Write(arguments[i], "0")) return 10;
  }
  const std::string& what = arguments.back();
  if (what == "wait") {
    while (true) pause();
  }
  if (what == "burn") {
    volatile bool forever = true;
    while (forever) {
    }
  }
  if (what == "take") {  // 128 MiB
    for (int i = 0; i < 128; ++i) {
      if (mmap(nullptr, kMiB, PROT_READ | PROT_WRITE,
               MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1,
               0) == MAP_FAILED) {
        return 11;
      }
    }
    return 0;
  }
  if (what == "read") {  // 1 MiB
    const UniqueFd disk(open(kDisk, O_RDONLY | O_DIRECT | O_CLOEXEC));
    static char block[64 << 10] __attribute__((aligned(4096)));
    for (int64_t at = 0; at < kMiB; at += sizeof(block)) {
      if (pread(disk.get(), block, sizeof(block), at) != sizeof(block)) {
        return 12;
      }
    }
    return 0;
  }
  return 13;
}

class UnifiedCgroupsTest : public testing::Test {
 protected:
  void SetUp() override {
    trees_ = ParseCgroupMounts(Read("/proc/self/mountinfo"));
    ASSERT_EQ(trees_.size(), 1u);
    ASSERT_EQ(trees_[0].version, CgroupVersion::kV2);
    ASSERT_EQ(trees_[0].path, kTree);
    // As the kubelet makes a pod's cgroup; what the pod's own hands down is
    // ours to see to.
    ASSERT_EQ(mkdir(kKubepods, 0755), 0);
    ASSERT_EQ(mkdir(kParent, 0755), 0);
    for (const std::string& above :
         {std::string(kTree), std::string(kKubepods)})
      ASSERT_TRUE(Write(above + "/cgroup.subtree_control",
                        "+cpuset +cpu +io +memory +pids"));
    cgroups_ = std::make_unique<HostCgroups>(trees_, &clock_);
  }
  void TearDown() override {
    for (const ProcessIdentity& process : processes_) {
      EXPECT_TRUE(KillGroup(process, In(20)).ok());
    }
    EXPECT_EQ(cgroups_->Remove(kParentName, id_, In(20)), absl::OkStatus());
    EXPECT_EQ(rmdir(kParent), 0) << "something is left in it";
    EXPECT_EQ(rmdir(kKubepods), 0);
  }

  // The pod's cgroup, made below the kubelet's.
  PodCgroup Create() {
    const auto made = cgroups_->Create(kParentName, id_);
    EXPECT_TRUE(made.ok()) << made.status();
    EXPECT_EQ(made->directories().size(), 1u);
    return *made;
  }
  std::string Leaf(const std::string& file) const {
    return absl::StrCat(kParent, "/podvisor-", id_.value(), "/", file);
  }
  // Starts a process that enters as QEMU does.
  ProcessIdentity Start(const PodCgroup& cgroup, const std::string& what) {
    SpawnOptions spawn;
    spawn.argv = {"/proc/self/exe"};
    for (const std::string& file : cgroup.ProcsFiles()) {
      spawn.argv.push_back(file);
    }
    spawn.argv.push_back(what);
    const auto process = Spawn(spawn);
    EXPECT_TRUE(process.ok()) << process.status();
    processes_.push_back(*process);
    return *process;
  }
  // The same, once it is inside.
  ProcessIdentity StartInside(const PodCgroup& cgroup,
                              const std::string& what) {
    const ProcessIdentity process = Start(cgroup, what);
    EXPECT_TRUE(AwaitTrue([&] {
      return Read(cgroup.ProcsFiles()[0]) == absl::StrCat(process.pid, "\n");
    })) << Read(cgroup.ProcsFiles()[0]);
    return process;
  }
  // To its end; the wait status.
  int Run(const PodCgroup& cgroup, const std::string& what) {
    const ProcessIdentity process = Start(cgroup, what);
    processes_.pop_back();
    const auto status = WaitProcess(process, In(60));
    EXPECT_TRUE(status.ok()) << status.status();
    return status.value_or(-1);
  }

  static constexpr char kParentName[] = "/kubepods/pod1";
  static constexpr char kKubepods[] = "/sys/fs/cgroup/kubepods";
  static constexpr char kParent[] = "/sys/fs/cgroup/kubepods/pod1";

  const PodId id_{RandomHexId()};
  SystemClock clock_;
  std::vector<CgroupMount> trees_;
  std::unique_ptr<HostCgroups> cgroups_;
  std::vector<ProcessIdentity> processes_;
};

TEST_F(UnifiedCgroupsTest, ThePodGetsTheControllersThatItNeeds) {
  const PodCgroup cgroup = Create();

  EXPECT_EQ(cgroup.ProcsFiles(),
            std::vector<std::string>{Leaf("cgroup.procs")});
  EXPECT_EQ(Read(absl::StrCat(kParent, "/cgroup.subtree_control")), "cpu io\n");
  EXPECT_EQ(Read(Leaf("cgroup.controllers")), "cpu io\n");
  EXPECT_EQ(cgroups_->Open(kParentName, id_).directories(),
            cgroup.directories());
  EXPECT_EQ(Create().directories(), cgroup.directories()) << "again";
}

TEST_F(UnifiedCgroupsTest, ALimitOnTheCpuIsInForceAndFollows) {
  const PodCgroup cgroup = Create();
  EXPECT_EQ(cgroup.CpuLimit().value(), std::nullopt);

  ASSERT_EQ(cgroup.SetCpuLimit(200), absl::OkStatus());

  EXPECT_EQ(Read(Leaf("cpu.max")), "20000 100000\n");
  EXPECT_EQ(cgroup.CpuLimit().value(), 200);
  StartInside(cgroup, "burn");
  EXPECT_TRUE(AwaitTrue([&] {
    return absl::StrContains(Read(Leaf("cpu.stat")), "nr_throttled ") &&
           !absl::StrContains(Read(Leaf("cpu.stat")), "nr_throttled 0\n");
  })) << Read(Leaf("cpu.stat"));

  EXPECT_EQ(cgroup.RaiseCpuLimit(100), absl::OkStatus());
  EXPECT_EQ(cgroup.CpuLimit().value(), 200);
  EXPECT_EQ(cgroup.RaiseCpuLimit(1500), absl::OkStatus());
  EXPECT_EQ(Read(Leaf("cpu.max")), "150000 100000\n");
  EXPECT_EQ(cgroup.SetCpuLimit(std::nullopt), absl::OkStatus());
  EXPECT_EQ(Read(Leaf("cpu.max")), "max 100000\n");
  EXPECT_EQ(cgroup.CpuLimit().value(), std::nullopt);
}

TEST_F(UnifiedCgroupsTest, LimitsOfBlockIoAreInForce) {
  const PodCgroup cgroup = Create();
  ASSERT_EQ(Run(cgroup, "read"), 0) << "without a limit";

  ASSERT_EQ(cgroup.LimitBlockIo(std::vector<BlockIoLimit>{
                {BlockIoType::kReadBytes, kDisk, 2 * kMiB},
                {BlockIoType::kWriteBytes, kDisk, 3 * kMiB},
                {BlockIoType::kReadOperations, kDisk, 400},
                {BlockIoType::kWriteOperations, kDisk, 500},
                {BlockIoType::kWeight, "", 78},
            }),
            absl::OkStatus());

  struct stat disk;
  ASSERT_EQ(stat(kDisk, &disk), 0);
  EXPECT_EQ(Read(Leaf("io.max")),
            absl::StrCat(major(disk.st_rdev), ":", minor(disk.st_rdev),
                         " rbps=2097152 wbps=3145728 riops=400 wiops=500\n"));
  EXPECT_EQ(Read(Leaf("io.weight")), "default 687\n");
  const absl::Time begin = absl::Now();
  ASSERT_EQ(Run(cgroup, "read"), 0);
  // 1 MiB at 2 MiB a second.
  EXPECT_GT(absl::Now() - begin, absl::Milliseconds(300));
  EXPECT_THAT(Read(Leaf("io.stat")), HasSubstr("rbytes=2097152"));
}

TEST_F(UnifiedCgroupsTest, LimitsOfBlockIoThatCannotBeAreNamed) {
  const PodCgroup cgroup = Create();
  const struct {
    BlockIoLimit limit;
    absl::StatusCode code;
    const char* name;
  } kCases[] = {
      {{BlockIoType::kReadBytes, "/dev/none", 1},
       absl::StatusCode::kInvalidArgument,
       "/dev/none"},
      {{BlockIoType::kReadBytes, "/dev/null", 1},
       absl::StatusCode::kInvalidArgument,
       "not a block device"},
      {{BlockIoType::kLeafWeight, "", 78},
       absl::StatusCode::kFailedPrecondition,
       "nothing like it"},
      // The disk has no scheduler by weight.
      {{BlockIoType::kWeight, kDisk, 78},
       absl::StatusCode::kFailedPrecondition,
       "the kernel refuses it"},
  };
  for (const auto& test : kCases) {
    const absl::Status status =
        cgroup.LimitBlockIo(std::vector<BlockIoLimit>{test.limit});
    EXPECT_EQ(status.code(), test.code) << status;
    EXPECT_THAT(std::string(status.message()), HasSubstr(test.name));
  }
  EXPECT_EQ(Read(Leaf("io.max")), "");
}

TEST_F(UnifiedCgroupsTest, WhatTheKubeletLimitsHoldsForAllThatIsInThePod) {
  const PodCgroup cgroup = Create();
  ASSERT_TRUE(Write(absl::StrCat(kParent, "/cpuset.cpus"), "1"));
  ASSERT_TRUE(Write(absl::StrCat(kParent, "/memory.max"), "33554432"));
  ASSERT_TRUE(Write(absl::StrCat(kParent, "/pids.max"), "20"));

  const ProcessIdentity process = StartInside(cgroup, "wait");

  EXPECT_THAT(Read(absl::StrCat("/proc/", process.pid, "/status")),
              HasSubstr("Cpus_allowed_list:\t1\n"));
  EXPECT_EQ(Read(absl::StrCat(kParent, "/pids.current")), "1\n");
  const int status = Run(cgroup, "take");
  EXPECT_TRUE(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL) << status;
  EXPECT_THAT(Read(absl::StrCat(kParent, "/memory.events")),
              HasSubstr("oom_kill 1\n"));
  EXPECT_TRUE(IsAlive(process)) << "it is not the one that took too much";
}

TEST_F(UnifiedCgroupsTest, ACgroupInUseStaysAndThenNothingDoes) {
  const PodCgroup cgroup = Create();
  const ProcessIdentity process = StartInside(cgroup, "wait");

  EXPECT_TRUE(absl::IsDeadlineExceeded(cgroups_->Remove(
      kParentName, id_, absl::Now() + absl::Milliseconds(50))));
  EXPECT_TRUE(Exists(Leaf("cgroup.procs")));
  processes_.clear();
  EXPECT_TRUE(KillGroup(process, In(20)).ok());
  EXPECT_EQ(cgroups_->Remove(kParentName, id_, In(20)), absl::OkStatus());

  EXPECT_FALSE(Exists(Leaf("cgroup.procs")));
  EXPECT_TRUE(Exists(kParent)) << "it is the kubelet's";
}

TEST_F(UnifiedCgroupsTest, ParentsThatWeMadeGoWithTheLastPod) {
  const PodId other(RandomHexId());
  ASSERT_TRUE(cgroups_->Create("/ours/deep", id_).ok());
  ASSERT_TRUE(cgroups_->Create("/ours/deep", other).ok());
  EXPECT_THAT(Read(absl::StrCat(kTree, "/ours/deep/cgroup.subtree_control")),
              HasSubstr("cpu"));

  EXPECT_EQ(cgroups_->Remove("/ours/deep", id_, In(20)), absl::OkStatus());
  EXPECT_TRUE(Exists(absl::StrCat(kTree, "/ours/deep")));
  // Of this one the record is lost.
  EXPECT_EQ(cgroups_->RemoveStray(other, In(20)), absl::OkStatus());

  EXPECT_FALSE(Exists(absl::StrCat(kTree, "/ours")));
}

// The kernel lets nobody hand controllers down who has processes of its own.
TEST_F(UnifiedCgroupsTest, AParentThatHasProcessesGivesItsPodsNoLimits) {
  const PodCgroup parent(kParentName, {{trees_[0], kParent}});
  StartInside(parent, "wait");

  const PodCgroup cgroup = Create();

  EXPECT_FALSE(Exists(Leaf("cpu.max")));
  StartInside(cgroup, "wait");
  const absl::Status limited = cgroup.SetCpuLimit(500);
  EXPECT_TRUE(absl::IsFailedPrecondition(limited)) << limited;
  EXPECT_THAT(std::string(limited.message()),
              HasSubstr("a base of part of a CPU"));
  const absl::Status io = cgroup.LimitBlockIo(
      std::vector<BlockIoLimit>{{BlockIoType::kReadBytes, kDisk, kMiB}});
  EXPECT_TRUE(absl::IsFailedPrecondition(io)) << io;
  EXPECT_THAT(std::string(io.message()), HasSubstr("no io.max"));
}

// --- The guest.

bool Mount(const char* type, const char* target) {
  return mount(type, target, type, 0, nullptr) == 0;
}

bool Load(const char* module) {
  // The image's own loader knows what each module needs.
  SpawnOptions spawn;
  spawn.argv = {"/sbin/modprobe", "-q", "--", module};
  const auto process = Spawn(spawn);
  if (!process.ok()) return false;
  return WaitProcess(*process, In(20)).value_or(1) == 0;
}

bool Prepare() {
  return Mount("proc", "/proc") && Mount("sysfs", "/sys") &&
         Mount("devtmpfs", "/dev") && Mount("cgroup2", kTree) &&
         Load("virtio_pci") && Load("virtio_blk") && Exists(kDisk);
}

}  // namespace
}  // namespace podvisor

int main(int argc, char** argv) {
  if (getpid() != 1) {
    if (argc < 2) {
      std::fputs("this is the init of a test's guest\n", stderr);
      return 2;
    }
    return podvisor::Help({argv + 1, argv + argc});
  }
  int result = 1;
  if (podvisor::Prepare()) {
    int none = 1;
    testing::InitGoogleTest(&none, argv);
    GTEST_FLAG_SET(color, "no");
    result = RUN_ALL_TESTS();
  } else {
    std::perror("the guest cannot be prepared");
  }
  std::printf("result of the guest: %d\n", result);
  std::fflush(stdout);
  reboot(RB_POWER_OFF);
}
