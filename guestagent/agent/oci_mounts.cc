#include "guestagent/agent/oci_mounts.h"

#include <limits.h>

#include <algorithm>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "base/clean_text.h"
#include "base/status_macros.h"

namespace podvisor {
namespace {

constexpr int kMaxMounts = 1024;

bool IsSameOrBelow(absl::string_view path, absl::string_view parent) {
  return path == parent || absl::StartsWith(path, absl::StrCat(parent, "/"));
}

// What every container has. Options as in containerd.
std::vector<OciMount> UsualMounts(const agent::v1::ContainerSpec& spec,
                                  const OciEnvironment& environment) {
  const std::string access = spec.privileged() ? "rw" : "ro";
  std::vector<OciMount> mounts = {
      {"/proc", "proc", "proc", {"nosuid", "noexec", "nodev"}},
      {"/dev",
       "tmpfs",
       "tmpfs",
       {"nosuid", "strictatime", "mode=755", "size=65536k"}},
      {"/dev/pts",
       "devpts",
       "devpts",
       {"nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620",
        "gid=5"}},
      {"/dev/mqueue", "mqueue", "mqueue", {"nosuid", "noexec", "nodev"}},
      {"/sys", "sysfs", "sysfs", {"nosuid", "noexec", "nodev", access}},
      {"/sys/fs/cgroup",
       "cgroup",
       "cgroup",
       {"nosuid", "noexec", "nodev", "relatime", access}},
  };
  if (!environment.shm_dir.empty()) {
    mounts.push_back(
        {"/dev/shm",
         "bind",
         environment.shm_dir,
         {"rbind", "nosuid", "nodev", "noexec", "rprivate", "rw"}});
  }
  const std::pair<const char*, const std::string*> kFiles[] = {
      {"/etc/hostname", &environment.hostname_file},
      {"/etc/hosts", &environment.hosts_file},
      {"/etc/resolv.conf", &environment.resolv_conf_file},
  };
  for (const auto& [destination, source] : kFiles) {
    if (source->empty()) continue;
    mounts.push_back({destination,
                      "bind",
                      *source,
                      {"bind", "nosuid", "nodev", "rprivate",
                       spec.root().read_only() ? "ro" : "rw"}});
  }
  return mounts;
}

absl::Status AddOptions(const agent::v1::Mount& mount,
                        std::vector<std::string>* options) {
  for (const std::string& option : mount.options()) {
    if (option != "noexec" && option != "nodev" && option != "nosuid") {
      return absl::InvalidArgumentError(absl::StrCat(
          "not an option of a mount: \"", CleanText(option, 64), "\""));
    }
    options->push_back(option);
  }
  return absl::OkStatus();
}

// A node cannot be made in a user namespace, and could not be used on a file
// system mounted without devices; the guest's own, bound, can.
absl::StatusOr<OciMount> DeviceMount(const agent::v1::Mount& mount,
                                     OciMount converted) {
  ASSIGN_OR_RETURN(converted.source, NormalizePath(mount.source()));
  if (!absl::StartsWith(converted.source, "/dev/")) {
    return absl::InvalidArgumentError(absl::StrCat(
        CleanText(converted.source, 256), " is no device of the guest"));
  }
  if (mount.access().empty() ||
      mount.access().find_first_not_of("rwm") != std::string::npos) {
    return absl::InvalidArgumentError(absl::StrCat(
        "not an access to a device: \"", CleanText(mount.access(), 64), "\""));
  }
  converted.type = "bind";
  converted.options = {"bind", "rprivate", "nosuid", "noexec"};
  return converted;
}

// `image_path` is what an image mount shows.
absl::StatusOr<OciMount> ConvertMount(const agent::v1::Mount& mount,
                                      const OciEnvironment& environment,
                                      const std::string& image_path) {
  OciMount converted;
  ASSIGN_OR_RETURN(converted.destination, NormalizePath(mount.destination()));
  if (converted.destination == "/" || converted.destination == "/dev" ||
      IsSameOrBelow(converted.destination, "/proc")) {
    return absl::InvalidArgumentError(absl::StrCat(
        "nothing can be mounted at ", CleanText(converted.destination, 256)));
  }
  switch (mount.kind()) {
    case agent::v1::Mount::SHARE:
      if (!IsShareName(mount.source())) {
        return absl::InvalidArgumentError(
            absl::StrCat("not a name in the share: \"",
                         CleanText(mount.source(), 128), "\""));
      }
      converted.type = "bind";
      converted.source = environment.share_dir + "/" + mount.source();
      converted.options = {"rbind", mount.slave() ? "rslave" : "rprivate"};
      if (mount.recursive_read_only()) {
        converted.options.push_back("rro");
      } else {
        converted.options.push_back(mount.read_only() ? "ro" : "rw");
      }
      RETURN_IF_ERROR(AddOptions(mount, &converted.options));
      return converted;
    case agent::v1::Mount::TMPFS:
      if (mount.size_bytes() < 0) {
        return absl::InvalidArgumentError("negative size of a tmpfs");
      }
      converted.type = "tmpfs";
      converted.source = "tmpfs";
      converted.options = {"nosuid", "nodev", "mode=1777",
                           mount.read_only() ? "ro" : "rw"};
      if (mount.size_bytes() > 0) {
        converted.options.push_back(absl::StrCat("size=", mount.size_bytes()));
      }
      return converted;
    case agent::v1::Mount::IMAGE:
      converted.type = "bind";
      converted.source = image_path;
      converted.options = {"bind", "rprivate", "nosuid", "nodev", "ro"};
      RETURN_IF_ERROR(AddOptions(mount, &converted.options));
      return converted;
    case agent::v1::Mount::DEVICE:
      return DeviceMount(mount, std::move(converted));
    default:
      return absl::InvalidArgumentError("unknown kind of mount");
  }
}

size_t Depth(const OciMount& mount) {
  return std::count(mount.destination.begin(), mount.destination.end(), '/');
}

}  // namespace

bool IsShareName(absl::string_view name) {
  return !name.empty() && name.size() <= 255 &&
         std::all_of(name.begin(), name.end(), [](char c) {
           return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-';
         });
}

absl::StatusOr<std::string> NormalizePath(absl::string_view path) {
  if (path.empty() || path[0] != '/' || path.size() >= PATH_MAX ||
      path.find('\0') != absl::string_view::npos) {
    return absl::InvalidArgumentError(
        absl::StrCat("not an absolute path: \"", CleanText(path, 256), "\""));
  }
  std::vector<absl::string_view> parts;
  for (absl::string_view part : absl::StrSplit(path, '/')) {
    if (part.empty() || part == ".") continue;
    if (part == "..") {
      if (!parts.empty()) parts.pop_back();
      continue;
    }
    parts.push_back(part);
  }
  return absl::StrCat("/", absl::StrJoin(parts, "/"));
}

absl::StatusOr<std::vector<OciMount>> PlanMounts(
    const agent::v1::ContainerSpec& spec, const OciEnvironment& environment) {
  if (spec.mounts_size() > kMaxMounts) {
    return absl::InvalidArgumentError("too many mounts");
  }
  std::vector<OciMount> own;
  auto image_path = environment.image_paths.begin();
  for (const agent::v1::Mount& mount : spec.mounts()) {
    const bool is_image = mount.kind() == agent::v1::Mount::IMAGE;
    if (is_image && image_path == environment.image_paths.end()) {
      return absl::InvalidArgumentError("an image mount without an image");
    }
    ASSIGN_OR_RETURN(OciMount converted,
                     ConvertMount(mount, environment,
                                  is_image ? *image_path++ : std::string()));
    own.push_back(std::move(converted));
  }
  std::vector<OciMount> mounts = UsualMounts(spec, environment);
  mounts.erase(std::remove_if(mounts.begin(), mounts.end(),
                              [&own](const OciMount& usual) {
                                return std::any_of(
                                    own.begin(), own.end(),
                                    [&usual](const OciMount& mount) {
                                      return mount.destination ==
                                             usual.destination;
                                    });
                              }),
               mounts.end());
  mounts.insert(mounts.end(), own.begin(), own.end());
  std::stable_sort(
      mounts.begin(), mounts.end(),
      [](const OciMount& a, const OciMount& b) { return Depth(a) < Depth(b); });
  return mounts;
}

}  // namespace podvisor
