#ifndef PODVISOR_GUESTAGENT_CLIENT_FAKE_GUEST_AGENT_H_
#define PODVISOR_GUESTAGENT_CLIENT_FAKE_GUEST_AGENT_H_

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "base/clock.h"
#include "base/ids.h"
#include "guestagent/agent.pb.h"
#include "guestagent/client/guest_agent.h"

namespace podvisor {

// Misbehaviour that real guests and agents show.
struct GuestFaults {
  bool agent_gone = false;            // every call: Unavailable
  bool agent_hangs = false;           // every call: DeadlineExceeded
  bool cpu_never_onlines = false;     // plugged CPUs stay offline
  bool cpu_never_offlines = false;    // online CPUs stay online
  int looks_until_cpus_online = 0;    // late, after DeadlineExceeded
  bool memory_never_arrives = false;  // plugged memory is not brought online
  // How long each GiB of new memory takes, block by block; needs a clock.
  absl::Duration memory_per_gib = absl::ZeroDuration();
  int64_t keeps_memory_bytes = 0;  // MemTotal never comes below this
  bool reclaims_nothing = false;   // cache stays, ReclaimMemory is OK
  bool reclaim_hangs = false;      // ReclaimMemory: DeadlineExceeded
  bool configure_fails = false;    // ConfigureSandbox: Internal
  bool network_fails = false;      // ConfigureNetwork: DeadlineExceeded
  bool mount_fails = false;        // MountImage, MountShare: NotFound
  bool create_fails = false;       // InvalidArgument
  bool create_hangs = false;       // Create waits until Disconnect()
  bool start_fails = false;        // Internal
  bool start_hangs = false;        // Start: DeadlineExceeded
  bool start_answer_lost = false;  // ... and the process runs
  bool list_hangs = false;         // List: DeadlineExceeded
  bool update_fails = false;       // Internal
  int updates_half_done = 0;       // so many before: applied, and Internal
  bool delete_fails = false;       // Internal
  bool ignores_sigterm = false;    // containers live until SIGKILL
  bool ignores_sigkill = false;    // ... or until the VM is gone
  bool stats_hang = false;         // Stats: DeadlineExceeded
  bool exec_hangs = false;         // ExecSync: DeadlineExceeded
};

struct FakeGuestOptions {
  int boot_cpus = 1;
  int64_t boot_memory_bytes = int64_t{240} << 20;  // MemTotal at boot
  int64_t memory_block_bytes = int64_t{128} << 20;
  GuestFaults faults = {};
  // Moved to the deadline by a wait for CPUs or memory that fails. Borrowed.
  FakeClock* clock = nullptr;
};

// A guest and its agent without a VM. The test, or a fake QEMU, plays the
// hardware with SetPresentCpus() and SetMemoryTotal(), and the containers with
// WriteOutput() and Exit().
//
// Never sleeps: a wait that would time out fails at once with
// DeadlineExceeded; deadlines are otherwise ignored. StreamOutput() and
// WatchExits() do block, as the real ones, until the test provides what they
// wait for, BreakConnection() or Disconnect(); so does a Create() that hangs.
// Thread-safe.
class FakeGuestAgent final : public GuestAgent {
 public:
  explicit FakeGuestAgent(FakeGuestOptions options = {});
  // Disconnects and waits until all calls have returned.
  ~FakeGuestAgent() override;

  FakeGuestAgent(const FakeGuestAgent&) = delete;
  FakeGuestAgent& operator=(const FakeGuestAgent&) = delete;

  // --- The hardware, for a fake QEMU.

  // CPUs that the guest can see. New ones are offline until SetOnlineCpus();
  // those that vanish are no longer online.
  void SetPresentCpus(int count) ABSL_LOCKS_EXCLUDED(mutex_);
  // Asks the guest to have this much memory. Returns the MemTotal it then has,
  // or is on its way to: the faults memory_never_arrives and keeps_memory_bytes
  // may make it differ.
  int64_t SetMemoryTotal(int64_t bytes) ABSL_LOCKS_EXCLUDED(mutex_);
  void SetMemoryAvailable(int64_t bytes) ABSL_LOCKS_EXCLUDED(mutex_);
  // Turns free memory into page cache, until ReclaimMemory().
  void SetMemoryFree(int64_t bytes) ABSL_LOCKS_EXCLUDED(mutex_);
  // What the kernel has, also while the agent is gone.
  GuestSize size() ABSL_LOCKS_EXCLUDED(mutex_);

  // --- The script.

