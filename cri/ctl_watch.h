#ifndef PODVISOR_CRI_CTL_WATCH_H_
#define PODVISOR_CRI_CTL_WATCH_H_

#include <ostream>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "base/clock.h"
#include "cri/cri_client.h"
#include "cri/pause.h"

namespace podvisor {

struct WatchOptions {
  absl::Duration interval;
  // The table replaces the one before; else it follows it after an empty line.
  bool terminal = false;
};

// `podvisorctl vms --watch`: the table, and again, with the time, whenever it
// looks different. A daemon that goes away meanwhile is said to be away, and
// waited for. OK when `pause` says to end, or when `out` takes no more. An
// error only where not even the first table can be had.
absl::Status WatchVms(CriClient& client, Clock& clock, Pause& pause,
                      const WatchOptions& options, std::ostream& out);

}  // namespace podvisor

#endif  // PODVISOR_CRI_CTL_WATCH_H_
