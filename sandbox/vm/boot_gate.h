#ifndef PODVISOR_SANDBOX_VM_BOOT_GATE_H_
#define PODVISOR_SANDBOX_VM_BOOT_GATE_H_

#include <cstdint>
#include <list>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"

namespace podvisor {

// Lets so many VMs boot at once and queues the others, first come first
// served: under TCG more boots than CPUs only make all of them late, and some
// guests panic when their timer is. Thread-safe.
class BootGate {
 public:
  // The right to boot; ends with the object. The gate outlives it.
  class Pass {
   public:
    Pass(Pass&& other) noexcept : gate_(std::exchange(other.gate_, nullptr)) {}
    Pass& operator=(Pass&&) = delete;
    ~Pass() {
      if (gate_ != nullptr) gate_->Leave();
    }

   private:
    friend class BootGate;
    explicit Pass(BootGate* gate) : gate_(gate) {}
    BootGate* gate_;
  };

  // At least one may boot.
  explicit BootGate(int max_parallel);

  // Waits for its turn. DeadlineExceeded: it did not come.
  absl::StatusOr<Pass> Enter(absl::Time deadline);

  int waiting() const;

 private:
  void Leave() ABSL_LOCKS_EXCLUDED(mutex_);

  const int max_parallel_;
  mutable absl::Mutex mutex_;
  int booting_ ABSL_GUARDED_BY(mutex_) = 0;
  uint64_t next_ ABSL_GUARDED_BY(mutex_) = 0;
  std::list<uint64_t> queue_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace podvisor

#endif  // PODVISOR_SANDBOX_VM_BOOT_GATE_H_
