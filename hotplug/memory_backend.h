#ifndef PODVISOR_HOTPLUG_MEMORY_BACKEND_H_
#define PODVISOR_HOTPLUG_MEMORY_BACKEND_H_

#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "hotplug/qmp_client.h"

namespace podvisor {

// Gives QEMU the host memory `id` for a memory device: shared, for vhost-user
// devices, and unreserved, so that it costs what the guest touches. One that a
// killed daemon left behind is used if it has the size and replaced if not.
// Errors: see QmpClient.
absl::Status EnsureMemoryBackend(QmpClient& qmp, const std::string& id,
                                 int64_t bytes, absl::Time deadline);

// InvalidArgument while a device uses it.
absl::Status RemoveMemoryBackend(QmpClient& qmp, const std::string& id,
                                 absl::Time deadline);

}  // namespace podvisor

#endif  // PODVISOR_HOTPLUG_MEMORY_BACKEND_H_
