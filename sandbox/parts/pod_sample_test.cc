#include "sandbox/parts/pod_sample.h"

#include "gtest/gtest.h"

namespace podvisor {
namespace {

TEST(PodSampleTest, WhatTheGuestLeavesOutIsNotMeasuredAndAZeroIs) {
  agent::v1::ContainerStats stats;
  stats.set_cpu_user_nanos(5);
  stats.set_oom_kills(0);
  stats.mutable_io_pressure()->set_full_total_micros(7);
  stats.mutable_io_pressure()->set_some_avg300(12);

  const ContainerUsage usage = UsageOf(stats);

  EXPECT_EQ(usage.cpu_user_nanos, 5u);
  EXPECT_EQ(usage.oom_kills, 0u);
  EXPECT_EQ(usage.cpu_system_nanos, std::nullopt);
  EXPECT_EQ(usage.file_descriptors, std::nullopt);
  ASSERT_TRUE(usage.io_pressure.has_value());
  EXPECT_EQ(usage.io_pressure->full.total_micros, 7u);
  EXPECT_EQ(usage.io_pressure->some.avg300, 12u);
  EXPECT_EQ(usage.cpu_pressure, std::nullopt);
}

TEST(PodSampleTest, DevicesAndInterfacesAreTakenOver) {
  agent::v1::GetStatsResponse stats;
  auto* device = stats.add_containers()->add_block_devices();
  device->set_name("vda");
  device->set_major_number(254);
  device->set_minor_number(16);
  device->set_written_bytes(3);
  stats.mutable_containers(0)->add_huge_pages()->set_size("2MB");
  auto* interface = stats.add_interfaces();
  interface->set_name("eth0");
  interface->set_receive_packets(4);
  interface->set_transmit_dropped(5);
  stats.mutable_scratch()->set_device("vdb");
  stats.mutable_scratch()->set_free_inodes(6);

  const ContainerUsage usage = UsageOf(stats.containers(0));
  const PodUsage pod = PodUsageOf(stats, absl::FromUnixSeconds(9));

  ASSERT_EQ(usage.block_devices.size(), 1u);
  EXPECT_EQ(usage.block_devices[0], (BlockTraffic{.device = "vda",
                                                  .major_number = 254,
                                                  .minor_number = 16,
                                                  .written_bytes = 3}));
  ASSERT_EQ(usage.huge_pages.size(), 1u);
  EXPECT_EQ(usage.huge_pages[0], (HugePageUsage{.size = "2MB"}));
  ASSERT_EQ(pod.interfaces.size(), 1u);
  EXPECT_EQ(pod.interfaces[0], (InterfaceTraffic{.name = "eth0",
                                                 .received = {.packets = 4},
                                                 .sent = {.dropped = 5}}));
  ASSERT_TRUE(pod.scratch.has_value());
  EXPECT_EQ(*pod.scratch, (ScratchUsage{.device = "vdb", .free_inodes = 6}));
  EXPECT_EQ(pod.timestamp, absl::FromUnixSeconds(9));
}

TEST(PodSampleTest, TheTrafficOfAllInterfacesIsThePods) {
  VmSnapshot snapshot;
  AddNetworkTraffic(PodUsage(), &snapshot);
  EXPECT_EQ(snapshot.network_received_bytes, std::nullopt);

  PodUsage usage;
  usage.interfaces = {{.name = "eth0", .received = {1}, .sent = {2}},
                      {.name = "net1", .received = {30}, .sent = {40}}};
  AddNetworkTraffic(usage, &snapshot);

  EXPECT_EQ(snapshot.network_received_bytes, 31);
  EXPECT_EQ(snapshot.network_sent_bytes, 42);
}

TEST(PodSampleTest, WithoutAScratchDiskNoneIsShown) {
  EXPECT_EQ(PodUsageOf({}, absl::FromUnixSeconds(9)).scratch, std::nullopt);
}

}  // namespace
}  // namespace podvisor
