// The code for the host's cgroups on a real kernel that has all its controllers
// in version 2, whatever this host has: unified_cgroups_guest_test.cc is what
// runs there.

#include <stdlib.h>
#include <unistd.h>

#include <filesystem>
#include <iostream>
#include <string>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "base/file.h"
#include "base/process.h"
#include "gtest/gtest.h"
#include "guestagent/client/raw_vm.h"

namespace podvisor {
namespace {

constexpr char kQemu[] = "/usr/bin/qemu-system-x86_64";
constexpr char kProgram[] = "sandbox/host/unified_cgroups_guest_test";

// Adds the program to the guest's image: of several archives the kernel unpacks
// one after the other.
constexpr char kMakeInitrd[] =
    R"sh(set -e
mkdir root
cp -L "$2" root/cgroups
strip root/cgroups
(cd root && echo cgroups | cpio --quiet -o -H newc) >program.cpio
cat "$1" program.cpio >initrd.img
truncate -s 16M disk.img
)sh";

std::string ImageFile(const char* name) {
  const char* directory = getenv("PODVISOR_GUEST_IMAGE_DIR");
  return std::filesystem::absolute(absl::StrCat(
      directory == nullptr ? "guestagent/image" : directory, "/", name));
}

class HostCgroupsVmTest : public testing::Test {
 protected:
  void SetUp() override {
    if (!std::filesystem::exists(kQemu) ||
        !std::filesystem::exists(ImageFile("vmlinux"))) {
      GTEST_SKIP() << "NOT TESTED: no " << kQemu << " or no guest image";
    }
    // Short: QEMU binds to paths in it.
    std::string directory = "/tmp/pvcgroups.XXXXXX";
    ASSERT_NE(mkdtemp(directory.data()), nullptr);
    directory_ = directory;
    CommandOptions make;
    make.argv = {"sh",
                 "-c",
                 absl::StrCat("cd ", directory_, "\n", kMakeInitrd),
                 "make",
                 ImageFile("initrd.img"),
                 std::filesystem::absolute(kProgram)};
    make.deadline = absl::Now() + absl::Seconds(60);
    const auto made = RunCommand(make);
    ASSERT_TRUE(made.ok()) << made.status();
    ASSERT_EQ(made->exit_code, 0) << made->stderr_data;
  }
  void TearDown() override {
    if (directory_.empty()) return;
    EXPECT_TRUE(RemoveTree(directory_).ok());
  }

  std::string directory_;
};

TEST_F(HostCgroupsVmTest, WithControllersOfVersion2AllHoldsOnARealKernel) {
  RawVmOptions options;
  options.kernel = ImageFile("vmlinux");
  options.initrd = directory_ + "/initrd.img";
  options.directory = directory_;
  options.qemu = kQemu;
  options.cpus = 2;
  options.kernel_parameters = "rdinit=/cgroups";
  options.disks = {{directory_ + "/disk.img", "disk", false}};

  const auto vm = RawVm::Start(options);

  ASSERT_TRUE(vm.ok()) << vm.status();
  const auto end =
      WaitProcess((*vm)->process(), absl::Now() + absl::Seconds(240));
  const std::string console =
      ReadFile((*vm)->console_log(), 4 << 20).value_or("no console");
  std::cout << console << std::endl;
  EXPECT_TRUE(end.ok()) << end.status();
  EXPECT_TRUE(absl::StrContains(console, "result of the guest: 0"));
  EXPECT_TRUE(absl::StrContains(console, "[  PASSED  ] 8 tests."));
  EXPECT_FALSE(absl::StrContains(console, "panic"));
}

}  // namespace
}  // namespace podvisor
