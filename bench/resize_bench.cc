// P7 and P8 of the goals on one kind of VM, without a daemon: what VmResizer
// adds to the QMP commands that do the same, and what comes back.
//
//   grow     +8 GiB with virtio-mem, until the guest has it
//   shrink   -1 GiB with virtio-mem, of a guest that is idle, that has filled
//            it with page cache, or that uses half of it
//   dimm     -1 GiB as DIMMs, over virtio-mem by QMP on the same bytes
//
// What a shrink gave back is the difference of QEMU's Pss, over the bytes asked
// back. Prints; asserts nothing about time.

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <memory>
#include <string>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/time/clock.h"
#include "bench/paired.h"
#include "hotplug/filler_vm.h"
#include "hotplug/hotplug_vm.h"
#include "hotplug/qemu_inventory.h"
#include "hotplug/vm_resizer.h"

namespace podvisor::bench {
namespace {

constexpr int64_t kMiB = int64_t{1} << 20;
constexpr int64_t kGiB = int64_t{1} << 30;
constexpr int64_t kBoot = HotplugVm::kBootBytes;
constexpr char kMemoryDevice[] = "virtiomem0";

absl::Time Soon() { return absl::Now() + absl::Seconds(120); }

void Check(const absl::Status& status) {
  if (status.ok()) return;
  fprintf(stderr, "%s\n", status.ToString().c_str());
  abort();
}

template <typename T>
T Check(absl::StatusOr<T> result) {
  Check(result.status());
  return *std::move(result);
}

absl::Duration Timed(const std::function<void()>& act) {
  const absl::Time begin = absl::Now();
  act();
  return absl::Now() - begin;
}

void Resize(HotplugVm& vm, const VmLimits& limits, int64_t hotplug_bytes) {
  VmResizer resizer = vm.Resizer(limits);
  Check(Check(resizer.Resize({1, kBoot + hotplug_bytes}, Soon())).missing);
}

// --- The floor: QMP commands, and the same wait for the guest.

void RawAwaitGuest(HotplugVm& vm, int64_t hotplug_bytes, bool at_most) {
  const GuestSize guest = Check(vm.agent().Observe(Soon()));
  const int64_t total = guest.memory_total_at_boot_bytes + hotplug_bytes;
  Check((at_most ? vm.agent().AwaitMemoryAtMost(total, Soon())
                 : vm.agent().AwaitMemoryAtLeast(total, Soon()))
            .status());
}

void RawGrow(HotplugVm& vm, int64_t bytes) {
  Check(vm.qmp()
            .Execute("object-add",
                     absl::StrCat(R"({"qom-type":"memory-backend-memfd",)"
                                  R"("id":"m","share":true,"reserve":false,)"
                                  R"("size":)",
                                  bytes, "}"),
                     Soon())
            .status());
  Check(vm.qmp()
            .Execute("device_add",
                     absl::StrCat(R"({"driver":"virtio-mem-pci","memdev":"m",)"
                                  R"("id":"raw","bus":")",
                                  kHotplugVmBus, R"(","requested-size":)",
                                  bytes, "}"),
                     Soon())
            .status());
  RawAwaitGuest(vm, bytes, /*at_most=*/false);
}

void RawShrink(HotplugVm& vm, int64_t hotplug_bytes) {
  Check(vm.qmp()
            .Execute("qom-set",
                     absl::StrCat(R"({"path":")", kMemoryDevice,
                                  R"(","property":"requested-size","value":)",
                                  hotplug_bytes, "}"),
                     Soon())
            .status());
  RawAwaitGuest(vm, hotplug_bytes, /*at_most=*/true);
  while (
      Check(QueryMemoryDevice(vm.qmp(), kMemoryDevice, Soon()))->plugged_bytes >
      hotplug_bytes) {
  }
}

// --- The cases.

void GrowBench(int pairs) {
  const auto measured = MeasurePairs(
      pairs, 0,
      [] {
        const auto vm = Check(HotplugVm::Start());
        const VmLimits limits = vm->Limits(VcpuUnplug::kPark);
        return Timed([&] { Resize(*vm, limits, 8 * kGiB); });
      },
      [] {
        const auto vm = Check(HotplugVm::Start());
        return Timed([&] { RawGrow(*vm, 8 * kGiB); });
      });
  puts(Summary("P7 grow +8 GiB / QMP", measured).c_str());
  fflush(stdout);
}

