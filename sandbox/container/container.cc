#include "sandbox/container/container.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "base/log.h"
#include "base/status_macros.h"
#include "hotplug/pod_demand.h"
#include "sandbox/container/container_request.h"

namespace podvisor {
namespace {

absl::string_view Name(ContainerPhase phase) {
  switch (phase) {
    case ContainerPhase::kCreating:
      return "being created";
    case ContainerPhase::kCreated:
      return "created";
    case ContainerPhase::kRunning:
      return "running";
    case ContainerPhase::kExited:
      return "exited";
  }
  return "unknown";
}

std::string HexOf(absl::string_view image_id) {
  return std::string(absl::StripPrefix(image_id, "sha256:"));
}

}  // namespace

Container::Container(StateStore* store, ContainerRecord record,
                     std::string log_path)
    : store_(store),
      id_(record.id),
      pod_id_(record.pod_id),
      log_path_(std::move(log_path)),
      operation_lock_(absl::StrCat("container ", record.id.value())),
      record_(std::move(record)) {}

ContainerSnapshot Container::Snapshot() const {
  absl::MutexLock lock(&mutex_);
  ContainerSnapshot snapshot;
  snapshot.id = id_;
  snapshot.pod = pod_id_;
  snapshot.spec = record_.spec;
  snapshot.phase = record_.phase;
  snapshot.created_at = record_.created_at;
  snapshot.started_at = record_.started_at;
  snapshot.finished_at = record_.finished_at;
  snapshot.exit_code = record_.exit_code;
  snapshot.reason = record_.reason;
  snapshot.message = record_.message;
  snapshot.image_id = record_.image_id;
  snapshot.image_ref = record_.image_ref;
  snapshot.user = record_.user;
  snapshot.log_path = log_path_;
  snapshot.stop_signal = record_.spec.stop_signal;
  snapshot.applied = AppliedLocked();
  return snapshot;
}

ContainerResources Container::AppliedLocked() const {
  if (!record_.tried.has_value()) return record_.resources;
  if (update_.has_value()) return before_update_;
  if (seen_.has_value()) return *seen_;
  // Nobody can tell which of the two it is.
  return CommonResources(record_.resources, *record_.tried);
}

ContainerStatsSnapshot Container::StatsSnapshot() const {
  absl::MutexLock lock(&mutex_);
  ContainerStatsSnapshot snapshot;
  snapshot.id = id_;
  snapshot.pod = pod_id_;
  snapshot.phase = record_.phase;
  snapshot.started_at = record_.started_at;
  snapshot.name = record_.spec.name;
  snapshot.attempt = record_.spec.attempt;
  snapshot.labels = record_.spec.labels;
  snapshot.annotations = record_.spec.annotations;
  const ContainerSpec& spec = record_.spec;
  snapshot.image = spec.user_image.empty() ? spec.image : spec.user_image;
  snapshot.cpu_shares = AppliedLocked().cpu_shares;
  snapshot.usage = usage_;
  return snapshot;
}

ContainerPhase Container::phase() const {
  absl::MutexLock lock(&mutex_);
  return record_.phase;
}

absl::Status Container::Transition(
    ContainerEvent event, const std::function<void(ContainerRecord&)>& change) {
  absl::MutexLock lock(&mutex_);
  const std::optional<ContainerPhase> next = NextPhase(record_.phase, event);
  if (!next.has_value()) {
    return absl::FailedPreconditionError(
        absl::StrCat("container ", id_.value(), " is ", Name(record_.phase)));
  }
  if (*next == ContainerPhase::kExited && ExitedLocked()) {
    return absl::OkStatus();  // the first account of the end counts
  }
  ContainerRecord changed = record_;
  changed.phase = *next;
  change(changed);
  const absl::Status stored = store_->PutContainer(changed);
  const bool seen_in_guest =
      event == ContainerEvent::kStarted || event == ContainerEvent::kExited;
  if (!stored.ok() && !seen_in_guest) return stored;
  record_ = std::move(changed);
  return stored;
}

absl::Status Container::Change(
    const std::function<void(ContainerRecord&)>& change) {
  absl::MutexLock lock(&mutex_);
  ContainerRecord changed = record_;
  change(changed);
  RETURN_IF_ERROR(store_->PutContainer(changed));
  record_ = std::move(changed);
  return absl::OkStatus();
}

void Container::SetStartBegun(absl::Time at) {
  absl::MutexLock lock(&mutex_);
  start_begun_ = at;
}

absl::Time Container::start_begun() const {
  absl::MutexLock lock(&mutex_);
  return start_begun_;
}

bool Container::AwaitExit(absl::Time deadline) const {
  absl::MutexLock lock(&mutex_);
  return mutex_.AwaitWithDeadline(
      absl::Condition(this, &Container::ExitedLocked), deadline);
}

Container::StopRequest::StopRequest(Container* container, absl::Time kill_at)
    : container_(container) {
  absl::MutexLock lock(&container_->mutex_);
  place_ = container_->kill_times_.insert(kill_at);
}

Container::StopRequest::~StopRequest() {
  absl::MutexLock lock(&container_->mutex_);
  container_->kill_times_.erase(place_);
}

absl::Time Container::KillAtLocked() const {
  return kill_times_.empty() ? absl::InfiniteFuture() : *kill_times_.begin();
}

bool Container::AwaitExitOrKill(absl::Time deadline) const {
  absl::MutexLock lock(&mutex_);
  for (;;) {
    const absl::Time until = std::min(deadline, KillAtLocked());
    const auto has_news = [&]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
      return ExitedLocked() || KillAtLocked() < until;
    };
    if (mutex_.AwaitWithDeadline(absl::Condition(&has_news), until)) {
      if (ExitedLocked()) return true;
    } else if (until == deadline || KillAtLocked() <= until) {
      return false;
    }
    // Else somebody is in more of a hurry, or who was has given up.
  }
}

