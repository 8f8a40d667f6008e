#ifndef PODVISOR_VOLUME_POD_DIRECTORY_H_
#define PODVISOR_VOLUME_POD_DIRECTORY_H_

#include <functional>
#include <set>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/ids.h"

namespace podvisor {

// In a pod's directory: what its guest can fill.
inline constexpr char kOutputDirectory[] = "output";

// run_dir/pods/<id>: a small tmpfs of its own that holds the sockets, the log
// cursors and the share of one pod. Below it is another one for what the
// guest can fill, its console, so that a flood there leaves the rest its room.
// One detaching unmount undoes it all with every mount inside, in one system
// call. What is mounted here is in no volume of another pod, whatever part of
// the host that was given, and whenever.
//
// While the object owns the directory its destructor removes it; Release()
// leaves it for good, which is what a pod that runs does.
//
// Thread-compatible.
class PodDirectory {
 public:
  // Makes the directory. An existing one (of a daemon that was killed) is
  // removed first.
  static absl::StatusOr<PodDirectory> Create(const std::string& run_dir,
                                             const PodId& id);
  // Takes the directory of a pod that is already there; not owned.
  // NotFound when it is not a mount of its own.
  static absl::StatusOr<PodDirectory> Open(const std::string& run_dir,
                                           const PodId& id);

  PodDirectory(PodDirectory&& other) noexcept;
  PodDirectory& operator=(PodDirectory&& other) noexcept;
  ~PodDirectory();

  const std::string& path() const { return path_; }

  // From now on the directory stays when the object goes.
  void Release() { owned_ = false; }

  // Unmounts and removes. OK when nothing is there.
  absl::Status Remove();

 private:
  PodDirectory(std::string path, bool owned);

  std::string path_;
  bool owned_ = false;
};

// Removes the directory of a pod. OK when there is none.
absl::Status RemovePodDirectory(const std::string& run_dir, const PodId& id);

// Removes every pod directory whose pod is not in `known`; also entries that
// are no pod's at all. Before a pod's directory goes `end` is called, to end
// what runs of it; where that fails the directory stays, as the mark by which
// the next sweep finds the pod. Goes on after an error and returns the first.
absl::Status SweepPodDirectories(
    const std::string& run_dir, const std::set<PodId>& known,
    const std::function<absl::Status(const PodId&)>& end);

}  // namespace podvisor

#endif  // PODVISOR_VOLUME_POD_DIRECTORY_H_
