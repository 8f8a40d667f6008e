// What a launch does when there is no guest to boot: refusals, a QEMU that does
// not start, a record that cannot be written. Needs root, skips loudly without.

#include "sandbox/vm/qemu_launcher.h"

#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include <memory>
#include <optional>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "base/file.h"
#include "gtest/gtest.h"
#include "sandbox/vm/qemu_jail.h"
#include "volume/pod_directory.h"

namespace podvisor {
namespace {

class QemuLauncherTest : public testing::Test {
 protected:
  void SetUp() override {
    if (geteuid() != 0) GTEST_SKIP() << "NOT TESTED: the jail needs root";
    ASSERT_TRUE(MakeDirectories(base_).ok());
    ASSERT_TRUE(WriteFileAtomically(base_ + "/kernel", "no ELF", 0644).ok());
    ASSERT_TRUE(WriteFileAtomically(base_ + "/initrd", "no cpio", 0644).ok());
    watcher_ = *ProcessWatcher::Create();
    launcher_.emplace(&clock_, &gate_, watcher_.get());
    auto directory = PodDirectory::Create(base_, id_);
    ASSERT_TRUE(directory.ok()) << directory.status();
    directory_.emplace(*std::move(directory));
    spec_.id = id_;
    spec_.directory = directory_->path();
    spec_.qemu = "/usr/bin/false";
    spec_.kernel = base_ + "/kernel";
    spec_.initrd = base_ + "/initrd";
    spec_.uid = kFirstJailUid + 4242;
  }
  void TearDown() override {
    directory_.reset();
    EXPECT_TRUE(RemoveTree(base_).ok());
  }

  absl::Status Launch() {
    return launcher_
        ->Launch(
            spec_,
            [this](const VmRecord& record) {
              records_.push_back(record);
              if (kills_) kill(record.qemu.pid, SIGKILL);
              return recorder_status_;
            },
            absl::Now() + absl::Seconds(30))
        .status();
  }

  const std::string base_ = absl::StrCat(testing::TempDir(), "/launcher");
  const PodId id_{RandomHexId()};
  SystemClock clock_;
  BootGate gate_{1};
  std::unique_ptr<ProcessWatcher> watcher_;
  std::optional<QemuLauncher> launcher_;
  std::optional<PodDirectory> directory_;
  VmSpec spec_;
  std::vector<VmRecord> records_;
  absl::Status recorder_status_;
  bool kills_ = false;  // each QEMU, once it is recorded
};

TEST_F(QemuLauncherTest, AQemuThatDoesNotStartIsNotTriedAgain) {
  const absl::Status status = Launch();

  EXPECT_TRUE(absl::IsFailedPrecondition(status)) << status;
  ASSERT_EQ(records_.size(), 1u);
  EXPECT_FALSE(IsAlive(records_[0].qemu));
  EXPECT_EQ(records_[0].agent_secret_hex.size(), 32u);
  EXPECT_EQ(records_[0].uid, spec_.uid);
}

TEST_F(QemuLauncherTest, AQemuThatIsKilledBeforeItGreetsIsTriedAgain) {
  // Waits for good, as a QEMU would.
  spec_.qemu = "/usr/bin/tail";
  kills_ = true;

  const absl::Status status = Launch();

  EXPECT_TRUE(absl::IsUnavailable(status)) << status;
  EXPECT_EQ(records_.size(), 3u);
}

TEST_F(QemuLauncherTest, WhatTheJailSaysIsQuoted) {
  spec_.cgroup_procs = {"/nowhere/cgroup.procs"};

  const absl::Status status = Launch();

  EXPECT_TRUE(absl::StrContains(status.message(), "/nowhere/cgroup.procs"))
      << status;
}

TEST_F(QemuLauncherTest, AQemuThatIsNotRecordedIsKilled) {
  // Waits for good, as a QEMU would.
  spec_.qemu = "/usr/bin/tail";
  recorder_status_ = absl::ResourceExhaustedError("disk full");

  const absl::Status status = Launch();

  EXPECT_TRUE(absl::IsResourceExhausted(status)) << status;
  ASSERT_EQ(records_.size(), 1u);
  EXPECT_FALSE(IsAlive(records_[0].qemu));
}

TEST_F(QemuLauncherTest, MissingOrUnreadableFilesAreSaidSo) {
  chmod(spec_.kernel.c_str(), 0600);
  EXPECT_TRUE(absl::StrContains(Launch().message(), "everybody may read"));
  unlink(spec_.kernel.c_str());
  EXPECT_TRUE(absl::IsFailedPrecondition(Launch()));
  EXPECT_TRUE(absl::StrContains(Launch().message(), "guest kernel"));
  spec_.kernel = spec_.initrd;
  spec_.qemu = "/usr/bin/no-such-qemu";
  EXPECT_TRUE(absl::IsFailedPrecondition(Launch()));
  EXPECT_TRUE(records_.empty());
}

TEST_F(QemuLauncherTest, AFullGateIsDeadlineExceeded) {
  const auto pass = gate_.Enter(absl::InfiniteFuture());

  const auto vm = launcher_->Launch(
      spec_, [](const VmRecord&) { return absl::OkStatus(); }, absl::Now());

  EXPECT_TRUE(absl::IsDeadlineExceeded(vm.status())) << vm.status();
}

TEST_F(QemuLauncherTest, OnlyThisPodsProcessIsAdopted) {
  VmRecord record;
  record.qemu = *IdentifyProcess(getpid());
  record.agent_secret_hex = std::string(32, '0');

  const auto vm = launcher_->Adopt(spec_, record, absl::Now());

  EXPECT_TRUE(absl::IsNotFound(vm.status())) << vm.status();
}

TEST_F(QemuLauncherTest, SweepingNothingIsOk) {
  EXPECT_TRUE(launcher_->Sweep(id_, absl::Now() + absl::Seconds(10)).ok());
}

}  // namespace
}  // namespace podvisor
