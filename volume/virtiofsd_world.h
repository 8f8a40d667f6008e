#ifndef PODVISOR_VOLUME_VIRTIOFSD_WORLD_H_
#define PODVISOR_VOLUME_VIRTIOFSD_WORLD_H_

#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "base/process.h"

namespace podvisor {

// virtiofsd makes a mount namespace of its own, in which what it serves is the
// root. A mount that is made there, and only there, is seen by its guest, makes
// nothing busy on the host, is in no table of the host, and ends with it.

// Waits until the virtiofsd at the other end of `socket` answers: then it is in
// that namespace. Nothing that it says is left for whoever uses the socket
// next. Errors: Unavailable (it has ended), DeadlineExceeded.
absl::Status AwaitVirtiofsd(int socket, absl::Duration patience);

// Mounts `tree`, a detached mount (see open_tree(2)), at /`name`. The directory
// `served` is the root of what is served, by which it is known that the
// process is where it should be.
//
// Errors: Unavailable (it has ended, or is not there yet), the kernel's.
absl::Status MountForVirtiofsd(const ProcessIdentity& virtiofsd, int served,
                               int tree, const std::string& name);

// True when something is mounted below /`name` there. Errors: Unavailable.
absl::StatusOr<bool> HasMountsBelow(const ProcessIdentity& virtiofsd,
                                    absl::string_view name);

}  // namespace podvisor

#endif  // PODVISOR_VOLUME_VIRTIOFSD_WORLD_H_