  void SetFaults(const GuestFaults& faults) ABSL_LOCKS_EXCLUDED(mutex_);
  // The first process of a container ends, also one that still waits for its
  // start: code, end of output, exit notice. Nothing for one that has ended.
  void Exit(const ContainerId& id, int exit_code, bool oom_killed = false)
      ABSL_LOCKS_EXCLUDED(mutex_);
  // A container's process writes to `stream`.
  void WriteOutput(const ContainerId& id, agent::v1::OutputChunk::Stream stream,
                   absl::string_view data) ABSL_LOCKS_EXCLUDED(mutex_);
  // The stats that the next Stats() calls return; `resources` is filled in.
  void SetStats(const agent::v1::GetStatsResponse& stats)
      ABSL_LOCKS_EXCLUDED(mutex_);
  // Called by each Stats() before it answers, without a lock held.
  void SetStatsHandler(std::function<void()> handler)
      ABSL_LOCKS_EXCLUDED(mutex_) {
    absl::MutexLock lock(&mutex_);
    stats_handler_ = std::move(handler);
  }
  // Answers ExecSync(); without it, exit code 0 and no output. Called without
  // a lock held.
  using ExecHandler =
      std::function<absl::StatusOr<ExecSyncResult>(const ExecSyncRequest&)>;
  void SetExecHandler(ExecHandler handler) ABSL_LOCKS_EXCLUDED(mutex_);
  // Is the process of Exec() and Attach(), from its start to its exit code, and
  // the server of PortForward(); without it, what ends at once with 0. Called
  // without a lock held.
  using StreamHandler = std::function<absl::StatusOr<int>(StreamPeer*)>;
  void SetStreamHandler(StreamHandler handler) ABSL_LOCKS_EXCLUDED(mutex_);
  // Streams that are open end with Unavailable; the next calls succeed.
  void BreakConnection() ABSL_LOCKS_EXCLUDED(mutex_);

  // Another daemon connects: the streams of the last one end, and calls succeed
  // after its Disconnect().
  void Reconnect() ABSL_LOCKS_EXCLUDED(mutex_);

  // --- What was asked for.

  // One line for each call in order, the method's name and what it is about:
  // "Create <id>", "Signal <id> 15", "MountImage <image>", "SetOnlineCpus 3".
  // Observe(), Stats(), Hello() and Connect() are not recorded.
  std::vector<std::string> calls() const ABSL_LOCKS_EXCLUDED(mutex_);
  // As last created or updated; NotFound for an unknown container.
  absl::StatusOr<agent::v1::ContainerSpec> spec(const ContainerId& id) const
      ABSL_LOCKS_EXCLUDED(mutex_);
  // How far the container's output was acknowledged; zero for an unknown one.
  OutputOffsets acknowledged(const ContainerId& id) const
      ABSL_LOCKS_EXCLUDED(mutex_);
  agent::v1::ConfigureNetworkRequest network() const
      ABSL_LOCKS_EXCLUDED(mutex_);
  agent::v1::ConfigureSandboxRequest configured() const
      ABSL_LOCKS_EXCLUDED(mutex_);
  // Images by the serials of their disks.
  std::map<std::string, std::string> mounted_images() const
      ABSL_LOCKS_EXCLUDED(mutex_);
  bool powered_off() const ABSL_LOCKS_EXCLUDED(mutex_);

  // --- GuestAgent.

  absl::Status Connect(absl::Time deadline) override;
  void Disconnect() override;

  absl::StatusOr<GuestSize> Observe(absl::Time deadline) override;
  absl::StatusOr<GuestSize> SetOnlineCpus(int count,
                                          absl::Time deadline) override;
  absl::StatusOr<GuestSize> AwaitMemoryAtLeast(int64_t memory_total_bytes,
                                               absl::Time deadline) override;
  absl::StatusOr<GuestSize> AwaitMemoryAtMost(int64_t memory_total_bytes,
                                              absl::Time deadline) override;
  absl::StatusOr<GuestSize> ReclaimMemory(int64_t memory_free_bytes,
                                          absl::Time deadline) override;

  absl::StatusOr<agent::v1::HelloResponse> Hello(absl::Time deadline) override;
  absl::Status ConfigureSandbox(
      const agent::v1::ConfigureSandboxRequest& request,
      absl::Time deadline) override;
  absl::Status ConfigureNetwork(
      const agent::v1::ConfigureNetworkRequest& request,
      absl::Time deadline) override;
  absl::Status MountImage(absl::string_view serial, absl::string_view image,
                          absl::string_view fs_type,
                          absl::Time deadline) override;
  absl::Status UnmountImage(absl::string_view image,
                            absl::Time deadline) override;
  absl::Status MountShare(absl::string_view tag, absl::Time deadline) override;
  absl::Status PowerOff(absl::Time deadline) override;

