#ifndef PODVISOR_NETWORK_CNI_ATTACHMENT_H_
#define PODVISOR_NETWORK_CNI_ATTACHMENT_H_

#include <cstdint>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "base/ids.h"
#include "network/cni_config.h"

namespace podvisor {

struct PortMapping {
  int host_port = 0;
  int container_port = 0;
  std::string protocol;  // "tcp", "udp", "sctp"
  std::string host_ip;   // empty: all

  bool operator==(const PortMapping&) const = default;
};

// What a pod wants of its network. The strings come from the kubelet.
struct PodNetworkRequest {
  PodId id;
  std::string pod_name;
  std::string pod_namespace;
  std::string pod_uid;
  std::vector<PortMapping> ports;
  // Bits per second, towards the pod and from it.
  std::optional<int64_t> ingress_rate = std::nullopt;
  std::optional<int64_t> egress_rate = std::nullopt;
  std::vector<std::string> dns_servers;
  std::vector<std::string> dns_searches;
  std::vector<std::string> dns_options;

  bool operator==(const PodNetworkRequest&) const = default;
};

// One pod's place in one network: all that an ADD was done with and that a DEL
// needs, also of another daemon and after the configuration has changed. A
// value.
struct CniAttachment {
  PodId id;
  std::string netns;           // path
  std::string args;            // CNI_ARGS
  std::string runtime_config;  // JSON: all that is known, by capability
  CniConfigList config;
  std::string result;  // of the ADD, JSON; empty: it has not ended

  bool operator==(const CniAttachment&) const = default;
};

inline constexpr char kPodInterface[] = "eth0";

// InvalidArgument for a name that cannot be a value in CNI_ARGS. Pure.
absl::StatusOr<CniAttachment> MakeAttachment(const PodNetworkRequest& request,
                                             CniConfigList config,
                                             std::string netns);

// What a plugin reads from its standard input: its configuration with the
// list's name and version, what of the runtime configuration its capabilities
// ask for, and the result so far; empty: none. Pure.
std::string PluginInput(const CniAttachment& attachment,
                        const CniPlugin& plugin, absl::string_view prev_result);

// The same for a GC: which pods may still be attached to the network. Pure.
std::string GcInput(const CniConfigList& config, const CniPlugin& plugin,
                    const std::set<PodId>& valid);

// As JSON, for the pod's record. Pure. DataLoss.
std::string EncodeAttachment(const CniAttachment& attachment);
absl::StatusOr<CniAttachment> DecodeAttachment(absl::string_view json);

}  // namespace podvisor

#endif  // PODVISOR_NETWORK_CNI_ATTACHMENT_H_
