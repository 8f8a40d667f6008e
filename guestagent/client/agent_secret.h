#ifndef PODVISOR_GUESTAGENT_CLIENT_AGENT_SECRET_H_
#define PODVISOR_GUESTAGENT_CLIENT_AGENT_SECRET_H_

#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "guestagent/channel_format.h"

namespace podvisor {

// What tells this VM's host from a container that writes a forged HELLO: 16
// random bytes, one value for each VM, stored in the pod's record and taught
// to the agent by the first HELLO. Never log it.
class AgentSecret {
 public:
  explicit AgentSecret(const ChannelSecret& bytes) : bytes_(bytes) {}

  // From the kernel's random source.
  static AgentSecret Random();

  // The inverse of ToHex(). InvalidArgument for anything but 32 lower-case
  // hexadecimal digits; the message does not repeat the text.
  static absl::StatusOr<AgentSecret> FromHex(absl::string_view hex);

  std::string ToHex() const;
  const ChannelSecret& bytes() const { return bytes_; }

  bool operator==(const AgentSecret&) const = default;

 private:
  ChannelSecret bytes_;
};

}  // namespace podvisor

#endif  // PODVISOR_GUESTAGENT_CLIENT_AGENT_SECRET_H_
