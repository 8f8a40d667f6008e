#include "cri/convert_pod.h"

#include <arpa/inet.h>
#include <netinet/in.h>

#include <utility>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "base/status_macros.h"
#include "cri/convert_ids.h"
#include "cri/convert_resources.h"
#include "cri/field_check.h"
#include "cri/pod_annotations.h"
#include "sandbox/host/cgroup_path.h"

namespace podvisor {
namespace {

constexpr size_t kMaxStringsBytes = 1 << 20;
constexpr int kMaxListItems = 64;
constexpr int kMaxPorts = 1024;

absl::Status HostNamespace(absl::string_view field, absl::string_view member,
                           absl::string_view name) {
  return absl::InvalidArgumentError(absl::StrCat(
      field, ".", member, ": a pod in a VM cannot share the host's ", name,
      " namespace"));
}

absl::StatusOr<PodMetadata> ConvertMetadata(
    const runtime::v1::PodSandboxConfig& config) {
  if (!config.has_metadata()) {
    return absl::InvalidArgumentError("config.metadata: is missing");
  }
  const auto& from = config.metadata();
  RETURN_IF_ERROR(CheckName("config.metadata.name", from.name()));
  RETURN_IF_ERROR(CheckName("config.metadata.namespace", from.namespace_()));
  RETURN_IF_ERROR(CheckName("config.metadata.uid", from.uid()));
  PodMetadata metadata;
  metadata.name = from.name();
  metadata.uid = from.uid();
  metadata.name_space = from.namespace_();
  metadata.attempt = from.attempt();
  return metadata;
}

// Linux takes 64 bytes. It becomes a line of /etc/hostname and a word of
// /etc/hosts.
absl::Status CheckHostname(absl::string_view hostname) {
  constexpr char kField[] = "config.hostname";
  RETURN_IF_ERROR(CheckLine(kField, hostname, 64));
  for (const char c : hostname) {
    if (!absl::ascii_isalnum(static_cast<unsigned char>(c)) && c != '-' &&
        c != '.' && c != '_') {
      return absl::InvalidArgumentError(absl::StrCat(
          kField, ": may have letters, digits, \"-\", \"_\" and \".\" only"));
    }
  }
  return absl::OkStatus();
}

// Each becomes a word of a line of the container's resolv.conf.
absl::StatusOr<std::vector<std::string>> ConvertWords(
    const google::protobuf::RepeatedPtrField<std::string>& words,
    absl::string_view field) {
  if (words.size() > kMaxListItems) {
    return absl::InvalidArgumentError(absl::StrCat(
        field, ": has ", words.size(), " items; at most ", kMaxListItems));
  }
  for (const std::string& word : words) {
    RETURN_IF_ERROR(CheckLine(field, word, 1024));
    if (word.empty() || absl::StrContains(word, ' ')) {
      return absl::InvalidArgumentError(
          absl::StrCat(field, ": an item is empty or contains a space"));
    }
  }
  return std::vector<std::string>(words.begin(), words.end());
}

absl::StatusOr<DnsConfig> ConvertDns(const runtime::v1::DNSConfig& from) {
  DnsConfig dns;
  ASSIGN_OR_RETURN(dns.servers,
                   ConvertWords(from.servers(), "config.dns_config.servers"));
  ASSIGN_OR_RETURN(dns.searches,
                   ConvertWords(from.searches(), "config.dns_config.searches"));
  ASSIGN_OR_RETURN(dns.options,
                   ConvertWords(from.options(), "config.dns_config.options"));
  return dns;
}

// A sysctl is a file below the guest's /proc/sys; its value is written to that
// file and never to a command line (CVE-2022-0811).
absl::Status CheckSysctl(absl::string_view key, absl::string_view value) {
  constexpr char kField[] = "config.linux.sysctls";
  RETURN_IF_ERROR(CheckLine(kField, key, 256));
  for (const char c : key) {
    if (!absl::ascii_isalnum(static_cast<unsigned char>(c)) && c != '.' &&
        c != '_' && c != '-' && c != '/') {
      return absl::InvalidArgumentError(absl::StrCat(
          kField, ": a name is written as in \"net.core.somaxconn\""));
    }
  }
  if (key.empty() || absl::StrContains(key, "..") ||
      absl::StartsWith(key, "/")) {
    return absl::InvalidArgumentError(
        absl::StrCat(kField, ": a name is empty or a path"));
  }
  RETURN_IF_ERROR(CheckText(absl::StrCat(kField, "[", key, "]"), value, 4096));
  if (absl::StrContains(value, '\n')) {
    return absl::InvalidArgumentError(
        absl::StrCat(kField, "[", key, "]: contains a line end"));
  }
  return absl::OkStatus();
}

absl::StatusOr<std::string> ProtocolOf(runtime::v1::Protocol protocol) {
  switch (protocol) {
    case runtime::v1::TCP:
      return std::string("tcp");
    case runtime::v1::UDP:
      return std::string("udp");
    case runtime::v1::SCTP:
      return std::string("sctp");
    default:
      return absl::InvalidArgumentError(
          "config.port_mappings.protocol: is TCP, UDP or SCTP");
  }
}

absl::Status CheckHostIp(const std::string& address) {
  unsigned char bytes[sizeof(in6_addr)];
  if (address.empty() || inet_pton(AF_INET, address.c_str(), bytes) == 1 ||
      inet_pton(AF_INET6, address.c_str(), bytes) == 1) {
    return absl::OkStatus();
  }
  return absl::InvalidArgumentError(
      "config.port_mappings.host_ip: is no address");
}

absl::StatusOr<std::vector<HostPort>> ConvertPortMappings(
    const runtime::v1::PodSandboxConfig& config) {
  if (config.port_mappings_size() > kMaxPorts) {
    return absl::InvalidArgumentError(
        absl::StrCat("config.port_mappings: more than ", kMaxPorts));
  }
  std::vector<HostPort> ports;
  for (const auto& mapping : config.port_mappings()) {
    RETURN_IF_ERROR(CheckRange("config.port_mappings.container_port",
                               mapping.container_port(), 0, 65535));
    RETURN_IF_ERROR(CheckRange("config.port_mappings.host_port",
                               mapping.host_port(), 0, 65535));
    ASSIGN_OR_RETURN(std::string protocol, ProtocolOf(mapping.protocol()));
    RETURN_IF_ERROR(CheckHostIp(mapping.host_ip()));
    // Without a host port it is only information.
    if (mapping.host_port() == 0) continue;
    if (mapping.container_port() == 0) {
      return absl::InvalidArgumentError(
          "config.port_mappings.container_port: is missing");
    }
    ports.push_back({mapping.host_port(), mapping.container_port(),
                     std::move(protocol), mapping.host_ip()});
  }
  return ports;
}

absl::StatusOr<NamespaceMode> ConvertSecurity(
    const runtime::v1::LinuxSandboxSecurityContext& security) {
  const auto name = [](absl::string_view member) {
    return absl::StrCat("config.linux.security_context.", member);
  };
  if (security.has_run_as_user()) {
    RETURN_IF_ERROR(
        CheckUserId(name("run_as_user"), security.run_as_user().value()));
  }
  if (security.has_run_as_group()) {
    if (!security.has_run_as_user()) {
      return absl::InvalidArgumentError(
          absl::StrCat(name("run_as_group"), ": is given without run_as_user"));
    }
    RETURN_IF_ERROR(
        CheckUserId(name("run_as_group"), security.run_as_group().value()));
  }
  for (const int64_t group : security.supplemental_groups()) {
    RETURN_IF_ERROR(CheckUserId(name("supplemental_groups"), group));
  }
  RETURN_IF_ERROR(
      CheckSelinux(security.selinux_options(), name("selinux_options")));
  RETURN_IF_ERROR(CheckApparmor(security.apparmor(), name("apparmor")));
  // User, groups, seccomp and the read-only root are about the sandbox's own
  // process. A VM has none in the pod's namespaces; the VMM's jail is tighter
  // than any of them.
  ASSIGN_OR_RETURN(const NamespaceMode pid,
                   ConvertNamespaces(security.namespace_options(),
                                     name("namespace_options")));
  if (pid == NamespaceMode::kTarget) {
    return absl::InvalidArgumentError(
        absl::StrCat(name("namespace_options.pid"),
                     ": TARGET is for containers, not for pods"));
  }
  return pid;
}

}  // namespace

absl::StatusOr<NamespaceMode> ConvertNamespaces(
    const runtime::v1::NamespaceOption& options, absl::string_view field) {
  if (options.network() == runtime::v1::NODE) {
    return HostNamespace(field, "network", "network");
  }
  if (options.pid() == runtime::v1::NODE) {
    return HostNamespace(field, "pid", "PID");
  }
  if (options.ipc() == runtime::v1::NODE) {
    return HostNamespace(field, "ipc", "IPC");
  }
  if (options.network() != runtime::v1::POD) {
    return absl::InvalidArgumentError(
        absl::StrCat(field, ".network: only POD is possible"));
  }
  if (options.ipc() != runtime::v1::POD) {
    return absl::InvalidArgumentError(
        absl::StrCat(field, ".ipc: only POD is possible"));
  }
  if (options.has_userns_options()) {
    RETURN_IF_ERROR(ConvertUserNamespace(options.userns_options(),
                                         absl::StrCat(field, ".userns_options"))
                        .status());
  }
  switch (options.pid()) {
    case runtime::v1::POD:
      return NamespaceMode::kPod;
    case runtime::v1::CONTAINER:
      return NamespaceMode::kContainer;
    case runtime::v1::TARGET:
      return NamespaceMode::kTarget;
    default:
      return absl::InvalidArgumentError(
          absl::StrCat(field, ".pid: is not a known mode"));
  }
}

absl::Status CheckSelinux(const runtime::v1::SELinuxOption& options,
                          absl::string_view field) {
  if (options.user().empty() && options.role().empty() &&
      options.type().empty() && options.level().empty()) {
    return absl::OkStatus();
  }
  return absl::UnimplementedError(
      absl::StrCat(field, ": the guest's kernel has no SELinux"));
}

absl::Status CheckApparmor(const runtime::v1::SecurityProfile& profile,
                           absl::string_view field) {
  if (profile.profile_type() != runtime::v1::SecurityProfile::Localhost) {
    return absl::OkStatus();
  }
  return absl::UnimplementedError(
      absl::StrCat(field, ": the guest has no AppArmor profiles"));
}

absl::StatusOr<std::map<std::string, std::string>> ConvertStrings(
    const google::protobuf::Map<std::string, std::string>& strings,
    absl::string_view field) {
  std::map<std::string, std::string> converted;
  size_t bytes = 0;
  for (const auto& [key, value] : strings) {
    if (key.empty()) {
      return absl::InvalidArgumentError(
          absl::StrCat(field, ": a key is empty"));
    }
    RETURN_IF_ERROR(CheckLine(absl::StrCat(field, " key"), key, 4096));
    bytes += key.size() + value.size();
    converted[key] = value;
  }
  if (bytes > kMaxStringsBytes) {
    return absl::InvalidArgumentError(
        absl::StrCat(field, ": has ", bytes, " bytes; at most ",
                     kMaxStringsBytes, " are allowed"));
  }
  return converted;
}

absl::StatusOr<PodSpec> ConvertPod(const runtime::v1::PodSandboxConfig& config,
                                   absl::string_view runtime_handler) {
  if (config.has_windows()) {
    return absl::InvalidArgumentError("config.windows: this node runs Linux");
  }
  if (!runtime_handler.empty() && runtime_handler != kRuntimeHandler) {
    return absl::InvalidArgumentError(absl::StrCat(
        "runtime_handler: there is only \"", kRuntimeHandler, "\" and \"\""));
  }
  PodSpec spec;
  ASSIGN_OR_RETURN(spec.metadata, ConvertMetadata(config));
  RETURN_IF_ERROR(CheckHostname(config.hostname()));
  spec.hostname = config.hostname();
  if (!config.log_directory().empty()) {
    RETURN_IF_ERROR(
        CheckAbsolutePath("config.log_directory", config.log_directory()));
  }
  spec.log_directory = config.log_directory();
  spec.runtime_handler = std::string(runtime_handler);
  ASSIGN_OR_RETURN(spec.dns, ConvertDns(config.dns_config()));
  ASSIGN_OR_RETURN(spec.host_ports, ConvertPortMappings(config));
  ASSIGN_OR_RETURN(spec.labels,
                   ConvertStrings(config.labels(), "config.labels"));
  ASSIGN_OR_RETURN(spec.annotations,
                   ConvertStrings(config.annotations(), "config.annotations"));
  ASSIGN_OR_RETURN(spec.size, ParseSizeAnnotations(spec.annotations));
  ASSIGN_OR_RETURN(spec.host, ParseHostAnnotations(spec.annotations));
  ASSIGN_OR_RETURN(spec.shape, ParseShapeAnnotations(spec.annotations));

  const runtime::v1::LinuxPodSandboxConfig& linux = config.linux();
  RETURN_IF_ERROR(Annotate(CgroupParentPath(linux.cgroup_parent()).status(),
                           "config.linux"));
  spec.cgroup_parent = linux.cgroup_parent();
  ASSIGN_OR_RETURN(spec.pid_namespace,
                   ConvertSecurity(linux.security_context()));
  const runtime::v1::NamespaceOption& namespaces =
      linux.security_context().namespace_options();
  if (namespaces.has_userns_options()) {
    ASSIGN_OR_RETURN(spec.ids,
                     ConvertUserNamespace(namespaces.userns_options(),
                                          "config.linux.security_context."
                                          "namespace_options.userns_options"));
  }
  for (const auto& [key, value] : linux.sysctls()) {
    RETURN_IF_ERROR(CheckSysctl(key, value));
    spec.sysctls[key] = value;
  }
  if (linux.has_resources()) {
    ASSIGN_OR_RETURN(
        spec.resources,
        ConvertResources(linux.resources(), "config.linux.resources"));
  }
  if (linux.has_overhead()) {
    ASSIGN_OR_RETURN(spec.overhead, ConvertResources(linux.overhead(),
                                                     "config.linux.overhead"));
  }
  return spec;
}

}  // namespace podvisor
