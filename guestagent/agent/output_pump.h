#ifndef PODVISOR_GUESTAGENT_AGENT_OUTPUT_PUMP_H_
#define PODVISOR_GUESTAGENT_AGENT_OUTPUT_PUMP_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <thread>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_map.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "base/unique_fd.h"

namespace podvisor {

// One thread that waits for the output pipes of all containers.
//
// A pipe is watched for one event at a time: after its callback it rests until
// Rearm(), also when it hangs up. So a full buffer costs nothing.
//
// Thread-safe. Callbacks run on the pump's thread, without a lock held, and
// must not block.
class OutputPump {
 public:
  OutputPump();
  ~OutputPump();
  OutputPump(const OutputPump&) = delete;
  OutputPump& operator=(const OutputPump&) = delete;

  // Calls `on_readable` once `fd` can be read or has ended. The callback is
  // kept until Remove(). Returns the watch's name, never 0.
  absl::StatusOr<uint64_t> Add(int fd, std::function<void()> on_readable);

  void Rearm(uint64_t watch, int fd);

  // To be called before `fd` is closed. A callback may still be running.
  void Remove(uint64_t watch, int fd);

 private:
  void Run();

  UniqueFd epoll_;
  UniqueFd stop_;
  absl::Mutex mutex_;
  uint64_t last_watch_ ABSL_GUARDED_BY(mutex_) = 0;
  absl::flat_hash_map<uint64_t, std::shared_ptr<std::function<void()>>>
      callbacks_ ABSL_GUARDED_BY(mutex_);
  std::thread thread_;
};

}  // namespace podvisor

#endif  // PODVISOR_GUESTAGENT_AGENT_OUTPUT_PUMP_H_
