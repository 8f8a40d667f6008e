// How a pod's usage is asked for, of the guest and of the host, and shown.

#include <memory>

#include "base/status_macros.h"
#include "hotplug/qemu_inventory.h"
#include "sandbox/pod.h"
#include "sandbox/pod_sample.h"
#include "sandbox/shown_sizes.h"

namespace podvisor {
namespace {

constexpr absl::Duration kSampleTimeout = absl::Seconds(2);

// By itself, if no operation is under way: the guest follows late.
bool SizeHasChanged(const VmSizes& before, const VmSizes& after) {
  return before.plugged_vcpus != after.plugged_vcpus ||
         before.online_vcpus != after.online_vcpus ||
         before.plugged_memory_bytes != after.plugged_memory_bytes ||
         before.online_memory_bytes != after.online_memory_bytes;
}

}  // namespace

void Pod::SampleIfOlderThan(absl::Duration age) {
  {
    absl::MutexLock lock(&mutex_);
    const absl::Time now = services_.vm.clock->Now();
    if (!guest_.CheckReady().ok() ||
        (sample_.sampled_at.has_value() && now - *sample_.sampled_at < age) ||
        !sample_turn_.Begin(now)) {
      return;
    }
  }
  timers_.After(absl::ZeroDuration(), [this] { TakeSample(); });
}

void Pod::TakeSample() {
  const absl::Status sampled =
      Sample(services_.vm.clock->Now() + kSampleTimeout);
  bool again = false;
  {
    absl::MutexLock lock(&mutex_);
    again = sample_turn_.End(sampled.ok(), services_.vm.clock->Now());
  }
  if (again) SampleIfOlderThan(absl::ZeroDuration());
}

absl::Status Pod::Sample(absl::Time deadline) {
  ASSIGN_OR_RETURN(GuestAgent* const agent, guest_.ReadyAgent());
  ASSIGN_OR_RETURN(const agent::v1::GetStatsResponse stats,
                   agent->Stats(deadline));
  for (const agent::v1::ContainerStats& one : stats.containers()) {
    if (const auto container =
            containers_.Find(ContainerId(one.container_id()))) {
      container->SetUsage(UsageOf(one));
    }
  }
  const PodUsage usage = PodUsageOf(stats, services_.vm.clock->Now());
  const auto disks = QueryDiskBytes(guest_.vm()->vm().qmp(), deadline);
  guest_.vm()->vm().TrimConsole();
  VmSnapshot sample;
  {
    absl::MutexLock lock(&mutex_);
    sample = sample_;
    if (disks.ok()) {
      disk_traffic_.Observe(*disks);
      sample.block_read_bytes = disk_traffic_.total().read;
      sample.block_written_bytes = disk_traffic_.total().written;
    }
  }
  AddGuestPressure(stats, &sample);
  // Walks through QEMU's page tables: no reader of the pod waits for that.
  AddHostUsage(guest_.vm()->record(), &sample);
  {
    absl::MutexLock lock(&mutex_);
    sample_ = sample;
    sample_.sampled_at = services_.vm.clock->Now();
    usage_ = usage;
  }
  // Beside whatever operation there is: a guest may be slow to follow one. A
  // size that cannot be had now is told with the time of the last one.
  const VmSizes before = guest_.vm()->sizer().sizes();
  (void)guest_.vm()->sizer().Observe(deadline);
  if (SizeHasChanged(before, guest_.vm()->sizer().sizes())) {
    settle_.After(services_.vm.settings->shrink_delay);
  }
  PublishMetrics();
  return absl::OkStatus();
}

void Pod::PublishMetrics() {
  // Up to the end: a pod that ends meanwhile is not to come back.
  absl::MutexLock lock(&mutex_);
  if (withdrawn_ || state() != SandboxState::kReady) return;
  VmSnapshot snapshot = sample_;
  snapshot.id = id();
  snapshot.name_space = spec().metadata.name_space;
  snapshot.pod = spec().metadata.name;
  snapshot.uid = spec().metadata.uid;
  snapshot.accelerator =
      guest_.vm()->record().accelerator == Accelerator::kKvm ? "kvm" : "tcg";
  const agent::v1::HelloResponse hello = guest_.hello();
  snapshot.kernel_release = hello.kernel_release();
  snapshot.agent_version = hello.agent_version();
  AddSizes(ShownSizes(stored_, wanted_, *guest_.vm()), &snapshot);
  // As old as the sizes beside it: more than the VM has would look wrong.
  if (const VmState seen = guest_.vm()->sizer().observed();
      seen.guest_available_bytes > 0) {
    snapshot.guest_memory_available_bytes = seen.guest_available_bytes;
  }
  AddAccount(accounting_.account(), &snapshot);
  services_.vm.metrics->SetVm(snapshot);
}

void Pod::WithdrawMetrics() {
  absl::MutexLock lock(&mutex_);
  withdrawn_ = true;
  services_.vm.metrics->RemoveVm(id());
}

void Pod::SampleAfter(absl::Duration delay) {
  timers_.After(delay, [this] {
    if (state() != SandboxState::kReady) return;
    SampleIfOlderThan(absl::ZeroDuration());
    SampleAfter(services_.vm.settings->sample_interval);
  });
}

}  // namespace podvisor
