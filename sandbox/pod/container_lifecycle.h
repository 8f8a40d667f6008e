#ifndef PODVISOR_SANDBOX_POD_CONTAINER_LIFECYCLE_H_
#define PODVISOR_SANDBOX_POD_CONTAINER_LIFECYCLE_H_

#include <memory>
#include <stop_token>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "guestagent/client/guest_streams.h"
#include "sandbox/container/container.h"
#include "sandbox/pod/pod.h"
#include "sandbox/record/container_spec.h"

namespace podvisor {

// What can be done with the containers of a pod. Each function names in its
// first lines the states that allow it, and leaves the VM's size to the pod:
// the pod is told when what its containers want has changed.
//
// All are thread-safe and block; errors, besides those named: Unavailable and
// DeadlineExceeded of the guest, DeadlineExceeded while the pod or the
// container is busy with another operation, ResourceExhausted of the disk.

// Grows the VM, then creates the container in it. After an error nothing of
// the container is left, or what cannot be removed at once is removed later,
// and the VM gives back what it got.
//
// Errors: FailedPrecondition (pod not ready), AlreadyExists (name, attempt),
// NotFound (image, host path), InvalidArgument, ResourceExhausted (the VM
// cannot grow; names what ran out).
absl::StatusOr<std::shared_ptr<Container>> CreateContainer(
    Pod& pod, const ContainerSpec& spec, absl::Time deadline);

// Only from created, and only when the VM has, or gets, the size that its
// containers want. When the guest cannot start it the container is exited
// with code 128 and reason StartError, and the error says why. When it does not
// say what it did the container stays created: start it again, or stop it.
absl::Status StartContainer(Pod& pod, Container& container,
                            absl::Time deadline);

// Sends the stop signal, waits for `grace`, kills; returns once the process is
// gone and its output is in the log. OK when it has exited already; a created
// one is exited too.
absl::Status StopContainer(Pod& pod, Container& container, absl::Duration grace,
                           absl::Time deadline);

// Kills what runs and removes every trace but the log file, which is the
// kubelet's.
absl::Status RemoveContainer(Pod& pod, Container& container,
                             absl::Time deadline);

// Created or running only. What grows: first the VM, then the container's
// cgroup. What shrinks: first the cgroup; the VM follows on its own after the
// call. After an error the container has what it had before, or gets it back
// later and has its room until then. The error names the stage ("VM",
// "guest online", "container cgroup", "state store").
absl::Status UpdateContainer(Pod& pod, Container& container,
                             const ContainerResources& update,
                             absl::Time deadline);

// Running only. A non-zero exit code is no error. DeadlineExceeded, and
// Cancelled once `gone` is stopped: as of GuestStreams::ExecSync().
absl::StatusOr<ExecSyncResult> ExecSync(Pod& pod, Container& container,
                                        std::vector<std::string> command,
                                        std::stop_token gone,
                                        absl::Time deadline);

// Running only: opens the log file anew after it was renamed.
absl::Status ReopenLog(Container& container);

}  // namespace podvisor

#endif  // PODVISOR_SANDBOX_POD_CONTAINER_LIFECYCLE_H_
