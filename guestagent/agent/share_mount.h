#ifndef PODVISOR_GUESTAGENT_AGENT_SHARE_MOUNT_H_
#define PODVISOR_GUESTAGENT_AGENT_SHARE_MOUNT_H_

#include <functional>
#include <string>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/synchronization/mutex.h"
#include "guestagent/agent/kernel_modules.h"

namespace podvisor {

// Mounts the pod's virtio-fs share, once. The mount is shared, so that what
// the host binds into it later also reaches containers that want it (rslave).
//
// Thread-safe. Errors: InvalidArgument (an impossible tag), DeadlineExceeded
// (no such device came), FailedPrecondition (another share is mounted),
// Cancelled.
class ShareMount {
 public:
  ShareMount(std::string share_dir, KernelModules* modules);

  // OK when it is mounted already.
  absl::Status Mount(const std::string& tag,
                     const std::function<bool()>& cancelled);

 private:
  const std::string share_dir_;
  KernelModules* const modules_;
  absl::Mutex mutex_;
  std::string mounted_tag_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace podvisor

#endif  // PODVISOR_GUESTAGENT_AGENT_SHARE_MOUNT_H_
