#ifndef PODVISOR_GUESTAGENT_AGENT_CONTAINER_FILES_H_
#define PODVISOR_GUESTAGENT_AGENT_CONTAINER_FILES_H_

#include <sys/types.h>

#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace podvisor {

// Where one container's files go. Each directory's parent exists.
struct ContainerLocations {
  std::string image_dir;    // the mounted image: the lower layer
  std::string scratch_dir;  // on the scratch disk, for this container only
  std::string bundle_dir;   // on a tmpfs, for this container only
  uid_t root = 0;  // whom, user and group, the container's root is outside
};

// The files of one container: its root file system, an overlay of its writable
// layer over the image, and its bundle. Gone with the object.
//
// Not thread-safe.
class ContainerFiles {
 public:
  // FailedPrecondition when the image is not mounted. Anything that is in the
  // way, left by an attempt that failed, is removed first.
  static absl::StatusOr<std::unique_ptr<ContainerFiles>> Create(
      const ContainerLocations& locations);

  ContainerFiles(const ContainerFiles&) = delete;
  ContainerFiles& operator=(const ContainerFiles&) = delete;
  // Removes everything; an error is logged.
  ~ContainerFiles();

  const std::string& bundle_dir() const { return locations_.bundle_dir; }
  std::string rootfs() const { return locations_.bundle_dir + "/rootfs"; }
  // All that the container writes: its layer, and its files of /etc.
  const std::string& scratch_dir() const { return locations_.scratch_dir; }

  // Writes a file of /etc that is bound into the container, on the scratch
  // disk: what the container appends to it is limited and counted like its
  // own files (CVE-2020-8557). Returns its path.
  absl::StatusOr<std::string> WriteEtcFile(absl::string_view name,
                                           absl::string_view text) const;

  // Unmounts and deletes. Again after an error, or a success, is fine.
  absl::Status Remove();

 private:
  explicit ContainerFiles(ContainerLocations locations)
      : locations_(std::move(locations)) {}

  absl::Status Make();

  const ContainerLocations locations_;
};

}  // namespace podvisor

#endif  // PODVISOR_GUESTAGENT_AGENT_CONTAINER_FILES_H_
