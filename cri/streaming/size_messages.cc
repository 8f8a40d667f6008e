#include "cri/streaming/size_messages.h"

#include "base/status_macros.h"
#include "nlohmann/json.hpp"

namespace podvisor {
namespace {

// Longer than any object with two numbers that somebody writes.
constexpr size_t kMaxObject = 256;

absl::Status Bad() {
  return absl::InvalidArgumentError(
      "a terminal's size is not {\"Width\":w,\"Height\":h}");
}

absl::StatusOr<uint16_t> Measure(const nlohmann::json& object,
                                 const char* name) {
  const auto value = object.find(name);
  if (value == object.end() || !value->is_number_unsigned() ||
      value->get<uint64_t>() > UINT16_MAX) {
    return Bad();
  }
  return value->get<uint16_t>();
}

absl::StatusOr<TerminalSize> ParseSize(const std::string& text) {
  const nlohmann::json object = nlohmann::json::parse(text, nullptr, false);
  if (!object.is_object()) return Bad();
  TerminalSize size;
  ASSIGN_OR_RETURN(size.width, Measure(object, "Width"));
  ASSIGN_OR_RETURN(size.height, Measure(object, "Height"));
  return size;
}

}  // namespace

absl::StatusOr<std::vector<TerminalSize>> SizeMessages::Receive(
    absl::string_view bytes) {
  std::vector<TerminalSize> sizes;
  for (const char byte : bytes) {
    // The objects have nothing nested, so a brace ends one.
    if (partial_.size() >= kMaxObject) return Bad();
    partial_.push_back(byte);
    if (byte != '}') continue;
    ASSIGN_OR_RETURN(const TerminalSize size, ParseSize(partial_));
    sizes.push_back(size);
    partial_.clear();
  }
  return sizes;
}

}  // namespace podvisor
