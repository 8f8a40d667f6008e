#ifndef PODVISOR_IMAGE_OCI_MANIFEST_H_
#define PODVISOR_IMAGE_OCI_MANIFEST_H_

#include <cstdint>
#include <string>
#include <variant>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "image/image_store.h"

namespace podvisor {

// The OCI image specification's limit for manifests; containerd's as well.
inline constexpr int64_t kMaxManifestBytes = 4 << 20;
inline constexpr int64_t kMaxImageConfigBytes = 4 << 20;
inline constexpr int kMaxLayers = 127;
// An index may name an index; that one must name manifests.
inline constexpr int kMaxIndexDepth = 2;

struct Platform {
  std::string os = "linux";
  std::string architecture = "amd64";
};

struct BlobDescriptor {
  std::string media_type;
  std::string digest;  // IsSha256Digest() holds
  int64_t size = 0;

  bool operator==(const BlobDescriptor&) const = default;
};

// What one image consists of.
struct ImageManifest {
  BlobDescriptor config;
  std::vector<BlobDescriptor> layers;  // lowest first
};

// Of an index, the entry that fits the platform: a manifest or another index.
struct IndexChoice {
  BlobDescriptor child;
};

// Parses a manifest or an index, docker's or OCI's. Pure; the bytes are
// hostile. A document that could be read as both is refused.
// Errors: NotFound (an index without the platform), DataLoss (anything else).
absl::StatusOr<std::variant<ImageManifest, IndexChoice>> ParseManifest(
    absl::string_view bytes, const Platform& platform);

struct ParsedImageConfig {
  ImageConfig config;
  std::vector<std::string> diff_ids;  // digests of the uncompressed layers
};

// Parses an image configuration. Pure; the bytes are hostile.
// Errors: NotFound (built for another platform), DataLoss.
absl::StatusOr<ParsedImageConfig> ParseImageConfig(absl::string_view bytes,
                                                   const Platform& platform);

}  // namespace podvisor

#endif  // PODVISOR_IMAGE_OCI_MANIFEST_H_
