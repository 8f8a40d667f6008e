#ifndef PODVISOR_SANDBOX_VM_HOST_TSC_H_
#define PODVISOR_SANDBOX_VM_HOST_TSC_H_

#include <cstdint>
#include <string>

namespace podvisor {

// The host's time stamp counter beside its clock.
struct TscLook {
  uint64_t ticks = 0;
  int64_t nanos = 0;   // of CLOCK_MONOTONIC_RAW
  uint64_t apart = 0;  // ticks that passed while both were read
};

// How many ticks a millisecond has. 0: too little passed between the two for
// an error below 100 ppm. Pure.
int64_t TscKhz(const TscLook& begin, const TscLook& end);

// How fast the host's time stamp counter runs. TCG gives it to its guests as it
// is (cpu_get_host_ticks), and a guest that measures it while the host is busy
// may be wrong for good.
class HostTsc {
 public:
  // The first look. `sys` is where sysfs is mounted.
  explicit HostTsc(std::string sys = "/sys");

  // In kHz, from what has passed since the first look: 10 ms are enough. 0
  // unless it is certain, which it is where the host's kernel keeps its own
  // time by the counter.
  int64_t Khz() const;

 private:
  const std::string sys_;
  const TscLook begin_;
};

}  // namespace podvisor

#endif  // PODVISOR_SANDBOX_VM_HOST_TSC_H_
