#include "hotplug/device_removal.h"

#include <algorithm>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "nlohmann/json.hpp"

namespace podvisor {
namespace {

using Json = nlohmann::json;

// An event can get lost with a connection: look for ourselves now and then.
constexpr absl::Duration kLookInterval = absl::Seconds(1);

// ACPI 6.4, table 6.47: `_OST` codes.
constexpr int kOstEjectRequest = 0x3;
constexpr int kOstEjectByGuest = 0x103;
constexpr int kOstSuccess = 0;
constexpr int kOstEjectInProgress = 0x84;

absl::StatusOr<bool> IsPresent(QmpClient& qmp, absl::string_view id,
                               absl::Time deadline) {
  ASSIGN_OR_RETURN(
      const std::string text,
      qmp.Execute("qom-list", R"({"path":"/machine/peripheral"})", deadline));
  const Json children = Json::parse(text, nullptr, false);
  if (!children.is_array()) return absl::DataLossError("qom-list: no list");
  return std::any_of(children.begin(), children.end(), [&](const Json& child) {
    const auto name = child.is_object() ? child.find("name") : child.end();
    return child.is_object() && name != child.end() && name->is_string() &&
           absl::string_view(name->get_ref<const std::string&>()) == id;
  });
}

int OstField(const Json& info, const char* key) {
  const auto field = info.find(key);
  return field != info.end() && field->is_number_integer() ? field->get<int>()
                                                           : -1;
}

// Whether the guest's firmware interface reports that it will not let go.
bool IsRefusal(const QmpEvent& event) {
  if (event.name != "ACPI_DEVICE_OST") {
    return event.name == "DEVICE_UNPLUG_GUEST_ERROR" ||
           event.name == "MEM_UNPLUG_ERROR";
  }
  const Json data = Json::parse(event.data_json, nullptr, false);
  if (!data.is_object() || !data.contains("info")) return false;
  const Json& info = data["info"];
  if (!info.is_object()) return false;
  const int source = OstField(info, "source");
  const int status = OstField(info, "status");
  return (source == kOstEjectRequest || source == kOstEjectByGuest) &&
         status != kOstSuccess && status != kOstEjectInProgress;
}

// Whether the event is about something inside the device.
bool IsOfInnerDevice(const QmpEvent& event, absl::string_view id) {
  const Json data = Json::parse(event.data_json, nullptr, false);
  if (!data.is_object() || !data.contains("path")) return false;
  const Json& path = data["path"];
  return path.is_string() &&
         absl::StartsWith(path.get_ref<const std::string&>(),
                          absl::StrCat("/machine/peripheral/", id, "/"));
}

// What is taken for the end of a device.
enum class Sign {
  kOwnEvent,       // its DEVICE_DELETED
  kInnerEventToo,  // or that of an inner device, if the device is gone then
};

absl::Status AwaitRemoval(QmpClient& qmp, Clock& clock, QmpSubscription& events,
                          absl::string_view id, Sign sign,
                          absl::Time deadline) {
  while (clock.Now() < deadline) {
    const absl::StatusOr<QmpEvent> event =
        events.Next(std::min(deadline, clock.Now() + kLookInterval));
    if (event.ok()) {
      const bool deleted = event->name == "DEVICE_DELETED";
      if (deleted && event->device == id) return absl::OkStatus();
      if (event->device == id && IsRefusal(*event)) {
        return absl::FailedPreconditionError(
            absl::StrCat("guest refuses to let go of ", id));
      }
      if (!deleted || sign != Sign::kInnerEventToo ||
          !IsOfInnerDevice(*event, id)) {
        continue;
      }
    } else if (!absl::IsDeadlineExceeded(event.status())) {
      return event.status();
    }
    ASSIGN_OR_RETURN(const bool present,
                     IsPresent(qmp, id, clock.Now() + kLookInterval));
    if (!present) return absl::OkStatus();
  }
  return absl::DeadlineExceededError(absl::StrCat("guest still keeps ", id));
}

absl::Status Remove(QmpClient& qmp, Clock& clock, absl::string_view id,
                    Sign sign, absl::Time deadline) {
  const std::unique_ptr<QmpSubscription> events =
      qmp.Subscribe({"DEVICE_DELETED", "DEVICE_UNPLUG_GUEST_ERROR",
                     "MEM_UNPLUG_ERROR", "ACPI_DEVICE_OST"});
  const absl::Status accepted =
      qmp.Execute("device_del", Json({{"id", std::string(id)}}).dump(),
                  deadline)
          .status();
  if (absl::IsNotFound(accepted)) return absl::OkStatus();
  if (absl::IsInvalidArgument(accepted)) {
    // QEMU 7.2 has no error class for it.
    if (!absl::StrContains(accepted.message(),
                           "already in the process of unplug")) {
      return absl::FailedPreconditionError(accepted.message());
    }
  } else if (!accepted.ok()) {
    return accepted;
  }
  return AwaitRemoval(qmp, clock, *events, id, sign, deadline);
}

}  // namespace

absl::Status RemoveDevice(QmpClient& qmp, Clock& clock, absl::string_view id,
                          absl::Time deadline) {
  return Remove(qmp, clock, id, Sign::kOwnEvent, deadline);
}

absl::Status RemoveVcpu(QmpClient& qmp, Clock& clock, absl::string_view id,
                        absl::Time deadline) {
  return Remove(qmp, clock, id, Sign::kInnerEventToo, deadline);
}

}  // namespace podvisor
