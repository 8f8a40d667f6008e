#include "cri/convert_container.h"

#include <limits.h>

#include <algorithm>
#include <iterator>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "base/clean_text.h"
#include "base/status_macros.h"
#include "cri/convert_device.h"
#include "cri/convert_ids.h"
#include "cri/convert_pod.h"
#include "cri/convert_resources.h"
#include "cri/convert_security.h"
#include "cri/field_check.h"
#include "cri/pod_annotations.h"
#include "cri/signal_name.h"

namespace podvisor {
namespace {

// The guest's kernel: MAX_ARG_STRLEN, and a quarter of an 8 MiB stack for all
// arguments and variables together.
constexpr size_t kMaxArgumentBytes = (128 << 10) - 1;
constexpr size_t kMaxProcessBytes = 2 << 20;
constexpr int kMaxMounts = 1024;

absl::Status CheckAnnotations(const runtime::v1::ContainerConfig& config) {
  for (const auto& [key, value] : config.annotations()) {
    if (IsPodAnnotation(key)) {
      return absl::InvalidArgumentError(
          absl::StrCat("config.annotations: ", key,
                       " belongs on the pod, not on a container"));
    }
  }
  return absl::OkStatus();
}

// Everything that execve() copies.
absl::Status ConvertProcess(const runtime::v1::ContainerConfig& from,
                            ContainerSpec& to) {
  size_t bytes = 0;
  for (const auto& [words, field] :
       {std::pair(&from.command(), "config.command"),
        std::pair(&from.args(), "config.args")}) {
    for (const std::string& word : *words) {
      RETURN_IF_ERROR(CheckText(field, word, kMaxArgumentBytes));
      bytes += word.size() + 1;
    }
  }
  for (const runtime::v1::KeyValue& variable : from.envs()) {
    RETURN_IF_ERROR(CheckText("config.envs key", variable.key(), 4096));
    if (variable.key().empty() || absl::StrContains(variable.key(), '=')) {
      return absl::InvalidArgumentError(
          "config.envs: a key is empty or contains \"=\"");
    }
    std::string assignment =
        absl::StrCat(variable.key(), "=", variable.value());
    // The value may be a secret: it is not shown.
    if (absl::StrContains(variable.value(), '\0')) {
      return absl::InvalidArgumentError(absl::StrCat(
          "config.envs[", variable.key(), "]: contains a NUL byte"));
    }
    if (assignment.size() > kMaxArgumentBytes) {
      return absl::InvalidArgumentError(absl::StrCat(
          "config.envs[", variable.key(), "]: has ", assignment.size(),
          " bytes; at most ", kMaxArgumentBytes, " are allowed"));
    }
    bytes += assignment.size() + 1;
    to.env.push_back(std::move(assignment));
  }
  if (bytes > kMaxProcessBytes) {
    return absl::InvalidArgumentError(
        absl::StrCat("config: command, args and envs have ", bytes,
                     " bytes together; at most ", kMaxProcessBytes, " fit"));
  }
  to.command.assign(from.command().begin(), from.command().end());
  to.args.assign(from.args().begin(), from.args().end());
  return absl::OkStatus();
}

// Of an image; empty is all of it.
absl::Status CheckSubPath(absl::string_view field, absl::string_view path) {
  const std::vector<absl::string_view> parts = absl::StrSplit(path, '/');
  if (absl::StartsWith(path, "/") || path.size() >= PATH_MAX ||
      absl::StrContains(path, '\0') ||
      std::find(parts.begin(), parts.end(), "..") != parts.end()) {
    return absl::InvalidArgumentError(
        absl::StrCat(field, ": is not a path below the image's root"));
  }
  return absl::OkStatus();
}

absl::Status CheckMountSource(const runtime::v1::Mount& mount,
                              absl::string_view field) {
  if (!mount.has_image()) {
    return CheckAbsolutePath(absl::StrCat(field, ".host_path"),
                             mount.host_path());
  }
  if (!mount.host_path().empty()) {
    return absl::InvalidArgumentError(
        absl::StrCat(field, ": has both host_path and image"));
  }
  if (!mount.readonly()) {
    return absl::InvalidArgumentError(
        absl::StrCat(field, ": an image mount must be readonly"));
  }
  if (mount.image().image().empty()) {
    return absl::InvalidArgumentError(
        absl::StrCat(field, ".image.image: is empty"));
  }
  return CheckSubPath(absl::StrCat(field, ".image_sub_path"),
                      mount.image_sub_path());
}

// What one gives here restricts; everything else has a field of its own.
absl::StatusOr<std::vector<std::string>> ConvertMountOptions(
    const runtime::v1::Mount& mount, absl::string_view field) {
  std::vector<std::string> options;
  for (const std::string& option : mount.mount_options()) {
    if (option != "noexec" && option != "nodev" && option != "nosuid") {
      return absl::InvalidArgumentError(
          absl::StrCat(field, ".mount_options: \"", CleanText(option, 64),
                       "\" is not noexec, nodev or nosuid"));
    }
    if (std::find(options.begin(), options.end(), option) == options.end()) {
      options.push_back(option);
    }
  }
  return options;
}

absl::StatusOr<MountSpec> ConvertMount(const runtime::v1::Mount& mount,
                                       absl::string_view field) {
  RETURN_IF_ERROR(CheckAbsolutePath(absl::StrCat(field, ".container_path"),
                                    mount.container_path()));
  if (mount.container_path().find_first_not_of("/.") == std::string::npos) {
    return absl::InvalidArgumentError(absl::StrCat(
        field, ".container_path: a mount cannot replace the root directory"));
  }
  RETURN_IF_ERROR(CheckMountSource(mount, field));
  if (mount.propagation() == runtime::v1::PROPAGATION_BIDIRECTIONAL) {
    return absl::InvalidArgumentError(
        absl::StrCat(field,
                     ".propagation: a mount made in a VM cannot reach the "
                     "host; PROPAGATION_BIDIRECTIONAL is not possible"));
  }
  if (!runtime::v1::MountPropagation_IsValid(mount.propagation())) {
    return absl::InvalidArgumentError(
        absl::StrCat(field, ".propagation: is not a known mode"));
  }
  if (mount.recursive_read_only() && !mount.readonly()) {
    return absl::InvalidArgumentError(
        absl::StrCat(field, ".recursive_read_only: needs readonly"));
  }
  if (mount.recursive_read_only() &&
      mount.propagation() != runtime::v1::PROPAGATION_PRIVATE) {
    return absl::InvalidArgumentError(
        absl::StrCat(field, ".recursive_read_only: needs PROPAGATION_PRIVATE"));
  }
  // selinux_relabel is sent for most volumes whether or not the node has
  // SELinux; without it there is nothing to relabel.
  MountSpec spec;
  spec.container_path = mount.container_path();
  spec.host_path = mount.host_path();
  spec.read_only = mount.readonly();
  spec.recursive_read_only = mount.recursive_read_only();
  spec.slave =
      mount.propagation() == runtime::v1::PROPAGATION_HOST_TO_CONTAINER;
  ASSIGN_OR_RETURN(spec.ids, ConvertMountIds(mount, field));
  spec.image = mount.image().image();
  spec.image_sub_path = mount.image_sub_path();
  ASSIGN_OR_RETURN(spec.options, ConvertMountOptions(mount, field));
  return spec;
}

absl::Status ConvertMounts(const runtime::v1::ContainerConfig& from,
                           ContainerSpec& to) {
  if (from.mounts_size() > kMaxMounts) {
    return absl::InvalidArgumentError(
        absl::StrCat("config.mounts: has ", from.mounts_size(),
                     " mounts; at most ", kMaxMounts, " are allowed"));
  }
  for (int i = 0; i < from.mounts_size(); ++i) {
    ASSIGN_OR_RETURN(
        MountSpec mount,
        ConvertMount(from.mounts(i), absl::StrCat("config.mounts[", i, "]")));
    to.mounts.push_back(std::move(mount));
  }
  return absl::OkStatus();
}

absl::Status CheckFlags(const runtime::v1::ContainerConfig& config) {
  if (config.has_windows()) {
    return absl::InvalidArgumentError("config.windows: this node runs Linux");
  }
  if (config.stdin_once() && !config.stdin()) {
    return absl::InvalidArgumentError("config.stdin_once: needs stdin");
  }
  return absl::OkStatus();
}

absl::Status ConvertIdentity(const runtime::v1::ContainerConfig& from,
                             ContainerSpec& to) {
  if (!from.has_metadata()) {
    return absl::InvalidArgumentError("config.metadata: is missing");
  }
  RETURN_IF_ERROR(CheckName("config.metadata.name", from.metadata().name()));
  to.name = from.metadata().name();
  to.attempt = from.metadata().attempt();
  if (from.image().image().empty()) {
    return absl::InvalidArgumentError("config.image.image: is empty");
  }
  RETURN_IF_ERROR(CheckLine("config.image.image", from.image().image(), 1024));
  RETURN_IF_ERROR(CheckLine("config.image.user_specified_image",
                            from.image().user_specified_image(), 1024));
  to.image = from.image().image();
  to.user_image = from.image().user_specified_image().empty()
                      ? from.image().image()
                      : from.image().user_specified_image();
  if (!from.log_path().empty()) {
    RETURN_IF_ERROR(CheckRelativePath("config.log_path", from.log_path()));
  }
  to.log_path = from.log_path();
  if (!from.working_dir().empty()) {
    RETURN_IF_ERROR(
        CheckAbsolutePath("config.working_dir", from.working_dir()));
  }
  to.working_dir = from.working_dir();
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<ConvertedContainer> ConvertContainer(
    const runtime::v1::ContainerConfig& config,
    const runtime::v1::PodSandboxConfig& sandbox_config) {
  ConvertedContainer converted;
  ContainerSpec& spec = converted.spec;
  RETURN_IF_ERROR(ConvertIdentity(config, spec));
  RETURN_IF_ERROR(CheckFlags(config));
  RETURN_IF_ERROR(CheckAnnotations(config));
  RETURN_IF_ERROR(ConvertProcess(config, spec));
  RETURN_IF_ERROR(ConvertMounts(config, spec));
  ASSIGN_OR_RETURN(spec.devices, ConvertDevices(config));
  ASSIGN_OR_RETURN(spec.labels,
                   ConvertStrings(config.labels(), "config.labels"));
  ASSIGN_OR_RETURN(spec.annotations,
                   ConvertStrings(config.annotations(), "config.annotations"));
  spec.stdin = config.stdin();
  spec.stdin_once = config.stdin_once();
  spec.tty = config.tty();
  ASSIGN_OR_RETURN(spec.stop_signal, SignalName(config.stop_signal()));
  ASSIGN_OR_RETURN(spec.resources, ConvertResources(config.linux().resources(),
                                                    "config.linux.resources"));
  const auto& security = config.linux().security_context();
  ASSIGN_OR_RETURN(
      spec.security,
      ConvertSecurity(security,
                      sandbox_config.linux().security_context().privileged()));
  ASSIGN_OR_RETURN(converted.seccomp, ConvertSeccomp(security));
  return converted;
}

}  // namespace podvisor
