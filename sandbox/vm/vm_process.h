#ifndef PODVISOR_SANDBOX_VM_VM_PROCESS_H_
#define PODVISOR_SANDBOX_VM_VM_PROCESS_H_

#include <sys/types.h>

#include <functional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "base/cpu_list.h"

namespace podvisor {

struct VmExit {
  std::string reason;  // one line: what is known of the end of QEMU
};

// The process of one VM: its life and its threads. What of a VM no QMP client
// can do or tell, and so what has to be faked of it.
//
// The destructor only lets go; the process runs on, so that a daemon may end
// without its pods. Thread-safe. Nothing but AwaitExit() and Kill() waits.
class VmProcess {
 public:
  virtual ~VmProcess() = default;
  VmProcess(const VmProcess&) = delete;
  VmProcess& operator=(const VmProcess&) = delete;

  // Calls `on_exit` once, from another thread and with no lock held, when QEMU
  // is gone; at once if it is gone already. Replaces an earlier callback. After
  // the destructor has returned it is not called any more.
  virtual void WatchExit(std::function<void(const VmExit&)> on_exit) = 0;
  virtual bool Exited() const = 0;

  // For a guest that was asked to power off. DeadlineExceeded: it did not.
  virtual absl::Status AwaitExit(absl::Time deadline) = 0;
  // Ends QEMU with SIGKILL and reaps it. OK when it is gone already.
  virtual absl::Status Kill(absl::Time deadline) = 0;

  // Keeps each of these threads, of which QEMU says that they are its own, to
  // its CPUs of the host; see KeepThreadTo() in vcpu_affinity.h. After an error
  // some may have them and others not: call again.
  virtual absl::Status KeepThreads(const std::vector<pid_t>& threads,
                                   const std::vector<CpuList>& cpus) = 0;

 protected:
  VmProcess() = default;
};

}  // namespace podvisor

#endif  // PODVISOR_SANDBOX_VM_VM_PROCESS_H_
