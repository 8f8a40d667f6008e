#ifndef PODVISOR_GUESTAGENT_CLIENT_AGENT_CONNECTION_H_
#define PODVISOR_GUESTAGENT_CLIENT_AGENT_CONNECTION_H_

#include <memory>
#include <set>
#include <string>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "base/clock.h"
#include "base/unique_fd.h"
#include "grpcpp/client_context.h"
#include "guestagent/agent.grpc.pb.h"
#include "guestagent/client/agent_secret.h"
#include "guestagent/client/channel_handshake.h"

namespace podvisor {

struct AgentClientOptions {
  HandshakeOptions handshake;  // `cancel_fd` is not used
  // Finds a guest that is frozen while calls without a deadline are open. Also
  // one that was paused on purpose: the next call then makes a new session.
  absl::Duration keepalive_time = absl::Seconds(10);
  absl::Duration keepalive_timeout = absl::Seconds(10);
  // How long a call without a deadline (a stream) may take to connect.
  absl::Duration connect_timeout = absl::Seconds(15);
  // Of one reply. A hostile agent can make two bytes on the wire become a
  // hundred in memory, so this is near what a good one needs: 64 KiB of
  // output, or 1024 containers' stats.
  int max_reply_bytes = 512 << 10;
};

// The one owner of the channel to one agent: connects when a call needs it,
// replaces a session whose transport has died, and ends everything at once.
//
// A channel made from a descriptor never reconnects by itself and has no
// state; whether it has died is asked of the socket. Thread-safe.
class AgentConnection {
 public:
  // `clock` outlives the connection.
  AgentConnection(std::string socket_path, const AgentSecret& secret,
                  const AgentClientOptions& options, Clock* clock);
  // Disconnects and waits until all calls are gone.
  ~AgentConnection();

  AgentConnection(const AgentConnection&) = delete;
  AgentConnection& operator=(const AgentConnection&) = delete;

  class Call;

  // Begins a call that ends by `deadline`, connecting first if need be.
  // InfiniteFuture: a stream, which may take `connect_timeout` to connect, and
  // then fails with Unavailable. Errors: see GuestAgent::Connect().
  absl::StatusOr<std::unique_ptr<Call>> Begin(absl::Time deadline);

  // See GuestAgent.
  void Disconnect() ABSL_LOCKS_EXCLUDED(mutex_);

  // A fresh HelloRequest: entropy and the time.
  agent::v1::HelloRequest MakeHello();

 private:
  class BeginScope;

  // Shared by the connection and the calls that began on it: a call may
  // outlive the session's replacement.
  struct Session {
    UniqueFd socket;  // a duplicate of gRPC's
    std::unique_ptr<agent::v1::Agent::Stub> stub;

    bool IsDead() const;
    // Ends the transport now, also for QEMU, which serves only one.
    void Kill() const;
  };

  absl::StatusOr<std::shared_ptr<Session>> CurrentSession(absl::Time deadline)
      ABSL_LOCKS_EXCLUDED(mutex_);
  // Handshake, channel and the first Hello.
  absl::StatusOr<std::shared_ptr<Session>> OpenSession(absl::Time deadline);
  void Drop(const std::shared_ptr<Session>& session)
      ABSL_LOCKS_EXCLUDED(mutex_);
  void Register(grpc::ClientContext* context) ABSL_LOCKS_EXCLUDED(mutex_);
  void Unregister(grpc::ClientContext* context) ABSL_LOCKS_EXCLUDED(mutex_);
  bool disconnected() const ABSL_LOCKS_EXCLUDED(mutex_);

  const std::string socket_path_;
  const AgentSecret secret_;
  const AgentClientOptions options_;
  Clock* const clock_;
  UniqueFd cancel_;  // eventfd; readable once disconnected

  mutable absl::Mutex mutex_;
  std::shared_ptr<Session> session_ ABSL_GUARDED_BY(mutex_);
  bool connecting_ ABSL_GUARDED_BY(mutex_) = false;
  bool disconnected_ ABSL_GUARDED_BY(mutex_) = false;
  int beginning_ ABSL_GUARDED_BY(mutex_) = 0;  // threads inside Begin()
  std::set<grpc::ClientContext*> calls_ ABSL_GUARDED_BY(mutex_);
};

// One RPC. Not thread-safe; must not outlive the connection.
class AgentConnection::Call {
 public:
  Call(AgentConnection* connection, std::shared_ptr<Session> session,
       absl::Time deadline);
  ~Call();

  Call(const Call&) = delete;
  Call& operator=(const Call&) = delete;

  grpc::ClientContext* context() { return &context_; }
  agent::v1::Agent::Stub& stub() { return *session_->stub; }

  // The RPC's result as ours. Unavailable gives the session up, so that the
  // next call makes a new one; Cancelled only after Disconnect().
  absl::Status Finish(const grpc::Status& status);

 private:
  AgentConnection* connection_;
  std::shared_ptr<Session> session_;
  grpc::ClientContext context_;
};

}  // namespace podvisor

#endif  // PODVISOR_GUESTAGENT_CLIENT_AGENT_CONNECTION_H_
