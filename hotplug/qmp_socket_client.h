#ifndef PODVISOR_HOTPLUG_QMP_SOCKET_CLIENT_H_
#define PODVISOR_HOTPLUG_QMP_SOCKET_CLIENT_H_

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_set.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "base/unique_fd.h"
#include "hotplug/qemu_version.h"
#include "hotplug/qmp_client.h"
#include "hotplug/qmp_message.h"

namespace podvisor {

class QmpEventQueue;

// QmpClient over a Unix stream socket. A thread of its own reads; it ends with
// the object. QEMU serves one client at a time: a second one waits in vain for
// the greeting, which is DeadlineExceeded.
class QmpSocketClient final : public QmpClient {
 public:
  // Connects and negotiates capabilities. A path longer than a socket address
  // can hold is fine.
  //
  // Errors: NotFound (no socket), Unavailable (nobody listens, or QEMU hung
  // up), DeadlineExceeded (no greeting: QEMU is stopped or has another
  // client), DataLoss (what came was not QMP).
  static absl::StatusOr<std::unique_ptr<QmpSocketClient>> Connect(
      const std::string& path, absl::Time deadline);

  // The same over a connected stream socket.
  static absl::StatusOr<std::unique_ptr<QmpSocketClient>> Adopt(
      UniqueFd socket, absl::Time deadline);

  // Closes the connection; calls under way end with Unavailable. No other
  // thread may still be in a call.
  ~QmpSocketClient() override;

  absl::StatusOr<std::string> Execute(absl::string_view command,
                                      absl::string_view arguments_json,
                                      absl::Time deadline) override;
  absl::StatusOr<std::string> ExecuteWithFd(absl::string_view command,
                                            absl::string_view arguments_json,
                                            int fd,
                                            absl::Time deadline) override;
  std::unique_ptr<QmpSubscription> Subscribe(
      std::vector<std::string> event_names) override;

  // As the greeting gave it.
  QemuVersion version() const;

 private:
  explicit QmpSocketClient(UniqueFd socket);

  absl::Status Negotiate(absl::Time deadline);
  absl::Status Send(absl::string_view line, int fd, absl::Time deadline)
      ABSL_LOCKS_EXCLUDED(mutex_);
  absl::StatusOr<std::string> AwaitReply(uint64_t id, absl::string_view command,
                                         absl::Time deadline)
      ABSL_LOCKS_EXCLUDED(mutex_);

  void ReadLoop();
  absl::Status TakeLine(absl::string_view line) ABSL_LOCKS_EXCLUDED(mutex_);
  absl::Status TakeAnswer(std::optional<uint64_t> id, QmpMessage message)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void Dispatch(const QmpEvent& event) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // The first reason stays; wakes everybody.
  void Die(const absl::Status& reason) ABSL_LOCKS_EXCLUDED(mutex_);

  const UniqueFd socket_;

  mutable absl::Mutex mutex_;
  absl::Status dead_ ABSL_GUARDED_BY(mutex_);
  std::optional<QmpGreeting> greeting_ ABSL_GUARDED_BY(mutex_);
  bool sending_ ABSL_GUARDED_BY(mutex_) = false;
  uint64_t next_id_ ABSL_GUARDED_BY(mutex_) = 1;
  // By id: what is awaited, without a value until the answer is there.
  std::map<uint64_t, std::optional<QmpMessage>> pending_
      ABSL_GUARDED_BY(mutex_);
  // Commands whose caller gave up; their late answers are dropped.
  absl::flat_hash_set<uint64_t> abandoned_ ABSL_GUARDED_BY(mutex_);
  std::vector<std::weak_ptr<QmpEventQueue>> queues_ ABSL_GUARDED_BY(mutex_);

  std::jthread reader_;
};

}  // namespace podvisor

#endif  // PODVISOR_HOTPLUG_QMP_SOCKET_CLIENT_H_
