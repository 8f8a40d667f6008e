#ifndef PODVISOR_SANDBOX_PARTS_POD_VM_H_
#define PODVISOR_SANDBOX_PARTS_POD_VM_H_

#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "base/clock.h"
#include "base/cpu_list.h"
#include "base/ids.h"
#include "base/process.h"
#include "image/image_store.h"
#include "network/pod_network.h"
#include "sandbox/host/host_cgroups.h"
#include "sandbox/host/pod_cgroup.h"
#include "sandbox/parts/pending_link.h"
#include "sandbox/record/pod_spec.h"
#include "sandbox/size/pod_settings.h"
#include "sandbox/size/pod_sizer.h"
#include "sandbox/vm/process_watcher.h"
#include "sandbox/vm/vm.h"
#include "sandbox/vm/vm_launcher.h"
#include "volume/pod_directory.h"
#include "volume/pod_share.h"
#include "volume/scratch_disk.h"

namespace podvisor {

// What PodVm needs of its surroundings; all borrowed, all outlive it.
struct PodVmServices {
  Clock* clock = nullptr;
  VmLauncher* launcher = nullptr;
  ProcessWatcher* watcher = nullptr;
  ScratchDisks* scratch_disks = nullptr;
  PodMetrics* metrics = nullptr;
  const PodSettings* settings = nullptr;
  HostCgroups* cgroups = nullptr;
  PodNetwork* network = nullptr;
};

// A pod's VM with everything that exists only while it runs: the run
// directory, the scratch disk, the image disks, the share with its virtiofsd,
// and the size.
//
// The destructor lets go and leaves the VM running: a daemon that ends keeps
// its pods. TearDown() ends it.
//
// Not thread-safe but for vm(), sizer(), record(), directory() and Abort(): the
// pod's operation lock.
class PodVm {
 public:
  // Boots a VM for the pod, attaches it to its network at the same time, and
  // configures its guest. `spec` outlives the PodVm. `recorder` stores the
  // record each time that a process was started. After an error Sweep() and
  // PodNetwork::Remove() remove what is left. Errors: those of
  // VmLauncher::Launch(), of the agent, of the disk (ResourceExhausted), or of
  // a limit on the host that cannot be (see PodCgroup, FilesLimitFor()).
  static absl::StatusOr<std::unique_ptr<PodVm>> Boot(
      const PodVmServices& services, const PodId& id, const PodSpec& spec,
      uid_t uid, VmRecorder recorder, NetworkRecorder network_recorder,
      absl::Time deadline);

  // Takes over the VM of an earlier daemon, without a word from its guest:
  // sizes() are unknown until sizer().Observe(). Errors: VmLauncher::Adopt().
  static absl::StatusOr<std::unique_ptr<PodVm>> Adopt(
      const PodVmServices& services, const PodId& id, const PodSpec& spec,
      const VmRecord& record, VmRecorder recorder, absl::Time deadline);

  // Removes all that a pod may have left on this host, whether or not it got
  // far. OK when there is nothing. The directory, by which a later daemon finds
  // the pod, goes only when the processes are gone.
  static absl::Status Sweep(const PodVmServices& services, const PodId& id,
                            const PodSpec& spec, absl::Time deadline);

  Vm& vm() { return *vm_; }
  PodSizer& sizer() { return *sizer_; }
  VmRecord record() const ABSL_LOCKS_EXCLUDED(mutex_);
  const std::string& directory() const { return directory_.path(); }
  const PodCgroup& cgroup() const { return cgroup_; }

  // Keeps the vCPUs to these CPUs of the host; empty: lets them go, where they
  // may not be free. To be called again when their number has changed. Errors:
  // Vm::PinVcpus().
  absl::Status PinVcpus(const CpuList& host_cpus, absl::Time deadline);

  // As VmProcess::WatchExit(), and also when virtiofsd ends before QEMU: no
  // QEMU tells, and whatever the guest does with a mount hangs from then on.
  // The callback may come more than once.
  void WatchExit(std::function<void(const VmExit&)> on_exit);

