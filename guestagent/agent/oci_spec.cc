#include "guestagent/agent/oci_spec.h"

#include <algorithm>
#include <iterator>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "base/clean_text.h"
#include "base/status_macros.h"
#include "guestagent/agent/cgroup_resources.h"
#include "guestagent/agent/oci_capabilities.h"
#include "guestagent/agent/oci_mounts.h"
#include "nlohmann/json.hpp"

namespace podvisor {
namespace {

using nlohmann::json;

constexpr size_t kMaxSeccompBytes = 1 << 20;
constexpr char kDefaultPath[] =
    "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

constexpr absl::string_view kRlimits[] = {
    "RLIMIT_AS",     "RLIMIT_CORE",   "RLIMIT_CPU",        "RLIMIT_DATA",
    "RLIMIT_FSIZE",  "RLIMIT_LOCKS",  "RLIMIT_MEMLOCK",    "RLIMIT_MSGQUEUE",
    "RLIMIT_NICE",   "RLIMIT_NOFILE", "RLIMIT_NPROC",      "RLIMIT_RSS",
    "RLIMIT_RTPRIO", "RLIMIT_RTTIME", "RLIMIT_SIGPENDING", "RLIMIT_STACK"};

absl::Status CheckText(absl::string_view text, absl::string_view what) {
  if (text.find('\0') == absl::string_view::npos) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat(what, " has a NUL byte"));
}

// The JSON text, or InvalidArgument when a string is not UTF-8: replacing
// invalid bytes and leaving them out then differ.
absl::StatusOr<std::string> Serialize(const json& value) {
  std::string text = value.dump(-1, ' ', false, json::error_handler_t::replace);
  if (text != value.dump(-1, ' ', false, json::error_handler_t::ignore)) {
    return absl::InvalidArgumentError(
        "an argument, variable or path is not UTF-8");
  }
  return text;
}

absl::StatusOr<json> ArgsJson(const std::vector<std::string>& args) {
  if (args.empty() || args[0].empty()) {
    return absl::InvalidArgumentError("no command is given");
  }
  for (const std::string& arg : args) {
    RETURN_IF_ERROR(CheckText(arg, "an argument"));
  }
  return json(args);
}

bool HasVariable(const json& env, absl::string_view name) {
  const std::string prefix = absl::StrCat(name, "=");
  return std::any_of(env.begin(), env.end(), [&prefix](const json& entry) {
    return absl::StartsWith(entry.get_ref<const std::string&>(), prefix);
  });
}

absl::StatusOr<json> EnvironmentJson(const agent::v1::ContainerSpec& spec,
                                     const ResolvedUser& user) {
  json env = json::array();
  for (const std::string& entry : spec.env()) {
    RETURN_IF_ERROR(CheckText(entry, "an environment variable"));
    const size_t equals = entry.find('=');
    if (equals == std::string::npos || equals == 0) {
      return absl::InvalidArgumentError(
          absl::StrCat("an environment variable is not NAME=value: \"",
                       CleanText(entry.substr(0, 64), 64), "\""));
    }
    env.push_back(entry);
  }
  if (!HasVariable(env, "PATH")) env.push_back(kDefaultPath);
  if (!HasVariable(env, "HOME")) env.push_back("HOME=" + user.home);
  if (spec.tty() && !HasVariable(env, "TERM")) env.push_back("TERM=xterm");
  return env;
}

absl::StatusOr<json> RlimitsJson(const agent::v1::ContainerSpec& spec) {
  json rlimits = json::array();
  for (const agent::v1::Rlimit& rlimit : spec.rlimits()) {
    if (std::find(std::begin(kRlimits), std::end(kRlimits), rlimit.type()) ==
        std::end(kRlimits)) {
      return absl::InvalidArgumentError(absl::StrCat(
          "unknown rlimit \"", CleanText(rlimit.type(), 64), "\""));
    }
    if (rlimit.soft() > rlimit.hard()) {
      return absl::InvalidArgumentError(absl::StrCat(
          rlimit.type(), ": the soft limit is above the hard one"));
    }
    rlimits.push_back({{"type", rlimit.type()},
                       {"soft", rlimit.soft()},
                       {"hard", rlimit.hard()}});
  }
  return rlimits;
}

absl::StatusOr<std::string> WorkingDirectory(absl::string_view cwd) {
  if (cwd.empty()) return std::string("/");
  ASSIGN_OR_RETURN(const std::string path, NormalizePath(cwd));
  if (path == "/proc" || absl::StartsWith(path, "/proc/")) {
    return absl::InvalidArgumentError("the working directory is in /proc");
  }
  return path;
}

// The kernel's own words for it do not say whose fault it is.
absl::Status CheckIds(const ResolvedUser& user, const IdMapping& ids) {
  std::vector<int64_t> all = {user.uid, user.gid};
  all.insert(all.end(), user.groups.begin(), user.groups.end());
  for (const int64_t id : all) {
    if (id >= ids.length) {
      return absl::InvalidArgumentError(
          absl::StrCat("the pod's user namespace has no user or group ", id,
                       ": only those below ", ids.length));
    }
  }
  return absl::OkStatus();
}

absl::StatusOr<json> ProcessJson(const agent::v1::ContainerSpec& spec,
                                 const ResolvedUser& user) {
  ASSIGN_OR_RETURN(json args,
                   ArgsJson({spec.args().begin(), spec.args().end()}));
  ASSIGN_OR_RETURN(json env, EnvironmentJson(spec, user));
  ASSIGN_OR_RETURN(json rlimits, RlimitsJson(spec));
  ASSIGN_OR_RETURN(const std::string cwd, WorkingDirectory(spec.cwd()));
  ASSIGN_OR_RETURN(const CapabilitySets caps,
                   PlanCapabilities(spec.capabilities(), spec.privileged()));
  if (spec.oom_score_adj() < -1000 || spec.oom_score_adj() > 1000) {
    return absl::InvalidArgumentError("oom_score_adj is not in -1000..1000");
  }
  return json{
      {"terminal", spec.tty()},
      {"user",
       {{"uid", user.uid}, {"gid", user.gid}, {"additionalGids", user.groups}}},
      {"args", std::move(args)},
      {"env", std::move(env)},
      {"cwd", cwd},
      {"capabilities",
       {{"bounding", caps.bounding},
        {"effective", caps.bounding},
        {"permitted", caps.bounding},
        {"inheritable", caps.ambient},
        {"ambient", caps.ambient}}},
      {"rlimits", std::move(rlimits)},
      {"noNewPrivileges", spec.no_new_privileges()},
      {"oomScoreAdj", spec.oom_score_adj()},
  };
}

absl::StatusOr<json> MountsJson(const agent::v1::ContainerSpec& spec,
                                const OciEnvironment& environment) {
  ASSIGN_OR_RETURN(const std::vector<OciMount> mounts,
                   PlanMounts(spec, environment));
  json result = json::array();
  for (const OciMount& mount : mounts) {
    result.push_back({{"destination", mount.destination},
                      {"type", mount.type},
                      {"source", mount.source},
                      {"options", mount.options}});
  }
  return result;
}

json NamespacesJson(const agent::v1::ContainerSpec& spec,
                    const OciEnvironment& environment) {
  json namespaces = json::array({
      {{"type", "mount"}},
      {{"type", "ipc"}, {"path", environment.ipc_namespace}},
      {{"type", "uts"}, {"path", environment.uts_namespace}},
  });
  if (environment.ids.has_value()) {
    namespaces.push_back(
        {{"type", "user"}, {"path", environment.user_namespace}});
    namespaces.push_back(
        {{"type", "network"}, {"path", environment.network_namespace}});
  }
  json pid = {{"type", "pid"}};
  if (!environment.pid_namespace.empty()) {
    pid["path"] = environment.pid_namespace;
  }
  namespaces.push_back(std::move(pid));
  // A privileged container manages the guest's cgroups.
  if (!spec.privileged()) namespaces.push_back({{"type", "cgroup"}});
  return namespaces;
}

json DeviceRulesJson(const agent::v1::ContainerSpec& spec,
                     const OciEnvironment& environment) {
  json rules = json::array({{{"allow", spec.privileged()}, {"access", "rwm"}}});
  for (const DeviceGrant& grant : environment.grants) {
    rules.push_back({{"allow", true},
                     {"type", grant.node.block ? "b" : "c"},
                     {"major", grant.node.major},
                     {"minor", grant.node.minor},
                     {"access", grant.access}});
  }
  if (spec.privileged() && environment.agent_port_major >= 0) {
    rules.push_back({{"allow", false},
                     {"type", "c"},
                     {"major", environment.agent_port_major},
                     {"access", "rwm"}});
  }
  return rules;
}

absl::StatusOr<json> ResourcesJson(const agent::v1::ContainerSpec& spec,
                                   const OciEnvironment& environment) {
  const agent::v1::LinuxResources& from = spec.resources();
  RETURN_IF_ERROR(CheckResources(from));
  json resources = {{"devices", DeviceRulesJson(spec, environment)}};
  json cpu = json::object();
  if (from.cpu_quota_micros() != 0) cpu["quota"] = from.cpu_quota_micros();
  if (from.cpu_period_micros() != 0) cpu["period"] = from.cpu_period_micros();
  if (from.cpu_shares() != 0) {
    cpu["shares"] = std::clamp<int64_t>(from.cpu_shares(), 2, 262144);
  }
  if (!from.cpuset_cpus().empty()) cpu["cpus"] = from.cpuset_cpus();
  if (!cpu.empty()) resources["cpu"] = std::move(cpu);
  if (from.memory_limit_bytes() != 0) {
    resources["memory"] = {{"limit", from.memory_limit_bytes()}};
  }
  if (from.pids_limit() != 0) {
    resources["pids"] = {{"limit", from.pids_limit()}};
  }
  for (const auto& [key, value] : from.unified()) {
    resources["unified"][key] = value;
  }
  return resources;
}

template <typename Paths>
absl::StatusOr<json> PathsJson(const Paths& paths) {
  json result = json::array();
  for (const std::string& path : paths) {
    ASSIGN_OR_RETURN(const std::string normal, NormalizePath(path));
    result.push_back(normal);
  }
  return result;
}

absl::StatusOr<json> SeccompJson(const std::string& profile) {
  if (profile.size() > kMaxSeccompBytes) {
    return absl::InvalidArgumentError("the seccomp profile is too long");
  }
  json seccomp = json::parse(profile, nullptr, /*allow_exceptions=*/false);
  if (!seccomp.is_object() || !seccomp.contains("defaultAction") ||
      !seccomp["defaultAction"].is_string()) {
    return absl::InvalidArgumentError(
        "the seccomp profile is not an OCI seccomp object");
  }
  return seccomp;
}

json DevicesJson(const OciEnvironment& environment) {
  json devices = json::array();
  for (const DeviceNode& device : environment.devices) {
    devices.push_back({{"path", device.path},
                       {"type", device.block ? "b" : "c"},
                       {"major", device.major},
                       {"minor", device.minor},
                       {"fileMode", device.mode}});
  }
  return devices;
}

absl::StatusOr<json> LinuxJson(const agent::v1::ContainerSpec& spec,
                               const OciEnvironment& environment) {
  json linux_part = {
      {"cgroupsPath", "/pod/" + environment.container_id},
      {"namespaces", NamespacesJson(spec, environment)},
  };
  // The namespace has them already; crun gives its root the container's cgroup
  // and the standard streams.
  if (environment.ids.has_value()) {
    const json mapping = {{"containerID", 0},
                          {"hostID", environment.ids->host_id},
                          {"size", environment.ids->length}};
    linux_part["uidMappings"] = json::array({mapping});
    linux_part["gidMappings"] = json::array({mapping});
  }
  ASSIGN_OR_RETURN(linux_part["resources"], ResourcesJson(spec, environment));
  if (spec.privileged()) linux_part["devices"] = DevicesJson(environment);
  if (spec.masked_paths_size() > 0) {
    ASSIGN_OR_RETURN(linux_part["maskedPaths"], PathsJson(spec.masked_paths()));
  }
  if (spec.readonly_paths_size() > 0) {
    ASSIGN_OR_RETURN(linux_part["readonlyPaths"],
                     PathsJson(spec.readonly_paths()));
  }
  if (!spec.seccomp_profile().empty()) {
    ASSIGN_OR_RETURN(linux_part["seccomp"],
                     SeccompJson(spec.seccomp_profile()));
  }
  // A slave bind of a mount whose namespace was made private would never see
  // a new mount.
  const bool has_slave =
      std::any_of(spec.mounts().begin(), spec.mounts().end(),
                  [](const agent::v1::Mount& mount) { return mount.slave(); });
  if (has_slave) linux_part["rootfsPropagation"] = "rslave";
  return linux_part;
}

}  // namespace

