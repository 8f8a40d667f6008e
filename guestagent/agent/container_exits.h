#ifndef PODVISOR_GUESTAGENT_AGENT_CONTAINER_EXITS_H_
#define PODVISOR_GUESTAGENT_AGENT_CONTAINER_EXITS_H_

#include <cstdint>
#include <functional>
#include <map>
#include <string>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/synchronization/mutex.h"
#include "guestagent/agent.pb.h"

namespace podvisor {

// The exits of containers that still exist, in the order in which they
// happened, and everybody who watches for more. Thread-safe.
class ContainerExits {
 public:
  void Publish(const agent::v1::ContainerExit& exit);

  // The container is deleted; nobody needs its exit any more.
  void Forget(const std::string& container_id);

  // Hands `write` every exit, old ones first, each once; see
  // ContainerRuntime::WatchExits. OK when `write` returned false, Cancelled
  // otherwise.
  absl::Status Watch(
      const std::function<bool(const agent::v1::ContainerExit&)>& write,
      const std::function<bool()>& is_cancelled);

  // Ends all present and later watches.
  void Close();

 private:
  absl::Mutex mutex_;
  uint64_t last_sequence_ ABSL_GUARDED_BY(mutex_) = 0;
  std::map<uint64_t, agent::v1::ContainerExit> exits_ ABSL_GUARDED_BY(mutex_);
  bool closed_ ABSL_GUARDED_BY(mutex_) = false;
};

}  // namespace podvisor

#endif  // PODVISOR_GUESTAGENT_AGENT_CONTAINER_EXITS_H_
