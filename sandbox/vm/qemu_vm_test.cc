// The life of real VMs, under TCG, with the guest image. Needs root.

#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <iostream>
#include <memory>
#include <optional>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/synchronization/notification.h"
#include "absl/time/clock.h"
#include "base/file.h"
#include "gtest/gtest.h"
#include "hotplug/vm_resizer.h"
#include "sandbox/vm/accelerator_probe.h"
#include "sandbox/vm/pci_layout.h"
#include "sandbox/vm/pod_processes.h"
#include "sandbox/vm/qemu_jail.h"
#include "sandbox/vm/qemu_launcher.h"
#include "sandbox/vm/vm.h"
#include "volume/pod_directory.h"
#include "volume/pod_share.h"
#include "volume/scratch_disk.h"

namespace podvisor {
namespace {

absl::Time In(int seconds) { return absl::Now() + absl::Seconds(seconds); }

// One line of /proc/PID/status.
std::string StatusLine(pid_t pid, const std::string& key) {
  const std::string text =
      ReadFile(absl::StrCat("/proc/", pid, "/status")).value_or("");
  const size_t at = text.find("\n" + key + ":");
  if (at == std::string::npos) return "";
  const size_t begin = at + key.size() + 3;
  return text.substr(begin, text.find('\n', begin) - begin);
}

class QemuVmTest : public testing::Test {
 protected:
  void SetUp() override {
    if (geteuid() != 0) GTEST_SKIP() << "NOT TESTED: the jail needs root";
    ASSERT_TRUE(MakeDirectories(base_).ok());
    watcher_ = *ProcessWatcher::Create();
    launcher_.emplace(&clock_, &gate_, watcher_.get());
    auto directory = PodDirectory::Create(base_, id_);
    ASSERT_TRUE(directory.ok()) << directory.status();
    directory_.emplace(*std::move(directory));
    spec_.id = id_;
    spec_.directory = directory_->path();
    spec_.max_vcpus = 2;
    spec_.max_memory_bytes = int64_t{2} << 30;
    spec_.qemu = "/usr/bin/qemu-system-x86_64";
    spec_.kernel = Runfile("guestagent/image/vmlinux");
    spec_.initrd = Runfile("guestagent/image/initrd.img");
    spec_.uid = kFirstJailUid + 4243;
  }

  // Nothing may stay, whatever the test did.
  void TearDown() override {
    if (geteuid() != 0) return;
    EXPECT_TRUE(launcher_->Sweep(id_, In(20)).ok());
    directory_.reset();
    EXPECT_FALSE(absl::StrContains(*ReadFile("/proc/self/mountinfo"), base_));
    EXPECT_TRUE(RemoveTree(base_).ok());
  }

  static std::string Runfile(const std::string& path) {
    char real[4096];
    const std::string relative = absl::StrCat(
        getenv("PODVISOR_IMAGE_ROOT") ? getenv("PODVISOR_IMAGE_ROOT") : ".",
        "/", path);
    return realpath(relative.c_str(), real) != nullptr ? real : relative;
  }

  VmRecorder Recorder() {
    return [this](const VmRecord& record) {
      record_ = record;
      ++attempts_;
      return absl::OkStatus();
    };
  }

  void Boot() {
    auto vm = launcher_->Launch(spec_, Recorder(), In(120));
    ASSERT_TRUE(vm.ok()) << vm.status();
    vm_ = *std::move(vm);
  }

