#include "cri/convert_ids.h"

#include "absl/strings/str_cat.h"
#include "base/status_macros.h"

namespace podvisor {
namespace {

using IdMappings = google::protobuf::RepeatedPtrField<runtime::v1::IDMapping>;

absl::Status Invalid(absl::string_view field, absl::string_view why) {
  return absl::InvalidArgumentError(absl::StrCat(field, ": ", why));
}

absl::StatusOr<IdMapping> ConvertMappings(const IdMappings& uids,
                                          const IdMappings& gids,
                                          absl::string_view field) {
  if (uids.size() != 1 || gids.size() != 1) {
    return Invalid(field, "needs exactly one uid and one gid mapping");
  }
  const runtime::v1::IDMapping& users = uids.Get(0);
  const runtime::v1::IDMapping& groups = gids.Get(0);
  if (users.container_id() != 0 || groups.container_id() != 0 ||
      users.length() == 0 || groups.length() == 0) {
    return Invalid(field, "a mapping must contain the container's id 0");
  }
  if (users.host_id() != groups.host_id() ||
      users.length() != groups.length()) {
    return Invalid(field, "users and groups must be mapped alike");
  }
  const IdMapping mapping = {users.host_id(), users.length()};
  RETURN_IF_ERROR(Annotate(CheckIdMapping(mapping), field));
  return mapping;
}

}  // namespace

absl::StatusOr<std::optional<IdMapping>> ConvertUserNamespace(
    const runtime::v1::UserNamespace& userns, absl::string_view field) {
  switch (userns.mode()) {
    case runtime::v1::NODE:
      if (userns.uids_size() + userns.gids_size() > 0) {
        return Invalid(field, "mode NODE has no mappings");
      }
      return std::nullopt;
    case runtime::v1::POD: {
      ASSIGN_OR_RETURN(const IdMapping mapping,
                       ConvertMappings(userns.uids(), userns.gids(), field));
      return mapping;
    }
    default:
      return Invalid(absl::StrCat(field, ".mode"), "is POD or NODE");
  }
}

absl::StatusOr<std::optional<IdMapping>> ConvertMountIds(
    const runtime::v1::Mount& mount, absl::string_view field) {
  if (mount.uidmappings_size() + mount.gidmappings_size() == 0) {
    return std::nullopt;
  }
  ASSIGN_OR_RETURN(
      const IdMapping mapping,
      ConvertMappings(mount.uidmappings(), mount.gidmappings(), field));
  return mapping;
}

absl::Status CheckIdsOfPod(const std::optional<IdMapping>& pod_ids,
                           const runtime::v1::ContainerConfig& config,
                           const ContainerSpec& spec) {
  const runtime::v1::NamespaceOption& namespaces =
      config.linux().security_context().namespace_options();
  if (namespaces.has_userns_options()) {
    constexpr absl::string_view kField =
        "config.linux.security_context.namespace_options.userns_options";
    ASSIGN_OR_RETURN(const std::optional<IdMapping> own,
                     ConvertUserNamespace(namespaces.userns_options(), kField));
    if (own != pod_ids) return Invalid(kField, "is not that of the pod");
  }
  for (size_t i = 0; i < spec.mounts.size(); ++i) {
    if (spec.mounts[i].ids.has_value() && spec.mounts[i].ids != pod_ids) {
      return Invalid(absl::StrCat("config.mounts[", i, "]"),
                     "its ids are mapped in another way than the pod's");
    }
  }
  return absl::OkStatus();
}

}  // namespace podvisor
