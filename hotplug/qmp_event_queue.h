#ifndef PODVISOR_HOTPLUG_QMP_EVENT_QUEUE_H_
#define PODVISOR_HOTPLUG_QMP_EVENT_QUEUE_H_

#include <cstddef>
#include <deque>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "hotplug/qmp_message.h"

namespace podvisor {

// What a subscription has not read yet: the client puts in, the reader takes
// out, and either may go first. Thread-safe.
class QmpEventQueue {
 public:
  static constexpr size_t kMaxEvents = 1024;

  explicit QmpEventQueue(std::vector<std::string> names);

  // Keeps the event if it is of one of the names. Never blocks: the oldest
  // makes room.
  void Put(const QmpEvent& event) ABSL_LOCKS_EXCLUDED(mutex_);

  // No more events will come; the first reason stays.
  void Close(const absl::Status& reason) ABSL_LOCKS_EXCLUDED(mutex_);

  // As QmpSubscription::Next.
  absl::StatusOr<QmpEvent> Take(absl::Time deadline)
      ABSL_LOCKS_EXCLUDED(mutex_);

 private:
  const std::vector<std::string> names_;
  absl::Mutex mutex_;
  std::deque<QmpEvent> events_ ABSL_GUARDED_BY(mutex_);
  absl::Status closed_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace podvisor

#endif  // PODVISOR_HOTPLUG_QMP_EVENT_QUEUE_H_
