#ifndef PODVISOR_VOLUME_SCRATCH_DISK_H_
#define PODVISOR_VOLUME_SCRATCH_DISK_H_

#include <cstdint>
#include <set>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "base/ids.h"
#include "base/unique_fd.h"

namespace podvisor {

// The writable disks of pods: root_dir/pods/<id>/scratch.img, a sparse file
// with an empty ext4 file system. mkfs runs once, for a template; a pod's disk
// is a copy of the template's few data blocks.
//
// Thread-safe.
class ScratchDisks {
 public:
  // `size_bytes` is what the guest sees; the host gives blocks as they are
  // written.
  ScratchDisks(std::string root_dir, int64_t size_bytes);

  // Makes the pod's disk and opens it for reading and writing. The file is
  // readable by root only; QEMU gets the descriptor. An existing disk is
  // replaced: only a new pod calls this.
  absl::StatusOr<UniqueFd> Create(const PodId& id, absl::Time deadline);

  // OK when there is none.
  absl::Status Remove(const PodId& id);

  // What all disks take of the host.
  struct Usage {
    int64_t bytes = 0;
    int64_t inodes = 0;
  };
  absl::StatusOr<Usage> GetUsage() const;

  // Removes what belongs to no live pod; returns the ids removed.
  absl::StatusOr<std::vector<PodId>> Sweep(const std::set<PodId>& live);

 private:
  absl::StatusOr<std::vector<PodId>> List() const;
  std::string PodPath(const PodId& id) const;
  std::string DiskPath(const PodId& id) const;
  std::string TemplatePath() const;
  // Made among the pod's files and renamed, so that no pod waits for another's
  // mkfs and none sees half a template; of several makers the last one stays.
  absl::Status EnsureTemplate(const PodId& id, absl::Time deadline);

  const std::string root_dir_;
  const int64_t size_bytes_;
};

}  // namespace podvisor

#endif  // PODVISOR_VOLUME_SCRATCH_DISK_H_
