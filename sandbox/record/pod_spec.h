#ifndef PODVISOR_SANDBOX_RECORD_POD_SPEC_H_
#define PODVISOR_SANDBOX_RECORD_POD_SPEC_H_

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "base/id_mapping.h"
#include "hotplug/container_resources.h"
#include "sandbox/record/block_io.h"

namespace podvisor {

// Values: what a client asked for, as the CRI layer converted it. Strings come
// from the kubelet and are returned to it verbatim; none of them is ever used
// as a path, an id or an option of another program.

struct PodMetadata {
  std::string name;
  std::string uid;
  std::string name_space;
  uint32_t attempt = 0;

  auto operator<=>(const PodMetadata&) const = default;
};

struct DnsConfig {
  std::vector<std::string> servers;
  std::vector<std::string> searches;
  std::vector<std::string> options;

  bool operator==(const DnsConfig&) const = default;
};

// Which processes see which. Values are those of CRI's NamespaceMode.
enum class NamespaceMode { kPod = 0, kContainer = 1, kNode = 2, kTarget = 3 };

// What the pod's annotations say about the size of its VM, instead of the
// configuration.
struct SizeOverrides {
  std::optional<int64_t> base_milli_cpu = std::nullopt;
  std::optional<int64_t> base_memory_bytes = std::nullopt;
  std::optional<int64_t> max_vcpus = std::nullopt;

  bool operator==(const SizeOverrides&) const = default;
};

// What the pod's annotations say about the processes of its VM on the host.
struct HostLimits {
  std::optional<int64_t> files_limit = std::nullopt;  // as asked for
  std::vector<BlockIoLimit> block_io;

  bool operator==(const HostLimits&) const = default;
};

// A port of the host that leads to one of the pod's.
struct HostPort {
  int host_port = 0;
  int container_port = 0;
  std::string protocol;  // "tcp", "udp", "sctp"
  std::string host_ip;   // empty: all addresses of the host

  bool operator==(const HostPort&) const = default;
};

// Of the pod's interface, bits per second.
struct NetworkShape {
  std::optional<int64_t> ingress_rate = std::nullopt;  // towards the pod
  std::optional<int64_t> egress_rate = std::nullopt;

  bool operator==(const NetworkShape&) const = default;
};

struct PodSpec {
  PodMetadata metadata;
  std::string hostname;
  std::string log_directory;
  std::string runtime_handler;
  std::string cgroup_parent;
  DnsConfig dns;
  std::vector<HostPort> host_ports;
  NetworkShape shape;
  NamespaceMode pid_namespace = NamespaceMode::kPod;
  std::optional<IdMapping> ids;  // of its user namespace, if it has one
  std::map<std::string, std::string> labels;
  std::map<std::string, std::string> annotations;
  std::map<std::string, std::string> sysctls;
  std::optional<ContainerResources> resources;  // of the whole pod
  std::optional<ContainerResources> overhead;
  SizeOverrides size;
  HostLimits host;

  bool operator==(const PodSpec&) const = default;
};

}  // namespace podvisor

#endif  // PODVISOR_SANDBOX_RECORD_POD_SPEC_H_
