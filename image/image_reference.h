#ifndef PODVISOR_IMAGE_IMAGE_REFERENCE_H_
#define PODVISOR_IMAGE_IMAGE_REFERENCE_H_

#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace podvisor {

// The full name of an image at a registry. Exactly one of tag and digest is
// set. A value.
struct ImageReference {
  std::string repository;  // "docker.io/library/busybox", registry included
  std::string tag;
  std::string digest;  // "sha256:<64 hex digits>"

  // "repository:tag" or "repository@digest"; parses back to the same value.
  std::string Name() const;

  bool operator==(const ImageReference&) const = default;
};

// Parses and completes a name the way docker and containerd do: "busybox" is
// "docker.io/library/busybox:latest"; of tag and digest, the digest decides and
// the tag is dropped. Pure.
// Errors: InvalidArgument; the message quotes at most the start of the text.
absl::StatusOr<ImageReference> ParseImageReference(absl::string_view text);

// The digits of an image id, whole or truncated, with or without "sha256:";
// nullopt when `text` cannot be one. "cafe" may be an id and a name: names win.
std::optional<std::string> ImageIdDigits(absl::string_view text);

}  // namespace podvisor

#endif  // PODVISOR_IMAGE_IMAGE_REFERENCE_H_
