#ifndef PODVISOR_GUESTAGENT_AGENT_PORT_PUMP_H_
#define PODVISOR_GUESTAGENT_AGENT_PORT_PUMP_H_

#include <chrono>
#include <cstddef>
#include <functional>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "base/unique_fd.h"
#include "guestagent/channel_format.h"

namespace podvisor {

// What the pump needs from its surroundings.
struct PortPumpOptions {
  // Opens the port, non-blocking; bounded in time.
  std::function<absl::StatusOr<UniqueFd>()> open_port;
  // Resets the port's queues while it is closed.
  std::function<absl::Status()> rebind_port;
  // Gets one end of a new socket pair for each session, non-blocking. The
  // other end hangs up when the session is over.
  std::function<void(UniqueFd)> on_session;

  std::chrono::milliseconds ack_timeout{300};
  std::chrono::milliseconds hang_up_timeout{1'000};
  std::chrono::milliseconds stall_timeout{10'000};
};

// Carries bytes between a virtio-serial port and one socket pair per session,
// and finds out where sessions begin: docs/agent-protocol.md has the rules and
// says why a hang-up of the port does not end a session by itself.
//
// Run() is for one thread; Stop() may be called from any.
class PortPump {
 public:
  explicit PortPump(PortPumpOptions options);
  PortPump(const PortPump&) = delete;
  PortPump& operator=(const PortPump&) = delete;

  // Pumps until Stop(). A port that fails is opened again for as long as it
  // takes. An error only for what never gets better (no descriptors).
  absl::Status Run();
  void Stop();

 private:
  using SteadyClock = std::chrono::steady_clock;

  absl::Status OpenPort();
  void Rebind();
  absl::Status Wait();

  // Both return true when there is more to do at once.
  bool PumpPortToSession();
  bool PumpSessionToPort();
  void ReadPort();
  void OnPortBytes(absl::string_view bytes);
  size_t FindHello(absl::string_view bytes) const;
  void FlushToSession();
  void FlushToPort();

  void StartSession(const ChannelHello& hello);
  void EndSession();
  void CheckTimeouts();

  const PortPumpOptions options_;
  UniqueFd epoll_;
  UniqueFd stop_event_;
  bool stopped_ = false;
  UniqueFd port_;
  UniqueFd session_;
  std::optional<ChannelSecret> secret_;

  std::string to_session_;
  std::string to_port_;
  size_t ack_left_ = 0;  // Bytes of the ACK at the front of to_port_.

  // What epoll, edge-triggered, said last; false after EAGAIN.
  bool port_readable_ = false;
  bool port_writable_ = false;
  bool session_readable_ = false;
  bool session_writable_ = false;

  std::optional<SteadyClock::time_point> hung_up_since_;
  SteadyClock::time_point ack_since_;
  SteadyClock::time_point stalled_since_;
};

}  // namespace podvisor

#endif  // PODVISOR_GUESTAGENT_AGENT_PORT_PUMP_H_
