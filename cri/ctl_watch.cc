#include "cri/ctl_watch.h"

#include <string>

#include "absl/status/statusor.h"
#include "cri/ctl_vms.h"

namespace podvisor {
namespace {

// ECMA-48: cursor to the first place, erase the display.
constexpr char kClear[] = "\x1b[H\x1b[2J";
// Said once: how the calls fail changes while a daemon ends.
constexpr char kAway[] = "podvisord does not answer; waiting for it\n";

}  // namespace

absl::Status WatchVms(CriClient& client, Clock& clock, Pause& pause,
                      const WatchOptions& options, std::ostream& out) {
  std::string shown;
  do {
    const absl::StatusOr<std::string> table = VmTable(client);
    if (!table.ok() && shown.empty()) return table.status();
    const std::string text = table.ok() ? *table : kAway;
    if (text == shown) continue;
    out << (options.terminal ? kClear
            : shown.empty()  ? ""
                             : "\n")
        << absl::FormatTime("%H:%M:%S", clock.Now(), absl::LocalTimeZone())
        << "\n"
        << text << std::flush;
    if (!out) return absl::OkStatus();
    shown = text;
  } while (pause.For(options.interval));
  return absl::OkStatus();
}

}  // namespace podvisor
