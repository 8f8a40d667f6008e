#ifndef PODVISOR_CRI_STREAMING_SPDY_TEST_CLIENT_H_
#define PODVISOR_CRI_STREAMING_SPDY_TEST_CLIENT_H_

#include <cstdint>
#include <cstring>
#include <map>
#include <string>

#include "absl/strings/str_cat.h"
#include "cri/streaming/big_endian.h"
#include "cri/streaming/spdy_headers.h"
#include "cri/streaming/stream_server_fixture.h"

namespace podvisor {

// A client that speaks as kubelet does, one thread, raw bytes.
class SpdyTestClient : public RawClient {
 public:
  using RawClient::RawClient;

  // Posts for `url` and upgrades; the answer's head.
  std::string Upgrade(const std::string& url, const std::string& protocol) {
    const size_t path = url.find('/', strlen("http://"));
    Say(absl::StrCat("POST ", url.substr(path), " HTTP/1.1\r\nHost: h\r\n",
                     "Connection: Upgrade\r\nUpgrade: SPDY/3.1\r\n",
                     "X-Stream-Protocol-Version: ", protocol, "\r\n",
                     "Content-Length: 0\r\n\r\n"));
    return HearHead();
  }

  void Open(uint32_t stream, const SpdyHeaders& headers) {
    std::string body;
    AppendBigEndian32(stream, &body);
    AppendBigEndian32(0, &body);
    body.append(2, '\0');
    body += writer_.Write(headers);
    std::string frame;
    AppendBigEndian32(0x80030001, &frame);
    AppendBigEndian32(static_cast<uint32_t>(body.size()), &frame);
    Say(frame + body);
  }

  void Data(uint32_t stream, absl::string_view data, bool last = false) {
    std::string frame;
    AppendBigEndian32(stream, &frame);
    AppendBigEndian32(
        (last ? 0x01000000u : 0u) | static_cast<uint32_t>(data.size()), &frame);
    Say(absl::StrCat(frame, data));
  }

  void Abort(uint32_t stream) {
    std::string frame;
    for (const uint32_t word : {0x80030003u, 8u, stream, 5u}) {
      AppendBigEndian32(word, &frame);
    }
    Say(frame);
  }

  // Takes frames until `stream` is closed or the connection is; what its
  // streams carried.
  const std::map<uint32_t, std::string>& HearUntilEndOf(uint32_t stream) {
    while (!closed_[stream]) {
      if (TakeFrame()) continue;
      if (!Hear()) break;
    }
    return carried_;
  }

  // Takes frames until `stream` has carried so much.
  std::string HearData(uint32_t stream, size_t bytes) {
    while (carried_[stream].size() < bytes) {
      if (!TakeFrame() && !Hear()) break;
    }
    return carried_[stream];
  }

 private:
  bool TakeFrame() {
    if (heard_.size() < 8) return false;
    const uint32_t first = ReadBigEndian32(heard_);
    const uint32_t second = ReadBigEndian32(heard_, 4);
    const size_t length = second & 0xffffff;
    if (heard_.size() < 8 + length) return false;
    if (first >> 31 == 0) {
      carried_[first] += heard_.substr(8, length);
      if ((second >> 24 & 1) != 0) closed_[first] = true;
    } else if ((first & 0xffff) == 3) {
      closed_[ReadBigEndian32(heard_, 8)] = true;
    }
    heard_.erase(0, 8 + length);
    return true;
  }

  SpdyHeaderWriter writer_;
  std::map<uint32_t, std::string> carried_;
  std::map<uint32_t, bool> closed_;
};

}  // namespace podvisor

#endif  // PODVISOR_CRI_STREAMING_SPDY_TEST_CLIENT_H_
