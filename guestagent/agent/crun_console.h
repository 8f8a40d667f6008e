#ifndef PODVISOR_GUESTAGENT_AGENT_CRUN_CONSOLE_H_
#define PODVISOR_GUESTAGENT_AGENT_CRUN_CONSOLE_H_

#include <string>
#include <utility>

#include "absl/status/statusor.h"
#include "base/deadline.h"
#include "base/unique_fd.h"

namespace podvisor {

// The unix socket over which crun hands out the master of a terminal that it
// made for a process (`--console-socket`). Removed by the destructor.
class ConsoleSocket {
 public:
  // `path` has at most 107 bytes and does not exist.
  static absl::StatusOr<ConsoleSocket> Listen(const std::string& path);

  ConsoleSocket(ConsoleSocket&&) = default;
  ConsoleSocket& operator=(ConsoleSocket&&) = delete;
  ~ConsoleSocket();

  const std::string& path() const { return path_; }

  // The master, non-blocking. To be called after crun has succeeded: it sends
  // before it ends. DeadlineExceeded, DataLoss for a message without exactly
  // one terminal.
  absl::StatusOr<UniqueFd> Receive(Deadline deadline);

 private:
  ConsoleSocket(UniqueFd socket, std::string path)
      : socket_(std::move(socket)), path_(std::move(path)) {}

  UniqueFd socket_;
  std::string path_;
};

}  // namespace podvisor

#endif  // PODVISOR_GUESTAGENT_AGENT_CRUN_CONSOLE_H_
