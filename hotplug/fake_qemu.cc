#include "hotplug/fake_qemu.h"

#include <algorithm>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "hotplug/qmp_message.h"

namespace podvisor {

// The tests' side and the connection; the machine is in fake_qemu_machine.cc.

struct FakeQemu::Connection {
  absl::Mutex mutex;
  bool broken ABSL_GUARDED_BY(mutex) = false;
  std::vector<std::weak_ptr<QmpEventQueue>> queues ABSL_GUARDED_BY(mutex);

  void Break() {
    absl::MutexLock lock(&mutex);
    broken = true;
    for (const auto& weak : queues) {
      if (const auto queue = weak.lock()) {
        queue->Close(absl::UnavailableError("QMP: QEMU hung up"));
      }
    }
  }

  bool IsBroken() {
    absl::MutexLock lock(&mutex);
    return broken;
  }

  void Put(const QmpEvent& event) {
    absl::MutexLock lock(&mutex);
    for (const auto& weak : queues) {
      if (const auto queue = weak.lock()) queue->Put(event);
    }
  }
};

namespace {

class FakeSubscription final : public QmpSubscription {
 public:
  FakeSubscription(std::shared_ptr<QmpEventQueue> queue, FakeClock* clock)
      : queue_(std::move(queue)), clock_(clock) {}

  absl::StatusOr<QmpEvent> Next(absl::Time deadline) override {
    absl::StatusOr<QmpEvent> event = queue_->Take(absl::InfinitePast());
    if (absl::IsDeadlineExceeded(event.status()) &&
        deadline != absl::InfiniteFuture() && deadline > clock_->Now()) {
      clock_->Advance(deadline - clock_->Now());
    }
    return event;
  }

 private:
  const std::shared_ptr<QmpEventQueue> queue_;
  FakeClock* const clock_;
};

}  // namespace

class FakeQemu::Client final : public QmpClient {
 public:
  Client(FakeQemu* qemu, std::shared_ptr<Connection> connection)
      : qemu_(qemu), connection_(std::move(connection)) {}
  ~Client() override { connection_->Break(); }

  absl::StatusOr<std::string> Execute(absl::string_view command,
                                      absl::string_view arguments_json,
                                      absl::Time /*deadline*/) override {
    return qemu_->Execute(*connection_, command, arguments_json, -1);
  }
  absl::StatusOr<std::string> ExecuteWithFd(absl::string_view command,
                                            absl::string_view arguments_json,
                                            int fd,
                                            absl::Time /*deadline*/) override {
    return qemu_->Execute(*connection_, command, arguments_json, fd);
  }
  std::unique_ptr<QmpSubscription> Subscribe(
      std::vector<std::string> event_names) override {
    auto queue = std::make_shared<QmpEventQueue>(std::move(event_names));
    absl::MutexLock lock(&connection_->mutex);
    if (connection_->broken) {
      queue->Close(absl::UnavailableError("QMP: QEMU hung up"));
    }
    connection_->queues.push_back(queue);
    return std::make_unique<FakeSubscription>(std::move(queue), qemu_->clock_);
  }

