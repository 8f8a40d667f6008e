#ifndef PODVISOR_IMAGE_SKOPEO_PULLER_H_
#define PODVISOR_IMAGE_SKOPEO_PULLER_H_

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "base/clock.h"
#include "image/image_reference.h"
#include "image/image_store.h"

namespace podvisor {

struct SkopeoOptions {
  std::string skopeo = "/usr/bin/skopeo";
  // Empty: none. Makes the child die with us, see setpriv(1).
  std::string setpriv = "/usr/bin/setpriv";
  // Given to skopeo when not empty; otherwise it uses its own defaults.
  std::string registries_conf;
  std::string policy;
  // Further environment, such as HTTPS_PROXY=... and SSL_CERT_FILE=...
  std::vector<std::string> env;
  // A transfer that brings no byte for this long is given up.
  absl::Duration progress_timeout = absl::Seconds(60);
};

// One pull's circumstances.
struct PullContext {
  std::string work_directory;  // private to the pull, exists
  RegistryAuth auth;
  absl::Time deadline = absl::InfiniteFuture();
  std::function<bool()> cancelled;  // may be empty
};

// Fetches manifests and images by running skopeo: registries.conf (mirrors,
// insecure registries), certificates, auth.json and policy.json work as people
// know them. What comes back is hostile and not yet verified.
//
// Credentials go through a file in the work directory, never through argv, and
// are removed from error texts. Thread-safe. Blocking calls; the process group
// is killed on cancellation and at the deadline.
//
// Errors of both: NotFound (manifest unknown), PermissionDenied, Unavailable
// (registry), ResourceExhausted (disk, rate limit), DataLoss (digest),
// FailedPrecondition (policy, configuration), Cancelled, DeadlineExceeded,
// InvalidArgument (credentials that skopeo cannot be given).
class SkopeoPuller {
 public:
  // `clock` outlives this.
  SkopeoPuller(SkopeoOptions options, Clock* clock);

  // The manifest or index as the registry serves it, byte for byte, at most
  // 4 MiB. The signature policy is not asked.
  absl::StatusOr<std::string> FetchManifest(const ImageReference& reference,
                                            const PullContext& context) const;

  // The image `reference` names by the digest of a manifest, into `directory`
  // (which must not exist): "manifest.json" and each blob under the digits of
  // its digest. The signature policy decides. ResourceExhausted also when the
  // registry sends more than `max_bytes`, at once and not when the disk is
  // full.
  absl::Status FetchImage(const ImageReference& reference,
                          const std::string& directory, int64_t max_bytes,
                          const PullContext& context) const;

 private:
  // What a transfer writes, and how much of it is too much.
  struct Watched {
    std::string directory;  // empty: nothing
    int64_t max_bytes = 0;
  };

  absl::StatusOr<std::string> Run(std::vector<std::string> arguments,
                                  const PullContext& context,
                                  const Watched& watched) const;

  const SkopeoOptions options_;
  Clock* const clock_;
};

// The authentication file for one registry, containers-auth.json(5). Pure.
// InvalidArgument for a bare registry token: skopeo takes one from argv only,
// where everybody could read it.
absl::StatusOr<std::string> AuthFile(const RegistryAuth& auth,
                                     const std::string& registry);

// What skopeo's failure means that was told to read `image` (docker://...).
// Pure; the text is hostile. Secrets of `auth` do not survive in the message.
absl::Status SkopeoError(absl::string_view stderr_text, absl::string_view image,
                         const RegistryAuth& auth);

}  // namespace podvisor

#endif  // PODVISOR_IMAGE_SKOPEO_PULLER_H_