struct ShrinkCase {
  const char* name;
  // What stays plugged of 1 GiB.
  int64_t kept_bytes;
  std::function<void(FillerVm&)> use;
};

// Fills, shrinks and frees, and says how much of what was asked came back.
class Shrinker {
 public:
  Shrinker(FillerVm& filler, const VmLimits& limits, const ShrinkCase& shrink)
      : filler_(filler), limits_(limits), shrink_(shrink) {}

  absl::Duration Once(const std::function<void(HotplugVm&, int64_t)>& shrink) {
    HotplugVm& vm = filler_.vm();
    Resize(vm, limits_, kGiB);
    shrink_.use(filler_);
    const int64_t before = Check(filler_.PssBytes());
    const absl::Duration took = Timed([&] { shrink(vm, shrink_.kept_bytes); });
    const int64_t asked = kGiB - shrink_.kept_bytes;
    back_ += before - Check(filler_.SettledPssBytes(before - asked));
    asked_ += asked;
    Check(filler_.FillTmpfs(0));
    Check(filler_.FillCache(0));
    return took;
  }

  // Of the bytes asked back. A guest that had touched less has less to give.
  double PssShare() const {
    return static_cast<double>(back_) / static_cast<double>(asked_);
  }

 private:
  FillerVm& filler_;
  const VmLimits limits_;
  const ShrinkCase& shrink_;
  int64_t back_ = 0;
  int64_t asked_ = 0;
};

void ShrinkBench(const ShrinkCase& shrink, int pairs) {
  const auto filler = Check(FillerVm::Start());
  const VmLimits limits = filler->vm().Limits(VcpuUnplug::kPark);
  Shrinker ours(*filler, limits, shrink);
  Shrinker raw(*filler, limits, shrink);
  int whole = 0;
  const auto measured = MeasurePairs(
      pairs, 0,
      [&] {
        return ours.Once([&](HotplugVm& vm, int64_t kept_bytes) {
          VmResizer resizer = vm.Resizer(limits);
          const ResizeOutcome outcome =
              Check(resizer.Resize({1, kBoot + kept_bytes}, Soon()));
          if (outcome.shortfall_bytes == 0) ++whole;
        });
      },
      [&] { return raw.Once(RawShrink); });
  puts(Summary(absl::StrCat("P8 shrink, ", shrink.name, " / QMP"), measured)
           .c_str());
  absl::PrintF(
      "   given back, ours: all of it in %d of %d; Pss %.2f, QMP %.2f "
      "of the bytes asked\n",
      whole, pairs, ours.PssShare(), raw.PssShare());
  fflush(stdout);
}

void DimmBench(const ShrinkCase& shrink, int pairs) {
  const auto filler = Check(FillerVm::Start());
  const auto floor = Check(FillerVm::Start());
  Shrinker ours(*filler, filler->vm().DimmLimits(/*unplug=*/true), shrink);
  Shrinker raw(*floor, floor->vm().Limits(VcpuUnplug::kPark), shrink);
  const auto measured = MeasurePairs(
      pairs, 0,
      [&] {
        return ours.Once([&](HotplugVm& vm, int64_t kept_bytes) {
          Resize(vm, vm.DimmLimits(/*unplug=*/true), kept_bytes);
        });
      },
      [&] { return raw.Once(RawShrink); });
  puts(Summary(absl::StrCat("P8 DIMMs, ", shrink.name, " / QMP"), measured)
           .c_str());
  absl::PrintF("   given back: Pss %.2f of the bytes asked\n", ours.PssShare());
  fflush(stdout);
}

int Main(int argc, char** argv) {
  const int pairs = argc > 1 ? atoi(argv[1]) : 5;
  const ShrinkCase idle = {"idle", 0, [](FillerVm&) {}};
  const ShrinkCase cache = {"full of page cache", 0, [](FillerVm& filler) {
                              Check(filler.FillCache(kGiB));
                            }};
  const ShrinkCase dirty = {"half in use", kGiB / 2, [](FillerVm& filler) {
                              Check(filler.FillTmpfs(kGiB / 2));
                            }};
  GrowBench(pairs);
  for (const ShrinkCase& shrink : {idle, cache, dirty}) {
    ShrinkBench(shrink, pairs);
  }
  for (const ShrinkCase& shrink : {idle, cache}) DimmBench(shrink, pairs);
  return 0;
}

}  // namespace
}  // namespace podvisor::bench

int main(int argc, char** argv) { return podvisor::bench::Main(argc, argv); }
