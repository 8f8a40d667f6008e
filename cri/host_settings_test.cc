#include "cri/host_settings.h"

#include "base/file.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "sandbox/size/pod_sizing.h"

namespace podvisor {
namespace {

constexpr int64_t kMiB = int64_t{1} << 20;
const HostSize kHost = {16, 65536 * kMiB, {0, 1, 2, 3}};
constexpr QemuVersion kOldQemu = {7, 2, 22};

PodSettings Settings(const Config& config,
                     Accelerator accelerator = Accelerator::kTcg) {
  return PodSettingsFrom(config, kHost, accelerator, kOldQemu).value();
}

TEST(HostSettingsTest, ZeroMaximaAreTheHosts) {
  const PodSettings settings = Settings(Config());

  EXPECT_EQ(settings.limits.max_vcpus, 16);
  EXPECT_EQ(settings.limits.max_memory_bytes, kHost.memory_bytes);
  EXPECT_EQ(settings.limits.boot_memory_bytes, 1024 * kMiB);
}

TEST(HostSettingsTest, SizesAreThoseThatQemuCanHave) {
  Config config;
  config.qemu.default_memory = 1025;

  HostSize host = kHost;
  host.cpus = 512;
  host.memory_bytes = 24105 * kMiB + 4096;

  const VmLimits limits =
      PodSettingsFrom(config, host, Accelerator::kTcg, kOldQemu).value().limits;

  EXPECT_EQ(limits.boot_memory_bytes, 1026 * kMiB);
  EXPECT_EQ(limits.max_memory_bytes, 24104 * kMiB);
  EXPECT_EQ(limits.max_vcpus, kMostVcpus);
}

TEST(HostSettingsTest, AMaximumBelowTheBaseIsTheBase) {
  Config config;
  config.qemu.default_vcpus = 4;
  config.qemu.default_maxvcpus = 2;

  EXPECT_EQ(Settings(config).limits.max_vcpus, 4);
}

TEST(HostSettingsTest, WithoutHotPlugAVmStaysAsItBooted) {
  Config config;
  config.qemu.enable_cpu_memory_hotplug = false;

  const VmLimits limits = LimitsOf(Settings(config), {}).value();

  EXPECT_EQ(limits.max_vcpus, limits.boot_vcpus);
  EXPECT_EQ(limits.max_memory_bytes, limits.boot_memory_bytes);
}

TEST(HostSettingsTest, WithoutHotPlugAPodsBaseIsWithinTheMaximaToo) {
  Config config;
  config.qemu.enable_cpu_memory_hotplug = false;
  EXPECT_TRUE(LimitsOf(Settings(config), {.base_milli_cpu = 16'000}).ok());
  EXPECT_FALSE(LimitsOf(Settings(config), {.base_milli_cpu = 240'000}).ok());

  config.qemu.default_maxvcpus = 2;
  config.qemu.default_maxmemory = 2048;
  EXPECT_FALSE(LimitsOf(Settings(config), {.base_milli_cpu = 3000}).ok());
  EXPECT_FALSE(
      LimitsOf(Settings(config), {.base_memory_bytes = 2049 * kMiB}).ok());
}

TEST(HostSettingsTest, MemoryComesAsDimmsWhereAskedFor) {
  Config config;
  EXPECT_EQ(Settings(config).limits.memory_device, MemoryDevice::kVirtioMem);
  config.qemu.memory_hotplug = "pc-dimm";
  config.qemu.pc_dimm_unplug = true;

  const VmLimits limits = Settings(config).limits;

  EXPECT_EQ(limits.memory_device, MemoryDevice::kPcDimm);
  EXPECT_EQ(limits.memory_slots, 10);
  EXPECT_TRUE(limits.dimm_unplug);
}

TEST(HostSettingsTest, AnOldQemuParksVcpusUnderTcgOnly) {
  EXPECT_EQ(Settings(Config(), Accelerator::kTcg).limits.vcpu_unplug,
            VcpuUnplug::kPark);
  EXPECT_EQ(Settings(Config(), Accelerator::kKvm).limits.vcpu_unplug,
            VcpuUnplug::kDevice);
}

TEST(HostSettingsTest, AConfigurationMayOverruleTheChoiceOfUnplug) {
  Config config;
  config.qemu.vcpu_unplug = "device";
  EXPECT_EQ(Settings(config, Accelerator::kKvm).limits.vcpu_unplug,
            VcpuUnplug::kDevice);
  EXPECT_EQ(PodSettingsFrom(config, kHost, Accelerator::kTcg, {10, 2, 0})
                ->limits.vcpu_unplug,
            VcpuUnplug::kDevice);
  config.qemu.vcpu_unplug = "park";
  EXPECT_EQ(Settings(config, Accelerator::kKvm).limits.vcpu_unplug,
            VcpuUnplug::kPark);
}

TEST(HostSettingsTest, ARemovalThatWouldKillTheQemuIsRefusedByName) {
  Config config;
  config.qemu.vcpu_unplug = "device";

  const absl::Status status =
      PodSettingsFrom(config, kHost, Accelerator::kTcg, kOldQemu).status();

  EXPECT_TRUE(absl::IsInvalidArgument(status)) << status;
  for (const char* part : {"vcpu_unplug", "QEMU 7.2.22", "\"park\""}) {
    EXPECT_THAT(std::string(status.message()), testing::HasSubstr(part));
  }
}

TEST(HostSettingsTest, BridgesAndRootPortsAreTheConfigurations) {
  Config config;
  config.qemu.default_bridges = 3;
  config.qemu.default_root_ports = 5;

  EXPECT_EQ(Settings(config).vm.bridges, 3);
  EXPECT_EQ(Settings(config).vm.root_ports, 5);
}

TEST(QemuVersionTest, ReadsWhatTheProgramPrints) {
  EXPECT_EQ(ParseQemuVersion("QEMU emulator version 7.2.22 (Debian 1:7.2)\nCo")
                .value(),
            (QemuVersion{7, 2, 22}));
  EXPECT_EQ(ParseQemuVersion("QEMU emulator version 11.0").value(),
            (QemuVersion{11, 0, 0}));
  for (const char* text : {"", "QEMU emulator version x", "bash 5.2.15"}) {
    EXPECT_TRUE(absl::IsDataLoss(ParseQemuVersion(text).status())) << text;
  }
}

TEST(HostSettingsTest, CpusetsNameHostCpusUnlessToldOtherwise) {
  Config config;
  EXPECT_EQ(Settings(config).cpuset, CpusetMode::kPin);
  EXPECT_EQ(Settings(config).host_cpus, kHost.online_cpus);

  config.qemu.cpuset = "guest";
  EXPECT_EQ(Settings(config).cpuset, CpusetMode::kGuest);
}

TEST(HostSettingsTest, MeasuresThisHost) {
  const HostSize host = MeasureHost().value();

  EXPECT_GE(host.cpus, 1);
  EXPECT_FALSE(host.online_cpus.empty());
  EXPECT_GT(host.memory_bytes, 64 * kMiB);
}

TEST(HostSettingsTest, IsolatedCpusAreNotForVmsUnlessAskedFor) {
  const std::string sys = testing::TempDir() + "/sys";
  const std::string directory = sys + "/devices/system/cpu";
  ASSERT_TRUE(MakeDirectories(directory).ok());
  ASSERT_TRUE(WriteFileAtomically(directory + "/online", "0-7\n").ok());
  EXPECT_EQ(MeasureHost(sys)->cpus, 8);  // a kernel that knows no isolation

  // One that is offline counts once only.
  ASSERT_TRUE(WriteFileAtomically(directory + "/isolated", "2-3,9\n").ok());
  EXPECT_EQ(MeasureHost(sys)->cpus, 6);
  EXPECT_EQ(MeasureHost(sys)->online_cpus.size(), 8u);

  ASSERT_TRUE(WriteFileAtomically(directory + "/isolated", "0-7\n").ok());
  EXPECT_EQ(MeasureHost(sys)->cpus, 1);

  ASSERT_TRUE(WriteFileAtomically(directory + "/isolated", "none\n").ok());
  EXPECT_TRUE(absl::IsDataLoss(MeasureHost(sys).status()));
}

}  // namespace
}  // namespace podvisor