 private:
  FakeQemu* const qemu_;
  const std::shared_ptr<Connection> connection_;
};

FakeQemu::FakeQemu(FakeQemuOptions options, FakeGuestAgent* guest,
                   FakeClock* clock)
    : options_(options),
      guest_(guest),
      clock_(clock),
      guest_boot_memory_(
          guest == nullptr ? 0 : guest->size().memory_total_at_boot_bytes),
      faults_(options.faults) {
  for (int socket = 0; socket < options_.boot_vcpus; ++socket) {
    sockets_[socket] = "";
  }
}

FakeQemu::~FakeQemu() { Die(); }

std::unique_ptr<QmpClient> FakeQemu::Connect() {
  auto connection = std::make_shared<Connection>();
  absl::MutexLock lock(&mutex_);
  if (alive_) {
    connections_.push_back(connection);
  } else {
    connection->Break();
  }
  return std::make_unique<Client>(this, std::move(connection));
}

void FakeQemu::SetFaults(const QemuFaults& faults) {
  absl::MutexLock lock(&mutex_);
  faults_ = faults;
  looks_left_ = std::min(looks_left_, faults.looks_until_size_changes);
}

void FakeQemu::OnConnectionLost(std::function<void()> lost) {
  absl::MutexLock lock(&mutex_);
  lost_ = std::move(lost);
}

void FakeQemu::Die() {
  absl::MutexLock lock(&mutex_);
  alive_ = false;
  BreakConnections();
}

void FakeQemu::Emit(absl::string_view event, const Json& data) {
  absl::MutexLock lock(&mutex_);
  Send(event, data);
}

bool FakeQemu::alive() const {
  absl::MutexLock lock(&mutex_);
  return alive_;
}

int FakeQemu::vcpus() const {
  absl::MutexLock lock(&mutex_);
  return CountVcpus();
}

int64_t FakeQemu::memory_requested_bytes() const {
  absl::MutexLock lock(&mutex_);
  return memory_requested_;
}

int64_t FakeQemu::memory_plugged_bytes() const {
  absl::MutexLock lock(&mutex_);
  return memory_plugged_;
}

std::set<std::string> FakeQemu::devices() const {
  absl::MutexLock lock(&mutex_);
  std::set<std::string> ids;
  for (const auto& [id, device] : devices_) ids.insert(id);
  return ids;
}

std::set<std::string> FakeQemu::memory_backends() const {
  absl::MutexLock lock(&mutex_);
  std::set<std::string> ids;
  for (const auto& [id, object] : objects_) ids.insert(id);
  return ids;
}

std::set<std::string> FakeQemu::block_nodes() const {
  absl::MutexLock lock(&mutex_);
  std::set<std::string> names;
  for (const auto& [name, backend] : backends_) {
    if (backend.contains("node-name")) names.insert(name);
  }
  return names;
}

std::set<int64_t> FakeQemu::fd_sets() const {
  absl::MutexLock lock(&mutex_);
  std::set<int64_t> ids;
  for (const auto& [id, opaque] : fd_sets_) ids.insert(id);
  return ids;
}

std::vector<std::string> FakeQemu::commands() const {
  absl::MutexLock lock(&mutex_);
  return commands_;
}

absl::StatusOr<std::string> FakeQemu::Execute(Connection& connection,
                                              absl::string_view command,
                                              absl::string_view arguments_json,
                                              int fd) {
  if (connection.IsBroken()) {
    return absl::UnavailableError("QMP: QEMU hung up");
  }
  // The same check of the arguments as on the wire.
  const absl::StatusOr<std::string> line =
      RenderQmpCommand(1, command, arguments_json);
  if (!line.ok()) return line.status();

  absl::MutexLock lock(&mutex_);
  if (!alive_) return absl::UnavailableError("QMP: QEMU hung up");
  const absl::Status fault = TakeFault();
  if (!fault.ok() && !faults_.last_command_takes_effect) return fault;
  commands_.push_back(
      absl::StrCat(command, arguments_json.empty() ? "" : " ", arguments_json));
  fd_came_ = fd >= 0;
  const Json in = arguments_json.empty() ? Json::object()
                                         : Json::parse(arguments_json.begin(),
                                                       arguments_json.end());
  absl::StatusOr<Json> result = Dispatch(std::string(command), in);
  if (!fault.ok()) return fault;
  if (!result.ok()) return result.status();
  return result->dump();
}

absl::Status FakeQemu::TakeFault() {
  const auto strikes = [](int& commands_left) {
    return commands_left >= 0 && commands_left-- == 0;
  };
  const bool dies = strikes(faults_.commands_until_death);
  if (!dies && !strikes(faults_.commands_until_connection_lost)) {
    return absl::OkStatus();
  }
  if (dies) alive_ = false;
  BreakConnections();
  if (lost_) lost_();
  return absl::UnavailableError("QMP: QEMU hung up");
}

void FakeQemu::BreakConnections() {
  for (const auto& weak : connections_) {
    if (const auto connection = weak.lock()) connection->Break();
  }
  connections_.clear();
}

void FakeQemu::Send(absl::string_view event, const Json& data) {
  if (faults_.events_lost) return;
  // Through the parser, so that `device` is found as in a real event.
  const Json line = {{"event", std::string(event)}, {"data", data}};
  const absl::StatusOr<QmpMessage> message = ParseQmpMessage(line.dump());
  if (!message.ok()) return;
  for (const auto& weak : connections_) {
    if (const auto connection = weak.lock()) {
      connection->Put(std::get<QmpEvent>(*message));
    }
  }
}

}  // namespace podvisor