absl::StatusOr<std::string> BuildOciConfig(const agent::v1::ContainerSpec& spec,
                                           const ResolvedUser& user,
                                           const OciEnvironment& environment) {
  if (environment.ids.has_value()) {
    RETURN_IF_ERROR(CheckIds(user, *environment.ids));
  }
  json config = {
      {"ociVersion", "1.0.2"},
      {"root",
       {{"path", environment.rootfs}, {"readonly", spec.root().read_only()}}},
  };
  ASSIGN_OR_RETURN(config["process"], ProcessJson(spec, user));
  ASSIGN_OR_RETURN(config["mounts"], MountsJson(spec, environment));
  ASSIGN_OR_RETURN(config["linux"], LinuxJson(spec, environment));
  return Serialize(config);
}

absl::StatusOr<std::string> BuildExecProcess(
    absl::string_view config_json, const std::vector<std::string>& args,
    bool tty) {
  json config = json::parse(config_json.begin(), config_json.end(), nullptr,
                            /*allow_exceptions=*/false);
  if (!config.is_object() || !config.contains("process") ||
      !config["process"].is_object() || !config["process"].contains("env") ||
      !config["process"]["env"].is_array()) {
    return absl::InternalError("the container's config has no process");
  }
  json& process = config["process"];
  ASSIGN_OR_RETURN(process["args"], ArgsJson(args));
  process["terminal"] = tty;
  if (tty && !HasVariable(process["env"], "TERM")) {
    process["env"].push_back("TERM=xterm");
  }
  return Serialize(process);
}

}  // namespace podvisor
