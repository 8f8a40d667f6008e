#include "cri/convert_security.h"

#include <algorithm>
#include <iterator>
#include <string>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "base/status_macros.h"
#include "cri/convert_pod.h"
#include "cri/field_check.h"

namespace podvisor {
namespace {

constexpr int kMaxGroups = 65536;  // NGROUPS_MAX
constexpr int kMaxPaths = 1024;

std::string Field(absl::string_view member) {
  return absl::StrCat("config.linux.security_context.", member);
}

// capabilities(7), Linux 6.1.
constexpr absl::string_view kCapabilities[] = {
    "AUDIT_CONTROL",   "AUDIT_READ",   "AUDIT_WRITE",
    "BLOCK_SUSPEND",   "BPF",          "CHECKPOINT_RESTORE",
    "CHOWN",           "DAC_OVERRIDE", "DAC_READ_SEARCH",
    "FOWNER",          "FSETID",       "IPC_LOCK",
    "IPC_OWNER",       "KILL",         "LEASE",
    "LINUX_IMMUTABLE", "MAC_ADMIN",    "MAC_OVERRIDE",
    "MKNOD",           "NET_ADMIN",    "NET_BIND_SERVICE",
    "NET_BROADCAST",   "NET_RAW",      "PERFMON",
    "SETFCAP",         "SETGID",       "SETPCAP",
    "SETUID",          "SYS_ADMIN",    "SYS_BOOT",
    "SYS_CHROOT",      "SYS_MODULE",   "SYS_NICE",
    "SYS_PACCT",       "SYS_PTRACE",   "SYS_RAWIO",
    "SYS_RESOURCE",    "SYS_TIME",     "SYS_TTY_CONFIG",
    "SYSLOG",          "WAKE_ALARM"};

// Clients write "NET_ADMIN" and "CAP_NET_ADMIN"; the agent wants the latter.
absl::StatusOr<std::vector<std::string>> ConvertCapabilities(
    const google::protobuf::RepeatedPtrField<std::string>& from,
    absl::string_view member) {
  std::vector<std::string> capabilities;
  for (const std::string& given : from) {
    RETURN_IF_ERROR(CheckLine(Field(member), given, 64));
    const std::string upper = absl::AsciiStrToUpper(given);
    if (upper == "ALL") {
      capabilities.push_back("ALL");
      continue;
    }
    const absl::string_view bare = absl::StripPrefix(upper, "CAP_");
    if (std::find(std::begin(kCapabilities), std::end(kCapabilities), bare) ==
        std::end(kCapabilities)) {
      return absl::InvalidArgumentError(
          absl::StrCat(Field(member), ": \"", given, "\" is not a capability"));
    }
    capabilities.push_back(absl::StrCat("CAP_", bare));
  }
  return capabilities;
}

absl::StatusOr<std::vector<std::string>> ConvertPaths(
    const google::protobuf::RepeatedPtrField<std::string>& from,
    absl::string_view member) {
  if (from.size() > kMaxPaths) {
    return absl::InvalidArgumentError(absl::StrCat(
        Field(member), ": has ", from.size(), " items; at most ", kMaxPaths));
  }
  for (const std::string& path : from) {
    RETURN_IF_ERROR(CheckAbsolutePath(Field(member), path));
  }
  return std::vector<std::string>(from.begin(), from.end());
}

// A number must never be looked up as a name in the image's passwd file, where
// the image decides what it means (CVE-2026-46680).
absl::Status CheckUsername(absl::string_view username) {
  RETURN_IF_ERROR(CheckLine(Field("run_as_username"), username, 256));
  if (absl::StrContains(username, ':')) {
    return absl::InvalidArgumentError(
        absl::StrCat(Field("run_as_username"), ": contains \":\""));
  }
  const bool number =
      !username.empty() &&
      username.find_first_not_of("+-0123456789") == absl::string_view::npos;
  if (!number) return absl::OkStatus();
  int64_t uid = -1;
  if (!absl::SimpleAtoi(username, &uid)) uid = -1;
  return CheckUserId(Field("run_as_username"), uid);
}

absl::Status ConvertUser(const runtime::v1::LinuxContainerSecurityContext& from,
                         SecuritySpec& to) {
  if (from.has_run_as_user()) {
    RETURN_IF_ERROR(
        CheckUserId(Field("run_as_user"), from.run_as_user().value()));
    if (!from.run_as_username().empty()) {
      return absl::InvalidArgumentError(absl::StrCat(
          Field("run_as_username"), ": is given together with run_as_user"));
    }
    to.run_as_user = from.run_as_user().value();
  }
  RETURN_IF_ERROR(CheckUsername(from.run_as_username()));
  to.run_as_username = from.run_as_username();
  if (from.has_run_as_group()) {
    if (!to.run_as_user && to.run_as_username.empty()) {
      return absl::InvalidArgumentError(
          absl::StrCat(Field("run_as_group"),
                       ": is given without run_as_user or run_as_username"));
    }
    RETURN_IF_ERROR(
        CheckUserId(Field("run_as_group"), from.run_as_group().value()));
    to.run_as_group = from.run_as_group().value();
  }
  if (from.supplemental_groups_size() > kMaxGroups) {
    return absl::InvalidArgumentError(absl::StrCat(
        Field("supplemental_groups"), ": has ", from.supplemental_groups_size(),
        " groups; at most ", kMaxGroups));
  }
  for (const int64_t group : from.supplemental_groups()) {
    RETURN_IF_ERROR(CheckUserId(Field("supplemental_groups"), group));
    to.supplemental_groups.push_back(group);
  }
  switch (from.supplemental_groups_policy()) {
    case runtime::v1::Merge:
      return absl::OkStatus();
    case runtime::v1::Strict:
      to.strict_supplemental_groups = true;
      return absl::OkStatus();
    default:
      return absl::InvalidArgumentError(absl::StrCat(
          Field("supplemental_groups_policy"), ": is Merge or Strict"));
  }
}

absl::Status CheckMandatoryAccessControl(
    const runtime::v1::LinuxContainerSecurityContext& from) {
  // For a privileged container CRI says that none of this has an effect.
  if (from.privileged()) return absl::OkStatus();
  RETURN_IF_ERROR(
      CheckSelinux(from.selinux_options(), Field("selinux_options")));
  RETURN_IF_ERROR(CheckApparmor(from.apparmor(), Field("apparmor")));
  if (!from.has_apparmor() &&
      absl::StartsWith(from.apparmor_profile(), "localhost/")) {
    return absl::UnimplementedError(absl::StrCat(
        Field("apparmor_profile"), ": the guest has no AppArmor profiles"));
  }
  return absl::OkStatus();
}

absl::StatusOr<SeccompChoice> LocalhostProfile(absl::string_view field,
                                               const std::string& path) {
  RETURN_IF_ERROR(CheckAbsolutePath(field, path));
  return SeccompChoice{SeccompChoice::Kind::kLocalhost, path};
}

// The deprecated string, which some clients still send alone.
absl::StatusOr<SeccompChoice> ConvertSeccompPath(const std::string& path) {
  const std::string field = Field("seccomp_profile_path");
  if (path.empty() || path == "unconfined") return SeccompChoice{};
  if (path == "runtime/default" || path == "docker/default") {
    return SeccompChoice{SeccompChoice::Kind::kRuntimeDefault, ""};
  }
  if (absl::StartsWith(path, "localhost/")) {
    return LocalhostProfile(field, path.substr(sizeof("localhost/") - 1));
  }
  return absl::InvalidArgumentError(absl::StrCat(
      field, ": is \"runtime/default\", \"unconfined\" or \"localhost/PATH\""));
}

}  // namespace

absl::StatusOr<SeccompChoice> ConvertSeccomp(
    const runtime::v1::LinuxContainerSecurityContext& security) {
  if (security.privileged()) return SeccompChoice{};
  if (!security.has_seccomp()) {
    return ConvertSeccompPath(security.seccomp_profile_path());
  }
  const runtime::v1::SecurityProfile& profile = security.seccomp();
  switch (profile.profile_type()) {
    case runtime::v1::SecurityProfile::RuntimeDefault:
      return SeccompChoice{SeccompChoice::Kind::kRuntimeDefault, ""};
    case runtime::v1::SecurityProfile::Unconfined:
      return SeccompChoice{};
    case runtime::v1::SecurityProfile::Localhost:
      return LocalhostProfile(Field("seccomp.localhost_ref"),
                              profile.localhost_ref());
    default:
      return absl::InvalidArgumentError(
          absl::StrCat(Field("seccomp.profile_type"), ": is not a known type"));
  }
}

absl::StatusOr<SecuritySpec> ConvertSecurity(
    const runtime::v1::LinuxContainerSecurityContext& security,
    bool pod_may_be_privileged) {
  if (security.privileged() && !pod_may_be_privileged) {
    return absl::InvalidArgumentError(
        absl::StrCat(Field("privileged"),
                     ": the pod was not created for privileged containers"));
  }
  SecuritySpec spec;
  RETURN_IF_ERROR(ConvertUser(security, spec));
  RETURN_IF_ERROR(CheckMandatoryAccessControl(security));
  spec.privileged = security.privileged();
  spec.read_only_root = security.readonly_rootfs();
  spec.no_new_privileges = security.no_new_privs();
  const runtime::v1::Capability& capabilities = security.capabilities();
  ASSIGN_OR_RETURN(spec.add_capabilities,
                   ConvertCapabilities(capabilities.add_capabilities(),
                                       "capabilities.add_capabilities"));
  ASSIGN_OR_RETURN(spec.drop_capabilities,
                   ConvertCapabilities(capabilities.drop_capabilities(),
                                       "capabilities.drop_capabilities"));
  ASSIGN_OR_RETURN(
      spec.add_ambient_capabilities,
      ConvertCapabilities(capabilities.add_ambient_capabilities(),
                          "capabilities.add_ambient_capabilities"));
  ASSIGN_OR_RETURN(spec.masked_paths,
                   ConvertPaths(security.masked_paths(), "masked_paths"));
  ASSIGN_OR_RETURN(spec.readonly_paths,
                   ConvertPaths(security.readonly_paths(), "readonly_paths"));
  const runtime::v1::NamespaceOption& namespaces = security.namespace_options();
  ASSIGN_OR_RETURN(spec.pid_namespace,
                   ConvertNamespaces(namespaces, Field("namespace_options")));
  const std::string target_field = Field("namespace_options.target_id");
  if (spec.pid_namespace == NamespaceMode::kTarget) {
    RETURN_IF_ERROR(CheckName(target_field, namespaces.target_id()));
    spec.pid_target = namespaces.target_id();
  } else if (!namespaces.target_id().empty()) {
    return absl::InvalidArgumentError(
        absl::StrCat(target_field, ": is given without pid mode TARGET"));
  }
  return spec;
}

}  // namespace podvisor
