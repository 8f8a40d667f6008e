#include "guestagent/client/fake_guest_agent.h"

#include <algorithm>
#include <csignal>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "guestagent/cpu_weight.h"

namespace podvisor {
namespace {

using agent::v1::ContainerExit;
using agent::v1::ContainerState;
using agent::v1::OutputChunk;

constexpr int64_t kGiB = int64_t{1} << 30;

// `changes` over `resources`; zero fields stay as they are.
void MergeResources(const agent::v1::LinuxResources& changes,
                    agent::v1::LinuxResources* resources) {
  agent::v1::LinuxResources scalars = changes;
  scalars.clear_unified();
  resources->MergeFrom(scalars);
  for (const auto& [file, value] : changes.unified()) {
    (*resources->mutable_unified())[file] = value;
  }
}

// The cgroup of a container that was given `resources`, as a kernel has it.
agent::v1::ReadCgroupResponse CgroupOf(
    const agent::v1::LinuxResources& resources,
    const std::vector<std::string>& files) {
  const auto or_else = [](int64_t value, int64_t otherwise) {
    return value == 0 ? otherwise : value;
  };
  agent::v1::ReadCgroupResponse response;
  agent::v1::LinuxResources& has = *response.mutable_resources();
  has.set_cpu_quota_micros(or_else(resources.cpu_quota_micros(), -1));
  has.set_cpu_period_micros(or_else(resources.cpu_period_micros(), 100'000));
  has.set_memory_limit_bytes(or_else(resources.memory_limit_bytes(), -1));
  if (has.memory_limit_bytes() > 0) {
    has.set_memory_limit_bytes(has.memory_limit_bytes() & ~int64_t{4095});
  }
  has.set_cpuset_cpus(resources.cpuset_cpus());
  response.set_cpu_weight(resources.cpu_shares() == 0
                              ? 100
                              : CpuWeightFromShares(resources.cpu_shares()));
  for (const std::string& file : files) {
    const auto given = resources.unified().find(file);
    const bool without_limit =
        !absl::StartsWith(file, "hugetlb.") &&
        (absl::EndsWith(file, ".max") || absl::EndsWith(file, ".high"));
    (*has.mutable_unified())[file] = given != resources.unified().end()
                                         ? given->second
                                     : without_limit ? "max"
                                                     : "0";
  }
  return response;
}

}  // namespace

FakeGuestAgent::FakeGuestAgent(FakeGuestOptions options)
    : clock_(options.clock), faults_(options.faults) {
  size_.cpus_online = options.boot_cpus;
  size_.cpus_present = options.boot_cpus;
  size_.memory_total_bytes = options.boot_memory_bytes;
  size_.memory_total_at_boot_bytes = options.boot_memory_bytes;
  size_.memory_available_bytes = options.boot_memory_bytes;
  size_.memory_free_bytes = options.boot_memory_bytes;
  size_.memory_block_bytes = options.memory_block_bytes;
}

FakeGuestAgent::~FakeGuestAgent() {
  Disconnect();
  absl::MutexLock lock(&mutex_);
  mutex_.Await(absl::Condition(
      +[](int* active) { return *active == 0; }, &active_calls_));
}

void FakeGuestAgent::SetPresentCpus(int count) {
  absl::MutexLock lock(&mutex_);
  size_.cpus_present = count;
  size_.cpus_online = std::min(size_.cpus_online, count);
}

int64_t FakeGuestAgent::SetMemoryTotal(int64_t bytes) {
  absl::MutexLock lock(&mutex_);
  TakeWhatCame();
  coming_bytes_ = 0;
  int64_t target = bytes;
  if (target > size_.memory_total_bytes && faults_.memory_never_arrives) {
    target = size_.memory_total_bytes;
  }
  if (target < size_.memory_total_bytes) {
    target = std::min(size_.memory_total_bytes,
                      std::max(target, faults_.keeps_memory_bytes));
  }
  const int64_t change = target - size_.memory_total_bytes;
  if (change > 0 && faults_.memory_per_gib > absl::ZeroDuration()) {
    coming_bytes_ = change;
    last_came_ = clock_->Now();
  } else {
    ChangeMemoryBy(change);
  }
  return target;
}

void FakeGuestAgent::ChangeMemoryBy(int64_t bytes) {
  size_.memory_total_bytes += bytes;
  for (int64_t* part :
       {&size_.memory_available_bytes, &size_.memory_free_bytes}) {
    *part = std::max<int64_t>(0, *part + bytes);
  }
}

void FakeGuestAgent::TakeWhatCame() {
  while (coming_bytes_ > 0) {
    const int64_t block = std::min(coming_bytes_, size_.memory_block_bytes);
    const absl::Duration takes = faults_.memory_per_gib * block / kGiB;
    if (clock_->Now() - last_came_ < takes) return;
    last_came_ += takes;
    coming_bytes_ -= block;
    ChangeMemoryBy(block);
  }
}

void FakeGuestAgent::SetMemoryAvailable(int64_t bytes) {
  absl::MutexLock lock(&mutex_);
  TakeWhatCame();
  size_.memory_available_bytes = bytes;
  size_.memory_free_bytes = std::min(size_.memory_free_bytes, bytes);
}

void FakeGuestAgent::SetMemoryFree(int64_t bytes) {
  absl::MutexLock lock(&mutex_);
  size_.memory_free_bytes = bytes;
}

GuestSize FakeGuestAgent::size() {
  absl::MutexLock lock(&mutex_);
  TakeWhatCame();
  return size_;
}

void FakeGuestAgent::SetFaults(const GuestFaults& faults) {
  absl::MutexLock lock(&mutex_);
  TakeWhatCame();
  faults_ = faults;
  if (faults.looks_until_cpus_online == 0) OnlineLateCpus();
}

void FakeGuestAgent::OnlineLateCpus() {
  if (late_cpus_ > 0) {
    size_.cpus_online = std::min(late_cpus_, size_.cpus_present);
  }
  late_cpus_ = 0;
}

void FakeGuestAgent::Exit(const ContainerId& id, int exit_code,
                          bool oom_killed) {
  absl::MutexLock lock(&mutex_);
  const auto found = containers_.find(id);
  if (found == containers_.end()) return;
  if (found->second.state.state() == ContainerState::EXITED) return;
  ExitLocked(found->second, exit_code, oom_killed);
}

void FakeGuestAgent::WriteOutput(const ContainerId& id,
                                 OutputChunk::Stream stream,
                                 absl::string_view data) {
  absl::MutexLock lock(&mutex_);
  const auto found = containers_.find(id);
  if (found == containers_.end() || found->second.eof) return;
  found->second.output[stream == OutputChunk::STDERR ? 1 : 0].append(
      data.data(), data.size());
}

void FakeGuestAgent::SetStats(const agent::v1::GetStatsResponse& stats) {
  absl::MutexLock lock(&mutex_);
  stats_ = stats;
}

void FakeGuestAgent::SetExecHandler(ExecHandler handler) {
  absl::MutexLock lock(&mutex_);
  exec_ = std::move(handler);
}

void FakeGuestAgent::BreakConnection() {
  absl::MutexLock lock(&mutex_);
  ++connection_;
}

std::vector<std::string> FakeGuestAgent::calls() const {
  absl::MutexLock lock(&mutex_);
  return calls_;
}

absl::StatusOr<agent::v1::ContainerSpec> FakeGuestAgent::spec(
    const ContainerId& id) const {
  absl::MutexLock lock(&mutex_);
  const auto found = containers_.find(id);
  if (found == containers_.end()) return absl::NotFoundError(id.value());
  return found->second.spec;
}

OutputOffsets FakeGuestAgent::acknowledged(const ContainerId& id) const {
  absl::MutexLock lock(&mutex_);
  const auto found = containers_.find(id);
  return found == containers_.end() ? OutputOffsets()
                                    : found->second.acknowledged;
}

agent::v1::ConfigureSandboxRequest FakeGuestAgent::configured() const {
  absl::MutexLock lock(&mutex_);
  return configured_;
}

std::map<std::string, std::string> FakeGuestAgent::mounted_images() const {
  absl::MutexLock lock(&mutex_);
  return images_;
}

bool FakeGuestAgent::powered_off() const {
  absl::MutexLock lock(&mutex_);
  return powered_off_;
}

absl::Status FakeGuestAgent::Connect(absl::Time /*deadline*/) {
  absl::MutexLock lock(&mutex_);
  return Answers();
}

void FakeGuestAgent::Disconnect() {
  absl::MutexLock lock(&mutex_);
  disconnected_ = true;
}

void FakeGuestAgent::Reconnect() {
  absl::MutexLock lock(&mutex_);
  disconnected_ = false;
  ++connection_;
}

absl::StatusOr<GuestSize> FakeGuestAgent::Observe(absl::Time deadline) {
  absl::MutexLock lock(&mutex_);
  if (absl::Status answers = Answers(); !answers.ok()) return answers;
  if (clock_ != nullptr && deadline <= clock_->Now()) return Hangs();
  TakeWhatCame();
  if (late_cpus_ > 0 && --looks_left_ <= 0) OnlineLateCpus();
  return size_;
}

absl::StatusOr<GuestSize> FakeGuestAgent::SetOnlineCpus(int count,
                                                        absl::Time deadline) {
  absl::MutexLock lock(&mutex_);
  Record(absl::StrCat("SetOnlineCpus ", count));
  TakeWhatCame();
  if (absl::Status answers = Answers(); !answers.ok()) return answers;
  if (count < 1) return absl::InvalidArgumentError("no CPU would be left");
  const int wanted = std::min(count, size_.cpus_present);
  late_cpus_ = 0;
  if (wanted > size_.cpus_online && faults_.looks_until_cpus_online > 0) {
    late_cpus_ = wanted;
    looks_left_ = faults_.looks_until_cpus_online;
  } else if (wanted > size_.cpus_online && !faults_.cpu_never_onlines) {
    size_.cpus_online = wanted;
  }
  if (wanted < size_.cpus_online && !faults_.cpu_never_offlines) {
    size_.cpus_online = wanted;
  }
  if (size_.cpus_online != count) {
    WaitInVain(deadline);
    return absl::DeadlineExceededError(
        absl::StrCat(size_.cpus_online, " of ", count, " CPUs online"));
  }
  return size_;
}

absl::StatusOr<GuestSize> FakeGuestAgent::AwaitMemoryAtLeast(
    int64_t memory_total_bytes, absl::Time deadline) {
  absl::MutexLock lock(&mutex_);
  Record(absl::StrCat("AwaitMemoryAtLeast ", memory_total_bytes));
  TakeWhatCame();
  if (Answers().ok()) PassUntilMemoryIs(memory_total_bytes, deadline);
  return MemoryWait(size_.memory_total_bytes >= memory_total_bytes, deadline);
}

void FakeGuestAgent::PassUntilMemoryIs(int64_t memory_total_bytes,
                                       absl::Time deadline) {
  while (coming_bytes_ > 0 && size_.memory_total_bytes < memory_total_bytes) {
    const int64_t block = std::min(coming_bytes_, size_.memory_block_bytes);
    const absl::Time comes = last_came_ + faults_.memory_per_gib * block / kGiB;
    if (comes > deadline) return;
    clock_->Advance(std::max(absl::ZeroDuration(), comes - clock_->Now()));
    TakeWhatCame();
  }
}

absl::StatusOr<GuestSize> FakeGuestAgent::AwaitMemoryAtMost(
    int64_t memory_total_bytes, absl::Time deadline) {
  absl::MutexLock lock(&mutex_);
  Record(absl::StrCat("AwaitMemoryAtMost ", memory_total_bytes));
  TakeWhatCame();
  return MemoryWait(size_.memory_total_bytes <= memory_total_bytes, deadline);
}

absl::StatusOr<GuestSize> FakeGuestAgent::ReclaimMemory(
    int64_t memory_free_bytes, absl::Time /*deadline*/) {
  absl::MutexLock lock(&mutex_);
  Record(absl::StrCat("ReclaimMemory ", memory_free_bytes));
  TakeWhatCame();
  if (absl::Status answers = Answers(); !answers.ok()) return answers;
  if (faults_.reclaim_hangs) return Hangs();
  if (!faults_.reclaims_nothing) {
    size_.memory_free_bytes =
        std::max(size_.memory_free_bytes,
                 std::min(memory_free_bytes, size_.memory_available_bytes));
  }
  return size_;
}

absl::StatusOr<GuestSize> FakeGuestAgent::MemoryWait(bool reached,
                                                     absl::Time deadline) {
  if (absl::Status answers = Answers(); !answers.ok()) return answers;
  if (!reached) {
    WaitInVain(deadline);
    return absl::DeadlineExceededError(
        absl::StrCat("MemTotal is ", size_.memory_total_bytes));
  }
  return size_;
}

void FakeGuestAgent::WaitInVain(absl::Time deadline) {
  if (clock_ == nullptr || deadline == absl::InfiniteFuture()) return;
  const absl::Time now = clock_->Now();
  if (deadline > now) clock_->Advance(deadline - now);
}

absl::StatusOr<agent::v1::HelloResponse> FakeGuestAgent::Hello(
    absl::Time /*deadline*/) {
  absl::MutexLock lock(&mutex_);
  if (absl::Status answers = Answers(); !answers.ok()) return answers;
  agent::v1::HelloResponse response;
  response.set_protocol_version(1);
  response.set_agent_version("fake");
  response.set_kernel_release("6.1.0-fake");
  response.set_runtime_version("crun 1.8");
  response.set_uptime_nanos(1'000'000'000);
  return response;
}

absl::Status FakeGuestAgent::ConfigureSandbox(
    const agent::v1::ConfigureSandboxRequest& request,
    absl::Time /*deadline*/) {
  absl::MutexLock lock(&mutex_);
  Record(absl::StrCat("ConfigureSandbox ", request.hostname()));
  if (absl::Status answers = Answers(); !answers.ok()) return answers;
  if (faults_.configure_fails) return absl::InternalError("no namespaces");
  configured_ = request;
  return absl::OkStatus();
}

absl::Status FakeGuestAgent::ConfigureNetwork(
    const agent::v1::ConfigureNetworkRequest& request,
    absl::Time /*deadline*/) {
  absl::MutexLock lock(&mutex_);
  Record("ConfigureNetwork");
  if (absl::Status answers = Answers(); !answers.ok()) return answers;
  if (faults_.network_fails) {
    return absl::DeadlineExceededError("no such interface came");
  }
  network_ = request;
  return absl::OkStatus();
}

agent::v1::ConfigureNetworkRequest FakeGuestAgent::network() const {
  absl::MutexLock lock(&mutex_);
  return network_;
}

absl::Status FakeGuestAgent::MountImage(absl::string_view serial,
                                        absl::string_view image,
                                        absl::string_view /*fs_type*/,
                                        absl::Time /*deadline*/) {
  absl::MutexLock lock(&mutex_);
  Record(absl::StrCat("MountImage ", image));
  if (absl::Status answers = Answers(); !answers.ok()) return answers;
  if (faults_.mount_fails) return absl::NotFoundError("no such disk");
  images_[std::string(serial)] = std::string(image);
  return absl::OkStatus();
}

absl::Status FakeGuestAgent::UnmountImage(absl::string_view image,
                                          absl::Time /*deadline*/) {
  absl::MutexLock lock(&mutex_);
  Record(absl::StrCat("UnmountImage ", image));
  if (absl::Status answers = Answers(); !answers.ok()) return answers;
  std::erase_if(images_, [&](const auto& mount) {
    return absl::string_view(mount.second) == image;
  });
  return absl::OkStatus();
}

absl::Status FakeGuestAgent::MountShare(absl::string_view tag,
                                        absl::Time /*deadline*/) {
  absl::MutexLock lock(&mutex_);
  Record(absl::StrCat("MountShare ", tag));
  if (absl::Status answers = Answers(); !answers.ok()) return answers;
  if (faults_.mount_fails) return absl::NotFoundError("no such share");
  return absl::OkStatus();
}

absl::Status FakeGuestAgent::PowerOff(absl::Time /*deadline*/) {
  absl::MutexLock lock(&mutex_);
  Record("PowerOff");
  if (absl::Status answers = Answers(); !answers.ok()) return answers;
  powered_off_ = true;
  return absl::OkStatus();
}

absl::Status FakeGuestAgent::Hangs() {
  return absl::DeadlineExceededError("agent did not answer in time");
}

absl::Status FakeGuestAgent::Answers() const {
  if (disconnected_) return absl::CancelledError("disconnected from the agent");
  if (faults_.agent_gone || powered_off_)
    return absl::UnavailableError("agent is gone");
  if (faults_.agent_hangs) return Hangs();
  return absl::OkStatus();
}

absl::StatusOr<FakeGuestAgent::Container*> FakeGuestAgent::Find(
    const ContainerId& id) {
  if (absl::Status answers = Answers(); !answers.ok()) return answers;
  const auto found = containers_.find(id);
  if (found == containers_.end()) {
    return absl::NotFoundError(absl::StrCat("no container ", id.value()));
  }
  return &found->second;
}

void FakeGuestAgent::ExitLocked(Container& container, int exit_code,
                                bool oom_killed) {
  finished_at_ += 1'000'000'000;
  if (clock_ != nullptr) {
    finished_at_ = std::max(finished_at_, absl::ToUnixNanos(clock_->Now()));
  }
  ContainerExit* exit = container.state.mutable_exit();
  exit->set_container_id(container.state.container_id());
  exit->set_exit_code(exit_code);
  exit->set_oom_killed(oom_killed);
  exit->set_finished_at_unix_nanos(finished_at_);
  container.state.set_state(ContainerState::EXITED);
  container.eof = true;
  exits_.push_back(*exit);
}

void FakeGuestAgent::Record(std::string call) {
  calls_.push_back(std::move(call));
}

absl::StatusOr<agent::v1::CreateContainerResponse> FakeGuestAgent::Create(
    const ContainerId& id, const agent::v1::ContainerSpec& spec,
    absl::Time /*deadline*/) {
  absl::MutexLock lock(&mutex_);
  Record(absl::StrCat("Create ", id.value()));
  const auto goes_on = [&]() ABSL_SHARED_LOCKS_REQUIRED(mutex_) {
    return !faults_.create_hangs || !Answers().ok();
  };
  mutex_.Await(absl::Condition(&goes_on));
  if (absl::Status answers = Answers(); !answers.ok()) return answers;
  if (faults_.create_fails) return absl::InvalidArgumentError("unknown user");
  if (containers_.contains(id)) return absl::AlreadyExistsError(id.value());
  Container& container = containers_[id];
  container.spec = spec;
  container.state.set_container_id(id.value());
  container.state.set_state(ContainerState::CREATED);
  agent::v1::CreateContainerResponse response;
  response.set_uid(spec.user().uid());
  response.set_gid(spec.user().gid());
  *response.mutable_supplemental_groups() = spec.user().supplemental_groups();
  return response;
}

absl::Status FakeGuestAgent::Start(const ContainerId& id,
                                   absl::Time /*deadline*/) {
  absl::MutexLock lock(&mutex_);
  Record(absl::StrCat("Start ", id.value()));
  const absl::StatusOr<Container*> container = Find(id);
  if (!container.ok()) return container.status();
  if ((*container)->state.state() != ContainerState::CREATED) {
    return absl::FailedPreconditionError("not in state created");
  }
  if (faults_.start_fails) return absl::InternalError("exec failed");
  if (faults_.start_hangs) return Hangs();
  (*container)->state.set_state(ContainerState::RUNNING);
  return faults_.start_answer_lost ? Hangs() : absl::OkStatus();
}

absl::Status FakeGuestAgent::Signal(const ContainerId& id, int signal,
                                    bool /*all_processes*/,
                                    absl::Time /*deadline*/) {
  absl::MutexLock lock(&mutex_);
  Record(absl::StrCat("Signal ", id.value(), " ", signal));
  const absl::StatusOr<Container*> container = Find(id);
  if (!container.ok()) return container.status();
  if ((*container)->state.state() == ContainerState::EXITED) {
    return absl::OkStatus();
  }
  const bool kills = signal == SIGKILL && !faults_.ignores_sigkill;
  const bool terminates =
      signal != SIGKILL && !faults_.ignores_sigterm &&
      (*container)->state.state() == ContainerState::RUNNING;
  if (kills || terminates) ExitLocked(**container, 128 + signal, false);
  return absl::OkStatus();
}

absl::Status FakeGuestAgent::Update(const ContainerId& id,
                                    const agent::v1::LinuxResources& resources,
                                    absl::Time /*deadline*/) {
  absl::MutexLock lock(&mutex_);
  Record(absl::StrCat("Update ", id.value()));
  const absl::StatusOr<Container*> container = Find(id);
  if (!container.ok()) return container.status();
  const bool half_done = faults_.updates_half_done > 0;
  if (!half_done && faults_.update_fails) {
    return absl::InternalError("cgroup refused");
  }
  MergeResources(resources, (*container)->spec.mutable_resources());
  if (!half_done) return absl::OkStatus();
  --faults_.updates_half_done;
  return absl::InternalError("cgroup refused the rest");
}

absl::StatusOr<agent::v1::ReadCgroupResponse> FakeGuestAgent::ReadCgroup(
    const ContainerId& id, const std::vector<std::string>& files,
    absl::Time /*deadline*/) {
  absl::MutexLock lock(&mutex_);
  Record(absl::StrCat("ReadCgroup ", id.value()));
  const absl::StatusOr<Container*> container = Find(id);
  if (!container.ok()) return container.status();
  return CgroupOf((*container)->spec.resources(), files);
}

absl::Status FakeGuestAgent::Delete(const ContainerId& id,
                                    absl::Time /*deadline*/) {
  absl::MutexLock lock(&mutex_);
  Record(absl::StrCat("Delete ", id.value()));
  if (absl::Status answers = Answers(); !answers.ok()) return answers;
  if (faults_.delete_fails) return absl::InternalError("cgroup is busy");
  containers_.erase(id);
  std::erase_if(exits_, [&](const ContainerExit& exit) {
    return exit.container_id() == id.value();
  });
  return absl::OkStatus();
}

absl::StatusOr<std::vector<ContainerState>> FakeGuestAgent::List(
    absl::Time /*deadline*/) {
  absl::MutexLock lock(&mutex_);
  if (absl::Status answers = Answers(); !answers.ok()) return answers;
  if (faults_.list_hangs) return Hangs();
  std::vector<ContainerState> states;
  for (const auto& [id, container] : containers_) {
    states.push_back(container.state);
  }
  return states;
}

absl::StatusOr<agent::v1::GetStatsResponse> FakeGuestAgent::Stats(
    absl::Time /*deadline*/) {
  std::function<void()> handler;
  {
    absl::MutexLock lock(&mutex_);
    handler = stats_handler_;
  }
  if (handler) handler();
  absl::MutexLock lock(&mutex_);
  if (absl::Status answers = Answers(); !answers.ok()) return answers;
  if (faults_.stats_hang) return Hangs();
  agent::v1::GetStatsResponse stats = stats_;
  agent::v1::GuestResources* resources = stats.mutable_resources();
  resources->set_cpus_online(size_.cpus_online);
  resources->set_cpus_present(size_.cpus_present);
  resources->set_memory_total_bytes(size_.memory_total_bytes);
  resources->set_memory_total_at_boot_bytes(size_.memory_total_at_boot_bytes);
  resources->set_memory_available_bytes(size_.memory_available_bytes);
  resources->set_memory_free_bytes(size_.memory_free_bytes);
  resources->set_memory_block_bytes(size_.memory_block_bytes);
  return stats;
}

}  // namespace podvisor
