#include "guestagent/agent/container_runtime.h"

#include <signal.h>

#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "base/clean_text.h"
#include "base/file.h"
#include "base/ids.h"
#include "base/status_macros.h"
#include "guestagent/agent/cgroup_directory.h"
#include "guestagent/agent/container_state.h"
#include "guestagent/agent/huge_pages.h"
#include "guestagent/agent/stats_parser.h"

namespace podvisor {
namespace {

using agent::v1::ContainerState;

// SIGKILL works at once, unless a process hangs in the kernel.
constexpr absl::Duration kKillTimeout = absl::Seconds(10);

std::string CgroupPath(const std::string& container_id) {
  return absl::StrCat(kPodCgroup, "/", container_id);
}

absl::Status RequireState(const ContainerEntry& entry,
                          std::initializer_list<ContainerState::State> legal) {
  if (entry.IsGone()) return absl::NotFoundError("the container was deleted");
  const ContainerState::State state = entry.Look().state;
  for (ContainerState::State one : legal) {
    if (state == one) return absl::OkStatus();
  }
  return absl::FailedPreconditionError(
      absl::StrCat("the container is ", ContainerState::State_Name(state)));
}

// For the descriptors of all containers together: the host waits for two
// seconds for a sample.
constexpr absl::Duration kLookTime = absl::Milliseconds(200);

agent::v1::ContainerStats CollectStats(const StatsReader& reader,
                                       ContainerEntry* entry, absl::Time now,
                                       Deadline looks_end) {
  agent::v1::ContainerStats stats;
  stats.set_container_id(entry->id());
  stats.set_timestamp_unix_nanos(absl::ToUnixNanos(now));
  reader.Read(entry->cgroup(), entry->Look().pid, looks_end, &stats);
  const LayerUsage layer = entry->MeasuredLayer();
  stats.set_writable_layer_bytes(layer.bytes);
  stats.set_writable_layer_inodes(layer.inodes);
  return stats;
}

agent::v1::Pressure ReadPressure(const char* resource) {
  return ParsePressure(
      ReadFile(absl::StrCat("/proc/pressure/", resource), 4096).value_or(""));
}

}  // namespace

ContainerRuntime::State::State(SandboxPaths sandbox_paths,
                               SandboxNamespaces* sandbox_namespaces,
                               KernelModules* kernel_modules,
                               ChildReaper* child_reaper)
    : paths(std::move(sandbox_paths)),
      namespaces(sandbox_namespaces),
      modules(kernel_modules),
      reaper(child_reaper),
      crun(paths.run_dir + "/crun"),
      exits(std::make_shared<ContainerExits>()) {}

absl::StatusOr<std::shared_ptr<ContainerEntry>> ContainerRuntime::State::Find(
    const std::string& container_id) const {
  absl::MutexLock lock(&mutex_);
  const auto found = entries_.find(container_id);
  if (found == entries_.end()) {
    return absl::NotFoundError(
        absl::StrCat("no container ", CleanText(container_id, 64)));
  }
  return found->second;
}

absl::StatusOr<std::shared_ptr<ContainerEntry>> ContainerRuntime::State::Insert(
    const std::string& container_id) {
  absl::MutexLock lock(&mutex_);
  std::shared_ptr<ContainerEntry>& entry = entries_[container_id];
  if (entry != nullptr) {
    return absl::AlreadyExistsError(
        absl::StrCat("container ", container_id, " exists"));
  }
  entry =
      std::make_shared<ContainerEntry>(container_id, CgroupPath(container_id));
  return entry;
}

void ContainerRuntime::State::Erase(const std::string& container_id) {
  absl::MutexLock lock(&mutex_);
  entries_.erase(container_id);
}

std::vector<std::shared_ptr<ContainerEntry>> ContainerRuntime::State::All()
    const {
  std::vector<std::shared_ptr<ContainerEntry>> all;
  absl::MutexLock lock(&mutex_);
  for (const auto& [id, entry] : entries_) all.push_back(entry);
  return all;
}

ContainerRuntime::ContainerRuntime(SandboxPaths paths,
                                   SandboxNamespaces* namespaces,
                                   KernelModules* modules, ChildReaper* reaper)
    : state_(std::make_unique<State>(std::move(paths), namespaces, modules,
                                     reaper)) {}

ContainerRuntime::~ContainerRuntime() {
  state_->exits->Close();
  for (const std::shared_ptr<ContainerEntry>& entry : state_->All()) {
    const std::shared_ptr<ContainerOutput> output = entry->Look().output;
    if (output != nullptr) output->Abandon();
  }
}

absl::Status ContainerRuntime::Create(
    const agent::v1::CreateContainerRequest& request,
    agent::v1::CreateContainerResponse* response) {
  if (!IsHexId(request.container_id())) {
    return absl::InvalidArgumentError("not a container id");
  }
  agent::v1::ContainerSpec spec = request.spec();
  RETURN_IF_ERROR(
      LimitHugePages(HugePageSizes(kHugePages), spec.mutable_resources()));
  ASSIGN_OR_RETURN(const std::shared_ptr<ContainerEntry> entry,
                   state_->Insert(request.container_id()));
  absl::MutexLock operation(&entry->operation_mutex);
  const absl::Status created = state_->Create(spec, entry, response);
  if (!created.ok()) {
    entry->MarkGone();
    state_->exits->Forget(entry->id());
    state_->Erase(entry->id());
  }
  return created;
}

absl::Status ContainerRuntime::Start(
    const agent::v1::StartContainerRequest& request,
    agent::v1::StartContainerResponse*) {
  ASSIGN_OR_RETURN(const std::shared_ptr<ContainerEntry> entry,
                   state_->Find(request.container_id()));
  absl::MutexLock operation(&entry->operation_mutex);
  RETURN_IF_ERROR(RequireState(*entry, {ContainerState::CREATED}));
  RETURN_IF_ERROR(entry->Look().start_error);
  RETURN_IF_ERROR(state_->crun.Start(entry->id(), entry->Look().bundle_dir,
                                     Deadline::After(kCrunTimeout)));
  entry->MarkRunning();
  return absl::OkStatus();
}

absl::Status ContainerRuntime::Signal(
    const agent::v1::SignalContainerRequest& request,
    agent::v1::SignalContainerResponse*) {
  if (request.signal() < 1 || request.signal() > SIGRTMAX) {
    return absl::InvalidArgumentError("not a signal");
  }
  ASSIGN_OR_RETURN(const std::shared_ptr<ContainerEntry> entry,
                   state_->Find(request.container_id()));
  if (entry->Look().state == ContainerState::EXITED) return absl::OkStatus();
  if (!request.all_processes()) {
    return entry->SignalFirstProcess(request.signal());
  }
  return request.signal() == SIGKILL
             ? entry->cgroup().KillAll()
             : entry->cgroup().SignalAll(request.signal());
}

absl::Status ContainerRuntime::Update(
    const agent::v1::UpdateContainerRequest& request,
    agent::v1::UpdateContainerResponse*) {
  ASSIGN_OR_RETURN(const std::shared_ptr<ContainerEntry> entry,
                   state_->Find(request.container_id()));
  absl::MutexLock operation(&entry->operation_mutex);
  RETURN_IF_ERROR(
      RequireState(*entry, {ContainerState::CREATED, ContainerState::RUNNING}));
  agent::v1::LinuxResources resources = request.resources();
  RETURN_IF_ERROR(CheckHugePages(HugePageSizes(kHugePages), &resources));
  // What never runs has no cgroup.
  if (!entry->Look().start_error.ok()) return absl::OkStatus();
  return entry->cgroup().Update(resources);
}

absl::Status ContainerRuntime::ReadCgroup(
    const agent::v1::ReadCgroupRequest& request,
    agent::v1::ReadCgroupResponse* response) {
  ASSIGN_OR_RETURN(const std::shared_ptr<ContainerEntry> entry,
                   state_->Find(request.container_id()));
  RETURN_IF_ERROR(
      RequireState(*entry, {ContainerState::CREATED, ContainerState::RUNNING}));
  ASSIGN_OR_RETURN(*response, entry->cgroup().ReadResources(request.files()));
  return absl::OkStatus();
}

absl::Status ContainerRuntime::Delete(
    const agent::v1::DeleteContainerRequest& request,
    agent::v1::DeleteContainerResponse*) {
  const absl::StatusOr<std::shared_ptr<ContainerEntry>> found =
      state_->Find(request.container_id());
  if (!found.ok()) return absl::OkStatus();
  ContainerEntry& entry = **found;
  absl::MutexLock operation(&entry.operation_mutex);
  if (entry.IsGone()) return absl::OkStatus();
  const Deadline deadline = Deadline::After(kKillTimeout);
  RETURN_IF_ERROR(entry.cgroup().KillAll());
  RETURN_IF_ERROR(entry.SignalFirstProcess(SIGKILL));
  if (!entry.AwaitExit(deadline)) {
    return absl::DeadlineExceededError("the container does not end");
  }
  RETURN_IF_ERROR(entry.cgroup().Remove(deadline));
  RETURN_IF_ERROR(state_->crun.Forget(entry.id()));
  const ContainerEntry::View view = entry.Look();
  if (view.output != nullptr) view.output->Abandon();
  if (view.input != nullptr) view.input->Close();
  if (entry.files != nullptr) RETURN_IF_ERROR(entry.files->Remove());
  entry.files.reset();
  entry.MarkGone();
  state_->exits->Forget(entry.id());
  state_->Erase(entry.id());
  return absl::OkStatus();
}

absl::Status ContainerRuntime::List(
    const agent::v1::ListContainersRequest&,
    agent::v1::ListContainersResponse* response) {
  for (const std::shared_ptr<ContainerEntry>& entry : state_->All()) {
    const ContainerEntry::View view = entry->Look();
    // Still being created: its creator will hear of it.
    if (view.state == ContainerState::STATE_UNSPECIFIED) continue;
    ContainerState* container = response->add_containers();
    container->set_container_id(entry->id());
    container->set_state(view.state);
    if (view.state == ContainerState::EXITED) {
      *container->mutable_exit() = view.exit;
    }
  }
  return absl::OkStatus();
}

absl::Status ContainerRuntime::WatchExits(
    const std::function<bool(const agent::v1::ContainerExit&)>& write,
    const std::function<bool()>& is_cancelled) {
  return state_->exits->Watch(write, is_cancelled);
}

absl::Status ContainerRuntime::GetStats(const agent::v1::GetStatsRequest&,
                                        agent::v1::GetStatsResponse* response) {
  const CgroupDirectory root(kCgroupRoot);
  response->set_cpu_usage_nanos(
      1000 * ParseKeyedNumber(root.Read("cpu.stat"), "usage_usec").value_or(0));
  *response->mutable_cpu_pressure() = ReadPressure("cpu");
  *response->mutable_memory_pressure() = ReadPressure("memory");
  *response->mutable_io_pressure() = ReadPressure("io");
  state_->stats.ReadPod(CgroupDirectory(kPodCgroup), state_->paths.scratch_dir,
                        state_->namespaces->network_process(), response);
  const Deadline looks_end = Deadline::After(kLookTime);
  for (const std::shared_ptr<ContainerEntry>& entry : state_->All()) {
    const ContainerState::State state = entry->Look().state;
    if (state != ContainerState::CREATED && state != ContainerState::RUNNING) {
      continue;
    }
    *response->add_containers() = CollectStats(state_->stats, entry.get(),
                                               state_->clock.Now(), looks_end);
  }
  return absl::OkStatus();
}

}  // namespace podvisor
