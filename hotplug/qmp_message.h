// The messages of QEMU's monitor protocol, as text. Pure.

#ifndef PODVISOR_HOTPLUG_QMP_MESSAGE_H_
#define PODVISOR_HOTPLUG_QMP_MESSAGE_H_

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <variant>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "hotplug/qemu_version.h"

namespace podvisor {

// The longest line that is read; QEMU's longest reply (the QMP schema) has a
// fifth of it.
inline constexpr size_t kMaxQmpLineBytes = 1 << 20;

// The first line of a connection.
struct QmpGreeting {
  QemuVersion version;
  bool operator==(const QmpGreeting&) const = default;
};

struct QmpReply {
  uint64_t id = 0;
  std::string return_json;
  bool operator==(const QmpReply&) const = default;
};

// A rejected command. Without an id where QEMU could not parse one.
struct QmpRejection {
  std::optional<uint64_t> id;
  std::string error_class;
  std::string description;  // clean, one line, bounded
  bool operator==(const QmpRejection&) const = default;
};

struct QmpEvent {
  std::string name;
  // The id of the device that the event is about (data.device, data.id or
  // data.info.device), or empty. Compare it; never use it as a name or path.
  std::string device;
  std::string data_json = "{}";
  bool operator==(const QmpEvent&) const = default;
};

using QmpMessage = std::variant<QmpGreeting, QmpReply, QmpRejection, QmpEvent>;

// Parses one line without its line end. DataLoss for anything that is none of
// the four, is longer than kMaxQmpLineBytes or nests deeper than 64 levels.
absl::StatusOr<QmpMessage> ParseQmpMessage(absl::string_view line);

// One command line with its line end. InvalidArgument when `arguments_json` is
// neither empty nor a JSON object.
absl::StatusOr<std::string> RenderQmpCommand(uint64_t id,
                                             absl::string_view command,
                                             absl::string_view arguments_json);

// The Status of a rejected command, see QmpClient::Execute.
absl::Status RejectionStatus(absl::string_view command,
                             const QmpRejection& rejection);

}  // namespace podvisor

#endif  // PODVISOR_HOTPLUG_QMP_MESSAGE_H_
