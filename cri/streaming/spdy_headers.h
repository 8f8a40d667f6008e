#ifndef PODVISOR_CRI_STREAMING_SPDY_HEADERS_H_
#define PODVISOR_CRI_STREAMING_SPDY_HEADERS_H_

#include <cstddef>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace podvisor {

// Names in lower case, in the order of the frame. A header with several values
// has them in one text, with NUL between them.
using SpdyHeaders = std::vector<std::pair<std::string, std::string>>;

// The value of `name`; "" where there is none.
absl::string_view FindHeader(const SpdyHeaders& headers,
                             absl::string_view name);

struct SpdyHeaderLimits {
  size_t max_bytes = 16 << 10;  // of a block, unpacked
  size_t max_headers = 64;
};

// Header blocks of SPDY/3 (draft 3, section 2.6.10): each direction of a
// connection is one zlib stream through all of its frames, so a block that was
// lost or is damaged ends the connection. Not thread-safe.
//
// The peer is untrusted: what a block unpacks to is bounded while it does.
class SpdyHeaderReader {
 public:
  explicit SpdyHeaderReader(SpdyHeaderLimits limits = {});
  ~SpdyHeaderReader();

  SpdyHeaderReader(const SpdyHeaderReader&) = delete;
  SpdyHeaderReader& operator=(const SpdyHeaderReader&) = delete;

  // DataLoss: no such block, or one above the limits; the reader is of no use
  // afterwards.
  absl::StatusOr<SpdyHeaders> Read(absl::string_view block);

 private:
  struct Inflater;

  absl::StatusOr<std::string> Unpack(absl::string_view block);

  const SpdyHeaderLimits limits_;
  std::unique_ptr<Inflater> inflater_;
};

class SpdyHeaderWriter {
 public:
  SpdyHeaderWriter();
  ~SpdyHeaderWriter();

  SpdyHeaderWriter(const SpdyHeaderWriter&) = delete;
  SpdyHeaderWriter& operator=(const SpdyHeaderWriter&) = delete;

  std::string Write(const SpdyHeaders& headers);

 private:
  struct Deflater;

  std::unique_ptr<Deflater> deflater_;
};

}  // namespace podvisor

#endif  // PODVISOR_CRI_STREAMING_SPDY_HEADERS_H_
