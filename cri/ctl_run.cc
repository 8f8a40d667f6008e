#include "cri/ctl_run.h"

#include <unistd.h>

#include <algorithm>
#include <cstdint>

#include "absl/cleanup/cleanup.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "base/file.h"
#include "base/status_macros.h"

namespace podvisor {
namespace {

constexpr int64_t kPeriodMicros = 100'000;
constexpr int64_t kMinQuotaMicros = 1000;
constexpr int64_t kMinShares = 2;
constexpr int64_t kMaxShares = 262'144;
constexpr size_t kMaxServers = 3;  // resolv.conf(5)
// Of a pod without the host's users: the first that the kubelet would give. One
// range will do, as no pod's VM has another pod.
constexpr uint32_t kFirstHostId = 65536;
constexpr uint32_t kIdCount = 65536;

int64_t QuotaFor(int64_t millis) {
  if (millis == 0) return 0;
  return std::max(kMinQuotaMicros, millis * kPeriodMicros / 1000);
}

int64_t SharesFor(int64_t millis) {
  return std::clamp(millis * 1024 / 1000, kMinShares, kMaxShares);
}

void SetResources(int64_t limit_millis, int64_t request_millis,
                  int64_t memory_bytes,
                  runtime::v1::LinuxContainerResources& resources) {
  if (limit_millis > 0) {
    resources.set_cpu_period(kPeriodMicros);
    resources.set_cpu_quota(QuotaFor(limit_millis));
  }
  resources.set_cpu_shares(SharesFor(request_millis));
  resources.set_memory_limit_in_bytes(memory_bytes);
}

// What the host resolves with. Its loopback resolver is not there for a pod.
void SetDns(const std::string& resolv_conf, runtime::v1::DNSConfig& dns) {
  for (const absl::string_view line : absl::StrSplit(resolv_conf, '\n')) {
    const std::vector<std::string> words =
        absl::StrSplit(line, absl::ByAnyChar(" \t\r"), absl::SkipEmpty());
    if (words.size() < 2) continue;
    if (words[0] == "nameserver" && !absl::StartsWith(words[1], "127.") &&
        words[1] != "::1" &&
        dns.servers_size() < static_cast<int>(kMaxServers)) {
      dns.add_servers(words[1]);
    } else if (words[0] == "search") {
      dns.clear_searches();
      for (size_t i = 1; i < words.size(); ++i) dns.add_searches(words[i]);
    } else if (words[0] == "options") {
      for (size_t i = 1; i < words.size(); ++i) dns.add_options(words[i]);
    }
  }
}

void AddIds(google::protobuf::RepeatedPtrField<runtime::v1::IDMapping>* ids) {
  runtime::v1::IDMapping& mapping = *ids->Add();
  mapping.set_host_id(kFirstHostId);
  mapping.set_container_id(0);
  mapping.set_length(kIdCount);
}

void SetNamespaces(const PodManifest& manifest,
                   runtime::v1::NamespaceOption& options) {
  using runtime::v1::NODE;
  using runtime::v1::POD;
  if (!manifest.host_users) {
    runtime::v1::UserNamespace& users = *options.mutable_userns_options();
    users.set_mode(POD);
    AddIds(users.mutable_uids());
    AddIds(users.mutable_gids());
  }
  // A host's namespace is asked for as the manifest says; the server refuses
  // it with its own words.
  options.set_network(manifest.host_network ? NODE : POD);
  options.set_ipc(manifest.host_ipc ? NODE : POD);
  options.set_pid(manifest.host_pid                  ? NODE
                  : manifest.share_process_namespace ? POD
                                                     : runtime::v1::CONTAINER);
}

runtime::v1::ContainerConfig MakeContainer(const PodManifest& manifest,
                                           const ManifestContainer& from,
                                           const PodRequestOptions& options) {
  runtime::v1::ContainerConfig to;
  to.mutable_metadata()->set_name(from.name);
  to.mutable_image()->set_image(from.image);
  to.mutable_image()->set_user_specified_image(from.image);
  for (const std::string& word : from.command) to.add_command(word);
  for (const std::string& word : from.args) to.add_args(word);
  to.set_working_dir(from.working_dir);
  for (const auto& [name, value] : from.env) {
    auto* variable = to.add_envs();
    variable->set_key(name);
    variable->set_value(value);
  }
  for (const ManifestVolumeMount& mount : from.mounts) {
    auto* added = to.add_mounts();
    added->set_host_path(mount.host_path);
    added->set_container_path(mount.mount_path);
    added->set_readonly(mount.read_only);
    if (!manifest.host_users) {
      AddIds(added->mutable_uidmappings());
      AddIds(added->mutable_gidmappings());
    }
  }
  to.set_log_path(absl::StrCat(from.name, ".log"));
  to.set_stdin(from.stdin);
  to.set_tty(from.tty);
  auto& labels = *to.mutable_labels();
  labels["io.kubernetes.container.name"] = from.name;
  labels["io.kubernetes.pod.name"] = manifest.name;
  labels["io.kubernetes.pod.namespace"] = manifest.name_space;
  labels["io.kubernetes.pod.uid"] = options.uid;

  SetResources(from.cpu_limit_millis, from.cpu_request_millis,
               from.memory_limit_bytes,
               *to.mutable_linux()->mutable_resources());
  auto& security = *to.mutable_linux()->mutable_security_context();
  SetNamespaces(manifest, *security.mutable_namespace_options());
  security.set_privileged(from.privileged);
  security.set_readonly_rootfs(from.read_only_root);
  security.set_no_new_privs(!from.allow_privilege_escalation);
  if (from.run_as_user) {
    security.mutable_run_as_user()->set_value(*from.run_as_user);
  }
  if (from.run_as_group) {
    security.mutable_run_as_group()->set_value(*from.run_as_group);
  }
  for (const std::string& capability : from.add_capabilities) {
    security.mutable_capabilities()->add_add_capabilities(capability);
  }
  for (const std::string& capability : from.drop_capabilities) {
    security.mutable_capabilities()->add_drop_capabilities(capability);
  }
  return to;
}

}  // namespace

PodRequests MakePodRequests(const PodManifest& manifest,
                            const PodRequestOptions& options) {
  PodRequests requests;
  auto& pod = requests.pod;
  pod.mutable_metadata()->set_name(manifest.name);
  pod.mutable_metadata()->set_namespace_(manifest.name_space);
  pod.mutable_metadata()->set_uid(options.uid);
  pod.set_hostname(manifest.hostname.empty() ? manifest.name.substr(0, 63)
                                             : manifest.hostname);
  pod.set_log_directory(options.log_directory);
  SetDns(options.resolv_conf, *pod.mutable_dns_config());
  for (const auto& [key, value] : manifest.labels) {
    (*pod.mutable_labels())[key] = value;
  }
  auto& labels = *pod.mutable_labels();
  labels["io.kubernetes.pod.name"] = manifest.name;
  labels["io.kubernetes.pod.namespace"] = manifest.name_space;
  labels["io.kubernetes.pod.uid"] = options.uid;
  for (const auto& [key, value] : manifest.annotations) {
    (*pod.mutable_annotations())[key] = value;
  }
  auto& linux = *pod.mutable_linux();
  for (const auto& [key, value] : manifest.sysctls) {
    (*linux.mutable_sysctls())[key] = value;
  }
  SetNamespaces(manifest,
                *linux.mutable_security_context()->mutable_namespace_options());

  int64_t limit_millis = 0, request_millis = 0, memory = 0;
  bool all_cpu_limited = true, all_memory_limited = true, privileged = false;
  for (const ManifestContainer& container : manifest.containers) {
    requests.containers.push_back(MakeContainer(manifest, container, options));
    limit_millis += container.cpu_limit_millis;
    request_millis += container.cpu_request_millis;
    memory += container.memory_limit_bytes;
    all_cpu_limited &= container.cpu_limit_millis > 0;
    all_memory_limited &= container.memory_limit_bytes > 0;
    privileged |= container.privileged;
  }
  // One container without a limit makes the pod one without.
  SetResources(all_cpu_limited ? limit_millis : 0, request_millis,
               all_memory_limited ? memory : 0, *linux.mutable_resources());
  linux.mutable_security_context()->set_privileged(privileged);
  return requests;
}

namespace {

// As with kubectl, a name is used once: what runs already is not run beside
// itself, and not replaced unasked.
absl::Status CheckNameIsFree(CriClient& client, const PodManifest& manifest) {
  ASSIGN_OR_RETURN(const std::vector<runtime::v1::PodSandbox> pods,
                   client.ListPods());
  for (const runtime::v1::PodSandbox& pod : pods) {
    if (pod.state() == runtime::v1::SANDBOX_READY &&
        pod.metadata().name() == manifest.name &&
        pod.metadata().namespace_() == manifest.name_space) {
      return absl::AlreadyExistsError(absl::StrCat(
          "pod ", manifest.name_space, "/", manifest.name, " runs already, as ",
          pod.id(), "; `podvisorctl rm` removes it"));
    }
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status RunPodManifest(CriClient& client, const PodManifest& manifest,
                            const PodRequestOptions& options,
                            std::ostream& out) {
  RETURN_IF_ERROR(CheckNameIsFree(client, manifest));
  const PodRequests requests = MakePodRequests(manifest, options);
  std::vector<std::string> images;
  for (const ManifestContainer& container : manifest.containers) {
    absl::StatusOr<std::string> image = client.PullImage(container.image);
    if (!image.ok()) {
      return Annotate(image.status(), absl::StrCat("pull ", container.image));
    }
    out << "image " << *image << " " << container.image << "\n";
    images.push_back(*std::move(image));
  }
  const bool had_logs = access(options.log_directory.c_str(), F_OK) == 0;
  absl::StatusOr<std::string> pod;
  bool finished = false;
  const auto undo = absl::MakeCleanup([&] {
    if (finished) return;
    if (pod.ok()) {
      const absl::Status removed = client.RemovePod(*pod);
      out << "pod " << *pod << " "
          << (removed.ok() ? "removed" : removed.ToString()) << "\n";
    }
    if (!had_logs) RemoveTree(options.log_directory).IgnoreError();
  });
  RETURN_IF_ERROR(MakeDirectories(options.log_directory, 0755));
  pod = client.RunPod(requests.pod, manifest.runtime_class);
  if (!pod.ok()) {
    return Annotate(pod.status(), absl::StrCat("pod ", manifest.name));
  }
  out << "pod " << *pod << " " << manifest.name_space << "/" << manifest.name
      << "\n";
  for (size_t i = 0; i < requests.containers.size(); ++i) {
    runtime::v1::ContainerConfig config = requests.containers[i];
    config.mutable_image()->set_image(images[i]);
    absl::StatusOr<std::string> container =
        client.RunContainer(*pod, config, requests.pod);
    if (!container.ok()) {
      return Annotate(container.status(),
                      absl::StrCat("container ", config.metadata().name()));
    }
    out << "container " << *container << " " << config.metadata().name()
        << " log " << options.log_directory << "/" << config.log_path() << "\n";
  }
  finished = true;
  return absl::OkStatus();
}

}  // namespace podvisor
