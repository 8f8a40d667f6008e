#ifndef PODVISOR_VOLUME_SHARE_MOUNT_H_
#define PODVISOR_VOLUME_SHARE_MOUNT_H_

#include <optional>
#include <string>

#include "base/id_mapping.h"

namespace podvisor {

// One host file or directory that a container is to see.
struct ShareMount {
  std::string name;       // in the share; 1 to 128 of [a-z0-9-], generated
  std::string host_path;  // absolute; symbolic links in it are followed
  bool read_only = false;
  // The mounts below it, too. Without this they stay as they are on the host:
  // what CRI's `readonly` alone means.
  bool recursive_read_only = false;
  bool recursive = true;  // with the mounts below it, as rbind
  bool slave = false;     // later host mounts below it appear as well
  // Given: files of the host's user N are the guest's user ids.host_id + N's,
  // as a pod's user namespace needs it. Not so in what the host mounts below it
  // later (`slave`): that has its owners' own numbers.
  std::optional<IdMapping> ids = std::nullopt;

  bool operator==(const ShareMount&) const = default;
};

// What became of a ShareMount.
struct PlacedMount {
  std::string name;
  // Mounts of the host are below it, or may come to be (`slave`).
  bool has_mounts_below = false;

  bool operator==(const PlacedMount&) const = default;
};

}  // namespace podvisor

#endif  // PODVISOR_VOLUME_SHARE_MOUNT_H_
