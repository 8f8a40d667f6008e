#include "hotplug/dimm.h"

#include <string>

#include "absl/algorithm/container.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "hotplug/device_removal.h"
#include "hotplug/memory_backend.h"
#include "hotplug/qemu_inventory.h"
#include "nlohmann/json.hpp"

namespace podvisor {
namespace {

using Json = nlohmann::json;

constexpr char kBackend[] = "dimmbackend";

std::string BackendId(int slot) { return absl::StrCat(kBackend, slot); }

}  // namespace

absl::Status AddDimm(QmpClient& qmp, const Dimm& dimm, absl::Time deadline) {
  ASSIGN_OR_RETURN(const std::vector<Dimm> dimms, QueryDimms(qmp, deadline));
  if (absl::c_linear_search(dimms, dimm)) return absl::OkStatus();
  const std::string backend = BackendId(dimm.slot);
  RETURN_IF_ERROR(EnsureMemoryBackend(qmp, backend, dimm.bytes, deadline));
  const absl::Status added = qmp.Execute("device_add",
                                         Json({{"driver", "pc-dimm"},
                                               {"id", DimmId(dimm.slot)},
                                               {"slot", dimm.slot},
                                               {"memdev", backend}})
                                             .dump(),
                                         deadline)
                                 .status();
  if (absl::IsInvalidArgument(added) || absl::IsNotFound(added)) {
    // Refused for certain. A backend that stays all the same is found by the
    // next resize.
    RemoveMemoryBackend(qmp, backend, deadline).IgnoreError();
  }
  return added;
}

absl::Status RemoveDimm(QmpClient& qmp, Clock& clock, int slot,
                        absl::Time deadline) {
  RETURN_IF_ERROR(RemoveDevice(qmp, clock, DimmId(slot), deadline));
  const absl::Status removed =
      RemoveMemoryBackend(qmp, BackendId(slot), deadline);
  // There was none.
  return absl::IsInvalidArgument(removed) ? absl::OkStatus() : removed;
}

absl::Status RemoveUnusedDimmBackends(QmpClient& qmp,
                                      const std::vector<Dimm>& dimms,
                                      absl::Time deadline) {
  ASSIGN_OR_RETURN(const auto backends, QueryMemoryBackends(qmp, deadline));
  for (const auto& [id, bytes] : backends) {
    if (!absl::StartsWith(id, kBackend)) continue;
    const bool used = absl::c_any_of(dimms, [&, &id = id](const Dimm& dimm) {
      return BackendId(dimm.slot) == id;
    });
    if (!used) RETURN_IF_ERROR(RemoveMemoryBackend(qmp, id, deadline));
  }
  return absl::OkStatus();
}

}  // namespace podvisor
