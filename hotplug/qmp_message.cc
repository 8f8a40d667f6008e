#include "hotplug/qmp_message.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "base/clean_text.h"
#include "nlohmann/json.hpp"

namespace podvisor {
namespace {

using Json = nlohmann::json;

// Of nlohmann's functions the writer recurses: bound the depth before parsing.
constexpr int kMaxDepth = 64;
constexpr size_t kMaxNameBytes = 128;
constexpr size_t kMaxDescriptionBytes = 1024;

absl::Status Malformed(absl::string_view what) {
  return absl::DataLossError(absl::StrCat("malformed QMP: ", what));
}

bool NestsTooDeep(absl::string_view text) {
  int depth = 0;
  bool in_string = false;
  for (size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (in_string) {
      if (c == '\\') {
        ++i;
      } else if (c == '"') {
        in_string = false;
      }
    } else if (c == '"') {
      in_string = true;
    } else if (c == '[' || c == '{') {
      if (++depth > kMaxDepth) return true;
    } else if (c == ']' || c == '}') {
      --depth;
    }
  }
  return false;
}

// A discarded value for anything that is not JSON.
Json Parse(absl::string_view text) {
  if (NestsTooDeep(text)) return Json(Json::value_t::discarded);
  return Json::parse(text.begin(), text.end(), /*cb=*/nullptr,
                     /*allow_exceptions=*/false);
}

std::string Dump(const Json& value) {
  return value.dump(-1, ' ', false, Json::error_handler_t::replace);
}

// The member, or null where `object` is no object or has no such member.
const Json* Find(const Json& object, const char* key) {
  if (!object.is_object()) return nullptr;
  const auto member = object.find(key);
  return member == object.end() ? nullptr : &*member;
}

// A bounded string member, or nullopt.
std::optional<std::string> FindString(const Json& object, const char* key,
                                      size_t max_bytes) {
  const Json* member = Find(object, key);
  if (member == nullptr || !member->is_string()) return std::nullopt;
  const std::string& text = member->get_ref<const std::string&>();
  if (text.size() > max_bytes) return std::nullopt;
  return text;
}

std::optional<int> FindVersionPart(const Json& version, const char* key) {
  const Json* member = Find(version, key);
  if (member == nullptr || !member->is_number_unsigned()) return std::nullopt;
  const uint64_t value = member->get<uint64_t>();
  if (value > 10'000) return std::nullopt;
  return static_cast<int>(value);
}

absl::StatusOr<QmpMessage> ParseGreeting(const Json& greeting) {
  const Json* version = Find(greeting, "version");
  const Json* qemu = version == nullptr ? nullptr : Find(*version, "qemu");
  if (qemu == nullptr) return Malformed("greeting without a version");
  const auto major = FindVersionPart(*qemu, "major");
  const auto minor = FindVersionPart(*qemu, "minor");
  const auto micro = FindVersionPart(*qemu, "micro");
  if (!major || !minor || !micro) return Malformed("version in the greeting");
  return QmpGreeting{.version = {*major, *minor, *micro}};
}

std::string DeviceOf(const Json& data) {
  for (const char* key : {"device", "id"}) {
    if (auto id = FindString(data, key, kMaxNameBytes)) return *std::move(id);
  }
  if (const Json* info = Find(data, "info")) {  // ACPI_DEVICE_OST
    if (auto id = FindString(*info, "device", kMaxNameBytes)) {
      return *std::move(id);
    }
  }
  return "";
}

absl::StatusOr<QmpMessage> ParseEvent(const Json& message) {
  std::optional<std::string> name = FindString(message, "event", kMaxNameBytes);
  if (!name.has_value()) return Malformed("event without a name");
  QmpEvent event;
  event.name = *std::move(name);
  if (const Json* data = Find(message, "data")) {
    event.device = DeviceOf(*data);
    event.data_json = Dump(*data);
  }
  return event;
}

absl::StatusOr<std::optional<uint64_t>> ParseId(const Json& message) {
  const Json* id = Find(message, "id");
  if (id == nullptr) return std::optional<uint64_t>();
  if (!id->is_number_unsigned()) return Malformed("id that we never sent");
  return std::optional<uint64_t>(id->get<uint64_t>());
}

absl::StatusOr<QmpMessage> ParseAnswer(const Json& message) {
  absl::StatusOr<std::optional<uint64_t>> id = ParseId(message);
  if (!id.ok()) return id.status();
  if (const Json* error = Find(message, "error")) {
    QmpRejection rejection;
    rejection.id = *id;
    rejection.error_class =
        FindString(*error, "class", kMaxNameBytes).value_or("");
    if (const Json* text = Find(*error, "desc");
        text != nullptr && text->is_string()) {
      rejection.description =
          CleanText(text->get_ref<const std::string&>(), kMaxDescriptionBytes);
    }
    return rejection;
  }
  const Json* value = Find(message, "return");
  if (value == nullptr) return Malformed("neither reply nor event");
  if (!id->has_value()) return Malformed("reply without an id");
  return QmpReply{.id = **id, .return_json = Dump(*value)};
}

}  // namespace

absl::StatusOr<QmpMessage> ParseQmpMessage(absl::string_view line) {
  if (line.size() > kMaxQmpLineBytes) return Malformed("line too long");
  const Json message = Parse(line);
  if (!message.is_object()) return Malformed("not a JSON object");
  if (const Json* greeting = Find(message, "QMP")) {
    return ParseGreeting(*greeting);
  }
  if (message.contains("event")) return ParseEvent(message);
  return ParseAnswer(message);
}

absl::StatusOr<std::string> RenderQmpCommand(uint64_t id,
                                             absl::string_view command,
                                             absl::string_view arguments_json) {
  Json line = {{"execute", std::string(command)}, {"id", id}};
  if (!arguments_json.empty()) {
    Json arguments = Parse(arguments_json);
    if (!arguments.is_object()) {
      return absl::InvalidArgumentError(
          absl::StrCat(command, ": arguments are not a JSON object"));
    }
    line["arguments"] = std::move(arguments);
  }
  return absl::StrCat(Dump(line), "\n");
}

absl::Status RejectionStatus(absl::string_view command,
                             const QmpRejection& rejection) {
  const std::string message =
      absl::StrCat(command, ": QEMU says: ", rejection.description);
  if (rejection.error_class == "DeviceNotFound") {
    return absl::NotFoundError(message);
  }
  if (rejection.error_class == "CommandNotFound") {
    return absl::UnimplementedError(message);
  }
  return absl::InvalidArgumentError(message);
}

}  // namespace podvisor
