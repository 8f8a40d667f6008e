#ifndef PODVISOR_GUESTAGENT_CLIENT_GUEST_AGENT_H_
#define PODVISOR_GUESTAGENT_CLIENT_GUEST_AGENT_H_

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "guestagent/client/guest_containers.h"
#include "guestagent/client/guest_resources.h"
#include "guestagent/client/guest_streams.h"

namespace podvisor {

// All faces of one pod's agent, and its connection. Users take the face that
// they need; only the owner of the connection sees this type.
//
// Thread-safe. Calls connect and reconnect by themselves, within their
// deadlines; Connect() only says when that succeeds.
class GuestAgent : public GuestResources,
                   public GuestSandbox,
                   public GuestContainers,
                   public GuestStreams {
 public:
  // Returns once the agent answers; at once when it is connected. May be
  // called before the guest has booted.
  //
  // Errors:
  //   DeadlineExceeded    no agent answered in time.
  //   Unavailable         nobody listens: QEMU is gone.
  //   FailedPrecondition  the agent speaks another version.
  //   DataLoss            the peer does not behave like an agent.
  //   Cancelled           after Disconnect().
  virtual absl::Status Connect(absl::Time deadline) = 0;

  // Ends all calls, streams too, with Cancelled, and refuses new ones with the
  // same code: whoever retries on Unavailable must stop on Cancelled. Nothing
  // in the guest changes. Final.
  virtual void Disconnect() = 0;
};

}  // namespace podvisor

#endif  // PODVISOR_GUESTAGENT_CLIENT_GUEST_AGENT_H_
