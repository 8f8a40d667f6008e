#include "cri/registry_auth.h"

#include <string>

#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"

namespace podvisor {
namespace {

constexpr absl::string_view kDockerHub = "docker.io";

std::string CanonicalHost(absl::string_view host) {
  if (host == "index.docker.io" || host == "registry-1.docker.io") {
    return std::string(kDockerHub);
  }
  return std::string(host);
}

// "https://index.docker.io/v1/" -> "docker.io"
std::string ServerHost(absl::string_view address) {
  const size_t scheme = address.find("://");
  if (scheme != absl::string_view::npos) address.remove_prefix(scheme + 3);
  return CanonicalHost(address.substr(0, address.find('/')));
}

// The part before the first "/" is a host if it could not be a name there:
// distribution/reference's rule.
std::string ReferenceHost(absl::string_view reference) {
  const size_t slash = reference.find('/');
  const absl::string_view first = reference.substr(0, slash);
  const bool is_host = slash != absl::string_view::npos &&
                       (absl::StrContains(first, '.') ||
                        absl::StrContains(first, ':') || first == "localhost");
  return is_host ? CanonicalHost(first) : std::string(kDockerHub);
}

}  // namespace

absl::StatusOr<RegistryAuth> ConvertAuth(const runtime::v1::AuthConfig& auth,
                                         absl::string_view reference) {
  RegistryAuth converted;
  if (!auth.server_address().empty() &&
      ServerHost(auth.server_address()) != ReferenceHost(reference)) {
    return converted;
  }
  converted.username = auth.username();
  converted.password = auth.password();
  converted.identity_token = auth.identity_token();
  converted.registry_token = auth.registry_token();
  if (!converted.username.empty() || auth.auth().empty()) return converted;

  std::string decoded;
  const size_t colon = absl::Base64Unescape(auth.auth(), &decoded)
                           ? decoded.find(':')
                           : std::string::npos;
  if (colon == std::string::npos) {
    return absl::InvalidArgumentError(
        "auth.auth: is not base64 of \"user:password\"");
  }
  converted.username = decoded.substr(0, colon);
  // Some clients pad with NUL bytes, as containerd knows too.
  converted.password = std::string(
      absl::StripSuffix(decoded.substr(colon + 1), absl::string_view("\0", 1)));
  return converted;
}

}  // namespace podvisor
