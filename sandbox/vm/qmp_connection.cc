#include "sandbox/vm/qmp_connection.h"

#include <utility>

#include "base/status_macros.h"
#include "hotplug/qmp_socket_client.h"

namespace podvisor {
namespace {

// Subscribe() has no deadline of its own; QEMU answers in milliseconds.
constexpr absl::Duration kSubscribeTime = absl::Seconds(5);

// Where no connection can be had: tells so, as a broken one would.
class NoSubscription final : public QmpSubscription {
 public:
  explicit NoSubscription(absl::Status status) : status_(std::move(status)) {}
  absl::StatusOr<QmpEvent> Next(absl::Time) override { return status_; }

 private:
  const absl::Status status_;
};

}  // namespace

QmpConnection::QmpConnection(std::string path, Clock* clock)
    : path_(std::move(path)), clock_(clock) {}

absl::StatusOr<std::unique_ptr<QmpConnection>> QmpConnection::Open(
    std::string path, Clock* clock, absl::Time deadline) {
  std::unique_ptr<QmpConnection> connection(
      new QmpConnection(std::move(path), clock));
  RETURN_IF_ERROR(connection->Client(deadline).status());
  return connection;
}

absl::StatusOr<std::shared_ptr<QmpClient>> QmpConnection::Client(
    absl::Time deadline) {
  {
    absl::MutexLock lock(&mutex_);
    const auto idle = [this]() {
      mutex_.AssertReaderHeld();
      return !connecting_;
    };
    if (!mutex_.AwaitWithDeadline(absl::Condition(&idle), deadline)) {
      return absl::DeadlineExceededError("QMP: still connecting");
    }
    if (client_ != nullptr) return client_;
    connecting_ = true;
  }
  absl::StatusOr<std::unique_ptr<QmpSocketClient>> fresh =
      QmpSocketClient::Connect(path_, deadline);
  absl::MutexLock lock(&mutex_);
  connecting_ = false;
  if (!fresh.ok()) return fresh.status();
  client_ = *std::move(fresh);
  return client_;
}

void QmpConnection::DropIfDead(const std::shared_ptr<QmpClient>& client,
                               const absl::Status& status) {
  if (!absl::IsUnavailable(status) && !absl::IsDataLoss(status)) return;
  absl::MutexLock lock(&mutex_);
  if (client_ == client) client_ = nullptr;
}

absl::StatusOr<std::string> QmpConnection::Execute(
    absl::string_view command, absl::string_view arguments_json,
    absl::Time deadline) {
  ASSIGN_OR_RETURN(const std::shared_ptr<QmpClient> client, Client(deadline));
  absl::StatusOr<std::string> result =
      client->Execute(command, arguments_json, deadline);
  DropIfDead(client, result.status());
  return result;
}

absl::StatusOr<std::string> QmpConnection::ExecuteWithFd(
    absl::string_view command, absl::string_view arguments_json, int fd,
    absl::Time deadline) {
  ASSIGN_OR_RETURN(const std::shared_ptr<QmpClient> client, Client(deadline));
  absl::StatusOr<std::string> result =
      client->ExecuteWithFd(command, arguments_json, fd, deadline);
  DropIfDead(client, result.status());
  return result;
}

std::unique_ptr<QmpSubscription> QmpConnection::Subscribe(
    std::vector<std::string> event_names) {
  const absl::StatusOr<std::shared_ptr<QmpClient>> client =
      Client(clock_->Now() + kSubscribeTime);
  if (!client.ok()) return std::make_unique<NoSubscription>(client.status());
  return (*client)->Subscribe(std::move(event_names));
}

}  // namespace podvisor
