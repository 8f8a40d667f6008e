#ifndef PODVISOR_SANDBOX_VM_QMP_CONNECTION_H_
#define PODVISOR_SANDBOX_VM_QMP_CONNECTION_H_

#include <memory>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "base/clock.h"
#include "hotplug/qmp_client.h"

namespace podvisor {

// A QmpClient for as long as QEMU lives: after an error that killed the
// connection, the next command makes a new one. The failed command itself is
// not repeated, because it may have taken effect. Thread-safe.
class QmpConnection final : public QmpClient {
 public:
  // Connects. Errors: those of QmpSocketClient::Connect(). `clock` outlives it.
  static absl::StatusOr<std::unique_ptr<QmpConnection>> Open(
      std::string path, Clock* clock, absl::Time deadline);

  absl::StatusOr<std::string> Execute(absl::string_view command,
                                      absl::string_view arguments_json,
                                      absl::Time deadline) override;
  absl::StatusOr<std::string> ExecuteWithFd(absl::string_view command,
                                            absl::string_view arguments_json,
                                            int fd,
                                            absl::Time deadline) override;
  std::unique_ptr<QmpSubscription> Subscribe(
      std::vector<std::string> event_names) override;

 private:
  QmpConnection(std::string path, Clock* clock);

  absl::StatusOr<std::shared_ptr<QmpClient>> Client(absl::Time deadline)
      ABSL_LOCKS_EXCLUDED(mutex_);
  void DropIfDead(const std::shared_ptr<QmpClient>& client,
                  const absl::Status& status) ABSL_LOCKS_EXCLUDED(mutex_);

  const std::string path_;
  Clock* const clock_;

  absl::Mutex mutex_;
  std::shared_ptr<QmpClient> client_ ABSL_GUARDED_BY(mutex_);
  bool connecting_ ABSL_GUARDED_BY(mutex_) = false;
};

}  // namespace podvisor

#endif  // PODVISOR_SANDBOX_VM_QMP_CONNECTION_H_
