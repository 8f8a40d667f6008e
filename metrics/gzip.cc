#include "metrics/gzip.h"

#include <zlib.h>

#include <cstdlib>

namespace podvisor {

std::string Gzip(absl::string_view data) {
  z_stream stream = {};
  // 15 bits of window; 16 more mean a gzip header.
  if (deflateInit2(&stream, Z_BEST_SPEED, Z_DEFLATED, 15 + 16, 8,
                   Z_DEFAULT_STRATEGY) != Z_OK) {
    abort();  // out of memory
  }
  std::string out(deflateBound(&stream, data.size()), '\0');
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(data.data()));
  stream.avail_in = static_cast<uInt>(data.size());
  stream.next_out = reinterpret_cast<Bytef*>(out.data());
  stream.avail_out = static_cast<uInt>(out.size());
  // One call is enough with a buffer of deflateBound() bytes.
  if (deflate(&stream, Z_FINISH) != Z_STREAM_END) abort();
  out.resize(stream.total_out);
  deflateEnd(&stream);
  return out;
}

}  // namespace podvisor
