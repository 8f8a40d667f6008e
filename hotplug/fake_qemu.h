#ifndef PODVISOR_HOTPLUG_FAKE_QEMU_H_
#define PODVISOR_HOTPLUG_FAKE_QEMU_H_

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/synchronization/mutex.h"
#include "base/clock.h"
#include "guestagent/client/fake_guest_agent.h"
#include "hotplug/qemu_version.h"
#include "hotplug/qmp_client.h"
#include "hotplug/qmp_event_queue.h"
#include "nlohmann/json.hpp"

namespace podvisor {

// Misbehaviour that real QEMUs and guests show. (The guest's own faults are in
// GuestFaults.)
struct QemuFaults {
  bool guest_ignores_unplug = false;  // device_del accepted, device stays
  bool guest_refuses_unplug = false;  // ... and the guest says so
  bool device_add_refused = false;
  bool events_lost = false;
  // QEMU before 10.2 under TCG: the next plug after the removal of a vCPU.
  bool dies_at_plug_after_vcpu_removal = false;
  // The memory device shows its new size only when it was looked at this often.
  int looks_until_size_changes = 0;
  // Connections break, and QEMU exits, at the command after this many; -1:
  // never. Other connections can be made after the first, not after the second.
  int commands_until_connection_lost = -1;
  int commands_until_death = -1;
  // Whether the command at which either happens was still carried out.
  bool last_command_takes_effect = false;
};

struct FakeQemuOptions {
  int boot_vcpus = 1;
  int max_vcpus = 8;
  QemuVersion version = {7, 2, 22};
  QemuFaults faults;
};

// A QEMU without QEMU: the side of it that hot plug needs (vCPUs, virtio-mem,
// DIMMs, disks, NICs, memory backends, descriptors), with the answers and the
// oddities of QEMU 7.2. Plays the hardware of a FakeGuestAgent.
//
// Thread-safe. Never sleeps: a wait for an event that is not there moves the
// clock to its deadline and fails.
class FakeQemu {
 public:
  // Borrows both, which outlive it. Without a guest every device_del is obeyed.
  FakeQemu(FakeQemuOptions options, FakeGuestAgent* guest, FakeClock* clock);
  ~FakeQemu();

  FakeQemu(const FakeQemu&) = delete;
  FakeQemu& operator=(const FakeQemu&) = delete;

  // A new connection; may not outlive this object. On a dead QEMU every call
  // of it is Unavailable.
  std::unique_ptr<QmpClient> Connect();

  void SetFaults(const QemuFaults& faults) ABSL_LOCKS_EXCLUDED(mutex_);
  // Called, with a lock held, when a fault breaks the connections: for what
  // else is lost with a daemon that dies there.
  void OnConnectionLost(std::function<void()> lost) ABSL_LOCKS_EXCLUDED(mutex_);
  // As a crash or SIGKILL: all connections break.
  void Die() ABSL_LOCKS_EXCLUDED(mutex_);
  // The guest goes on with what was last asked of its memory.
  void GuestTriesAgain() ABSL_LOCKS_EXCLUDED(mutex_);
  // An event out of the blue.
  void Emit(absl::string_view event, const nlohmann::json& data)
      ABSL_LOCKS_EXCLUDED(mutex_);

  // --- What it has, also when it is dead.

  bool alive() const ABSL_LOCKS_EXCLUDED(mutex_);
  int vcpus() const ABSL_LOCKS_EXCLUDED(mutex_);
  int64_t memory_requested_bytes() const ABSL_LOCKS_EXCLUDED(mutex_);
  int64_t memory_plugged_bytes() const ABSL_LOCKS_EXCLUDED(mutex_);
  std::set<std::string> devices() const ABSL_LOCKS_EXCLUDED(mutex_);
  std::set<std::string> memory_backends() const ABSL_LOCKS_EXCLUDED(mutex_);
  std::set<std::string> block_nodes() const ABSL_LOCKS_EXCLUDED(mutex_);
  std::set<int64_t> fd_sets() const ABSL_LOCKS_EXCLUDED(mutex_);
  // Every command so far: "device_add {"driver":...}".
  std::vector<std::string> commands() const ABSL_LOCKS_EXCLUDED(mutex_);

 private:
  class Client;
  struct Connection;
  using Json = nlohmann::json;
  using Handler = absl::StatusOr<Json> (FakeQemu::*)(const Json&);
  static const std::map<std::string, Handler>& Handlers();

