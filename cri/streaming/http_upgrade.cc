#include "cri/streaming/http_upgrade.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "cri/streaming/websocket_key.h"

namespace podvisor {
namespace {

constexpr char kSpdy[] = "SPDY/3.1";
constexpr char kWebSocket[] = "websocket";
// Of RFC 6455; all that came before were drafts.
constexpr char kWebSocketVersion[] = "13";

using Protocols = std::vector<std::string>;

// What came before v3 cannot tell the size of a terminal, and no client of the
// last ten years knows only that.
const Protocols& SpdyProtocols(StreamKind kind) {
  static const auto* const commands =
      new Protocols{"v4.channel.k8s.io", "v3.channel.k8s.io"};
  static const auto* const forwards = new Protocols{"portforward.k8s.io"};
  return kind == StreamKind::kPortForward ? *forwards : *commands;
}

const Protocols& WebSocketProtocols(StreamKind kind) {
  static const auto* const commands = new Protocols{
      "v5.channel.k8s.io", "v4.channel.k8s.io", "v4.base64.channel.k8s.io",
      "channel.k8s.io", "base64.channel.k8s.io"};
  static const auto* const forwards = new Protocols{
      kSpdyTunnel, "v4.channel.k8s.io", "v4.base64.channel.k8s.io"};
  return kind == StreamKind::kPortForward ? *forwards : *commands;
}

// The first of the client's that is known; null: none is.
const std::string* FirstKnown(const Protocols& offered,
                              const Protocols& known) {
  const auto found = std::find_first_of(offered.begin(), offered.end(),
                                        known.begin(), known.end());
  return found == offered.end() ? nullptr : &*found;
}

absl::string_view WordOf(StreamKind kind) {
  switch (kind) {
    case StreamKind::kExec:
      return "exec";
    case StreamKind::kAttach:
      return "attach";
    case StreamKind::kPortForward:
      return "portforward";
  }
  return "";
}

absl::string_view ReasonOf(int status) {
  switch (status) {
    case 101:
      return "Switching Protocols";
    case 400:
      return "Bad Request";
    case 403:
      return "Forbidden";
    case 404:
      return "Not Found";
    case 405:
      return "Method Not Allowed";
    case 426:
      return "Upgrade Required";
    default:
      return "Service Unavailable";
  }
}

UpgradeDecision DecideSpdyUpgrade(const HttpHead& head, StreamKind kind) {
  constexpr char kOffer[] = "X-Stream-Protocol-Version";
  const Protocols offered = FieldItems(head, kOffer);
  if (offered.empty()) return Refusal(400, absl::StrCat("no ", kOffer));
  const std::string* const chosen = FirstKnown(offered, SpdyProtocols(kind));
  if (chosen == nullptr) {
    UpgradeDecision refusal =
        Refusal(403, absl::StrCat("none of the ", kOffer, "s is known"));
    for (const std::string& known : SpdyProtocols(kind)) {
      refusal.fields.push_back(
          absl::StrCat("X-Accepted-Stream-Protocol-Versions: ", known));
    }
    return refusal;
  }
  UpgradeDecision decision;
  decision.http_status = 101;
  decision.transport = StreamTransport::kSpdy;
  decision.protocol = *chosen;
  decision.fields = {absl::StrCat("Upgrade: ", kSpdy),
                     absl::StrCat(kOffer, ": ", *chosen)};
  return decision;
}

// RFC 6455 4.2.1 and 4.2.2. Extensions are never agreed to.
UpgradeDecision DecideWebSocketUpgrade(const HttpHead& head, StreamKind kind) {
  if (head.method != "GET") return Refusal(405, "a WebSocket begins with GET");
  const Protocols versions = FieldItems(head, "Sec-WebSocket-Version");
  if (versions != Protocols{kWebSocketVersion}) {
    UpgradeDecision refusal = Refusal(426, "another version of WebSocket");
    refusal.fields = {
        absl::StrCat("Sec-WebSocket-Version: ", kWebSocketVersion)};
    return refusal;
  }
  const Protocols keys = FieldItems(head, "Sec-WebSocket-Key");
  if (keys.size() != 1 || !IsWebSocketKey(keys[0])) {
    return Refusal(400, "no Sec-WebSocket-Key of 16 bytes");
  }
  UpgradeDecision decision;
  decision.http_status = 101;
  decision.transport = StreamTransport::kWebSocket;
  decision.fields = {
      absl::StrCat("Upgrade: ", kWebSocket),
      absl::StrCat("Sec-WebSocket-Accept: ", WebSocketAcceptOf(keys[0]))};
  const Protocols offered = FieldItems(head, "Sec-WebSocket-Protocol");
  if (offered.empty()) return decision;  // as the first clients
  const std::string* const chosen =
      FirstKnown(offered, WebSocketProtocols(kind));
  if (chosen == nullptr) {
    return Refusal(403, "none of the Sec-WebSocket-Protocols is known");
  }
  decision.protocol = *chosen;
  decision.fields.push_back(absl::StrCat("Sec-WebSocket-Protocol: ", *chosen));
  return decision;
}

}  // namespace

std::string StreamPath(StreamKind kind, absl::string_view token) {
  return absl::StrCat("/", WordOf(kind), "/", token);
}

std::optional<StreamPathParts> ParseStreamPath(absl::string_view target) {
  for (const StreamKind kind :
       {StreamKind::kExec, StreamKind::kAttach, StreamKind::kPortForward}) {
    absl::string_view rest = target;
    if (absl::ConsumePrefix(&rest, StreamPath(kind, ""))) {
      return StreamPathParts{kind, std::string(rest)};
    }
  }
  return std::nullopt;
}

UpgradeDecision Refusal(int http_status, std::string why) {
  UpgradeDecision decision;
  decision.http_status = http_status;
  decision.refusal = std::move(why);
  return decision;
}

UpgradeDecision DecideUpgrade(const HttpHead& head, StreamKind kind) {
  if (head.method != "GET" && head.method != "POST") {
    return Refusal(405, "only GET and POST");
  }
  if (HasFieldItem(head, "Connection", "Upgrade")) {
    if (HasFieldItem(head, "Upgrade", kSpdy)) {
      return DecideSpdyUpgrade(head, kind);
    }
    if (HasFieldItem(head, "Upgrade", kWebSocket)) {
      return DecideWebSocketUpgrade(head, kind);
    }
  }
  return Refusal(400, "this needs an upgrade to SPDY/3.1 or a WebSocket");
}

std::string UpgradeAnswer(const UpgradeDecision& decision) {
  const bool upgrades = decision.http_status == 101;
  std::string answer = absl::StrCat(
      "HTTP/1.1 ", decision.http_status, " ", ReasonOf(decision.http_status),
      "\r\n", "Connection: ", upgrades ? "Upgrade" : "close", "\r\n");
  for (const std::string& field : decision.fields) {
    absl::StrAppend(&answer, field, "\r\n");
  }
  if (upgrades) return absl::StrCat(answer, "\r\n");
  return absl::StrCat(answer, "Content-Type: text/plain; charset=utf-8\r\n",
                      "Cache-Control: no-store\r\n",
                      "Content-Length: ", decision.refusal.size() + 1,
                      "\r\n\r\n", decision.refusal, "\n");
}

}  // namespace podvisor
