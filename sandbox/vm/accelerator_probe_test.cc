#include "sandbox/vm/accelerator_probe.h"

#include <unistd.h>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "base/file.h"
#include "gtest/gtest.h"
#include "sandbox/vm/fake_vm.h"

namespace podvisor {
namespace {

class AcceleratorProbeTest : public testing::Test {
 protected:
  void SetUp() override {
    ASSERT_TRUE(MakeDirectories(base_).ok());
    for (const char* name : {"qemu", "kernel", "initrd", "kvm", "boot_id"}) {
      ASSERT_TRUE(WriteFileAtomically(Path(name), name).ok());
    }
    spec_.qemu = Path("qemu");
    spec_.kernel = Path("kernel");
    spec_.initrd = Path("initrd");
  }
  void TearDown() override { EXPECT_TRUE(RemoveTree(base_).ok()); }

  std::string Path(const std::string& name) { return base_ + "/" + name; }
  AcceleratorChoice Choose(const std::string& wanted,
                           const std::string& device) {
    AcceleratorProbe probe(&launcher_, &clock_, base_ + "/run", Path(device));
    auto choice = probe.Choose(wanted, spec_);
    EXPECT_TRUE(choice.ok()) << choice.status();
    return choice.value_or(AcceleratorChoice());
  }

  const std::string base_ = absl::StrCat(testing::TempDir(), "/probe");
  VmSpec spec_;
  FakeClock clock_;
  FakeVmLauncher launcher_{&clock_};
};

TEST_F(AcceleratorProbeTest, WhatIsConfiguredIsNotProbed) {
  EXPECT_EQ(Choose("kvm", "kvm").accelerator, Accelerator::kKvm);
  EXPECT_EQ(Choose("tcg", "kvm").accelerator, Accelerator::kTcg);
  EXPECT_TRUE(launcher_.launched().empty());
}

TEST_F(AcceleratorProbeTest, AnUnknownWishIsRefused) {
  AcceleratorProbe probe(&launcher_, &clock_, base_, Path("kvm"));

  EXPECT_TRUE(absl::IsInvalidArgument(probe.Choose("hvf", spec_).status()));
}

TEST_F(AcceleratorProbeTest, WithoutTheDeviceItIsTcg) {
  const AcceleratorChoice choice = Choose("auto", "missing");

  EXPECT_EQ(choice.accelerator, Accelerator::kTcg);
  EXPECT_TRUE(absl::StrContains(choice.reason, "no KVM")) << choice.reason;
  EXPECT_TRUE(launcher_.launched().empty());
}

TEST_F(AcceleratorProbeTest, AMissingKernelIsTcgWithTheReason) {
  unlink(spec_.kernel.c_str());

  const AcceleratorChoice choice = Choose("auto", "kvm");

  EXPECT_EQ(choice.accelerator, Accelerator::kTcg);
  EXPECT_TRUE(absl::StrContains(choice.reason, "kernel")) << choice.reason;
}

TEST_F(AcceleratorProbeTest, WhatADaemonFoundOutIsKnownUntilItsFilesChange) {
  if (geteuid() != 0) GTEST_SKIP() << "NOT TESTED: mounts need root";
  const std::string run = base_ + "/run";
  EXPECT_EQ(KnownAccelerator(run, spec_), std::nullopt);

  const AcceleratorChoice choice = Choose("auto", "kvm");

  EXPECT_EQ(KnownAccelerator(run, spec_), choice);
  ASSERT_TRUE(WriteFileAtomically(Path("kernel"), "another").ok());
  EXPECT_EQ(KnownAccelerator(run, spec_), std::nullopt);
}

TEST_F(AcceleratorProbeTest, AGuestThatBootsIsKvmAndNothingStays) {
  if (geteuid() != 0) GTEST_SKIP() << "NOT TESTED: mounts need root";

  EXPECT_EQ(Choose("auto", "kvm").accelerator, Accelerator::kKvm);

  ASSERT_EQ(launcher_.launched().size(), 1u);
  EXPECT_EQ(launcher_.launched()[0].accelerator, Accelerator::kKvm);
  EXPECT_NE(launcher_.launched()[0].uid, 0u);
  EXPECT_EQ(launcher_.running(), 0);
}

TEST_F(AcceleratorProbeTest, AGuestThatDoesNotIsTcgAndThatIsRemembered) {
  if (geteuid() != 0) GTEST_SKIP() << "NOT TESTED: mounts need root";
  LaunchFaults faults;
  faults.launch = absl::DeadlineExceededError("no hello");
  launcher_.SetFaults(faults);

  const AcceleratorChoice first = Choose("auto", "kvm");
  const AcceleratorChoice second = Choose("auto", "kvm");

  EXPECT_EQ(first.accelerator, Accelerator::kTcg);
  EXPECT_TRUE(absl::StrContains(first.reason, "no hello"));
  EXPECT_EQ(first, second);
  EXPECT_EQ(launcher_.launched().size(), 1u);
}

TEST_F(AcceleratorProbeTest, ADamagedMemoryIsProbedAgain) {
  if (geteuid() != 0) GTEST_SKIP() << "NOT TESTED: mounts need root";
  (void)Choose("auto", "kvm");
  for (const char* text : {"", "{", "[]", R"({"key":1})", R"({"key":"x"})"}) {
    ASSERT_TRUE(
        WriteFileAtomically(base_ + "/run/accelerator.json", text).ok());
    const size_t before = launcher_.launched().size();

    EXPECT_EQ(Choose("auto", "kvm").accelerator, Accelerator::kKvm);

    EXPECT_EQ(launcher_.launched().size(), before + 1);
  }
}

TEST_F(AcceleratorProbeTest, TheKeyChangesWithWhatTheOutcomeDependsOn) {
  const std::string boot = Path("boot_id");
  const std::string key = *ProbeKey(spec_, boot);
  EXPECT_EQ(*ProbeKey(spec_, boot), key);

  ASSERT_TRUE(WriteFileAtomically(spec_.initrd, "another initrd").ok());
  const std::string with_initrd = *ProbeKey(spec_, boot);
  EXPECT_NE(with_initrd, key);

  ASSERT_TRUE(WriteFileAtomically(boot, "another boot").ok());
  EXPECT_NE(*ProbeKey(spec_, boot), with_initrd);

  spec_.qemu = Path("missing");
  EXPECT_TRUE(absl::IsNotFound(ProbeKey(spec_, boot).status()));
}

}  // namespace
}  // namespace podvisor
