#ifndef PODVISOR_GUESTAGENT_AGENT_OUTPUT_BUFFER_H_
#define PODVISOR_GUESTAGENT_AGENT_OUTPUT_BUFFER_H_

#include <cstddef>
#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"

namespace podvisor {

// What of one output stream the host does not yet have in safety: the bytes
// [begin, end) of the stream, counted from its start. Bytes leave only by
// Acknowledge(), so a host that comes back reads on where it stopped.
//
// Bounded by its capacity: the reader of the pipe takes at most Room() bytes;
// at 0 the pipe fills and its writer waits.
//
// Not thread-safe. Pure.
class OutputBuffer {
 public:
  explicit OutputBuffer(size_t capacity) : capacity_(capacity) {}

  uint64_t begin() const { return begin_; }
  uint64_t end() const { return begin_ + size(); }
  size_t Room() const { return capacity_ - size(); }

  // Nothing follows: the pipe has ended.
  void Close() { closed_ = true; }
  bool closed() const { return closed_; }

  // At most Room() bytes, and not after Close(): else our bug.
  void Append(absl::string_view data);

  // Up to `max_bytes` from `offset` on, which is in [begin, end].
  std::string Read(uint64_t offset, size_t max_bytes) const;

  // Forgets everything below `offset`; below begin() is OK and does nothing.
  // OutOfRange beyond end(): the peer claims bytes that it cannot have.
  absl::Status Acknowledge(uint64_t offset);

 private:
  size_t size() const { return data_.size() - head_; }

  size_t capacity_;
  uint64_t begin_ = 0;  // offset of data_[head_]
  std::string data_;
  size_t head_ = 0;  // bytes of data_ that are acknowledged
  bool closed_ = false;
};

}  // namespace podvisor

#endif  // PODVISOR_GUESTAGENT_AGENT_OUTPUT_BUFFER_H_
