#include "cri/streaming/websocket_key.h"

#include <openssl/evp.h>

#include <cstdlib>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"

namespace podvisor {
namespace {

constexpr char kServerId[] = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

}  // namespace

bool IsWebSocketKey(absl::string_view key) {
  std::string bytes;
  return key.size() == 24 && absl::Base64Unescape(key, &bytes) &&
         bytes.size() == 16;
}

std::string WebSocketAcceptOf(absl::string_view key) {
  const std::string text = absl::StrCat(key, kServerId);
  unsigned char digest[EVP_MAX_MD_SIZE];
  unsigned int size = 0;
  // A digest that cannot be computed is a broken libcrypto, never the world.
  if (EVP_Digest(text.data(), text.size(), digest, &size, EVP_sha1(),
                 nullptr) != 1) {
    std::abort();
  }
  return absl::Base64Escape(
      absl::string_view(reinterpret_cast<const char*>(digest), size));
}

}  // namespace podvisor
