#include "sandbox/container/stop_signal.h"

#include <csignal>
#include <string>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "base/clean_text.h"

namespace podvisor {
namespace {

// As the kernel counts them; the C library keeps the first two for itself.
constexpr int kFirstRealTime = 34;
constexpr int kLastRealTime = 64;

constexpr std::pair<absl::string_view, int> kSignals[] = {
    {"HUP", SIGHUP},       {"INT", SIGINT},       {"QUIT", SIGQUIT},
    {"ILL", SIGILL},       {"TRAP", SIGTRAP},     {"ABRT", SIGABRT},
    {"IOT", SIGABRT},      {"BUS", SIGBUS},       {"FPE", SIGFPE},
    {"KILL", SIGKILL},     {"USR1", SIGUSR1},     {"SEGV", SIGSEGV},
    {"USR2", SIGUSR2},     {"PIPE", SIGPIPE},     {"ALRM", SIGALRM},
    {"TERM", SIGTERM},     {"STKFLT", SIGSTKFLT}, {"CHLD", SIGCHLD},
    {"CLD", SIGCHLD},      {"CONT", SIGCONT},     {"STOP", SIGSTOP},
    {"TSTP", SIGTSTP},     {"TTIN", SIGTTIN},     {"TTOU", SIGTTOU},
    {"URG", SIGURG},       {"XCPU", SIGXCPU},     {"XFSZ", SIGXFSZ},
    {"VTALRM", SIGVTALRM}, {"PROF", SIGPROF},     {"WINCH", SIGWINCH},
    {"IO", SIGIO},         {"POLL", SIGIO},       {"PWR", SIGPWR},
    {"SYS", SIGSYS},       {"RTMIN", 34},         {"RTMAX", 64},
};

}  // namespace

absl::StatusOr<int> ParseSignal(absl::string_view text) {
  const auto unknown = [&] {
    return absl::InvalidArgumentError(
        absl::StrCat("unknown signal \"", CleanText(text, 64), "\""));
  };
  int number = 0;
  if (text.size() <= 3 && absl::SimpleAtoi(text, &number)) {
    if (number < 1 || number > kLastRealTime) return unknown();
    return number;
  }
  const std::string upper = absl::AsciiStrToUpper(text.substr(0, 32));
  absl::string_view name = absl::StripPrefix(upper, "SIG");
  for (const auto& [known, value] : kSignals) {
    if (name == known) return value;
  }
  int offset = 0;
  if (absl::ConsumePrefix(&name, "RTMIN+") && absl::SimpleAtoi(name, &offset) &&
      offset >= 0 && kFirstRealTime + offset <= kLastRealTime) {
    return kFirstRealTime + offset;
  }
  if (absl::ConsumePrefix(&name, "RTMAX-") && absl::SimpleAtoi(name, &offset) &&
      offset >= 0 && kLastRealTime - offset >= kFirstRealTime) {
    return kLastRealTime - offset;
  }
  return unknown();
}

}  // namespace podvisor
