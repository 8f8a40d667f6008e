#ifndef PODVISOR_CRI_STREAMING_CHANNEL_TEST_CLIENT_H_
#define PODVISOR_CRI_STREAMING_CHANNEL_TEST_CLIENT_H_

#include <cstring>
#include <map>
#include <optional>
#include <string>
#include <utility>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "cri/streaming/stream_server_fixture.h"
#include "cri/streaming/websocket_client_frame.h"
#include "gtest/gtest.h"

namespace podvisor {

inline constexpr char kV5[] = "v5.channel.k8s.io";
inline constexpr char kV4[] = "v4.channel.k8s.io";
inline constexpr char kBase64[] = "v4.base64.channel.k8s.io";

inline std::string UpgradeRequest(const std::string& url,
                                  const std::string& protocol) {
  const size_t path = url.find('/', strlen("http://"));
  return absl::StrCat(
      "GET ", url.substr(path), " HTTP/1.1\r\nHost: h\r\n",
      "Connection: Upgrade\r\nUpgrade: websocket\r\n",
      "Origin: https://a.console\r\nSec-WebSocket-Version: 13\r\n",
      "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n",
      protocol.empty()
          ? ""
          : absl::StrCat("Sec-WebSocket-Protocol: ", protocol, "\r\n"),
      "\r\n");
}

struct ServerFrame {
  uint8_t first = 0;
  std::string payload;
};

// Takes a frame of the server's off the begin of what was heard.
inline std::optional<ServerFrame> TakeServerFrame(std::string* heard) {
  if (heard->size() < 2) return std::nullopt;
  const auto byte = [&](size_t at) {
    return static_cast<size_t>(static_cast<uint8_t>((*heard)[at]));
  };
  size_t head = 2;
  size_t size = byte(1);  // never masked
  if (size == 126) {
    if (heard->size() < 4) return std::nullopt;
    head = 4;
    size = byte(2) << 8 | byte(3);
  }
  EXPECT_LE(size, UINT16_MAX) << "not a message that the server sends";
  if (heard->size() < head + size) return std::nullopt;
  ServerFrame frame = {static_cast<uint8_t>(byte(0)),
                       heard->substr(head, size)};
  heard->erase(0, head + size);
  return frame;
}

// A client of the channel protocols.
class ChannelClient : public RawClient {
 public:
  using RawClient::RawClient;

  std::string Upgrade(const std::string& url, const std::string& protocol) {
    Say(UpgradeRequest(url, protocol));
    return HearHead();
  }
  void Send(absl::string_view message, uint8_t first = kBinaryFrame) {
    Say(WebSocketClientFrame(first, message));
  }
  void CloseStdin() { Send(absl::string_view("\xff\0", 2)); }

  // Takes frames until the server's close frame or the connection's end; its
  // code, 0: there was none.
  int HearToTheEnd() {
    while (!close_code_.has_value() && HearFrame()) {
    }
    return close_code_.value_or(0);
  }
  // ... until so many bytes have come on a channel.
  const std::string& HearData(int channel, size_t bytes) {
    while (carried_[channel].size() < bytes && HearFrame()) {
    }
    return carried_[channel];
  }
  const std::string& carried(int channel) { return carried_[channel]; }
  const std::string& pongs() const { return pongs_; }

  // False at the end of the connection.
  bool HearFrame() {
    std::optional<ServerFrame> frame = TakeServerFrame(&heard_);
    while (!frame.has_value()) {
      if (!Hear()) return false;
      frame = TakeServerFrame(&heard_);
    }
    const std::string& payload = frame->payload;
    if (frame->first == kBinaryFrame) {
      carried_[payload[0]] += payload.substr(1);
    } else if (frame->first == kTextFrame) {
      std::string data;
      EXPECT_TRUE(absl::Base64Unescape(payload.substr(1), &data));
      carried_[payload[0] - '0'] += data;
    } else if (frame->first == kPongFrame) {
      pongs_ += payload;
    } else {
      EXPECT_EQ(frame->first, kCloseFrame);
      close_code_ = static_cast<uint8_t>(payload[0]) << 8 |
                    static_cast<uint8_t>(payload[1]);
    }
    return true;
  }

 private:
  std::map<int, std::string> carried_;
  std::string pongs_;
  std::optional<int> close_code_;
};

}  // namespace podvisor

#endif  // PODVISOR_CRI_STREAMING_CHANNEL_TEST_CLIENT_H_
