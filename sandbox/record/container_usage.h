#ifndef PODVISOR_SANDBOX_RECORD_CONTAINER_USAGE_H_
#define PODVISOR_SANDBOX_RECORD_CONTAINER_USAGE_H_

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/time/time.h"

namespace podvisor {

// Values: what a guest was last seen to use, of one container and of all its
// pod. Sizes are bytes; counters are since the container's start, or the VM's.
// An optional without a value was not measured; a zero was.

// How long tasks have waited for a resource (psi.rst): some of them, or all.
struct PressureWait {
  uint64_t total_micros = 0;
  // Shares of the last 10, 60 and 300 seconds, in hundredths of a percent.
  uint32_t avg10 = 0;
  uint32_t avg60 = 0;
  uint32_t avg300 = 0;

  bool operator==(const PressureWait&) const = default;
};

struct ResourcePressure {
  PressureWait some = {};
  PressureWait full = {};

  bool operator==(const ResourcePressure&) const = default;
};

struct BlockTraffic {
  std::string device;  // "vda"
  uint32_t major_number = 0;
  uint32_t minor_number = 0;
  uint64_t read_bytes = 0;
  uint64_t written_bytes = 0;
  uint64_t reads = 0;
  uint64_t writes = 0;

  bool operator==(const BlockTraffic&) const = default;
};

struct HugePageUsage {
  std::string size;  // "2MB"
  uint64_t bytes = 0;

  bool operator==(const HugePageUsage&) const = default;
};

struct ContainerUsage {
  absl::Time timestamp = absl::InfinitePast();
  uint64_t cpu_usage_nanos = 0;
  uint64_t memory_usage_bytes = 0;
  uint64_t memory_working_set_bytes = 0;
  uint64_t memory_rss_bytes = 0;
  uint64_t memory_page_faults = 0;
  uint64_t memory_major_page_faults = 0;
  uint64_t memory_limit_bytes = 0;  // 0: none
  uint64_t pids = 0;                // tasks: threads count
  uint64_t writable_layer_bytes = 0;
  uint64_t writable_layer_inodes = 0;

  std::optional<uint64_t> cpu_user_nanos;
  std::optional<uint64_t> cpu_system_nanos;
  std::optional<uint64_t> cpu_periods;
  std::optional<uint64_t> cpu_throttled_periods;
  std::optional<uint64_t> cpu_throttled_nanos;
  std::optional<uint64_t> cpu_period_micros;
  std::optional<uint64_t> cpu_quota_micros;  // none without a limit
  std::optional<uint64_t> memory_cache_bytes;
  std::optional<uint64_t> memory_mapped_file_bytes;
  std::optional<uint64_t> memory_kernel_bytes;
  std::optional<uint64_t> memory_peak_bytes;
  std::optional<uint64_t> memory_swap_bytes;
  std::optional<uint64_t> memory_swap_limit_bytes;  // 0: none, or no swap
  std::optional<uint64_t> memory_low_bytes;
  std::optional<uint64_t> memory_limit_hits;
  std::optional<uint64_t> oom_kills;
  std::optional<uint64_t> threads_max;  // 0: no limit
  std::optional<uint64_t> processes;
  std::optional<uint64_t> file_descriptors;
  std::optional<uint64_t> sockets;
  std::optional<uint64_t> max_open_files;  // soft limit
  std::optional<ResourcePressure> cpu_pressure;
  std::optional<ResourcePressure> memory_pressure;
  std::optional<ResourcePressure> io_pressure;
  std::vector<BlockTraffic> block_devices;
  std::vector<HugePageUsage> huge_pages;

  bool operator==(const ContainerUsage&) const = default;
};

struct InterfaceTraffic {
  struct Direction {
    uint64_t bytes = 0;
    uint64_t packets = 0;
    uint64_t errors = 0;
    uint64_t dropped = 0;

    bool operator==(const Direction&) const = default;
  };
  std::string name;
  Direction received = {};
  Direction sent = {};

  bool operator==(const InterfaceTraffic&) const = default;
};

// The file system that holds the writable layers of all containers.
struct ScratchUsage {
  std::string device;  // "vdb"
  uint64_t bytes = 0;
  uint64_t inodes = 0;
  uint64_t free_inodes = 0;

  bool operator==(const ScratchUsage&) const = default;
};

struct PodUsage {
  // By the host's clock; InfinitePast() before the first sample.
  absl::Time timestamp = absl::InfinitePast();
  std::vector<InterfaceTraffic> interfaces;  // the oldest first, no loopback
  std::optional<ScratchUsage> scratch;
  // In the cgroup of all containers.
  std::optional<ResourcePressure> cpu_pressure;
  std::optional<ResourcePressure> memory_pressure;
  std::optional<ResourcePressure> io_pressure;

  bool operator==(const PodUsage&) const = default;
};

}  // namespace podvisor

#endif  // PODVISOR_SANDBOX_RECORD_CONTAINER_USAGE_H_
