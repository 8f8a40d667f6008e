#include "sandbox/vm/qemu_command_line.h"

#include <functional>

#include "absl/strings/match.h"
#include "absl/strings/str_join.h"
#include "gtest/gtest.h"

namespace podvisor {
namespace {

VmSpec Spec() {
  VmSpec spec;
  spec.id = PodId(std::string(64, 'a'));
  spec.boot_vcpus = 1;
  spec.max_vcpus = 4;
  spec.boot_memory_bytes = int64_t{256} << 20;
  spec.max_memory_bytes = int64_t{4} << 30;
  spec.memory_slots = 10;
  spec.bridges = 1;
  spec.root_ports = 2;
  spec.qemu = "/usr/bin/qemu-system-x86_64";
  spec.kernel = "/k,id=evil";
  spec.initrd = "/i";
  return spec;
}

std::string Joined(const VmSpec& spec) {
  const auto argv = QemuCommandLine(spec);
  return argv.ok() ? absl::StrJoin(*argv, "\n") : argv.status().ToString();
}

TEST(QemuCommandLineTest, IsExactlyThis) {
  EXPECT_EQ(
      Joined(Spec()),
      "/usr/bin/qemu-system-x86_64\n"
      "-name\n"
      "podvisor-"
      "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
      ",debug-threads=on\n"
      "-nodefaults\n-no-user-config\n-display\nnone\n-vga\nnone\n-no-reboot\n"
      "-msg\ntimestamp=on\n"
      "-sandbox\n"
      "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny"
      "\n"
      "-machine\nq35,memory-backend=ram,mem-merge=off,dump-guest-core=off\n"
      "-accel\ntcg,thread=multi\n"
      "-cpu\nmax,-erms,-fsrm\n"
      "-m\nsize=268435456B,slots=10,maxmem=4294967296B\n"
      "-object\nmemory-backend-memfd,id=ram,size=268435456,share=on\n"
      "-smp\ncpus=1,sockets=4,cores=1,threads=1,maxcpus=4\n"
      "-device\npci-bridge,id=pb0,bus=pcie.0,chassis_nr=1\n"
      "-device\npcie-root-port,id=rp0,bus=pcie.0,chassis=32,slot=32\n"
      "-device\npcie-root-port,id=rp1,bus=pcie.0,chassis=33,slot=33\n"
      "-chardev\nsocket,id=qmp,fd=3,server=on,wait=off\n"
      "-mon\nchardev=qmp,mode=control\n"
      "-chardev\nsocket,id=agent,fd=4,server=on,wait=off\n"
      "-device\n"
      "virtio-serial-pci,id=serial0,bus=pcie.0,max_ports=2,disable-legacy=on\n"
      "-device\n"
      "virtserialport,id=agentport,bus=serial0.0,nr=1,chardev=agent,"
      "name=podvisor.agent\n"
      "-add-fd\nfd=5,set=1,opaque=console\n"
      "-chardev\nfile,id=console,path=/dev/fdset/1,append=on\n"
      "-serial\nchardev:console\n"
      "-kernel\n/kernel\n-initrd\n/initrd\n"
      "-append\n" +
          KernelCommandLine(Spec()));
}

TEST(QemuCommandLineTest, KvmUsesTheHostsCpu) {
  VmSpec spec = Spec();
  spec.accelerator = Accelerator::kKvm;

  EXPECT_TRUE(absl::StrContains(Joined(spec), "\n-accel\nkvm\n-cpu\nhost\n"));
}

TEST(QemuCommandLineTest, OnlyTcgGoesWithoutMitigations) {
  VmSpec spec = Spec();
  EXPECT_TRUE(absl::StrContains(Joined(spec), "mitigations=off"));
  spec.accelerator = Accelerator::kKvm;
  EXPECT_FALSE(absl::StrContains(Joined(spec), "mitigations=off"));
}

TEST(QemuCommandLineTest, OnlyATcgGuestCopiesWithoutRep) {
  VmSpec spec = Spec();
  EXPECT_TRUE(absl::StrContains(Joined(spec), "max,-erms,-fsrm"));
  EXPECT_TRUE(absl::StrContains(Joined(spec), " clearcpuid=112"));
  spec.accelerator = Accelerator::kKvm;
  EXPECT_FALSE(absl::StrContains(Joined(spec), "erms"));
  EXPECT_FALSE(absl::StrContains(Joined(spec), "clearcpuid"));
}

TEST(QemuCommandLineTest, OnlyATcgGuestIsToldTheRateOfTheHostsCounter) {
  VmSpec spec = Spec();
  EXPECT_FALSE(absl::StrContains(Joined(spec), "tsc_early_khz"));
  spec.tsc_khz = 2'445'404;
  EXPECT_TRUE(absl::StrContains(Joined(spec), " tsc_early_khz=2445404"));
  spec.accelerator = Accelerator::kKvm;
  EXPECT_FALSE(absl::StrContains(Joined(spec), "tsc_early_khz"));
}

TEST(QemuCommandLineTest, AVmOfFixedSizeHasNoRoomForMemory) {
  VmSpec spec = Spec();
  spec.max_memory_bytes = spec.boot_memory_bytes;

  EXPECT_TRUE(absl::StrContains(Joined(spec), "\n-m\nsize=268435456B\n"));
}

TEST(QemuCommandLineTest, NoHostPathAppears) {
  EXPECT_FALSE(absl::StrContains(Joined(Spec()), "evil"));
}

TEST(QemuCommandLineTest, NeverUsesWhatTheJailForbids) {
  for (const char* forbidden :
       {"-daemonize", "-runas", "-chroot", "-netdev",
        "script=", "exec:", "-usb", "slirp", "path=/run", "acpi-pci-hotplug"}) {
    EXPECT_FALSE(absl::StrContains(Joined(Spec()), forbidden)) << forbidden;
  }
}

TEST(QemuCommandLineTest, ConfiguredKernelParametersComeLast) {
  VmSpec spec = Spec();
  spec.kernel_params = "loglevel=7 foo=bar,baz";

  EXPECT_TRUE(absl::EndsWith(Joined(spec), " loglevel=7 foo=bar,baz"));
}

TEST(QemuCommandLineTest, RefusesWhatCannotBe) {
  const std::function<void(VmSpec&)> cases[] = {
      [](VmSpec& s) { s.id = PodId("x,y"); },
      [](VmSpec& s) { s.boot_vcpus = 0; },
      [](VmSpec& s) { s.max_vcpus = 0; },
      [](VmSpec& s) { s.max_vcpus = 241; },
      [](VmSpec& s) { s.boot_memory_bytes = 1 << 20; },
      [](VmSpec& s) { s.boot_memory_bytes += 4096; },
      [](VmSpec& s) { s.max_memory_bytes = int64_t{128} << 20; },
      [](VmSpec& s) { s.max_memory_bytes += 1; },
      [](VmSpec& s) { s.memory_slots = -1; },
      [](VmSpec& s) { s.memory_slots = 257; },
      [](VmSpec& s) { s.bridges = 0; },
      [](VmSpec& s) { s.bridges = 9; },
      [](VmSpec& s) { s.root_ports = -1; },
      [](VmSpec& s) { s.root_ports = 17; },
      [](VmSpec& s) { s.kernel_params = "a\nb"; },
      [](VmSpec& s) { s.kernel_params = std::string(3000, 'x'); },
  };
  int i = 0;
  for (const auto& spoil : cases) {
    VmSpec spec = Spec();
    spoil(spec);
    EXPECT_TRUE(absl::IsInvalidArgument(QemuCommandLine(spec).status())) << i;
    ++i;
  }
}

}  // namespace
}  // namespace podvisor
