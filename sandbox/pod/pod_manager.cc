#include "sandbox/pod/pod_manager.h"

#include <thread>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "base/clean_text.h"
#include "base/log.h"
#include "base/status_macros.h"
#include "sandbox/pod/container_lifecycle.h"
#include "sandbox/record/vm_record_json.h"
#include "sandbox/vm/qemu_jail.h"

namespace podvisor {
namespace {

// How long the processes of one pod without a record may take to end.
constexpr absl::Duration kSweepTime = absl::Seconds(10);

// The one entry whose id begins with `prefix`; the map's order makes all
// candidates neighbours. A whole id wins over prefixes of others.
template <typename Map>
absl::StatusOr<typename Map::const_iterator> FindUnique(
    const Map& map, absl::string_view kind, absl::string_view prefix) {
  using Id = typename Map::key_type;
  const auto first = map.lower_bound(Id(std::string(prefix)));
  if (prefix.empty() || first == map.end() ||
      !absl::StartsWith(first->first.value(), prefix)) {
    return absl::NotFoundError(absl::StrCat("no ", kind, " has the id \"",
                                            CleanText(prefix, 80), "\""));
  }
  const auto second = std::next(first);
  if (second != map.end() && absl::StartsWith(second->first.value(), prefix) &&
      first->first.value() != prefix) {
    return absl::InvalidArgumentError(
        absl::StrCat("the ids of several ", kind, "s begin with \"",
                     CleanText(prefix, 80), "\""));
  }
  return first;
}

}  // namespace

PodManager::PodManager(const PodServices& services) : services_(services) {}

absl::Status PodManager::Recover(absl::Time deadline) {
  ASSIGN_OR_RETURN(LoadedState loaded, services_.store->LoadAll());
  for (const BrokenRow& row : loaded.broken) {
    Log(LogLevel::kError, "a record is damaged and was skipped",
        {{"kind", row.kind}, {"id", row.id}, {"reason", row.reason}});
  }
  services_.vm.metrics->CountBrokenRecords(loaded.broken.size());
  std::vector<std::shared_ptr<Pod>> recovering;
  {
    absl::MutexLock lock(&mutex_);
    for (PodRecord& record : loaded.pods) {
      if (const absl::StatusOr<VmRecord> vm = DecodeVmRecord(record.vm_json);
          vm.ok()) {
        uids_[record.id] = vm->uid;
      }
      names_[record.spec.metadata] = record.id;
      const PodId id = record.id;
      pods_[id] = std::make_shared<Pod>(services_, std::move(record));
      recovering.push_back(pods_[id]);
    }
    for (ContainerRecord& record : loaded.containers) {
      const std::shared_ptr<Pod>& pod = pods_[record.pod_id];
      containers_[record.id] = pod;
      const std::string log_path = pod->output().LogPathOf(record.spec);
      const absl::Status added =
          pod->containers().Add(std::make_shared<Container>(
              services_.store, std::move(record), log_path));
      if (!added.ok()) Log(LogLevel::kError, added.message());
    }
  }
  // Side by side: a VM that does not answer must not delay the others.
  std::vector<std::thread> threads;
  std::vector<char> kept(recovering.size());
  for (size_t i = 0; i < recovering.size(); ++i) {
    threads.emplace_back([pod = recovering[i], deadline, &keep = kept[i]] {
      keep = pod->Recover(deadline);
    });
  }
  for (std::thread& thread : threads) thread.join();

  for (size_t i = 0; i < recovering.size(); ++i) {
    if (kept[i]) {
      recovering[i]->news().Begin();
    } else {
      Forget(*recovering[i]);
    }
  }
  {
    absl::MutexLock lock(&mutex_);
    std::erase_if(containers_, [](const auto& entry) {
      return entry.second->containers().Find(entry.first) == nullptr;
    });
  }
  SweepUnknown();
  return absl::OkStatus();
}

void PodManager::SweepUnknown() {
  // A known pod's belongings are its own business, also while it stops.
  std::set<PodId> known;
  for (const auto& pod : ListPods()) known.insert(pod->id());
  const PodVmServices& vm = services_.vm;
  absl::Status swept = SweepPodDirectories(
      vm.settings->run_dir, known, [&](const PodId& id) -> absl::Status {
        const absl::Time deadline = vm.clock->Now() + kSweepTime;
        RETURN_IF_ERROR(vm.launcher->Sweep(id, deadline));
        return vm.cgroups->RemoveStray(id, deadline);
      });
  swept.Update(vm.network->Sweep(known, vm.clock->Now() + kSweepTime));
  swept.Update(vm.scratch_disks->Sweep(known).status());
  if (swept.ok()) return;
  Log(LogLevel::kError, "what is left of pods without a record stays for now",
      {{"error", swept.message()}});
}

absl::StatusOr<std::shared_ptr<Pod>> PodManager::Reserve(
    const PodRecord& record, absl::Time deadline) {
  absl::MutexLock lock(&mutex_);
  // A pod whose boot failed for another call gives its name free: this call
  // then tries by itself, and has its own answer.
  for (auto taken = names_.find(record.spec.metadata); taken != names_.end();
       taken = names_.find(record.spec.metadata)) {
    const std::shared_ptr<Pod> pod = pods_.at(taken->second);
    if (pod->spec() != record.spec) {
      return absl::AlreadyExistsError(absl::StrCat(
          "a pod of this name, namespace, uid and attempt is there already, "
          "with another configuration: ",
          pod->id().value()));
    }
    if (booting_.count(pod->id()) == 0) {
      if (pod->state() == SandboxState::kReady) return pod;
      return absl::AlreadyExistsError(absl::StrCat(
          "a pod of this name, namespace, uid and attempt is there already and "
          "not ready: ",
          pod->id().value()));
    }
    const auto booted = [this, id = pod->id()]() {
      mutex_.AssertReaderHeld();
      return booting_.count(id) == 0;
    };
    if (!mutex_.AwaitWithDeadline(absl::Condition(&booted), deadline)) {
      return absl::DeadlineExceededError("the pod is still being created");
    }
  }
  const auto pod = std::make_shared<Pod>(services_, record);
  pods_[pod->id()] = pod;
  names_[record.spec.metadata] = pod->id();
  booting_.insert(pod->id());
  return pod;
}

uid_t PodManager::ReserveUid(const PodId& id) {
  std::set<uid_t> used;
  for (const auto& [other, uid] : uids_) used.insert(uid);
  return uids_[id] = LowestFreeUid(used);
}

void PodManager::Forget(Pod& pod) {
  const absl::Status forgotten = pod.Forget();
  if (!forgotten.ok()) {
    Log(LogLevel::kError, "the record of a failed pod stays",
        {{"sandbox_id", pod.id().value()}, {"error", forgotten.message()}});
  }
  Release(pod);
}

void PodManager::Release(const Pod& pod) {
  absl::MutexLock lock(&mutex_);
  pods_.erase(pod.id());
  const auto name = names_.find(pod.spec().metadata);
  if (name != names_.end() && name->second == pod.id()) names_.erase(name);
  uids_.erase(pod.id());
  std::erase_if(containers_, [&](const auto& entry) {
    return entry.second->id() == pod.id();
  });
}

absl::Status PodManager::BootReserved(Pod& pod, const PodRecord& record,
                                      absl::Time deadline) {
  // Before anything of the pod is on this host.
  const absl::Status recorded = services_.store->PutPod(record);
  if (!recorded.ok()) {
    Release(pod);
    return recorded;
  }
  uid_t uid = 0;
  {
    absl::MutexLock lock(&mutex_);
    uid = ReserveUid(pod.id());
  }
  const absl::Status booted = pod.Boot(uid, deadline);
  // One that could not be cleared away keeps its record and its uid.
  if (!booted.ok() && pod.state() == SandboxState::kStopped) Forget(pod);
  return booted;
}

absl::StatusOr<PodId> PodManager::RunPod(const PodSpec& spec,
                                         absl::Time deadline) {
  PodRecord record;
  record.id = PodId(RandomHexId());
  record.spec = spec;
  record.created_at = services_.vm.clock->Now();
  ASSIGN_OR_RETURN(const std::shared_ptr<Pod> pod, Reserve(record, deadline));
  if (pod->id() != record.id) return pod->id();  // joined another call
  const absl::Status booted = BootReserved(*pod, record, deadline);
  {
    absl::MutexLock lock(&mutex_);
    booting_.erase(pod->id());
  }
  RETURN_IF_ERROR(booted);
  return pod->id();
}

absl::StatusOr<std::shared_ptr<Pod>> PodManager::FindPod(
    absl::string_view prefix) const {
  absl::MutexLock lock(&mutex_);
  ASSIGN_OR_RETURN(const auto found, FindUnique(pods_, "pod", prefix));
  if (booting_.count(found->first) != 0) {
    return absl::NotFoundError("the pod is still being created");
  }
  return found->second;
}

absl::StatusOr<FoundContainer> PodManager::FindContainer(
    absl::string_view prefix) const {
  absl::MutexLock lock(&mutex_);
  ASSIGN_OR_RETURN(const auto found,
                   FindUnique(containers_, "container", prefix));
  std::shared_ptr<Container> container =
      found->second->containers().Find(found->first);
  if (container == nullptr) {
    return absl::NotFoundError("the container has just been removed");
  }
  return FoundContainer{found->second, std::move(container)};
}

std::vector<std::shared_ptr<Pod>> PodManager::ListPods() const {
  absl::MutexLock lock(&mutex_);
  std::vector<std::shared_ptr<Pod>> all;
  for (const auto& [id, pod] : pods_) {
    if (booting_.count(id) == 0) all.push_back(pod);
  }
  return all;
}

std::vector<std::shared_ptr<Container>> PodManager::ListContainers() const {
  std::vector<std::shared_ptr<Container>> all;
  for (const std::shared_ptr<Pod>& pod : ListPods()) {
    for (std::shared_ptr<Container>& container : pod->containers().All()) {
      if (container->phase() != ContainerPhase::kCreating) {
        all.push_back(std::move(container));
      }
    }
  }
  return all;
}

absl::Status PodManager::RemovePod(const std::shared_ptr<Pod>& pod,
                                   absl::Time deadline) {
  RETURN_IF_ERROR(pod->Stop(deadline));
  RETURN_IF_ERROR(pod->Forget());
  Release(*pod);
  pod->news().Tell(/*removed=*/true);
  return absl::OkStatus();
}

absl::StatusOr<ContainerId> PodManager::CreateContainer(
    const std::shared_ptr<Pod>& pod, const ContainerSpec& spec,
    absl::Time deadline) {
  ASSIGN_OR_RETURN(const std::shared_ptr<Container> container,
                   podvisor::CreateContainer(*pod, spec, deadline));
  {
    absl::MutexLock lock(&mutex_);
    if (!pods_.contains(pod->id())) {
      return absl::NotFoundError(
          "the pod was removed while the container was created");
    }
    containers_[container->id()] = pod;
  }
  pod->news().Tell();
  return container->id();
}

absl::Status PodManager::RemoveContainer(const FoundContainer& found,
                                         absl::Time deadline) {
  RETURN_IF_ERROR(
      podvisor::RemoveContainer(*found.pod, *found.container, deadline));
  {
    absl::MutexLock lock(&mutex_);
    containers_.erase(found.container->id());
  }
  found.pod->news().Tell();
  return absl::OkStatus();
}

}  // namespace podvisor
