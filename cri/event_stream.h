#ifndef PODVISOR_CRI_EVENT_STREAM_H_
#define PODVISOR_CRI_EVENT_STREAM_H_

#include <functional>

#include "absl/status/status.h"
#include "base/clock.h"
#include "sandbox/parts/pod_event_feed.h"
#include "third_party/cri_api/api.pb.h"

namespace podvisor {

// Pure. A pod's event has the pod's id as its container's, as kubelet's evented
// PLEG expects.
runtime::v1::ContainerEventResponse ToContainerEvent(const PodEvent& event);

// Writes events until `write` says that the client has gone, or `gone` does,
// which is asked now and then. `cut_off` ends a `write` that a client which
// does not read holds up; it is called on another thread and must not wait.
// Errors: those of PodEventFeed.
absl::Status StreamEvents(
    PodEventFeed& feed, Clock& clock, const std::function<void()>& cut_off,
    const std::function<bool()>& gone,
    const std::function<bool(const runtime::v1::ContainerEventResponse&)>&
        write);

}  // namespace podvisor

#endif  // PODVISOR_CRI_EVENT_STREAM_H_
