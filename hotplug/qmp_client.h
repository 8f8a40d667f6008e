#ifndef PODVISOR_HOTPLUG_QMP_CLIENT_H_
#define PODVISOR_HOTPLUG_QMP_CLIENT_H_

#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "hotplug/qmp_message.h"

namespace podvisor {

// The events of some kinds that arrive from Subscribe() on, in order.
//
// Bounded: of more than 1024 unread events the oldest are dropped. An event is
// a hint to look, what QEMU answers to a query is the fact.
// For one thread at a time. May outlive its client.
class QmpSubscription {
 public:
  virtual ~QmpSubscription() = default;

  // Errors: DeadlineExceeded; Unavailable once the connection is gone and all
  // events that came before have been read.
  virtual absl::StatusOr<QmpEvent> Next(absl::Time deadline) = 0;
};

// One connection to one QEMU's QMP socket: text in and out, nothing about
// vCPUs or memory; `VmResizer` builds those on top.
//
// Thread-safe: commands of several threads may be under way at once; QEMU
// carries them out one after the other.
// Untrusted peer: QEMU may be taken over by its guest, so replies are bounded
// and parsed defensively. After DataLoss or Unavailable the connection is dead
// and every later call says Unavailable: make a new one.
class QmpClient {
 public:
  virtual ~QmpClient() = default;

  QmpClient(const QmpClient&) = delete;
  QmpClient& operator=(const QmpClient&) = delete;

  // Sends one command and returns the JSON text of its "return" member.
  // `arguments_json` is a JSON object; empty means no arguments.
  //
  // OK means that QEMU accepted the command, not that the guest acted on it:
  // before a `device_del`, Subscribe() to DEVICE_DELETED.
  //
  // Errors:
  //   InvalidArgument   QEMU rejected the command (the message quotes QEMU),
  //                     or the arguments are no JSON object.
  //   NotFound          QEMU knows no such device.
  //   Unimplemented     QEMU knows no such command.
  //   DeadlineExceeded  no reply in time; the command may still take effect.
  //   Unavailable       the connection is gone, usually because QEMU exited.
  //   DataLoss          the reply was not valid QMP.
  virtual absl::StatusOr<std::string> Execute(absl::string_view command,
                                              absl::string_view arguments_json,
                                              absl::Time deadline) = 0;

  // The same, with a descriptor for `getfd`, `add-fd` and the like. `fd` stays
  // the caller's.
  virtual absl::StatusOr<std::string> ExecuteWithFd(
      absl::string_view command, absl::string_view arguments_json, int fd,
      absl::Time deadline) = 0;

  // Subscribe before the command whose event is wanted: then none is missed.
  virtual std::unique_ptr<QmpSubscription> Subscribe(
      std::vector<std::string> event_names) = 0;

 protected:
  QmpClient() = default;
};

}  // namespace podvisor

#endif  // PODVISOR_HOTPLUG_QMP_CLIENT_H_
