#ifndef PODVISOR_GUESTAGENT_AGENT_SANDBOX_NAMESPACES_H_
#define PODVISOR_GUESTAGENT_AGENT_SANDBOX_NAMESPACES_H_

#include <sys/types.h>

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/synchronization/mutex.h"
#include "base/id_mapping.h"

namespace podvisor {

// What containers share, once the sandbox is configured.
struct SandboxView {
  std::string ipc_namespace;  // paths for an OCI config
  std::string uts_namespace;
  std::string pid_namespace;
  // In a pod with a user namespace only: it, its ids and its network's.
  std::string user_namespace;
  std::string network_namespace;
  std::optional<IdMapping> ids;
  std::string hostname;
  std::vector<std::string> addresses;  // of the pod, as text
  std::string resolv_conf_file;  // bound to /etc/resolv.conf; may be empty
  std::string shm_dir;           // a tmpfs, bound to /dev/shm
};

struct SandboxSettings {
  std::string hostname;
  std::map<std::string, std::string> sysctls;
  std::string resolv_conf;
  int64_t shm_bytes = 0;

  bool operator==(const SandboxSettings&) const = default;
};

// Where under /proc/sys the sysctl is, in the form "net.ipv4.ip_forward" or
// "net/ipv4/ip_forward". InvalidArgument for a name that belongs to neither the
// pod's IPC nor its network namespace, or could leave /proc/sys. Pure.
absl::StatusOr<std::string> SysctlPath(absl::string_view name);

// The pod's IPC, UTS and PID namespaces, held by a pause process, with the
// files that its containers share. The network namespace is the guest's own,
// unless the pod has a user namespace: then all belong to that.
//
// The pause process has an oom_score_adj of -1000, as the agent has: an OCI
// config must always set its own.
//
// Thread-safe. The destructor leaves everything as it is: it lives as long as
// the VM.
class SandboxNamespaces {
 public:
  // `run_dir` is a directory on a tmpfs, for the files and /dev/shm.
  explicit SandboxNamespaces(std::string run_dir);
  SandboxNamespaces(const SandboxNamespaces&) = delete;
  SandboxNamespaces& operator=(const SandboxNamespaces&) = delete;

  // Starts the pause process in its new namespaces. Once, and before any
  // other thread exists: it forks without an exec. The copy writes its name
  // over `process_title` (argv[0], as long as that is) for ps(1) in the pod.
  absl::Status StartPause(char* process_title);

  // Decides whether the pod has a user namespace, once and before its network
  // or anything else is configured. With one, another pause process takes the
  // place of the first. Again with the same is OK, with another
  // FailedPrecondition. InvalidArgument for a mapping that cannot be.
  absl::Status SetIds(const std::optional<IdMapping>& ids);

  // Those of SetIds().
  std::optional<IdMapping> ids() const;
  // The pod's network namespace, a path; empty: the guest's own.
  std::string network_namespace() const;
  // A process in it; 0: the agent is.
  pid_t network_process() const;

  // Sets host name, sysctls and the shared files. Again with equal settings
  // is OK; with others FailedPrecondition. InvalidArgument for a sysctl that
  // is not namespaced, for a value that the kernel refuses and for an
  // impossible host name; then the sandbox stays unconfigured.
  absl::Status Configure(const SandboxSettings& settings);

  // What the pod's host name stands for in its containers' /etc/hosts. Replaces
  // those of an earlier call.
  void SetAddresses(std::vector<std::string> addresses);

  // FailedPrecondition before Configure() has succeeded, Unavailable when the
  // pause process is gone.
  absl::StatusOr<SandboxView> View() const;

 private:
  absl::Status Apply(const SandboxSettings& settings)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  absl::Status EnterUserNamespace(const IdMapping& ids)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  std::string Namespace(absl::string_view name) const
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  const std::string run_dir_;
  char* process_title_ = nullptr;
  mutable absl::Mutex mutex_;
  pid_t pause_pid_ ABSL_GUARDED_BY(mutex_) = 0;
  bool ids_set_ ABSL_GUARDED_BY(mutex_) = false;
  std::optional<IdMapping> ids_ ABSL_GUARDED_BY(mutex_);
  std::optional<SandboxSettings> configured_ ABSL_GUARDED_BY(mutex_);
  std::vector<std::string> addresses_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace podvisor

#endif  // PODVISOR_GUESTAGENT_AGENT_SANDBOX_NAMESPACES_H_
