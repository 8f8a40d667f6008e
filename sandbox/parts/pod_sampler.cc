#include "sandbox/parts/pod_sampler.h"

#include "base/status_macros.h"
#include "hotplug/qemu_inventory.h"
#include "sandbox/parts/pod_sample.h"
#include "sandbox/parts/shown_sizes.h"

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

void PodSampler::Begin(absl::Duration delay) {
  parts_.timers->After(delay, [this] {
    if (parts_.pod->state() != SandboxState::kReady) return;
    SampleIfOlderThan(absl::ZeroDuration());
    Begin(parts_.settings->sample_interval);
  });
}

void PodSampler::SampleIfOlderThan(absl::Duration age) {
  if (!parts_.guest->CheckReady().ok()) return;
  {
    absl::MutexLock lock(&mutex_);
    const absl::Duration now = parts_.clock->Elapsed();
    if (now - sampled_ < age || !turn_.Begin(now)) return;
  }
  parts_.timers->After(absl::ZeroDuration(), [this] { TakeSample(); });
}

void PodSampler::TakeSample() {
  const absl::Status sampled = Sample(parts_.clock->Now() + kSampleTimeout);
  bool again = false;
  {
    absl::MutexLock lock(&mutex_);
    again = turn_.End(sampled.ok(), parts_.clock->Elapsed());
  }
  if (again) SampleIfOlderThan(absl::ZeroDuration());
}

absl::Status PodSampler::Sample(absl::Time deadline) {
  if (!sampling_.LockUntil(deadline)) return sampling_.Busy();
  const OperationHolder sampling(&sampling_);
  ASSIGN_OR_RETURN(GuestAgent* const agent, parts_.guest->ReadyAgent());
  ASSIGN_OR_RETURN(const agent::v1::GetStatsResponse stats,
                   agent->Stats(deadline));
  for (const agent::v1::ContainerStats& one : stats.containers()) {
    if (const auto container =
            parts_.containers->Find(ContainerId(one.container_id()))) {
      container->SetUsage(UsageOf(one));
    }
  }
  const PodUsage usage = PodUsageOf(stats, parts_.clock->Now());
  PodVm& vm = *parts_.guest->vm();
  const auto disks = QueryDiskBytes(vm.vm().qmp(), deadline);
  vm.vm().TrimConsole();
  VmSnapshot sample;
  {
    absl::MutexLock lock(&mutex_);
    sample = sample_;
  }
  if (disks.ok()) {
    disk_traffic_.Observe(*disks);
    sample.block_read_bytes = disk_traffic_.total().read;
    sample.block_written_bytes = disk_traffic_.total().written;
  }
  AddGuestPressure(stats, &sample);
  AddNetworkTraffic(usage, &sample);
  // Walks through QEMU's page tables: no reader of the pod waits for that.
  AddHostUsage(vm.record(), &cpu_time_, &sample);
  {
    absl::MutexLock lock(&mutex_);
    sample_ = sample;
    sample_.sampled_at = parts_.clock->Now();
    sampled_ = parts_.clock->Elapsed();
    usage_ = usage;
  }
  // Beside whatever operation there is: a guest may be slow to follow one. A
  // size that cannot be had now is told with the time of the last one.
  const VmSizes before = vm.sizer().sizes();
  (void)vm.sizer().Observe(deadline);
  if (SizeHasChanged(before, vm.sizer().sizes())) {
    parts_.settle->After(parts_.settings->shrink_delay);
  }
  Publish();
  return absl::OkStatus();
}

PodUsage PodSampler::usage() const {
  absl::MutexLock lock(&mutex_);
  return usage_;
}

void PodSampler::Publish() {
  absl::MutexLock row(&row_mutex_);
  if (withdrawn_ || parts_.pod->state() != SandboxState::kReady) return;
  VmSnapshot snapshot;
  {
    absl::MutexLock lock(&mutex_);
    snapshot = sample_;
  }
  PodVm& vm = *parts_.guest->vm();
  const PodMetadata& metadata = parts_.pod->spec().metadata;
  const agent::v1::HelloResponse hello = parts_.guest->hello();
  snapshot.id = parts_.pod->id();
  snapshot.name_space = metadata.name_space;
  snapshot.pod = metadata.name;
  snapshot.uid = metadata.uid;
  snapshot.accelerator =
      vm.record().accelerator == Accelerator::kKvm ? "kvm" : "tcg";
  snapshot.kernel_release = hello.kernel_release();
  snapshot.agent_version = hello.agent_version();
  AddSizes(ShownSizes(*parts_.pod, *parts_.wanted, vm), &snapshot);
  // As old as the sizes beside it: more than the VM has would look wrong.
  if (const VmState seen = vm.sizer().observed();
      seen.guest_available_bytes > 0) {
    snapshot.guest_memory_available_bytes = seen.guest_available_bytes;
  }
  AddAccount(parts_.accounting->account(), &snapshot);
  parts_.metrics->SetVm(snapshot);
}

void PodSampler::Withdraw() {
  absl::MutexLock row(&row_mutex_);
  withdrawn_ = true;
  parts_.metrics->RemoveVm(parts_.pod->id());
}

}  // namespace podvisor
