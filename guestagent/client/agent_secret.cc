#include "guestagent/client/agent_secret.h"

#include <algorithm>

#include "absl/status/status.h"
#include "absl/strings/escaping.h"
#include "guestagent/client/random_bytes.h"

namespace podvisor {
namespace {

bool IsLowerHexDigit(char c) {
  return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f');
}

}  // namespace

AgentSecret AgentSecret::Random() {
  ChannelSecret bytes;
  FillRandom(bytes.data(), bytes.size());
  return AgentSecret(bytes);
}

absl::StatusOr<AgentSecret> AgentSecret::FromHex(absl::string_view hex) {
  if (hex.size() != 2 * kChannelSecretSize ||
      !std::all_of(hex.begin(), hex.end(), IsLowerHexDigit)) {
    return absl::InvalidArgumentError(
        "an agent secret is 32 lower-case hexadecimal digits");
  }
  const std::string raw = absl::HexStringToBytes(hex);
  ChannelSecret bytes;
  std::copy(raw.begin(), raw.end(), bytes.begin());
  return AgentSecret(bytes);
}

std::string AgentSecret::ToHex() const {
  return absl::BytesToHexString(
      absl::string_view(bytes_.data(), bytes_.size()));
}

}  // namespace podvisor
