#ifndef PODVISOR_GUESTAGENT_AGENT_CONTAINER_INPUT_H_
#define PODVISOR_GUESTAGENT_AGENT_CONTAINER_INPUT_H_

#include <cstdint>
#include <memory>

#include "absl/base/thread_annotations.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/synchronization/mutex.h"
#include "base/unique_fd.h"

namespace podvisor {

// The standard input of one container, or its terminal, kept open from Create
// to Delete, so that a container may wait for a peer that comes later. Peers
// that write at the same time are mixed.
//
// Thread-safe.
class ContainerInput {
 public:
  struct Traits {
    bool accepts = false;  // input was asked for
    bool once = false;     // ends with the first peer that gives input
    bool terminal = false;
  };

  // `writer`: the pipe's writing end or the terminal; -1 for a container
  // without either.
  static absl::StatusOr<std::shared_ptr<ContainerInput>> Open(UniqueFd writer,
                                                              Traits traits);

  ContainerInput(const ContainerInput&) = delete;
  ContainerInput& operator=(const ContainerInput&) = delete;

  // False too for one whose input has ended.
  bool accepts() const;

  // All of `data`, waiting while the container does not read; until `stop_fd`
  // can be read. Dropped when the input has ended, or nobody reads it.
  void Write(absl::string_view data, int stop_fd);

  // A peer that gives input has no more. Ends a pipe that is to be given
  // `once`; else it waits for the next peer. A terminal never ends: there,
  // end of input is a key.
  void PeerDone();

  // Nothing without a terminal.
  void Resize(uint32_t width, uint32_t height);

  // Ends the input and wakes who writes to it.
  void Close();

 private:
  ContainerInput(UniqueFd writer, UniqueFd closed, Traits traits);

  std::shared_ptr<const UniqueFd> Writer() const;

  const Traits traits_;
  const UniqueFd closed_;  // eventfd; readable after Close()
  mutable absl::Mutex mutex_;
  // Shared with those that write at the moment.
  std::shared_ptr<const UniqueFd> writer_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace podvisor

#endif  // PODVISOR_GUESTAGENT_AGENT_CONTAINER_INPUT_H_
