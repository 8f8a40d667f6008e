#include "cri/signal_name.h"

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"

namespace podvisor {
namespace {

// CRI's enumerators are SIGNAL_<name>, except that "+" is PLUS and "-" MINUS.
std::string NameOf(const std::string& enumerator) {
  absl::string_view name = enumerator;
  absl::ConsumePrefix(&name, "SIGNAL_");
  if (absl::ConsumePrefix(&name, "SIGRTMINPLUS")) {
    return absl::StrCat("SIGRTMIN+", name);
  }
  if (absl::ConsumePrefix(&name, "SIGRTMAXMINUS")) {
    return absl::StrCat("SIGRTMAX-", name);
  }
  return std::string(name);
}

}  // namespace

absl::StatusOr<std::string> SignalName(runtime::v1::Signal signal) {
  if (!runtime::v1::Signal_IsValid(signal)) {
    return absl::InvalidArgumentError(
        absl::StrCat("config.stop_signal: ", static_cast<int>(signal),
                     " is not a known signal"));
  }
  if (signal == runtime::v1::SIGNAL_RUNTIME_DEFAULT) return std::string();
  return NameOf(runtime::v1::Signal_Name(signal));
}

runtime::v1::Signal SignalFromName(absl::string_view name) {
  for (int number = runtime::v1::Signal_MIN; number <= runtime::v1::Signal_MAX;
       ++number) {
    if (!runtime::v1::Signal_IsValid(number)) continue;
    const auto signal = static_cast<runtime::v1::Signal>(number);
    if (signal == runtime::v1::SIGNAL_RUNTIME_DEFAULT) continue;
    if (NameOf(runtime::v1::Signal_Name(signal)) == name) return signal;
  }
  return runtime::v1::SIGNAL_RUNTIME_DEFAULT;
}

}  // namespace podvisor
