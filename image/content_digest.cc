#include "image/content_digest.h"

#include <fcntl.h>
#include <openssl/evp.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>

#include "absl/status/status.h"
#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "base/ids.h"
#include "base/unique_fd.h"

namespace podvisor {
namespace {

constexpr absl::string_view kPrefix = "sha256:";

// A digest that cannot be computed is a broken libcrypto, never the world.
void Must(int ok) {
  if (ok != 1) std::abort();
}

}  // namespace

bool IsSha256Digest(absl::string_view text) {
  return absl::StartsWith(text, kPrefix) &&
         IsHexId(text.substr(kPrefix.size()));
}

absl::string_view HexOfDigest(absl::string_view digest) {
  return digest.substr(kPrefix.size());
}

void Sha256::Free::operator()(evp_md_ctx_st* context) const {
  EVP_MD_CTX_free(context);
}

Sha256::Sha256() : context_(EVP_MD_CTX_new()) {
  Must(context_ != nullptr);
  Must(EVP_DigestInit_ex(context_.get(), EVP_sha256(), nullptr));
}

void Sha256::Update(absl::string_view bytes) {
  Must(EVP_DigestUpdate(context_.get(), bytes.data(), bytes.size()));
}

std::string Sha256::Finish() {
  unsigned char raw[EVP_MAX_MD_SIZE];
  unsigned int length = 0;
  Must(EVP_DigestFinal_ex(context_.get(), raw, &length));
  return absl::StrCat(kPrefix,
                      absl::BytesToHexString(absl::string_view(
                          reinterpret_cast<const char*>(raw), length)));
}

std::string Sha256Digest(absl::string_view bytes) {
  Sha256 hash;
  hash.Update(bytes);
  return hash.Finish();
}

absl::StatusOr<std::string> ReadVerifiedBlob(const std::string& directory,
                                             absl::string_view digest,
                                             int64_t size, int64_t max_bytes) {
  if (!IsSha256Digest(digest)) {
    return absl::InvalidArgumentError("not a sha256 digest");
  }
  const std::string what = absl::StrCat("blob ", digest);
  if (size < 0 || size > max_bytes) {
    return absl::DataLossError(absl::StrCat(
        what, " is ", size, " bytes long; at most ", max_bytes, " are read"));
  }
  const std::string path = absl::StrCat(directory, "/", HexOfDigest(digest));
  UniqueFd fd(open(path.c_str(), O_RDONLY | O_NOFOLLOW | O_CLOEXEC));
  struct stat info;
  if (!fd.valid() || fstat(fd.get(), &info) != 0 || !S_ISREG(info.st_mode)) {
    return absl::DataLossError(absl::StrCat(what, " was not delivered"));
  }
  if (info.st_size != size) {
    return absl::DataLossError(
        absl::StrCat(what, " has ", info.st_size, " bytes instead of ", size));
  }
  std::string bytes(size, '\0');
  size_t filled = 0;
  while (filled < bytes.size()) {
    const ssize_t n =
        read(fd.get(), bytes.data() + filled, bytes.size() - filled);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return absl::DataLossError(absl::StrCat(what, " is cut short"));
    filled += n;
  }
  if (Sha256Digest(bytes) != digest) {
    return absl::DataLossError(
        absl::StrCat(what, " does not match its digest"));
  }
  return bytes;
}

}  // namespace podvisor