  const std::string base_ = absl::StrCat(testing::TempDir(), "/qemu_vm");
  const PodId id_{RandomHexId()};
  SystemClock clock_;
  BootGate gate_{2};
  std::unique_ptr<ProcessWatcher> watcher_;
  std::optional<QemuLauncher> launcher_;
  std::optional<PodDirectory> directory_;
  VmSpec spec_;
  VmRecord record_;
  int attempts_ = 0;
  std::unique_ptr<Vm> vm_;
};

TEST_F(QemuVmTest, BootsToTheAgentInAJail) {
  Boot();
  ASSERT_NE(vm_, nullptr);
  std::cout << "greeting after " << vm_->boot_timings().qmp << ", hello after "
            << vm_->boot_timings().hello << "\n";

  EXPECT_EQ(vm_->record(), record_);
  EXPECT_EQ(vm_->boot_timings().attempts, 1);
  const pid_t pid = record_.qemu.pid;
  const std::string uid = absl::StrCat(spec_.uid);
  EXPECT_EQ(StatusLine(pid, "Uid"),
            absl::StrCat(uid, "\t", uid, "\t", uid, "\t", uid));
  EXPECT_EQ(StatusLine(pid, "Groups"), " ");
  for (const char* set : {"CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"}) {
    EXPECT_EQ(StatusLine(pid, set), "0000000000000000") << set;
  }
  EXPECT_EQ(StatusLine(pid, "NoNewPrivs"), "1");
  EXPECT_EQ(StatusLine(pid, "Seccomp"), "2");
  // The host's root, /proc and other pods are not in its world.
  const std::string mounts =
      *ReadFile(absl::StrCat("/proc/", pid, "/mountinfo"));
  EXPECT_FALSE(absl::StrContains(mounts, "/pods/")) << mounts;
  EXPECT_FALSE(absl::StrContains(mounts, " - proc ")) << mounts;
  EXPECT_FALSE(absl::StrContains(mounts, " /old")) << mounts;
  EXPECT_TRUE(
      absl::StrContains(*ReadFile(absl::StrCat("/proc/", pid, "/limits")),
                        "Max core file size        0                    0"));
}

TEST_F(QemuVmTest, DisksAndTheShareComeAndGo) {
  Boot();
  ASSERT_NE(vm_, nullptr);
  ScratchDisks scratch(base_ + "/root", int64_t{1} << 30);
  const auto disk = scratch.Create(id_, In(60));
  ASSERT_TRUE(disk.ok()) << disk.status();
  auto share = PodShare::Open(directory_->path(), {});
  ASSERT_TRUE(share.ok());
  auto virtiofsd = share->StartDaemon({});
  ASSERT_TRUE(virtiofsd.ok()) << virtiofsd.status();

  const absl::Time begin = absl::Now();
  absl::Status status = vm_->devices().AttachDisk(
      {"scratch", disk->get(), /*read_only=*/false}, In(20));
  EXPECT_TRUE(status.ok()) << status;
  std::cout << "disk attached in " << absl::Now() - begin << "\n";
  agent::v1::ConfigureSandboxRequest configure;
  configure.set_hostname("test");
  configure.set_scratch_serial("scratch");
  status = vm_->agent().ConfigureSandbox(configure, In(30));
  EXPECT_TRUE(status.ok()) << status;

  status = vm_->devices().AttachShare(std::move(virtiofsd->socket), "podvisor",
                                      In(20));
  EXPECT_TRUE(status.ok()) << status;
  status = vm_->agent().MountShare("podvisor", In(20));
  EXPECT_TRUE(status.ok())
      << status << ReadFile(directory_->path() + "/virtiofsd.log").value_or("");

  ASSERT_TRUE(
      WriteFileAtomically(base_ + "/img", std::string(1 << 20, 'x')).ok());
  const UniqueFd plain(open((base_ + "/img").c_str(), O_RDONLY | O_CLOEXEC));
  for (int round = 0; round < 3; ++round) {
    status = vm_->devices().AttachDisk({"image", plain.get(), true}, In(20));
    EXPECT_TRUE(status.ok()) << status;
    status = vm_->devices().DetachDisk("image", In(20));
    EXPECT_TRUE(status.ok()) << status;
  }
  // Closed in QEMU too: only the console's and the scratch disk's are left.
  const std::string sets = *vm_->qmp().Execute("query-fdsets", "", In(5));
  EXPECT_TRUE(absl::StrContains(sets, "node-scratch")) << sets;
  EXPECT_FALSE(absl::StrContains(sets, "node-image")) << sets;
  // A descriptor that is only readable cannot become a writable disk.
  EXPECT_FALSE(
      vm_->devices().AttachDisk({"image", plain.get(), false}, In(20)).ok());

  EXPECT_TRUE(vm_->process().Kill(In(20)).ok());
  EXPECT_TRUE(WaitProcess(virtiofsd->process, In(20)).ok());
}

TEST_F(QemuVmTest, ATapIsTakenOnce) {
  Boot();
  ASSERT_NE(vm_, nullptr);
  const UniqueFd tap(open("/dev/net/tun", O_RDWR | O_CLOEXEC));
  ASSERT_TRUE(tap.valid());
  ifreq request = {};
  request.ifr_flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR;
  std::strcpy(request.ifr_name, "pvtest%d");
  ASSERT_EQ(ioctl(tap.get(), TUNSETIFF, &request), 0) << std::strerror(errno);

  const NicAttachment nic = {tap.get(), "02:00:00:00:00:01", 1450};
  const absl::Status attached = vm_->devices().AttachNic(nic, In(20));
  EXPECT_TRUE(attached.ok()) << attached;
  EXPECT_TRUE(absl::IsAlreadyExists(vm_->devices().AttachNic(nic, In(20))));
  EXPECT_TRUE(vm_->process().Kill(In(20)).ok());
}

// Everything that is plugged has its place, and they do not clash.
TEST_F(QemuVmTest, GrowsAndShrinksWithDisksBeside) {
  Boot();
  ASSERT_NE(vm_, nullptr);
  ASSERT_TRUE(
      WriteFileAtomically(base_ + "/img", std::string(1 << 20, 'x')).ok());
  const UniqueFd image(open((base_ + "/img").c_str(), O_RDONLY | O_CLOEXEC));
  VmLimits limits;
  limits.boot_vcpus = 1;
  limits.max_vcpus = 2;
  limits.boot_memory_bytes = spec_.boot_memory_bytes;
  limits.max_memory_bytes = spec_.max_memory_bytes;
  VmResizerOptions options;
  options.memory_bus = kMemorySlot.Bus();
  options.memory_slot = kMemorySlot.Addr();
  VmResizer resizer(&vm_->qmp(), &vm_->agent(), &clock_, limits, options);

  EXPECT_TRUE(
      vm_->devices().AttachDisk({"before", image.get(), true}, In(20)).ok());
  auto grown = resizer.Resize({2, int64_t{1} << 30}, In(60));
  ASSERT_TRUE(grown.ok()) << grown.status();
  EXPECT_EQ(grown->observed.vcpus_online, 2);
  EXPECT_TRUE(
      vm_->devices().AttachDisk({"after", image.get(), true}, In(20)).ok());
  auto shrunk = resizer.Resize({1, spec_.boot_memory_bytes}, In(60));
  ASSERT_TRUE(shrunk.ok()) << shrunk.status();
  EXPECT_TRUE(vm_->devices().DetachDisk("before", In(20)).ok());
  EXPECT_TRUE(vm_->devices().DetachDisk("after", In(20)).ok());
  EXPECT_FALSE(vm_->process().Exited());
}

TEST_F(QemuVmTest, AKilledQemuIsNoticedOnce) {
  Boot();
  ASSERT_NE(vm_, nullptr);
  absl::Notification done;
  VmExit seen;
  vm_->process().WatchExit([&](const VmExit& exit) {
    seen = exit;
    done.Notify();
  });
  EXPECT_FALSE(vm_->process().Exited());

  kill(record_.qemu.pid, SIGKILL);

  ASSERT_TRUE(done.WaitForNotificationWithTimeout(absl::Seconds(20)));
  EXPECT_EQ(seen.reason, "QEMU was killed by signal 9");
  EXPECT_TRUE(vm_->process().Exited());
  EXPECT_TRUE(vm_->process().Kill(In(5)).ok());
  EXPECT_FALSE(vm_->devices().AttachDisk({"x", 0, true}, In(5)).ok());
  EXPECT_TRUE(FindPodProcesses(id_).value().empty());
}

TEST_F(QemuVmTest, ANewDaemonTakesTheVmOver) {
  Boot();
  ASSERT_NE(vm_, nullptr);
  ASSERT_TRUE(
      WriteFileAtomically(base_ + "/img", std::string(1 << 20, 'x')).ok());
  const UniqueFd image(open((base_ + "/img").c_str(), O_RDONLY | O_CLOEXEC));
  ASSERT_TRUE(
      vm_->devices().AttachDisk({"image", image.get(), true}, In(20)).ok());

  for (int round = 0; round < 3; ++round) {
    vm_.reset();
    launcher_.reset();
    watcher_ = *ProcessWatcher::Create();
    launcher_.emplace(&clock_, &gate_, watcher_.get());
    auto adopted = launcher_->Adopt(spec_, record_, In(30));
    ASSERT_TRUE(adopted.ok()) << adopted.status();
    vm_ = *std::move(adopted);
    EXPECT_TRUE(vm_->agent().Hello(In(20)).ok());
    EXPECT_EQ(vm_->boot_timings().attempts, 0);
  }
  EXPECT_TRUE(vm_->devices().DetachDisk("image", In(20)).ok());
  absl::Notification done;
  vm_->process().WatchExit([&](const VmExit&) { done.Notify(); });
  EXPECT_TRUE(vm_->PowerOff(In(30)).ok());
  EXPECT_TRUE(done.WaitForNotificationWithTimeout(absl::Seconds(20)));

  EXPECT_TRUE(
      absl::IsNotFound(launcher_->Adopt(spec_, record_, In(5)).status()));
}

TEST_F(QemuVmTest, AForgottenVmIsSwept) {
  Boot();
  ASSERT_NE(vm_, nullptr);
  vm_.reset();
  EXPECT_TRUE(IsAlive(record_.qemu));

  EXPECT_TRUE(launcher_->Sweep(id_, In(20)).ok());

  EXPECT_FALSE(IsAlive(record_.qemu));
}

TEST_F(QemuVmTest, AGuestThatPanicsIsTriedThreeTimesAndQuoted) {
  // No init at this place: the kernel panics.
  spec_.kernel_params = "rdinit=/no/such/init root=/dev/none";

  const auto vm = launcher_->Launch(spec_, Recorder(), In(180));

  EXPECT_TRUE(absl::IsUnavailable(vm.status())) << vm.status();
  EXPECT_TRUE(absl::StrContains(vm.status().message(), "Kernel panic"))
      << vm.status();
  EXPECT_EQ(attempts_, 3);
  EXPECT_TRUE(FindPodProcesses(id_).value().empty());
}

TEST_F(QemuVmTest, AGuestThatHangsEndsAtTheDeadline) {
  // The kernel waits for a root device that never comes.
  spec_.kernel_params = "rdinit=/no/such/init rootwait root=/dev/none";
  QemuLauncherOptions options;
  options.max_attempts = 1;
  options.boot_timeout = absl::Seconds(6);
  launcher_.emplace(&clock_, &gate_, watcher_.get(), options);

  const auto vm = launcher_->Launch(spec_, Recorder(), In(60));

  EXPECT_TRUE(absl::IsDeadlineExceeded(vm.status())) << vm.status();
  EXPECT_TRUE(FindPodProcesses(id_).value().empty());
}

TEST_F(QemuVmTest, TheAcceleratorIsFoundWithoutHanging) {
  QemuLauncherOptions options;
  options.max_attempts = 1;
  QemuLauncher launcher(&clock_, &gate_, watcher_.get(), options);
  AcceleratorProbe probe(&launcher, &clock_, base_ + "/probe");

  const absl::Time begin = absl::Now();
  const auto choice = probe.Choose("auto", spec_);

  ASSERT_TRUE(choice.ok()) << choice.status();
  std::cout << "probe: " << choice->reason << " after " << absl::Now() - begin
            << "\n";
  EXPECT_LT(absl::Now() - begin, absl::Seconds(40));
  EXPECT_FALSE(choice->reason.empty());
  EXPECT_EQ(*probe.Choose("auto", spec_), *choice);
}

}  // namespace
}  // namespace podvisor
