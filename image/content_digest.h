#ifndef PODVISOR_IMAGE_CONTENT_DIGEST_H_
#define PODVISOR_IMAGE_CONTENT_DIGEST_H_

#include <cstdint>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

struct evp_md_ctx_st;

namespace podvisor {

// True for "sha256:" and exactly 64 lower-case hexadecimal digits. Registries
// and layouts choose digests: nothing becomes part of a path before this.
bool IsSha256Digest(absl::string_view text);

// The 64 digits of a digest for which IsSha256Digest() holds.
absl::string_view HexOfDigest(absl::string_view digest);

// SHA-256 of a stream. Not thread-safe.
class Sha256 {
 public:
  Sha256();

  void Update(absl::string_view bytes);

  // "sha256:<hex>" of everything so far; the object is used up.
  std::string Finish();

 private:
  struct Free {
    void operator()(evp_md_ctx_st* context) const;
  };
  std::unique_ptr<evp_md_ctx_st, Free> context_;
};

// "sha256:<hex>" of bytes in memory.
std::string Sha256Digest(absl::string_view bytes);

// Reads a small blob (a manifest or a configuration) from `directory`, where it
// is named by the digits of its digest, and verifies length and digest.
// Errors: DataLoss (missing, not a plain file, longer than `max_bytes`, wrong
// length or digest), InvalidArgument (`digest` is none).
absl::StatusOr<std::string> ReadVerifiedBlob(const std::string& directory,
                                             absl::string_view digest,
                                             int64_t size, int64_t max_bytes);

}  // namespace podvisor

#endif  // PODVISOR_IMAGE_CONTENT_DIGEST_H_
