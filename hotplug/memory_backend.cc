#include "hotplug/memory_backend.h"

#include <map>

#include "base/status_macros.h"
#include "hotplug/qemu_inventory.h"
#include "nlohmann/json.hpp"

namespace podvisor {

using Json = nlohmann::json;

absl::Status EnsureMemoryBackend(QmpClient& qmp, const std::string& id,
                                 int64_t bytes, absl::Time deadline) {
  ASSIGN_OR_RETURN(const auto backends, QueryMemoryBackends(qmp, deadline));
  if (const auto existing = backends.find(id); existing != backends.end()) {
    if (existing->second == bytes) return absl::OkStatus();
    RETURN_IF_ERROR(RemoveMemoryBackend(qmp, id, deadline));
  }
  return qmp
      .Execute("object-add",
               Json({{"qom-type", "memory-backend-memfd"},
                     {"id", id},
                     {"size", bytes},
                     {"share", true},
                     {"reserve", false}})
                   .dump(),
               deadline)
      .status();
}

absl::Status RemoveMemoryBackend(QmpClient& qmp, const std::string& id,
                                 absl::Time deadline) {
  return qmp.Execute("object-del", Json({{"id", id}}).dump(), deadline)
      .status();
}

}  // namespace podvisor