  // Makes the image's root file system usable in the guest: attaches its disk
  // for the first container that uses it and detaches it after the last. Either
  // does no harm twice.
  absl::Status AddImageUser(ImageRootFs root_fs, const ContainerId& user,
                            absl::Time deadline);
  // After an error the image has one user less all the same; what the guest
  // has not let go of yet waits for the next AddImageUser() of the image, or
  // for ReleaseUnusedImages().
  absl::Status RemoveImageUser(const std::string& image_hex,
                               const ContainerId& user, absl::Time deadline);
  absl::Status ReleaseUnusedImages(absl::Time deadline);
  // For Adopt(): the image's disk may be attached already.
  void AdoptImageUser(ImageRootFs root_fs, const ContainerId& user);

  // Adds host files and directories to the share; the first ones start
  // virtiofsd. After an error none of them is there.
  absl::StatusOr<std::vector<PlacedMount>> AddMounts(
      const std::vector<ShareMount>& mounts, absl::Time deadline);
  void RemoveMounts(const std::vector<ShareMount>& mounts);

  // Makes whoever waits for the guest, for QEMU or for virtiofsd give up: ends
  // them, for good. TearDown() does the rest.
  absl::Status Abort(absl::Time deadline) ABSL_LOCKS_EXCLUDED(mutex_);

  // Ends the VM: asks the guest to power off within `grace`, then kills, and
  // removes everything of the pod from the host.
  absl::Status TearDown(absl::Duration grace, absl::Time deadline);

  ~PodVm();
  PodVm(const PodVm&) = delete;
  PodVm& operator=(const PodVm&) = delete;

 private:
  struct ImageUse {
    std::set<ContainerId> users;
    bool mounted = false;    // seen by this daemon
    bool detaching = false;  // QEMU was told, the guest may obey at any time
    ImageRootFs root_fs;
  };

  PodVm(const PodVmServices& services, PodId id, const PodSpec& spec,
        PodDirectory directory, VmRecorder recorder);

  static VmSpec SpecFor(const PodVmServices& services, const PodId& id,
                        const VmLimits& limits, const std::string& directory,
                        uid_t uid);
  VmLimits LimitsFor(const VmRecord& record) const;
  // With the limits that must be in force before a process enters.
  absl::Status MakeCgroup();
  absl::Status ConfigureGuest(int scratch_fd, PendingLink& pending,
                              absl::Time deadline);
  absl::Status ConfigureNetwork(const PodLink& link, absl::Time deadline);
  absl::Status MountImage(const ImageRootFs& root_fs, absl::Time deadline);
  absl::Status ReleaseImage(const std::string& image_hex, absl::Time deadline);
  // Makes sure that the guest sees the share. Asks QEMU what is there, so that
  // it goes on where a daemon that was killed had stopped.
  absl::Status StartShare(absl::Time deadline);
  absl::Status PlugShare(absl::Time deadline);
  // Cancelled after Abort().
  absl::Status SetVirtiofsd(const ProcessIdentity& virtiofsd)
      ABSL_LOCKS_EXCLUDED(mutex_);
  void ForgetVirtiofsd() ABSL_LOCKS_EXCLUDED(mutex_);
  void WatchVirtiofsd();
  static std::string SerialOf(const std::string& image_hex);

  const PodVmServices services_;
  const PodId id_;
  const PodSpec& spec_;
  PodDirectory directory_;
  const VmRecorder recorder_;
  PodCgroup cgroup_;
  std::unique_ptr<Vm> vm_;
  std::unique_ptr<PodSizer> sizer_;
  bool may_be_pinned_ = false;     // an earlier daemon may have done it
  std::optional<PodShare> share_;  // once a mount was asked for
  bool share_mounted_ = false;     // seen by this daemon
  std::function<void(const VmExit&)> on_exit_;
  uint64_t virtiofsd_watch_ = 0;
  std::map<std::string, ImageUse> images_;

  mutable absl::Mutex mutex_;
  // Not in the launcher's record: it comes and goes with the share. Set as soon
  // as it runs, also while it is not known to be good for anything.
  std::optional<ProcessIdentity> virtiofsd_ ABSL_GUARDED_BY(mutex_);
  bool aborted_ ABSL_GUARDED_BY(mutex_) = false;
};

// The text of a container's /etc/resolv.conf, see resolv.conf(5). Empty
// where `dns` names nothing.
std::string ResolvConf(const DnsConfig& dns);

}  // namespace podvisor

#endif  // PODVISOR_SANDBOX_PARTS_POD_VM_H_