  absl::StatusOr<agent::v1::CreateContainerResponse> Create(
      const ContainerId& id, const agent::v1::ContainerSpec& spec,
      absl::Time deadline) override;
  absl::Status Start(const ContainerId& id, absl::Time deadline) override;
  absl::Status Signal(const ContainerId& id, int signal, bool all_processes,
                      absl::Time deadline) override;
  absl::Status Update(const ContainerId& id,
                      const agent::v1::LinuxResources& resources,
                      absl::Time deadline) override;
  absl::StatusOr<agent::v1::ReadCgroupResponse> ReadCgroup(
      const ContainerId& id, const std::vector<std::string>& files,
      absl::Time deadline) override;
  absl::Status Delete(const ContainerId& id, absl::Time deadline) override;
  absl::StatusOr<std::vector<agent::v1::ContainerState>> List(
      absl::Time deadline) override;
  absl::StatusOr<agent::v1::GetStatsResponse> Stats(
      absl::Time deadline) override;

  absl::Status StreamOutput(const ContainerId& id, const OutputOffsets& begin,
                            const OutputSink& sink) override;
  absl::Status WatchExits(
      const std::function<void(const agent::v1::ContainerExit&)>& on_exit)
      override;
  absl::StatusOr<ExecSyncResult> ExecSync(const ExecSyncRequest& request,
                                          absl::Time deadline) override;
  absl::StatusOr<int> Exec(const GuestExec& request, StreamPeer* peer) override;
  absl::StatusOr<int> Attach(const ContainerId& id, bool with_stdin,
                             StreamPeer* peer) override;
  absl::Status PortForward(uint16_t port, StreamPeer* peer) override;

 private:
  struct Container {
    agent::v1::ContainerSpec spec;
    agent::v1::ContainerState state;
    std::string output[2];  // stdout, stderr; kept whole
    bool eof = false;
    OutputOffsets acknowledged;
    uint64_t reader = 0;  // the newest StreamOutput() call
  };

  absl::StatusOr<int> ServePeer(const ContainerId& id, absl::string_view call,
                                StreamPeer* peer) ABSL_LOCKS_EXCLUDED(mutex_);

  // Counts a call, so that the destructor can wait for it.
  class CallScope;

  static absl::Status Hangs();
  // OK when the agent is there to answer.
  absl::Status Answers() const ABSL_SHARED_LOCKS_REQUIRED(mutex_);
  // Answers() and the container, or NotFound.
  absl::StatusOr<Container*> Find(const ContainerId& id)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void ExitLocked(Container& container, int exit_code, bool oom_killed)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  absl::StatusOr<GuestSize> MemoryWait(bool reached, absl::Time deadline)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void ChangeMemoryBy(int64_t bytes) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // Moves the clock to when the memory is there, if that is in time.
  void PassUntilMemoryIs(int64_t memory_total_bytes, absl::Time deadline)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // Of the memory that is on its way, what has come by now.
  void TakeWhatCame() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void WaitInVain(absl::Time deadline);
  void OnlineLateCpus() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void Record(std::string call) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  FakeClock* const clock_;
  mutable absl::Mutex mutex_;
  GuestFaults faults_ ABSL_GUARDED_BY(mutex_);
  GuestSize size_ ABSL_GUARDED_BY(mutex_);
  // Memory on its way, and when the last block of it came.
  int64_t coming_bytes_ ABSL_GUARDED_BY(mutex_) = 0;
  absl::Time last_came_ ABSL_GUARDED_BY(mutex_);
  // CPUs that come online after so many looks; 0: none are to come.
  int late_cpus_ ABSL_GUARDED_BY(mutex_) = 0;
  int looks_left_ ABSL_GUARDED_BY(mutex_) = 0;
  std::map<ContainerId, Container> containers_ ABSL_GUARDED_BY(mutex_);
  std::vector<agent::v1::ContainerExit> exits_ ABSL_GUARDED_BY(mutex_);
  agent::v1::GetStatsResponse stats_ ABSL_GUARDED_BY(mutex_);
  std::function<void()> stats_handler_ ABSL_GUARDED_BY(mutex_);
  agent::v1::ConfigureSandboxRequest configured_ ABSL_GUARDED_BY(mutex_);
  agent::v1::ConfigureNetworkRequest network_ ABSL_GUARDED_BY(mutex_);
  std::map<std::string, std::string> images_ ABSL_GUARDED_BY(mutex_);
  StreamHandler stream_handler_ ABSL_GUARDED_BY(mutex_);
  ExecHandler exec_ ABSL_GUARDED_BY(mutex_);
  std::vector<std::string> calls_ ABSL_GUARDED_BY(mutex_);
  bool powered_off_ ABSL_GUARDED_BY(mutex_) = false;
  bool disconnected_ ABSL_GUARDED_BY(mutex_) = false;
  uint64_t connection_ ABSL_GUARDED_BY(mutex_) = 1;  // grows at each break
  uint64_t readers_ ABSL_GUARDED_BY(mutex_) = 0;
  int64_t finished_at_ ABSL_GUARDED_BY(mutex_) = 1'700'000'000'000'000'000;
  int active_calls_ ABSL_GUARDED_BY(mutex_) = 0;
};

}  // namespace podvisor

#endif  // PODVISOR_GUESTAGENT_CLIENT_FAKE_GUEST_AGENT_H_
