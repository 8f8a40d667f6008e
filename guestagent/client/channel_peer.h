#ifndef PODVISOR_GUESTAGENT_CLIENT_CHANNEL_PEER_H_
#define PODVISOR_GUESTAGENT_CLIENT_CHANNEL_PEER_H_

#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/strings/string_view.h"
#include "absl/synchronization/mutex.h"
#include "base/unique_fd.h"
#include "guestagent/channel_format.h"

namespace podvisor {

// The far end of the agent channel for tests: a unix socket in a directory of
// its own that, as QEMU's chardev does, serves one connection at a time, reads
// its HELLO and then does what the test says, good or bad.
//
// Thread-safe. The destructor ends the connection that is served and waits for
// the script to return.
class ChannelPeer {
 public:
  // Owns the connection: it is served until the script returns. `number`
  // counts the connections that sent a HELLO, from 1.
  using Script =
      std::function<void(int number, UniqueFd fd, const ChannelHello& hello)>;

  explicit ChannelPeer(Script script);
  ~ChannelPeer();

  ChannelPeer(const ChannelPeer&) = delete;
  ChannelPeer& operator=(const ChannelPeer&) = delete;

  const std::string& path() const { return path_; }

  // The secrets of the HELLOs so far.
  std::vector<ChannelSecret> secrets() const ABSL_LOCKS_EXCLUDED(mutex_);
  // Connections that were closed without a byte.
  int throw_away_connections() const ABSL_LOCKS_EXCLUDED(mutex_);

  // Ends the connection that is served now, as a dying QEMU does, but goes on
  // listening.
  void CloseConnection() ABSL_LOCKS_EXCLUDED(mutex_);
  // Stops listening as well.
  void Stop() ABSL_LOCKS_EXCLUDED(mutex_);

 private:
  void Serve();

  Script script_;
  std::string directory_;
  std::string path_;
  UniqueFd listener_;
  UniqueFd stop_;  // eventfd
  mutable absl::Mutex mutex_;
  bool stopped_ ABSL_GUARDED_BY(mutex_) = false;
  UniqueFd serving_ ABSL_GUARDED_BY(mutex_);  // a duplicate, to shut it down
  std::vector<ChannelSecret> secrets_ ABSL_GUARDED_BY(mutex_);
  int throw_away_ ABSL_GUARDED_BY(mutex_) = 0;
  std::thread thread_;
};

// What scripts are made of. All are bounded by the connection's life.

// False when the connection ended first.
bool SendBytes(int fd, absl::string_view bytes);
bool SendAck(int fd, const ChannelHello& hello);
// Reads and drops until the connection ends.
void ReadUntilClosed(int fd);

}  // namespace podvisor

#endif  // PODVISOR_GUESTAGENT_CLIENT_CHANNEL_PEER_H_
