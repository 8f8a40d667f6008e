#include "sandbox/record/spec_json.h"

#include <optional>

namespace podvisor {
namespace {

using nlohmann::json;

template <typename T>
void PutOptional(const char* name, const std::optional<T>& value,
                 json* object) {
  if (value.has_value()) (*object)[name] = *value;
}

json MetadataToJson(const PodMetadata& metadata) {
  return {{"name", metadata.name},
          {"uid", metadata.uid},
          {"namespace", metadata.name_space},
          {"attempt", metadata.attempt}};
}

void ReadMetadata(JsonFields* fields, PodMetadata* metadata) {
  fields->Read("name", &metadata->name);
  fields->Read("uid", &metadata->uid);
  fields->Read("namespace", &metadata->name_space);
  fields->Read("attempt", &metadata->attempt);
}

json DnsToJson(const DnsConfig& dns) {
  return {{"servers", dns.servers},
          {"searches", dns.searches},
          {"options", dns.options}};
}

void ReadDns(JsonFields* fields, DnsConfig* dns) {
  fields->Read("servers", &dns->servers);
  fields->Read("searches", &dns->searches);
  fields->Read("options", &dns->options);
}

void PutIds(const std::optional<IdMapping>& ids, json* object) {
  if (!ids.has_value()) return;
  (*object)["ids"] = {{"host_id", ids->host_id}, {"length", ids->length}};
}

void ReadIds(JsonFields* fields, std::optional<IdMapping>* ids) {
  fields->ReadObject("ids", [ids](JsonFields* members) {
    ids->emplace();
    members->Read("host_id", &(*ids)->host_id);
    members->Read("length", &(*ids)->length);
  });
}

json MountToJson(const MountSpec& mount) {
  json object = {{"container_path", mount.container_path},
                 {"host_path", mount.host_path},
                 {"read_only", mount.read_only},
                 {"recursive_read_only", mount.recursive_read_only},
                 {"slave", mount.slave}};
  PutIds(mount.ids, &object);
  if (!mount.options.empty()) object["options"] = mount.options;
  if (!mount.image.empty()) {
    object["image"] = mount.image;
    object["image_sub_path"] = mount.image_sub_path;
    object["image_id"] = mount.image_id;
  }
  return object;
}

void ReadMount(JsonFields* fields, MountSpec* mount) {
  fields->Read("container_path", &mount->container_path);
  fields->Read("host_path", &mount->host_path);
  fields->Read("read_only", &mount->read_only);
  fields->Read("recursive_read_only", &mount->recursive_read_only);
  fields->Read("slave", &mount->slave);
  ReadIds(fields, &mount->ids);
  fields->Read("image", &mount->image);
  fields->Read("image_sub_path", &mount->image_sub_path);
  fields->Read("image_id", &mount->image_id);
  fields->Read("options", &mount->options);
}

json SecurityToJson(const SecuritySpec& security) {
  json object = {
      {"run_as_username", security.run_as_username},
      {"supplemental_groups", security.supplemental_groups},
      {"strict_supplemental_groups", security.strict_supplemental_groups},
      {"privileged", security.privileged},
      {"read_only_root", security.read_only_root},
      {"no_new_privileges", security.no_new_privileges},
      {"add_capabilities", security.add_capabilities},
      {"drop_capabilities", security.drop_capabilities},
      {"add_ambient_capabilities", security.add_ambient_capabilities},
      {"masked_paths", security.masked_paths},
      {"readonly_paths", security.readonly_paths},
      {"pid_namespace", static_cast<int>(security.pid_namespace)},
      {"pid_target", security.pid_target},
      {"seccomp_profile", security.seccomp_profile}};
  PutOptional("run_as_user", security.run_as_user, &object);
  PutOptional("run_as_group", security.run_as_group, &object);
  return object;
}

void ReadSecurity(JsonFields* fields, SecuritySpec* security) {
  fields->Read("run_as_user", &security->run_as_user);
  fields->Read("run_as_group", &security->run_as_group);
  fields->Read("run_as_username", &security->run_as_username);
  fields->Read("supplemental_groups", &security->supplemental_groups);
  fields->Read("strict_supplemental_groups",
               &security->strict_supplemental_groups);
  fields->Read("privileged", &security->privileged);
  fields->Read("read_only_root", &security->read_only_root);
  fields->Read("no_new_privileges", &security->no_new_privileges);
  fields->Read("add_capabilities", &security->add_capabilities);
  fields->Read("drop_capabilities", &security->drop_capabilities);
  fields->Read("add_ambient_capabilities", &security->add_ambient_capabilities);
  fields->Read("masked_paths", &security->masked_paths);
  fields->Read("readonly_paths", &security->readonly_paths);
  fields->ReadEnum("pid_namespace", NamespaceMode::kPod, NamespaceMode::kTarget,
                   &security->pid_namespace);
  fields->Read("pid_target", &security->pid_target);
  fields->Read("seccomp_profile", &security->seccomp_profile);
}

}  // namespace

void ReadOptionalResources(JsonFields* fields, const char* name,
                           std::optional<ContainerResources>* resources) {
  fields->ReadObject(name, [resources](JsonFields* members) {
    ReadResources(members, &resources->emplace());
  });
}

json ResourcesToJson(const ContainerResources& resources) {
  return {{"cpu_period", resources.cpu_period},
          {"cpu_quota", resources.cpu_quota},
          {"cpu_shares", resources.cpu_shares},
          {"memory_limit_bytes", resources.memory_limit_bytes},
          {"memory_swap_limit_bytes", resources.memory_swap_limit_bytes},
          {"oom_score_adj", resources.oom_score_adj},
          {"cpuset_cpus", resources.cpuset_cpus},
          {"cpuset_mems", resources.cpuset_mems},
          {"hugepage_limits", resources.hugepage_limits},
          {"unified", resources.unified}};
}

void ReadResources(JsonFields* fields, ContainerResources* resources) {
  fields->Read("cpu_period", &resources->cpu_period);
  fields->Read("cpu_quota", &resources->cpu_quota);
  fields->Read("cpu_shares", &resources->cpu_shares);
  fields->Read("memory_limit_bytes", &resources->memory_limit_bytes);
  fields->Read("memory_swap_limit_bytes", &resources->memory_swap_limit_bytes);
  fields->Read("oom_score_adj", &resources->oom_score_adj);
  fields->Read("cpuset_cpus", &resources->cpuset_cpus);
  fields->Read("cpuset_mems", &resources->cpuset_mems);
  fields->Read("hugepage_limits", &resources->hugepage_limits);
  fields->Read("unified", &resources->unified);
}

json SizeOverridesToJson(const SizeOverrides& size) {
  json object = json::object();
  if (size.base_milli_cpu) object["base_milli_cpu"] = *size.base_milli_cpu;
  if (size.base_memory_bytes) {
    object["base_memory_bytes"] = *size.base_memory_bytes;
  }
  if (size.max_vcpus) object["max_vcpus"] = *size.max_vcpus;
  return object;
}

json HostLimitsToJson(const HostLimits& host) {
  json object = json::object();
  if (host.files_limit) object["files_limit"] = *host.files_limit;
  for (const BlockIoLimit& limit : host.block_io) {
    object["block_io"].push_back({{"type", static_cast<int>(limit.type)},
                                  {"device", limit.device},
                                  {"value", limit.value}});
  }
  return object;
}

void ReadHostLimits(JsonFields* fields, HostLimits* host) {
  fields->Read("files_limit", &host->files_limit);
  fields->ReadObjects("block_io", [host](JsonFields* members) {
    BlockIoLimit& limit = host->block_io.emplace_back();
    members->ReadEnum("type", BlockIoType::kReadBytes, BlockIoType::kLeafWeight,
                      &limit.type);
    members->Read("device", &limit.device);
    members->Read("value", &limit.value);
  });
}

json PodSpecToJson(const PodSpec& spec) {
  json object = {{"metadata", MetadataToJson(spec.metadata)},
                 {"hostname", spec.hostname},
                 {"log_directory", spec.log_directory},
                 {"runtime_handler", spec.runtime_handler},
                 {"cgroup_parent", spec.cgroup_parent},
                 {"dns", DnsToJson(spec.dns)},
                 {"pid_namespace", static_cast<int>(spec.pid_namespace)},
                 {"labels", spec.labels},
                 {"annotations", spec.annotations},
                 {"sysctls", spec.sysctls}};
  for (const HostPort& port : spec.host_ports) {
    object["host_ports"].push_back({{"host_port", port.host_port},
                                    {"container_port", port.container_port},
                                    {"protocol", port.protocol},
                                    {"host_ip", port.host_ip}});
  }
  if (spec.shape.ingress_rate) {
    object["shape"]["ingress_rate"] = *spec.shape.ingress_rate;
  }
  if (spec.shape.egress_rate) {
    object["shape"]["egress_rate"] = *spec.shape.egress_rate;
  }
  if (spec.resources) object["resources"] = ResourcesToJson(*spec.resources);
  if (spec.overhead) object["overhead"] = ResourcesToJson(*spec.overhead);
  json size = SizeOverridesToJson(spec.size);
  if (!size.empty()) object["size"] = std::move(size);
  PutIds(spec.ids, &object);
  json host = HostLimitsToJson(spec.host);
  if (!host.empty()) object["host"] = std::move(host);
  return object;
}

void ReadPodSpec(JsonFields* fields, PodSpec* spec) {
  fields->ReadObject("metadata", [spec](JsonFields* members) {
    ReadMetadata(members, &spec->metadata);
  });
  fields->Read("hostname", &spec->hostname);
  fields->Read("log_directory", &spec->log_directory);
  fields->Read("runtime_handler", &spec->runtime_handler);
  fields->Read("cgroup_parent", &spec->cgroup_parent);
  fields->ReadObject(
      "dns", [spec](JsonFields* members) { ReadDns(members, &spec->dns); });
  fields->ReadObjects("host_ports", [spec](JsonFields* members) {
    HostPort& port = spec->host_ports.emplace_back();
    members->Read("host_port", &port.host_port);
    members->Read("container_port", &port.container_port);
    members->Read("protocol", &port.protocol);
    members->Read("host_ip", &port.host_ip);
  });
  fields->ReadObject("shape", [spec](JsonFields* members) {
    members->Read("ingress_rate", &spec->shape.ingress_rate);
    members->Read("egress_rate", &spec->shape.egress_rate);
  });
  fields->ReadEnum("pid_namespace", NamespaceMode::kPod, NamespaceMode::kTarget,
                   &spec->pid_namespace);
  ReadIds(fields, &spec->ids);
  fields->Read("labels", &spec->labels);
  fields->Read("annotations", &spec->annotations);
  fields->Read("sysctls", &spec->sysctls);
  ReadOptionalResources(fields, "resources", &spec->resources);
  ReadOptionalResources(fields, "overhead", &spec->overhead);
  fields->ReadObject("size", [spec](JsonFields* members) {
    members->Read("base_milli_cpu", &spec->size.base_milli_cpu);
    members->Read("base_memory_bytes", &spec->size.base_memory_bytes);
    members->Read("max_vcpus", &spec->size.max_vcpus);
  });
  fields->ReadObject("host", [spec](JsonFields* members) {
    ReadHostLimits(members, &spec->host);
  });
}

json ContainerSpecToJson(const ContainerSpec& spec) {
  json mounts = json::array();
  for (const MountSpec& mount : spec.mounts) {
    mounts.push_back(MountToJson(mount));
  }
  json devices = json::array();
  for (const DeviceSpec& device : spec.devices) {
    devices.push_back({{"container_path", device.container_path},
                       {"path", device.path},
                       {"access", device.access}});
  }
  return {{"name", spec.name},
          {"attempt", spec.attempt},
          {"image", spec.image},
          {"user_image", spec.user_image},
          {"command", spec.command},
          {"args", spec.args},
          {"working_dir", spec.working_dir},
          {"env", spec.env},
          {"mounts", std::move(mounts)},
          {"devices", std::move(devices)},
          {"labels", spec.labels},
          {"annotations", spec.annotations},
          {"log_path", spec.log_path},
          {"stdin", spec.stdin},
          {"stdin_once", spec.stdin_once},
          {"tty", spec.tty},
          {"stop_signal", spec.stop_signal},
          {"resources", ResourcesToJson(spec.resources)},
          {"security", SecurityToJson(spec.security)}};
}

void ReadContainerSpec(JsonFields* fields, ContainerSpec* spec) {
  fields->Read("name", &spec->name);
  fields->Read("attempt", &spec->attempt);
  fields->Read("image", &spec->image);
  fields->Read("user_image", &spec->user_image);
  fields->Read("command", &spec->command);
  fields->Read("args", &spec->args);
  fields->Read("working_dir", &spec->working_dir);
  fields->Read("env", &spec->env);
  fields->ReadObjects("mounts", [spec](JsonFields* members) {
    ReadMount(members, &spec->mounts.emplace_back());
  });
  fields->ReadObjects("devices", [spec](JsonFields* members) {
    DeviceSpec& device = spec->devices.emplace_back();
    members->Read("container_path", &device.container_path);
    members->Read("path", &device.path);
    members->Read("access", &device.access);
  });
  fields->Read("labels", &spec->labels);
  fields->Read("annotations", &spec->annotations);
  fields->Read("log_path", &spec->log_path);
  fields->Read("stdin", &spec->stdin);
  fields->Read("stdin_once", &spec->stdin_once);
  fields->Read("tty", &spec->tty);
  fields->Read("stop_signal", &spec->stop_signal);
  fields->ReadObject("resources", [spec](JsonFields* members) {
    ReadResources(members, &spec->resources);
  });
  fields->ReadObject("security", [spec](JsonFields* members) {
    ReadSecurity(members, &spec->security);
  });
}

}  // namespace podvisor
