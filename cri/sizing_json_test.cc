#include "cri/sizing_json.h"

#include "gtest/gtest.h"

namespace podvisor {
namespace {

using nlohmann::json;

ObservedSizing Example() {
  ObservedSizing sizing;
  ContainerResources limited;
  limited.cpu_period = 100'000;
  limited.cpu_quota = 250'000;
  limited.memory_limit_bytes = int64_t{3} << 40;
  limited.hugepage_limits = {{"2MB", 4 << 20}};
  limited.unified = {{"memory.min", "1024"}};
  ContainerResources shares;
  shares.cpu_shares = 512;
  sizing.sizing.containers = {limited, shares};
  sizing.sizing.pod_total = limited;
  sizing.sizing.rules = {Sizing::kAdditive, 1500, 7, 8};
  VmLimits& limits = sizing.sizing.limits;
  limits.boot_vcpus = 2;
  limits.max_vcpus = 9;
  limits.boot_memory_bytes = 1 << 30;
  limits.max_memory_bytes = int64_t{9} << 30;
  limits.memory_block_bytes = 2 << 20;
  limits.memory_slots = 5;
  limits.dimm_unplug = true;
  limits.memory_device = MemoryDevice::kPcDimm;
  limits.vcpu_unplug = VcpuUnplug::kDevice;
  sizing.observed = {.vcpus_plugged = 4,
                     .vcpus_removable = 2,
                     .vcpus_online = 3,
                     .hotplug_requested_bytes = 5,
                     .hotplug_plugged_bytes = 6,
                     .hotplug_online_bytes = 7,
                     .dimms = {{1, 2 << 20}, {3, 4 << 20}},
                     .guest_boot_bytes = 10,
                     .guest_available_bytes = 8,
                     .guest_free_bytes = 7,
                     .guest_block_bytes = 9};
  sizing.account = {11, 12, 13, 14};
  sizing.sizing.cpuset = CpusetMode::kGuest;
  sizing.guard = AccountingGuard::kEnforce;
  sizing.accelerator = Accelerator::kKvm;
  return sizing;
}

TEST(SizingJsonTest, EverythingComesBackAsItWas) {
  const json written = SizingToJson(Example());

  const auto read = SizingFromJson(json::parse(written.dump()));

  ASSERT_TRUE(read.ok()) << read.status();
  EXPECT_EQ(*read, Example());
  EXPECT_EQ(*SizingFromJson(SizingToJson(ObservedSizing())), ObservedSizing());
}

TEST(SizingJsonTest, WhatIsNotASizingIsDataLoss) {
  for (const char* text :
       {"{}", "[]", "3", R"({"rules":{},"limits":{}})", R"({"rules":3})"}) {
    EXPECT_TRUE(absl::IsDataLoss(SizingFromJson(json::parse(text)).status()))
        << text;
  }
  json odd = SizingToJson(Example());
  odd["observed"]["vcpusOnline"] = "three";
  EXPECT_TRUE(absl::IsDataLoss(SizingFromJson(odd).status()));
  odd = SizingToJson(Example());
  odd["limits"]["memoryDevice"] = "tape";
  EXPECT_TRUE(absl::IsDataLoss(SizingFromJson(odd).status()));
  odd = SizingToJson(Example());
  odd["containers"][0] = {{"cpuQuota", {1}}};
  EXPECT_TRUE(absl::IsDataLoss(SizingFromJson(odd).status()));
}

}  // namespace
}  // namespace podvisor
