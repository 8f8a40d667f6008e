#include "image/oci_manifest.h"

#include <optional>
#include <utility>

#include "absl/algorithm/container.h"
#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "base/bounded_json.h"
#include "base/clean_text.h"
#include "base/status_macros.h"
#include "image/content_digest.h"

namespace podvisor {
namespace {

using nlohmann::json;

constexpr absl::string_view kManifestTypes[] = {
    "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.docker.distribution.manifest.v2+json"};
constexpr absl::string_view kIndexTypes[] = {
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.docker.distribution.manifest.list.v2+json"};
constexpr absl::string_view kConfigTypes[] = {
    "application/vnd.oci.image.config.v1+json",
    "application/vnd.docker.container.image.v1+json"};
// Neither foreign layers (they name hosts of their own) nor encrypted ones.
constexpr absl::string_view kLayerTypes[] = {
    "application/vnd.oci.image.layer.v1.tar",
    "application/vnd.oci.image.layer.v1.tar+gzip",
    "application/vnd.oci.image.layer.v1.tar+zstd",
    "application/vnd.docker.image.rootfs.diff.tar",
    "application/vnd.docker.image.rootfs.diff.tar.gzip",
    "application/vnd.docker.image.rootfs.diff.tar.zstd"};
constexpr int64_t kMaxLayerBytes = int64_t{64} << 30;

template <size_t kCount>
bool IsOneOf(const absl::string_view (&types)[kCount], absl::string_view type) {
  return absl::c_linear_search(types, type);
}

absl::Status Bad(absl::string_view why) {
  return absl::DataLossError(absl::StrCat("image manifest: ", why));
}

absl::StatusOr<BlobDescriptor> ParseDescriptor(const json& value) {
  if (!value.is_object()) return Bad("a descriptor is not an object");
  BlobDescriptor descriptor;
  ASSIGN_OR_RETURN(descriptor.media_type, JsonString(value, "mediaType"));
  ASSIGN_OR_RETURN(descriptor.digest, JsonString(value, "digest"));
  if (!IsSha256Digest(descriptor.digest)) {
    return Bad(absl::StrCat("not a sha256 digest: ",
                            CleanText(descriptor.digest, 100)));
  }
  const auto size = value.find("size");
  if (size == value.end() || !size->is_number_unsigned() ||
      size->get<uint64_t>() > static_cast<uint64_t>(kMaxLayerBytes)) {
    return Bad("a descriptor has no usable size");
  }
  descriptor.size = static_cast<int64_t>(size->get<uint64_t>());
  return descriptor;
}

absl::StatusOr<ImageManifest> ParseImage(const json& document) {
  const auto config = document.find("config");
  const auto layers = document.find("layers");
  if (config == document.end() || !layers->is_array()) {
    return Bad("it needs a config and a list of layers");
  }
  ImageManifest manifest;
  ASSIGN_OR_RETURN(manifest.config, ParseDescriptor(*config));
  if (!IsOneOf(kConfigTypes, manifest.config.media_type)) {
    return Bad(absl::StrCat("not a container image, its config is ",
                            CleanText(manifest.config.media_type, 100)));
  }
  if (manifest.config.size > kMaxImageConfigBytes) {
    return Bad("the configuration is longer than 4 MiB");
  }
  if (layers->size() > static_cast<size_t>(kMaxLayers)) {
    return Bad(absl::StrCat("it has ", layers->size(), " layers; at most ",
                            kMaxLayers, " are possible"));
  }
  for (const json& item : *layers) {
    ASSIGN_OR_RETURN(BlobDescriptor layer, ParseDescriptor(item));
    if (!IsOneOf(kLayerTypes, layer.media_type)) {
      return Bad(absl::StrCat("unsupported layer type ",
                              CleanText(layer.media_type, 100)));
    }
    manifest.layers.push_back(std::move(layer));
  }
  return manifest;
}

// How well an index entry fits: lower is better, nullopt not at all. A plain
// amd64 runs everywhere; the variants v2, v3... want newer processors.
absl::StatusOr<std::optional<int>> Rank(const json& entry,
                                        const Platform& wanted) {
  const auto platform = entry.find("platform");
  if (platform == entry.end()) return std::optional<int>(100);
  if (!platform->is_object()) return Bad("a platform is not an object");
  ASSIGN_OR_RETURN(const std::string os, JsonString(*platform, "os"));
  ASSIGN_OR_RETURN(const std::string architecture,
                   JsonString(*platform, "architecture"));
  ASSIGN_OR_RETURN(const std::string variant, JsonString(*platform, "variant"));
  if (os != wanted.os || architecture != wanted.architecture) {
    return std::optional<int>();
  }
  if (variant.empty() || variant == "v1") return std::optional<int>(0);
  if (variant.size() == 2 && variant[0] == 'v' && variant[1] >= '2' &&
      variant[1] <= '9') {
    return std::optional<int>(variant[1] - '0');
  }
  return std::optional<int>();
}

absl::StatusOr<IndexChoice> ParseIndex(const json& document,
                                       const Platform& platform) {
  const json& entries = document["manifests"];
  if (!entries.is_array()) return Bad("\"manifests\" is not a list");
  std::optional<IndexChoice> best;
  int best_rank = 0;
  for (const json& entry : entries) {
    ASSIGN_OR_RETURN(BlobDescriptor child, ParseDescriptor(entry));
    // Indexes also carry signatures, attestations and charts.
    if (!IsOneOf(kManifestTypes, child.media_type) &&
        !IsOneOf(kIndexTypes, child.media_type)) {
      continue;
    }
    ASSIGN_OR_RETURN(const std::optional<int> rank, Rank(entry, platform));
    if (!rank.has_value() || (best.has_value() && *rank >= best_rank)) continue;
    best = IndexChoice{std::move(child)};
    best_rank = *rank;
  }
  if (!best.has_value()) {
    return absl::NotFoundError(absl::StrCat("the image has no variant for ",
                                            platform.os, "/",
                                            platform.architecture));
  }
  if (best->child.size > kMaxManifestBytes) {
    return Bad("an index names a manifest longer than 4 MiB");
  }
  return *best;
}

absl::Status ParseProcess(const json& config, ImageConfig& into) {
  ASSIGN_OR_RETURN(into.entrypoint, JsonStrings(config, "Entrypoint"));
  ASSIGN_OR_RETURN(into.cmd, JsonStrings(config, "Cmd"));
  ASSIGN_OR_RETURN(into.env, JsonStrings(config, "Env"));
  ASSIGN_OR_RETURN(into.working_dir, JsonString(config, "WorkingDir"));
  ASSIGN_OR_RETURN(into.user, JsonString(config, "User"));
  ASSIGN_OR_RETURN(into.stop_signal, JsonString(config, "StopSignal"));
  const auto labels = config.find("Labels");
  if (labels == config.end() || labels->is_null()) return absl::OkStatus();
  if (!labels->is_object()) {
    return absl::DataLossError("\"Labels\" is not an object");
  }
  for (const auto& [key, unused] : labels->items()) {
    ASSIGN_OR_RETURN(into.labels[key], JsonString(*labels, key.c_str()));
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::variant<ImageManifest, IndexChoice>> ParseManifest(
    absl::string_view bytes, const Platform& platform) {
  ASSIGN_OR_RETURN(
      const json document,
      ParseBoundedJson(bytes, kMaxManifestBytes, "image manifest"));
  const auto version = document.find("schemaVersion");
  if (version == document.end() || *version != 2) {
    return Bad("schemaVersion is not 2 (docker schema 1 is not supported)");
  }
  const bool has_layers = document.contains("layers");
  const bool has_manifests = document.contains("manifests");
  if (has_layers == has_manifests ||
      (has_manifests && document.contains("config"))) {
    return Bad("it is neither clearly an image nor clearly an index");
  }
  ASSIGN_OR_RETURN(const std::string type, JsonString(document, "mediaType"));
  // The media type may be missing in OCI documents; it may not contradict.
  if (has_manifests) {
    if (!type.empty() && !IsOneOf(kIndexTypes, type)) {
      return Bad("its media type contradicts its content");
    }
    ASSIGN_OR_RETURN(IndexChoice choice, ParseIndex(document, platform));
    return choice;
  }
  if (!type.empty() && !IsOneOf(kManifestTypes, type)) {
    return Bad("its media type contradicts its content");
  }
  ASSIGN_OR_RETURN(ImageManifest manifest, ParseImage(document));
  return manifest;
}

absl::StatusOr<ParsedImageConfig> ParseImageConfig(absl::string_view bytes,
                                                   const Platform& platform) {
  constexpr absl::string_view kWhat = "image configuration";
  ASSIGN_OR_RETURN(const json document,
                   ParseBoundedJson(bytes, kMaxImageConfigBytes, kWhat));
  ASSIGN_OR_RETURN(const std::string os, JsonString(document, "os"));
  ASSIGN_OR_RETURN(const std::string architecture,
                   JsonString(document, "architecture"));
  if ((!os.empty() && os != platform.os) ||
      (!architecture.empty() && architecture != platform.architecture)) {
    return absl::NotFoundError(
        absl::StrCat("the image is for ", CleanText(os, 40), "/",
                     CleanText(architecture, 40), ", not for ", platform.os,
                     "/", platform.architecture));
  }
  ParsedImageConfig parsed;
  const auto rootfs = document.find("rootfs");
  if (rootfs == document.end() || !rootfs->is_object()) {
    return absl::DataLossError(absl::StrCat(kWhat, ": no rootfs"));
  }
  ASSIGN_OR_RETURN(parsed.diff_ids, JsonStrings(*rootfs, "diff_ids"));
  for (const std::string& diff_id : parsed.diff_ids) {
    if (!IsSha256Digest(diff_id)) {
      return absl::DataLossError(absl::StrCat(kWhat, ": malformed diff_id"));
    }
  }
  const auto config = document.find("config");
  if (config == document.end() || config->is_null()) return parsed;
  if (!config->is_object()) {
    return absl::DataLossError(absl::StrCat(kWhat, ": config is no object"));
  }
  RETURN_IF_ERROR(Annotate(ParseProcess(*config, parsed.config), kWhat));
  return parsed;
}

}  // namespace podvisor
