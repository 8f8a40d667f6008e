#ifndef PODVISOR_CRI_UNIX_LISTENER_H_
#define PODVISOR_CRI_UNIX_LISTENER_H_

#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <utility>

#include "absl/status/statusor.h"
#include "base/unique_fd.h"

namespace podvisor {

// A unix socket, from its first moment for its owner and its group only, and
// the thread that accepts its clients.
//
// gRPC's own listener (1.51) is gone for good once an accept() fails, as all
// do while descriptors are out (CVE-2023-4785); this one tries again.
class UnixListener {
 public:
  // `serve` gets each connection, non-blocking, on the listener's thread. What
  // was at `path` is removed first. Errors: InvalidArgument for a path that is
  // too long, and those of ErrnoStatus().
  static absl::StatusOr<std::unique_ptr<UnixListener>> Listen(
      const std::string& path, std::function<void(UniqueFd)> serve);

  // Accepts no more, and removes the socket.
  ~UnixListener();

  UnixListener(const UnixListener&) = delete;
  UnixListener& operator=(const UnixListener&) = delete;

 private:
  UnixListener(std::string path, UniqueFd listener, UniqueFd wake,
               std::function<void(UniqueFd)> serve);

  void Accept();

  const std::string path_;
  const UniqueFd listener_;
  const UniqueFd wake_;  // written at the end
  const std::function<void(UniqueFd)> serve_;
  std::thread thread_;
};

}  // namespace podvisor

#endif  // PODVISOR_CRI_UNIX_LISTENER_H_
