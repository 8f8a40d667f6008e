#include "cri/event_stream.h"

#include <memory>

#include "base/status_macros.h"
#include "cri/convert_status.h"

namespace podvisor {
namespace {

// gRPC's blocking servers do not wake a call whose client has gone.
constexpr absl::Duration kLookInterval = absl::Milliseconds(500);

runtime::v1::ContainerEventType TypeOf(PodEventKind kind) {
  switch (kind) {
    case PodEventKind::kCreated:
      return runtime::v1::CONTAINER_CREATED_EVENT;
    case PodEventKind::kStarted:
      return runtime::v1::CONTAINER_STARTED_EVENT;
    case PodEventKind::kStopped:
      return runtime::v1::CONTAINER_STOPPED_EVENT;
    case PodEventKind::kDeleted:
      return runtime::v1::CONTAINER_DELETED_EVENT;
  }
  return runtime::v1::CONTAINER_CREATED_EVENT;
}

}  // namespace

runtime::v1::ContainerEventResponse ToContainerEvent(const PodEvent& event) {
  runtime::v1::ContainerEventResponse response;
  response.set_container_id(event.subject_id);
  response.set_container_event_type(TypeOf(event.kind));
  response.set_created_at(absl::ToUnixNanos(event.at));
  *response.mutable_pod_sandbox_status() = ToPodSandboxStatus(event.pod);
  for (const ContainerSnapshot& container : event.containers) {
    *response.add_containers_statuses() = ToContainerStatus(container);
  }
  return response;
}

absl::Status StreamEvents(
    PodEventFeed& feed, Clock& clock, const std::function<void()>& cut_off,
    const std::function<bool()>& gone,
    const std::function<bool(const runtime::v1::ContainerEventResponse&)>&
        write) {
  ASSIGN_OR_RETURN(const std::unique_ptr<PodEventFeed::Subscription> events,
                   feed.Subscribe(cut_off));
  while (!gone()) {
    ASSIGN_OR_RETURN(const std::shared_ptr<const PodEvent> event,
                     events->Next(clock.Now() + kLookInterval));
    if (event != nullptr && !write(ToContainerEvent(*event))) break;
  }
  return absl::OkStatus();
}

}  // namespace podvisor
