#ifndef PODVISOR_CRI_CONFIG_H_
#define PODVISOR_CRI_CONFIG_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "hotplug/pod_demand.h"

namespace podvisor {

// podvisor.toml as values. The initialisers here are the defaults, and the only
// place that has them; config_keys.cc says of every key what it means and
// what it may be, and deploy/podvisor.toml is printed from both.

struct ServerConfig {
  std::string socket = "/run/podvisor/podvisor.sock";
  std::string streaming_address = "127.0.0.1:0";
  std::string metrics_address = "127.0.0.1:9539";
  std::string root_dir = "/var/lib/podvisor";
  std::string run_dir = "/run/podvisor";
  std::string log_level = "info";
  std::string cgroup_driver = "cgroupfs";

  bool operator==(const ServerConfig&) const = default;
};

struct QemuConfig {
  std::string path = "/usr/bin/qemu-system-x86_64";
  std::string virtiofsd = "/usr/lib/qemu/virtiofsd";
  std::string kernel = "/usr/lib/podvisor/vmlinux";
  std::string initrd = "/usr/lib/podvisor/initrd.img";
  std::string firmware;
  std::string kernel_params;
  std::string accelerator = "auto";
  int64_t max_parallel_boots = 2;

  int64_t default_vcpus = 1;
  int64_t default_maxvcpus = 0;   // 0: the host's, but isolated ones
  int64_t default_memory = 1024;  // MiB
  int64_t default_maxmemory = 0;  // MiB; 0: the host's memory
  int64_t memory_slots = 10;
  int64_t default_bridges = 1;
  int64_t default_root_ports = 2;

  bool enable_cpu_memory_hotplug = true;
  std::string memory_hotplug = "virtio-mem";
  bool pc_dimm_unplug = false;
  std::string vcpu_unplug = "auto";
  std::string sizing = "shared";
  bool presize = false;
  int64_t guest_overhead_memory = kDefaultGuestOverheadMib;
  absl::Duration shrink_delay = absl::Seconds(5);
  std::string cpuset = "pin";
  std::string accounting_guard = "warn";

  bool operator==(const QemuConfig&) const = default;
};

struct ImageStoreConfig {
  std::string registries_conf = "/etc/containers/registries.conf";
  std::string policy = "/etc/containers/policy.json";

  bool operator==(const ImageStoreConfig&) const = default;
};

struct CniConfig {
  std::string cni_conf_dir = "/etc/cni/net.d";
  std::vector<std::string> cni_bin_dirs = {"/opt/cni/bin", "/usr/lib/cni"};

  bool operator==(const CniConfig&) const = default;
};

struct Config {
  ServerConfig server;
  QemuConfig qemu;
  ImageStoreConfig image;
  CniConfig network;

  bool operator==(const Config&) const = default;
};

inline constexpr char kDefaultConfigPath[] = "/etc/podvisor/podvisor.toml";

// Parses and checks `toml`. Pure. `file` only names it in messages.
//
// InvalidArgument for anything that is not understood and meant: bad TOML, an
// unknown section or key, a wrong type, an impossible value, a key that this
// version does not act on. One line for each mistake, all in one message:
//   FILE:LINE:COLUMN: SECTION.KEY: what is wrong; what would be right
absl::StatusOr<Config> ParseConfig(absl::string_view toml,
                                   absl::string_view file);

// Reads `path` (at most 1 MiB) and parses it. NotFound when it is missing.
absl::StatusOr<Config> LoadConfig(const std::string& path);

// The whole configuration in force, as TOML that parses to the same value.
std::string EffectiveConfigToml(const Config& config);

// The text of deploy/podvisor.toml: every key with its meaning and default.
std::string DefaultConfigFile();

}  // namespace podvisor

#endif  // PODVISOR_CRI_CONFIG_H_