  absl::StatusOr<std::string> Execute(Connection& connection,
                                      absl::string_view command,
                                      absl::string_view arguments_json, int fd)
      ABSL_LOCKS_EXCLUDED(mutex_);
  // Counts the command; the fault that it runs into, if any.
  absl::Status TakeFault() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void BreakConnections() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void Send(absl::string_view event, const Json& data)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  absl::StatusOr<Json> Dispatch(const std::string& command, const Json& in)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  absl::StatusOr<Json> Nothing(const Json& in);
  absl::StatusOr<Json> QueryVersion(const Json& in);
  absl::StatusOr<Json> QueryStatus(const Json& in)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  absl::StatusOr<Json> Stop(const Json& in)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  absl::StatusOr<Json> Cont(const Json& in)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  absl::StatusOr<Json> Quit(const Json& in)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  absl::StatusOr<Json> QueryCpus(const Json& in)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  absl::StatusOr<Json> QueryHotpluggableCpus(const Json& in)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  absl::StatusOr<Json> QueryMemoryDevices(const Json& in)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  absl::StatusOr<Json> QueryMemdev(const Json& in)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  absl::StatusOr<Json> ObjectAdd(const Json& in)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  absl::StatusOr<Json> ObjectDel(const Json& in)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  absl::StatusOr<Json> DeviceAdd(const Json& in)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  absl::StatusOr<Json> DeviceDel(const Json& in)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  absl::StatusOr<Json> QomGet(const Json& in)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  absl::StatusOr<Json> QomSet(const Json& in)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  absl::StatusOr<Json> QomList(const Json& in)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  absl::StatusOr<Json> BackendAdd(const Json& in)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  absl::StatusOr<Json> BackendDel(const Json& in)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  absl::StatusOr<Json> AddFd(const Json& in)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  absl::StatusOr<Json> RemoveFd(const Json& in)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  absl::StatusOr<Json> QueryFdsets(const Json& in)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  absl::StatusOr<Json> GetFd(const Json& in)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  absl::Status PlugVcpu(const Json& in) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void ResizeMemory(int64_t requested) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // Returns how much the guest keeps of what is no longer there.
  int64_t ShowDimmsToGuest() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void ShowCpusToGuest() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // The id of the device that uses `backend`, or empty.
  std::string UserOf(absl::string_view backend) const
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  int CountVcpus() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  const FakeQemuOptions options_;
  FakeGuestAgent* const guest_;
  FakeClock* const clock_;
  const int64_t guest_boot_memory_;

  mutable absl::Mutex mutex_;
  std::function<void()> lost_ ABSL_GUARDED_BY(mutex_);
  QemuFaults faults_ ABSL_GUARDED_BY(mutex_);
  bool alive_ ABSL_GUARDED_BY(mutex_) = true;
  bool running_ ABSL_GUARDED_BY(mutex_) = true;
  std::vector<std::string> commands_ ABSL_GUARDED_BY(mutex_);
  std::vector<std::weak_ptr<Connection>> connections_ ABSL_GUARDED_BY(mutex_);

  std::map<std::string, Json> devices_ ABSL_GUARDED_BY(mutex_);
  std::map<std::string, Json> objects_ ABSL_GUARDED_BY(mutex_);
  // Block nodes, NIC and character backends, by node-name or id.
  std::map<std::string, Json> backends_ ABSL_GUARDED_BY(mutex_);
  std::map<int64_t, std::string> fd_sets_ ABSL_GUARDED_BY(mutex_);
  // By socket: the device there, or "" for a boot vCPU.
  std::map<int, std::string> sockets_ ABSL_GUARDED_BY(mutex_);
  int64_t memory_requested_ ABSL_GUARDED_BY(mutex_) = 0;
  int64_t memory_plugged_ ABSL_GUARDED_BY(mutex_) = 0;
  int64_t memory_shown_ ABSL_GUARDED_BY(mutex_) = 0;
  int looks_left_ ABSL_GUARDED_BY(mutex_) = 0;
  bool vcpu_was_removed_ ABSL_GUARDED_BY(mutex_) = false;
  bool fd_came_ ABSL_GUARDED_BY(mutex_) = false;
};

}  // namespace podvisor

#endif  // PODVISOR_HOTPLUG_FAKE_QEMU_H_
