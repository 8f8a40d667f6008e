#ifndef PODVISOR_SANDBOX_VM_H_
#define PODVISOR_SANDBOX_VM_H_

#include <cstdint>
#include <functional>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "base/cpu_list.h"
#include "base/unique_fd.h"
#include "guestagent/client/guest_agent.h"
#include "hotplug/qmp_client.h"
#include "sandbox/vm_spec.h"

namespace podvisor {

// A block device. The access mode of `fd` is what QEMU can do, whatever it is
// told later: open images O_RDONLY.
struct DiskAttachment {
  std::string serial;  // IsDiskSerial(); how the guest finds the disk
  int fd = -1;         // borrowed during the call
  bool read_only = true;
};

// A network interface: a tap opened with IFF_VNET_HDR.
struct NicAttachment {
  int tap_fd = -1;  // borrowed during the call
  std::string mac;  // "02:00:00:00:00:01"
  int mtu = 1500;   // the guest's interface gets it by itself
};

// How long the start took, from the start of the QEMU that came up.
struct BootTimings {
  absl::Duration qmp;    // until QEMU's QMP greeting
  absl::Duration hello;  // until the agent answered
  int attempts = 0;      // 1: the first QEMU came up; 0: adopted
};

struct VmExit {
  std::string reason;  // one line: what is known of the end of QEMU
};

// One running VM: its QEMU, the monitor, the agent, the devices plugged in.
//
// The destructor only lets go; the VM runs on, so that a daemon may end without
// its pods. Kill() ends the VM.
//
// Thread-safe. Device calls of one VM are serialized; they, and whatever uses
// qmp() or agent(), never block record(), Exited() or ConsoleTail().
// Errors of all methods with a deadline: DeadlineExceeded, and Unavailable when
// QEMU is gone.
class Vm {
 public:
  virtual ~Vm() = default;
  Vm(const Vm&) = delete;
  Vm& operator=(const Vm&) = delete;

  virtual const VmRecord& record() const = 0;
  virtual BootTimings boot_timings() const = 0;
  virtual QmpClient& qmp() = 0;
  virtual GuestAgent& agent() = 0;

  // Plugs a disk. OK: QEMU has it; the agent finds it by its serial. OK also
  // when a disk with this serial is already there. After an error it is not
  // there, except that after DeadlineExceeded and Unavailable it may be: then
  // attach it again, or detach it. ResourceExhausted: no slot is free.
  virtual absl::Status AttachDisk(const DiskAttachment& disk,
                                  absl::Time deadline) = 0;
  // Returns once the guest has let go and QEMU has closed the file. OK when
  // there is no such disk. DeadlineExceeded: the guest keeps it; call again.
  virtual absl::Status DetachDisk(absl::string_view serial,
                                  absl::Time deadline) = 0;

  // Whether QEMU has the virtio-fs device.
  virtual absl::StatusOr<bool> HasShare(absl::Time deadline) = 0;
  // Plugs the virtio-fs device whose virtiofsd is at the other end of the
  // connected socket. `tag` is 1 to 32 of [a-z0-9-]. At most one per VM;
  // AlreadyExists for a second.
  virtual absl::Status AttachShare(UniqueFd virtiofsd, absl::string_view tag,
                                   absl::Time deadline) = 0;
  // Removes the virtio-fs device; its virtiofsd then ends. OK without one.
  virtual absl::Status DetachShare(absl::Time deadline) = 0;

  // Plugs the pod's network interface. At most one; AlreadyExists.
  virtual absl::Status AttachNic(const NicAttachment& nic,
                                 absl::Time deadline) = 0;

  // Keeps the vCPUs' threads to these CPUs of the host, see vcpu_affinity.h;
  // empty: to none. `online` is how many vCPUs the guest uses. Threads that are
  // plugged later are free. FailedPrecondition: QEMU may not run there.
  virtual absl::Status PinVcpus(const CpuList& host_cpus, int online,
                                absl::Time deadline) = 0;

  // Calls `on_exit` once, from another thread and with no lock held, when QEMU
  // is gone; at once if it is gone already. Replaces an earlier callback. After
  // the destructor has returned it is not called any more.
  virtual void WatchExit(std::function<void(const VmExit&)> on_exit) = 0;
  virtual bool Exited() const = 0;

  // Asks the guest to power off and waits until QEMU is gone. DeadlineExceeded:
  // it is not; Kill() it.
  virtual absl::Status PowerOff(absl::Time deadline) = 0;

  // Ends QEMU with SIGKILL and reaps it. OK when it is gone already.
  virtual absl::Status Kill(absl::Time deadline) = 0;

  // The end of what the guest's kernel and agent have printed, at most 64 KiB,
  // hostile bytes: CleanText() before it goes anywhere. Works after the exit as
  // long as the pod's directory is there.
  virtual absl::StatusOr<std::string> ConsoleTail() const = 0;
  // Keeps the console's end where it has grown so long that it would soon have
  // no room. Cheap; to be called now and then.
  virtual void TrimConsole() = 0;

 protected:
  Vm() = default;
};

}  // namespace podvisor

#endif  // PODVISOR_SANDBOX_VM_H_
