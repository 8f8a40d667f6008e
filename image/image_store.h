#ifndef PODVISOR_IMAGE_IMAGE_STORE_H_
#define PODVISOR_IMAGE_IMAGE_STORE_H_

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "base/unique_fd.h"

namespace podvisor {

// The parts of an OCI image configuration that a container inherits.
struct ImageConfig {
  std::vector<std::string> entrypoint;
  std::vector<std::string> cmd;
  std::vector<std::string> env;
  std::string working_dir;
  std::string user;
  std::string stop_signal;
  std::map<std::string, std::string> labels;

  bool operator==(const ImageConfig&) const = default;
};

// One image. A value.
struct Image {
  std::string id;  // "sha256:<hex>": the digest of the verified configuration
  std::vector<std::string> repo_tags;
  std::vector<std::string> repo_digests;
  int64_t size_bytes = 0;  // of the block image on this host
  bool pinned = false;
  ImageConfig config;
  std::string config_json;  // the OCI configuration, at most 4 MiB

  bool operator==(const Image&) const = default;
};

struct RegistryAuth {
  std::string username;
  std::string password;
  std::string identity_token;
  std::string registry_token;
};

struct ImageFsUsage {
  std::string mountpoint;  // an existing host directory
  int64_t used_bytes = 0;
  int64_t inodes_used = 0;
};

// An image's root file system, kept from removal for as long as this lives.
struct ImageRootFs {
  std::string image_hex;  // 64 hex digits: name of the mount in the guest
  std::string fs_type;    // "squashfs"
  std::string path;       // the block image on the host
  std::shared_ptr<const void> pin;
};

// The word by which the kubelet knows that an image's signatures, or those it
// lacks, are not what the policy wants.
inline constexpr absl::string_view kSignatureValidationFailed =
    "SignatureValidationFailed";

// The word by which the kubelet knows that it is an image volume for which a
// container could not be made.
inline constexpr absl::string_view kImageVolumeMountFailed =
    "ImageVolumeMountFailed";

// The images on this host: pulled by skopeo, verified, and flattened into one
// read-only block image each. Content never gets unpacked on the host.
//
// A reference is a name with tag or digest, a normalised short name
// ("busybox"), an image id with or without "sha256:", or a unique prefix of
// one.
//
// Thread-safe; pulls of one reference at the same time share one transfer.
class ImageStore {
 public:
  virtual ~ImageStore() = default;

  // Returns the image's id. Blocks; ends soon after `cancelled` returns true.
  // Errors: InvalidArgument (reference), NotFound, PermissionDenied,
  // Unavailable (registry), ResourceExhausted (disk, rate limit, bomb),
  // DataLoss (a digest or format that does not match), FailedPrecondition
  // (registries.conf; the signature policy, with kSignatureValidationFailed in
  // the message), DeadlineExceeded, Cancelled.
  virtual absl::StatusOr<std::string> Pull(
      absl::string_view reference, const RegistryAuth& auth,
      const std::function<bool()>& cancelled) = 0;

  // NotFound when there is no such image; InvalidArgument for a malformed
  // reference and for a prefix that several ids have.
  virtual absl::StatusOr<Image> Get(absl::string_view reference) const = 0;
  virtual std::vector<Image> List() const = 0;

  // Removes every name of the image and its files as soon as nothing pins it.
  // OK for an unknown reference; InvalidArgument as in Get().
  virtual absl::Status Remove(absl::string_view reference) = 0;

  // NotFound for an unknown image; DataLoss when its file is damaged or gone (a
  // new Pull repairs that); InvalidArgument as in Get().
  virtual absl::StatusOr<ImageRootFs> RootFs(absl::string_view reference) = 0;

  virtual absl::StatusOr<ImageFsUsage> FsUsage() const = 0;
};

}  // namespace podvisor

#endif  // PODVISOR_IMAGE_IMAGE_STORE_H_
