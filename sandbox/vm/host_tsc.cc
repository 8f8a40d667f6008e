#include "sandbox/vm/host_tsc.h"

#include <time.h>
#ifdef __x86_64__
#include <x86intrin.h>
#endif

#include <array>
#include <utility>

#include "absl/algorithm/container.h"
#include "absl/strings/ascii.h"
#include "absl/strings/string_view.h"
#include "base/file.h"

namespace podvisor {
namespace {

constexpr uint64_t kLeastPrecision = 10'000;
// The best of so many looks is taken: most of them were not interrupted.
constexpr int kLooks = 16;

// All of them read the time stamp counter, and only one that is steady and the
// same on all CPUs.
constexpr std::array<absl::string_view, 3> kClocksByTsc = {
    "tsc", "kvm-clock", "hyperv_clocksource_tsc_page"};

uint64_t ReadTsc() {
#ifdef __x86_64__
  return __rdtsc();
#else
  return 0;  // TscKhz() takes it for a counter that stands still.
#endif
}

TscLook LookOnce() {
  TscLook look;
  timespec time = {};
  look.ticks = ReadTsc();
  clock_gettime(CLOCK_MONOTONIC_RAW, &time);
  look.apart = ReadTsc() - look.ticks;
  look.ticks += look.apart / 2;
  look.nanos = int64_t{time.tv_sec} * 1'000'000'000 + time.tv_nsec;
  return look;
}

TscLook Look() {
  TscLook best = LookOnce();
  for (int i = 1; i < kLooks; ++i) {
    const TscLook look = LookOnce();
    if (look.apart < best.apart) best = look;
  }
  return best;
}

}  // namespace

int64_t TscKhz(const TscLook& begin, const TscLook& end) {
  const int64_t nanos = end.nanos - begin.nanos;
  if (nanos <= 0 || end.ticks <= begin.ticks) return 0;
  const uint64_t ticks = end.ticks - begin.ticks;
  if (ticks / kLeastPrecision < begin.apart + end.apart) return 0;
  return static_cast<int64_t>(
      static_cast<double>(ticks) * 1e6 / static_cast<double>(nanos) + 0.5);
}

HostTsc::HostTsc(std::string sys) : sys_(std::move(sys)), begin_(Look()) {}

int64_t HostTsc::Khz() const {
  const auto clock = ReadFile(
      sys_ + "/devices/system/clocksource/clocksource0/current_clocksource",
      256);
  const bool by_tsc =
      clock.ok() &&
      absl::c_linear_search(kClocksByTsc, absl::StripAsciiWhitespace(*clock));
  return by_tsc ? TscKhz(begin_, Look()) : 0;
}

}  // namespace podvisor
