#include "cri/streaming/spdy_headers.h"

#include <zlib.h>

#include <cstdint>

#include "absl/status/status.h"
#include "base/status_macros.h"
#include "cri/streaming/big_endian.h"
#include "cri/streaming/spdy_dictionary.h"

namespace podvisor {
namespace {

constexpr size_t kChunk = 4 << 10;

const Bytef* BytesOf(absl::string_view text) {
  return reinterpret_cast<const Bytef*>(text.data());
}

absl::Status Damaged() {
  return absl::DataLossError("SPDY: a header block is damaged");
}

// Takes a length and as many bytes from the front of `rest`.
absl::StatusOr<std::string> TakeText(absl::string_view* rest) {
  if (rest->size() < 4) return Damaged();
  const uint32_t length = ReadBigEndian32(*rest);
  rest->remove_prefix(4);
  if (length > rest->size()) return Damaged();
  std::string text(rest->substr(0, length));
  rest->remove_prefix(length);
  return text;
}

absl::StatusOr<SpdyHeaders> ParseHeaders(absl::string_view block,
                                         size_t max_headers) {
  if (block.size() < 4) return Damaged();
  const uint32_t count = ReadBigEndian32(block);
  block.remove_prefix(4);
  if (count > max_headers) {
    return absl::DataLossError("SPDY: too many headers");
  }
  SpdyHeaders headers;
  for (uint32_t i = 0; i < count; ++i) {
    ASSIGN_OR_RETURN(std::string name, TakeText(&block));
    ASSIGN_OR_RETURN(std::string value, TakeText(&block));
    if (name.empty()) return Damaged();
    headers.emplace_back(std::move(name), std::move(value));
  }
  if (!block.empty()) return Damaged();
  return headers;
}

}  // namespace

absl::string_view FindHeader(const SpdyHeaders& headers,
                             absl::string_view name) {
  for (const auto& [key, value] : headers) {
    if (key == name) return value;
  }
  return "";
}

struct SpdyHeaderReader::Inflater {
  Inflater() { ready = inflateInit(&zlib) == Z_OK; }
  ~Inflater() {
    if (ready) inflateEnd(&zlib);
  }

  z_stream zlib = {};
  bool ready = false;
};

SpdyHeaderReader::SpdyHeaderReader(SpdyHeaderLimits limits)
    : limits_(limits), inflater_(std::make_unique<Inflater>()) {}
SpdyHeaderReader::~SpdyHeaderReader() = default;

absl::StatusOr<std::string> SpdyHeaderReader::Unpack(absl::string_view block) {
  if (!inflater_->ready) return absl::ResourceExhaustedError("zlib: no memory");
  z_stream& zlib = inflater_->zlib;
  zlib.next_in = const_cast<Bytef*>(BytesOf(block));
  zlib.avail_in = static_cast<uInt>(block.size());
  std::string unpacked;
  char chunk[kChunk];
  // A full chunk may have more behind it, though all input is taken.
  do {
    zlib.next_out = reinterpret_cast<Bytef*>(chunk);
    zlib.avail_out = sizeof(chunk);
    int result = inflate(&zlib, Z_SYNC_FLUSH);
    if (result == Z_NEED_DICT) {
      const std::string dictionary = SpdyDictionary();
      if (inflateSetDictionary(&zlib, BytesOf(dictionary),
                               static_cast<uInt>(dictionary.size())) != Z_OK) {
        return Damaged();
      }
      result = inflate(&zlib, Z_SYNC_FLUSH);
    }
    if (result != Z_OK && result != Z_BUF_ERROR) return Damaged();
    unpacked.append(chunk, sizeof(chunk) - zlib.avail_out);
    if (unpacked.size() > limits_.max_bytes) {
      return absl::DataLossError("SPDY: a header block is too large");
    }
  } while (zlib.avail_out == 0);
  if (zlib.avail_in != 0) return Damaged();
  return unpacked;
}

absl::StatusOr<SpdyHeaders> SpdyHeaderReader::Read(absl::string_view block) {
  ASSIGN_OR_RETURN(const std::string unpacked, Unpack(block));
  return ParseHeaders(unpacked, limits_.max_headers);
}

struct SpdyHeaderWriter::Deflater {
  Deflater() {
    const std::string dictionary = SpdyDictionary();
    ready = deflateInit(&zlib, Z_BEST_SPEED) == Z_OK;
    if (ready) {
      deflateSetDictionary(&zlib, BytesOf(dictionary),
                           static_cast<uInt>(dictionary.size()));
    }
  }
  ~Deflater() {
    if (ready) deflateEnd(&zlib);
  }

  z_stream zlib = {};
  bool ready = false;
};

SpdyHeaderWriter::SpdyHeaderWriter()
    : deflater_(std::make_unique<Deflater>()) {}
SpdyHeaderWriter::~SpdyHeaderWriter() = default;

std::string SpdyHeaderWriter::Write(const SpdyHeaders& headers) {
  std::string block;
  AppendBigEndian32(static_cast<uint32_t>(headers.size()), &block);
  for (const auto& [name, value] : headers) {
    for (const std::string* text : {&name, &value}) {
      AppendBigEndian32(static_cast<uint32_t>(text->size()), &block);
      block.append(*text);
    }
  }
  z_stream& zlib = deflater_->zlib;
  zlib.next_in = const_cast<Bytef*>(BytesOf(block));
  zlib.avail_in = static_cast<uInt>(block.size());
  std::string packed;
  char chunk[kChunk];
  do {
    zlib.next_out = reinterpret_cast<Bytef*>(chunk);
    zlib.avail_out = sizeof(chunk);
    deflate(&zlib, Z_SYNC_FLUSH);
    packed.append(chunk, sizeof(chunk) - zlib.avail_out);
  } while (zlib.avail_out == 0);
  return packed;
}

}  // namespace podvisor