bool Container::Counts() const {
  absl::MutexLock lock(&mutex_);
  return !ExitedLocked();
}

ContainerResources Container::RoomLocked(bool with_update) const {
  ContainerResources room = record_.resources;
  if (record_.tried.has_value()) room = RoomForEither(*record_.tried, room);
  if (with_update && update_.has_value()) room = RoomForEither(room, *update_);
  return room;
}

ContainerResources Container::wanted() const {
  absl::MutexLock lock(&mutex_);
  return RoomLocked(/*with_update=*/true);
}

ContainerResources Container::granted() const {
  absl::MutexLock lock(&mutex_);
  return RoomLocked(update_has_room_);
}

bool Container::IsChanging() const {
  absl::MutexLock lock(&mutex_);
  return record_.phase == ContainerPhase::kCreating || update_.has_value();
}

ContainerResources Container::resources() const {
  absl::MutexLock lock(&mutex_);
  return record_.resources;
}

void Container::SetUpdate(std::optional<ContainerResources> after) {
  absl::MutexLock lock(&mutex_);
  if (!update_.has_value()) before_update_ = AppliedLocked();
  update_ = std::move(after);
  update_has_room_ = false;
}

void Container::SetUpdateHasRoom() {
  absl::MutexLock lock(&mutex_);
  update_has_room_ = true;
}

std::optional<ContainerResources> Container::tried() const {
  absl::MutexLock lock(&mutex_);
  return record_.tried;
}

void Container::SetSeen(const ContainerResources& seen) {
  absl::MutexLock lock(&mutex_);
  seen_ = seen;
}

absl::Status Container::SetTried(const ContainerResources& after) {
  RETURN_IF_ERROR(Change([&](ContainerRecord& record) {
    record.tried =
        record.tried.has_value()
            ? RoomForEither(*record.tried, MergeResources(*record.tried, after))
            : after;
  }));
  absl::MutexLock lock(&mutex_);
  seen_.reset();
  return absl::OkStatus();
}

absl::Status Container::SetApplied(const ContainerResources& resources) {
  return Change([&](ContainerRecord& record) {
    record.resources = resources;
    record.tried.reset();
  });
}

void Container::SetCgroupIsKnown() {
  absl::MutexLock lock(&mutex_);
  record_.tried.reset();
  const absl::Status stored = store_->PutContainer(record_);
  if (!stored.ok()) {
    Log(LogLevel::kWarning, "the end of an update could not be stored",
        {{"container_id", id_.value()}, {"error", stored.message()}});
  }
}

void Container::SetUsage(const ContainerUsage& usage) {
  absl::MutexLock lock(&mutex_);
  usage_ = usage;
}

std::shared_ptr<LogPump> Container::pump() const {
  absl::MutexLock lock(&mutex_);
  return pump_;
}

void Container::SetPump(std::shared_ptr<LogPump> pump) {
  absl::MutexLock lock(&mutex_);
  // The old one ends with the parameter, after the lock is free again.
  pump_.swap(pump);
}

std::vector<ShareMount> Container::ShareMounts() const {
  absl::MutexLock lock(&mutex_);
  std::vector<ShareMount> mounts;
  int index = -1;
  for (const MountSpec& spec : record_.spec.mounts) {
    ++index;
    if (!spec.image.empty()) continue;
    ShareMount mount;
    mount.name = absl::StrCat(id_.value().substr(0, 24), "-", index);
    mount.host_path = spec.host_path;
    mount.read_only = spec.read_only;
    mount.recursive_read_only = spec.recursive_read_only;
    mount.slave = spec.slave;
    mount.ids = spec.ids;
    mounts.push_back(std::move(mount));
  }
  return mounts;
}

std::string Container::image_hex() const {
  absl::MutexLock lock(&mutex_);
  return HexOf(record_.image_id);
}

std::set<std::string> Container::image_hexes() const {
  absl::MutexLock lock(&mutex_);
  std::set<std::string> hexes = {HexOf(record_.image_id)};
  for (const MountSpec& mount : record_.spec.mounts) {
    if (!mount.image.empty()) hexes.insert(HexOf(mount.image_id));
  }
  return hexes;
}

}  // namespace podvisor
