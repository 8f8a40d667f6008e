#include "cri/streaming/exit_message.h"

#include "absl/strings/str_cat.h"
#include "base/clean_text.h"
#include "nlohmann/json.hpp"

namespace podvisor {
namespace {

constexpr size_t kMaxMessage = 1024;

std::string Text(const nlohmann::json& status) {
  return status.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

}  // namespace

std::string ExitMessage(ChannelVersion version,
                        const absl::StatusOr<int>& exit_code) {
  const bool as_status = version != ChannelVersion::kPlainText;
  if (exit_code.ok() && *exit_code == 0) {
    return as_status ? Text({{"status", "Success"}}) : "";
  }
  if (!exit_code.ok()) {
    const std::string why =
        CleanText(exit_code.status().message(), kMaxMessage);
    if (!as_status) return why;
    return Text({{"status", "Failure"},
                 {"reason", "InternalError"},
                 {"message", why},
                 {"code", 500}});
  }
  const std::string code = absl::StrCat(*exit_code);
  const std::string message =
      absl::StrCat("command terminated with non-zero exit code: ", code);
  if (!as_status) return message;
  const nlohmann::json cause = {{"reason", "ExitCode"}, {"message", code}};
  return Text({{"status", "Failure"},
               {"reason", "NonZeroExitCode"},
               {"message", message},
               {"details", {{"causes", nlohmann::json::array({cause})}}}});
}

}  // namespace podvisor
