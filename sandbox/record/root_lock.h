#ifndef PODVISOR_SANDBOX_RECORD_ROOT_LOCK_H_
#define PODVISOR_SANDBOX_RECORD_ROOT_LOCK_H_

#include <string>
#include <utility>

#include "absl/status/statusor.h"
#include "base/unique_fd.h"

namespace podvisor {

// One daemon's claim on its root_dir, held for as long as this lives: an
// flock(2) on root_dir/lock, which the kernel drops with the process, however
// it ends. The file itself stays; it holds the owner's pid for people.
class RootLock {
 public:
  // Makes root_dir when it is missing. FailedPrecondition, naming the pid, when
  // another daemon (or this one) holds the lock.
  static absl::StatusOr<RootLock> Acquire(const std::string& root_dir);

 private:
  explicit RootLock(UniqueFd fd) : fd_(std::move(fd)) {}

  UniqueFd fd_;
};

}  // namespace podvisor

#endif  // PODVISOR_SANDBOX_RECORD_ROOT_LOCK_H_
