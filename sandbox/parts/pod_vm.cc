#include "sandbox/parts/pod_vm.h"

#include <fcntl.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include "absl/cleanup/cleanup.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "base/errno_status.h"
#include "base/file.h"
#include "base/log.h"
#include "base/started_process.h"
#include "base/status_macros.h"
#include "base/unique_fd.h"
#include "hotplug/pod_demand.h"
#include "sandbox/host/files_limit.h"
#include "sandbox/parts/pod_network_request.h"
#include "sandbox/size/pod_sizing.h"
#include "volume/virtiofsd_world.h"

namespace podvisor {
namespace {

constexpr char kScratchSerial[] = "scratch";
constexpr char kShareTag[] = "podvisor";
// What is undone after an error gets time of its own: the call's is usually
// over.
constexpr absl::Duration kUndoTime = absl::Seconds(5);

void LogFailure(const PodId& id, absl::string_view what,
                const absl::Status& status) {
  if (status.ok()) return;
  Log(LogLevel::kWarning, what,
      {{"sandbox_id", id.value()}, {"error", status.message()}});
}

// The share whose virtiofsd is at the other end of the socket, once that
// answers.
absl::Status Plug(UniqueFd virtiofsd, const PodId& id, Vm& vm, Clock& clock,
                  absl::Time deadline) {
  RETURN_IF_ERROR(AwaitVirtiofsd(virtiofsd.get(), deadline - clock.Now()));
  const absl::Status attached =
      vm.devices().AttachShare(std::move(virtiofsd), kShareTag, deadline);
  if (!attached.ok()) {
    // QEMU may have it all the same; nobody would be at its other end.
    LogFailure(id, "undo of a share",
               vm.devices().DetachShare(clock.Now() + kUndoTime));
  }
  return attached;
}

// Of QEMU and of virtiofsd, each.
absl::StatusOr<int64_t> FilesLimitOf(const PodSpec& spec) {
  ASSIGN_OR_RETURN(const FileTable host, ReadFileTable());
  return FilesLimitFor(spec.host.files_limit, host);
}

// As it is, as other runtimes do it. A host without one has pods without one.
std::string HostResolvConf(const std::string& path) {
  constexpr size_t kMaxBytes = 64 << 10;  // the agent's
  return ReadFile(path, kMaxBytes).value_or("");
}

// Of both requests that make the pod's namespaces.
template <typename Request>
void SetIds(const PodSpec& spec, Request* request) {
  if (!spec.ids.has_value()) return;
  request->mutable_user_namespace()->set_host_id(spec.ids->host_id);
  request->mutable_user_namespace()->set_length(spec.ids->length);
}

}  // namespace

std::string ResolvConf(const DnsConfig& dns) {
  std::string text;
  for (const std::string& server : dns.servers) {
    absl::StrAppend(&text, "nameserver ", server, "\n");
  }
  if (!dns.searches.empty()) {
    absl::StrAppend(&text, "search ", absl::StrJoin(dns.searches, " "), "\n");
  }
  if (!dns.options.empty()) {
    absl::StrAppend(&text, "options ", absl::StrJoin(dns.options, " "), "\n");
  }
  return text;
}

PodVm::PodVm(const PodVmServices& services, PodId id, const PodSpec& spec,
             PodDirectory directory, VmRecorder recorder)
    : services_(services),
      id_(std::move(id)),
      spec_(spec),
      directory_(std::move(directory)),
      recorder_(std::move(recorder)) {}

PodVm::~PodVm() { services_.watcher->Unwatch(virtiofsd_watch_); }

VmSpec PodVm::SpecFor(const PodVmServices& services, const PodId& id,
                      const VmLimits& limits, const std::string& directory,
                      uid_t uid) {
  VmSpec spec = services.settings->vm;
  spec.id = id;
  spec.directory = directory;
  spec.uid = uid;
  spec.boot_vcpus = limits.boot_vcpus;
  spec.max_vcpus = limits.max_vcpus;
  spec.boot_memory_bytes = limits.boot_memory_bytes;
  spec.max_memory_bytes = limits.max_memory_bytes;
  spec.memory_device = limits.memory_device;
  spec.vcpu_unplug = limits.vcpu_unplug;
  spec.memory_slots = limits.memory_slots;
  return spec;
}

// What this VM was booted with counts, not what the configuration says now or
// what the QEMU that is installed now can do.
VmLimits PodVm::LimitsFor(const VmRecord& record) const {
  VmLimits limits = services_.settings->limits;
  limits.boot_vcpus = record.boot_vcpus;
  limits.max_vcpus = record.max_vcpus;
  limits.boot_memory_bytes = record.boot_memory_bytes;
  limits.max_memory_bytes = record.max_memory_bytes;
  limits.memory_device = record.memory_device;
  limits.vcpu_unplug = record.vcpu_unplug;
  limits.memory_slots = record.memory_slots;
  return limits;
}

absl::StatusOr<std::unique_ptr<PodVm>> PodVm::Boot(
    const PodVmServices& services, const PodId& id, const PodSpec& spec,
    uid_t uid, VmRecorder recorder, NetworkRecorder network_recorder,
    absl::Time deadline) {
  ASSIGN_OR_RETURN(const VmLimits limits,
                   LimitsOf(*services.settings, spec.size));
  ASSIGN_OR_RETURN(PodDirectory directory,
                   PodDirectory::Create(services.settings->run_dir, id));
  // From here on everything has the pod's id in its name, and Sweep() undoes
  // whatever there is.
  directory.Release();
  std::unique_ptr<PodVm> pod_vm(
      new PodVm(services, id, spec, std::move(directory), std::move(recorder)));
  // Before a VM is booted in vain.
  RETURN_IF_ERROR(services.network->Ready());
  const std::unique_ptr<PendingLink> pending =
      PendingLink::Start(services.network, NetworkRequestOf(id, spec),
                         std::move(network_recorder), deadline);
  RETURN_IF_ERROR(pod_vm->MakeCgroup());
  ASSIGN_OR_RETURN(const UniqueFd scratch,
                   services.scratch_disks->Create(id, deadline));
  VmSpec vm_spec = SpecFor(services, id, limits, pod_vm->directory(), uid);
  vm_spec.cgroup_procs = pod_vm->cgroup_.ProcsFiles();
  ASSIGN_OR_RETURN(vm_spec.files_limit, FilesLimitOf(spec));
  ASSIGN_OR_RETURN(pod_vm->vm_, services.launcher->Launch(
                                    vm_spec, pod_vm->recorder_, deadline));
  pod_vm->sizer_ = std::make_unique<PodSizer>(
      id, &pod_vm->vm_->qmp(), &pod_vm->vm_->agent(), services.clock,
      services.metrics, pod_vm->LimitsFor(pod_vm->vm_->record()));
  RETURN_IF_ERROR(pod_vm->ConfigureGuest(scratch.get(), *pending, deadline));
  return pod_vm;
}

absl::Status PodVm::MakeCgroup() {
  ASSIGN_OR_RETURN(cgroup_,
                   services_.cgroups->Create(spec_.cgroup_parent, id_));
  return cgroup_.LimitBlockIo(spec_.host.block_io);
}

absl::Status PodVm::ConfigureNetwork(const PodLink& link, absl::Time deadline) {
  RETURN_IF_ERROR(vm_->devices().AttachNic(
      {link.tap.get(), MacText(link.guest.mac), link.guest.mtu}, deadline));
  agent::v1::ConfigureNetworkRequest request = ToAgentRequest(link.guest);
  SetIds(spec_, &request);
  return Annotate(vm_->agent().ConfigureNetwork(request, deadline),
                  "configure the network in the guest");
}

absl::Status PodVm::ConfigureGuest(int scratch_fd, PendingLink& pending,
                                   absl::Time deadline) {
  RETURN_IF_ERROR(vm_->devices().AttachDisk(
      {kScratchSerial, scratch_fd, /*read_only=*/false}, deadline));
  ASSIGN_OR_RETURN(const PodLink link, pending.Await());
  // First: some sysctls of a pod are about its interface.
  RETURN_IF_ERROR(ConfigureNetwork(link, deadline));
  agent::v1::ConfigureSandboxRequest request;
  SetIds(spec_, &request);
  request.set_hostname(spec_.hostname);
  for (const auto& [name, value] : spec_.sysctls) {
    (*request.mutable_sysctls())[name] = value;
  }
  const DnsConfig dns = DnsOf(spec_, link);
  request.set_resolv_conf(dns == DnsConfig()
                              ? HostResolvConf(services_.settings->resolv_conf)
                              : ResolvConf(dns));
  request.set_scratch_serial(kScratchSerial);
  RETURN_IF_ERROR(vm_->agent().ConfigureSandbox(request, deadline));
  // Not earlier: a boot is not slowed down.
  const SizingRules rules = RulesOf(*services_.settings, spec_.size);
  ASSIGN_OR_RETURN(const VmTarget base,
                   TargetFor(PodDemand(), rules, sizer_->limits()));
  RETURN_IF_ERROR(cgroup_.SetCpuLimit(HostCpuLimit(rules, base)));
  return sizer_->Observe(deadline);
}

absl::StatusOr<std::unique_ptr<PodVm>> PodVm::Adopt(
    const PodVmServices& services, const PodId& id, const PodSpec& spec,
    const VmRecord& record, VmRecorder recorder, absl::Time deadline) {
  ASSIGN_OR_RETURN(PodDirectory directory,
                   PodDirectory::Open(services.settings->run_dir, id));
  std::unique_ptr<PodVm> pod_vm(
      new PodVm(services, id, spec, std::move(directory), std::move(recorder)));
  pod_vm->cgroup_ = services.cgroups->Open(spec.cgroup_parent, id);
  VmSpec vm_spec = SpecFor(services, id, pod_vm->LimitsFor(record),
                           pod_vm->directory(), record.uid);
  vm_spec.bridges = record.bridges;
  vm_spec.accelerator = record.accelerator;
  ASSIGN_OR_RETURN(pod_vm->vm_,
                   services.launcher->Adopt(vm_spec, record, deadline));
  pod_vm->may_be_pinned_ = true;
  pod_vm->sizer_ = std::make_unique<PodSizer>(
      id, &pod_vm->vm_->qmp(), &pod_vm->vm_->agent(), services.clock,
      services.metrics, pod_vm->LimitsFor(record));
  if (record.virtiofsd.has_value()) {
    // Recorded before it is plugged: without the device there is no share, and
    // that virtiofsd has ended with the daemon that held its socket.
    ASSIGN_OR_RETURN(const bool plugged,
                     pod_vm->vm_->devices().HasShare(deadline));
    if (plugged) RETURN_IF_ERROR(pod_vm->SetVirtiofsd(*record.virtiofsd));
    ASSIGN_OR_RETURN(
        pod_vm->share_,
        PodShare::Open(pod_vm->directory(), {{services.settings->root_dir,
                                              services.settings->run_dir}}));
  }
  return pod_vm;
}

absl::Status PodVm::Sweep(const PodVmServices& services, const PodId& id,
                          const PodSpec& spec, absl::Time deadline) {
  RETURN_IF_ERROR(services.launcher->Sweep(id, deadline));
  absl::Status first =
      services.cgroups->Remove(spec.cgroup_parent, id, deadline);
  first.Update(RemovePodDirectory(services.settings->run_dir, id));
  first.Update(services.scratch_disks->Remove(id));
  return first;
}

VmRecord PodVm::record() const {
  VmRecord record = vm_->record();
  absl::MutexLock lock(&mutex_);
  record.virtiofsd = virtiofsd_;
  return record;
}

absl::Status PodVm::SetVirtiofsd(const ProcessIdentity& virtiofsd) {
  absl::MutexLock lock(&mutex_);
  if (aborted_) return absl::CancelledError("the pod is being stopped");
  virtiofsd_ = virtiofsd;
  return absl::OkStatus();
}

void PodVm::ForgetVirtiofsd() {
  absl::MutexLock lock(&mutex_);
  virtiofsd_.reset();
}

// A disk's serial has at most 20 characters; 76 bits of the image's digest
// cannot clash by chance within one VM.
std::string PodVm::SerialOf(const std::string& image_hex) {
  return absl::StrCat("i", image_hex.substr(0, 19));
}

absl::Status PodVm::AddImageUser(ImageRootFs root_fs, const ContainerId& user,
                                 absl::Time deadline) {
  const std::string hex = root_fs.image_hex;
  ImageUse& use = images_[hex];
  use.root_fs = std::move(root_fs);
  if (!use.mounted) {
    const absl::Status mounted = MountImage(use.root_fs, deadline);
    if (!mounted.ok()) {
      if (use.users.empty()) {
        LogFailure(id_, "release an image that could not be mounted",
                   ReleaseImage(hex, services_.clock->Now() + kUndoTime));
      }
      return mounted;
    }
  }
  use.users.insert(user);
  return absl::OkStatus();
}

absl::Status PodVm::MountImage(const ImageRootFs& root_fs,
                               absl::Time deadline) {
  ImageUse& use = images_[root_fs.image_hex];
  const std::string serial = SerialOf(root_fs.image_hex);
  // A disk that is on its way out would vanish below a new mount.
  if (use.detaching)
    RETURN_IF_ERROR(vm_->devices().DetachDisk(serial, deadline));
  use.detaching = false;
  // Opened for reading only, which no QEMU can turn into more.
  const UniqueFd fd(open(root_fs.path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!fd.valid()) return ErrnoStatus(errno, "the image's file");
  RETURN_IF_ERROR(vm_->devices().AttachDisk(
      {serial, fd.get(), /*read_only=*/true}, deadline));
  RETURN_IF_ERROR(Annotate(vm_->agent().MountImage(serial, root_fs.image_hex,
                                                   root_fs.fs_type, deadline),
                           "mount the image in the guest"));
  use.mounted = true;
  return absl::OkStatus();
}

void PodVm::AdoptImageUser(ImageRootFs root_fs, const ContainerId& user) {
  ImageUse& use = images_[root_fs.image_hex];
  use.users.insert(user);
  use.root_fs = std::move(root_fs);
}

absl::Status PodVm::RemoveImageUser(const std::string& image_hex,
                                    const ContainerId& user,
                                    absl::Time deadline) {
  const auto known = images_.find(image_hex);
  if (known == images_.end()) return absl::OkStatus();
  known->second.users.erase(user);
  if (!known->second.users.empty()) return absl::OkStatus();
  return ReleaseImage(image_hex, deadline);
}

absl::Status PodVm::ReleaseUnusedImages(absl::Time deadline) {
  std::vector<std::string> unused;
  for (const auto& [hex, use] : images_) {
    if (use.users.empty()) unused.push_back(hex);
  }
  absl::Status first;
  for (const std::string& hex : unused) {
    first.Update(ReleaseImage(hex, deadline));
  }
  return first;
}

// What is not known to be done counts as not done: each step may be repeated.
absl::Status PodVm::ReleaseImage(const std::string& image_hex,
                                 absl::Time deadline) {
  ImageUse& use = images_[image_hex];
  use.mounted = false;
  RETURN_IF_ERROR(vm_->agent().UnmountImage(image_hex, deadline));
  use.detaching = true;
  RETURN_IF_ERROR(vm_->devices().DetachDisk(SerialOf(image_hex), deadline));
  images_.erase(image_hex);
  return absl::OkStatus();
}

absl::Status PodVm::StartShare(absl::Time deadline) {
  if (!share_.has_value()) {
    ASSIGN_OR_RETURN(
        share_, PodShare::Open(directory(), {{services_.settings->root_dir,
                                              services_.settings->run_dir}}));
  }
  if (share_mounted_) return absl::OkStatus();
  ASSIGN_OR_RETURN(const bool plugged, vm_->devices().HasShare(deadline));
  if (!plugged) RETURN_IF_ERROR(PlugShare(deadline));
  RETURN_IF_ERROR(Annotate(vm_->agent().MountShare(kShareTag, deadline),
                           "mount the share in the guest"));
  share_mounted_ = true;
  return absl::OkStatus();
}

absl::Status PodVm::PlugShare(absl::Time deadline) {
  VirtiofsdOptions options;
  options.program = services_.settings->virtiofsd;
  ASSIGN_OR_RETURN(options.files_limit, FilesLimitOf(spec_));
  options.cgroup_procs = cgroup_.ProcsFiles();
  ASSIGN_OR_RETURN(VirtiofsdHandle virtiofsd, share_->StartDaemon(options));
  StartedProcess started(virtiofsd.process, "virtiofsd", services_.clock);
  // From here on Abort() ends it.
  RETURN_IF_ERROR(SetVirtiofsd(virtiofsd.process));
  absl::Status plugged = recorder_(record());
  if (plugged.ok()) {
    plugged = Plug(std::move(virtiofsd.socket), id_, *vm_, *services_.clock,
                   deadline);
  }
  if (!plugged.ok()) {
    ForgetVirtiofsd();
    return plugged;
  }
  started.Keep();
  WatchVirtiofsd();
  return absl::OkStatus();
}

absl::Status PodVm::PinVcpus(const CpuList& host_cpus, absl::Time deadline) {
  if (host_cpus.empty() && !may_be_pinned_) return absl::OkStatus();
  may_be_pinned_ = true;
  RETURN_IF_ERROR(
      vm_->PinVcpus(host_cpus, sizer_->sizes().online_vcpus, deadline));
  may_be_pinned_ = !host_cpus.empty();
  return absl::OkStatus();
}

void PodVm::WatchExit(std::function<void(const VmExit&)> on_exit) {
  on_exit_ = std::move(on_exit);
  vm_->process().WatchExit(on_exit_);
  WatchVirtiofsd();
}

void PodVm::WatchVirtiofsd() {
  services_.watcher->Unwatch(std::exchange(virtiofsd_watch_, 0));
  const std::optional<ProcessIdentity> virtiofsd = record().virtiofsd;
  if (!on_exit_ || !virtiofsd.has_value()) return;
  const absl::StatusOr<uint64_t> watch = services_.watcher->Watch(
      *virtiofsd, [vm = vm_.get(), on_exit = on_exit_](int) {
        // It also ends when QEMU does, which has its own watch.
        if (vm->process().Exited()) return;
        on_exit({"virtiofsd has ended, and with it all mounts of the pod"});
      });
  if (watch.ok()) {
    virtiofsd_watch_ = *watch;
  } else {
    LogFailure(id_, "the end of virtiofsd will not be noticed", watch.status());
  }
}

absl::StatusOr<std::vector<PlacedMount>> PodVm::AddMounts(
    const std::vector<ShareMount>& mounts, absl::Time deadline) {
  std::vector<PlacedMount> placed;
  if (mounts.empty()) return placed;
  RETURN_IF_ERROR(StartShare(deadline));
  const std::optional<ProcessIdentity> virtiofsd = record().virtiofsd;
  if (!virtiofsd.has_value()) {
    return absl::InternalError("a share whose virtiofsd nobody knows");
  }
  absl::Cleanup undo = [&] { RemoveMounts(mounts); };
  for (const ShareMount& mount : mounts) {
    ASSIGN_OR_RETURN(PlacedMount added, share_->AddMount(*virtiofsd, mount));
    placed.push_back(std::move(added));
  }
  std::move(undo).Cancel();
  return placed;
}

void PodVm::RemoveMounts(const std::vector<ShareMount>& mounts) {
  if (!share_.has_value()) return;
  for (const ShareMount& mount : mounts) {
    LogFailure(id_, "remove a mount from the share",
               share_->RemoveMount(mount.name));
  }
}

absl::Status PodVm::Abort(absl::Time deadline) {
  std::optional<ProcessIdentity> virtiofsd;
  {
    absl::MutexLock lock(&mutex_);
    aborted_ = true;
    virtiofsd = virtiofsd_;
  }
  vm_->agent().Disconnect();
  // QEMU waits for the guest too: for memory that it is to take, say.
  absl::Status first = vm_->process().Kill(deadline);
  if (virtiofsd.has_value()) first.Update(KillGroup(*virtiofsd, deadline));
  return first;
}

absl::Status PodVm::TearDown(absl::Duration grace, absl::Time deadline) {
  if (!vm_->process().Exited()) {
    const absl::Status off =
        vm_->PowerOff(std::min(deadline, services_.clock->Now() + grace));
    if (!off.ok()) {
      Log(LogLevel::kInfo, "the guest did not power off; it is killed",
          {{"sandbox_id", id_.value()}, {"reason", off.message()}});
    }
  }
  RETURN_IF_ERROR(vm_->process().Kill(deadline));
  if (const auto virtiofsd = record().virtiofsd; virtiofsd.has_value()) {
    RETURN_IF_ERROR(KillGroup(*virtiofsd, deadline));
  }
  images_.clear();
  return Sweep(services_, id_, spec_, deadline);
}

}  // namespace podvisor
