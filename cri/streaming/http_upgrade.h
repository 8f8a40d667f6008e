#ifndef PODVISOR_CRI_STREAMING_HTTP_UPGRADE_H_
#define PODVISOR_CRI_STREAMING_HTTP_UPGRADE_H_

#include <optional>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "cri/streaming/http_head.h"

namespace podvisor {

// What a URL's first word says; the token must be for the same.
enum class StreamKind { kExec, kAttach, kPortForward };

// "/exec/TOKEN", "/attach/TOKEN" and "/portforward/TOKEN".
std::string StreamPath(StreamKind kind, absl::string_view token);
struct StreamPathParts {
  StreamKind kind = StreamKind::kExec;
  std::string token;
};
std::optional<StreamPathParts> ParseStreamPath(absl::string_view target);

enum class StreamTransport { kSpdy, kWebSocket };

// A WebSocket's protocol: its messages carry the SPDY of a port-forward.
inline constexpr char kSpdyTunnel[] = "SPDY/3.1+portforward.k8s.io";

// What the server does with a request whose token is not yet looked at.
struct UpgradeDecision {
  int http_status = 0;  // 101: upgrade
  StreamTransport transport = StreamTransport::kSpdy;
  std::string protocol;  // of the streams, "v4.channel.k8s.io"; "": the oldest
  std::string refusal;   // the body, where it is not 101
  std::vector<std::string> fields;  // of the answer, "Upgrade: SPDY/3.1"
};

// An answer that closes the connection.
UpgradeDecision Refusal(int http_status, std::string why);

// RFC 9110 7.8, RFC 6455 4.2 and Kubernetes' remotecommand and portforward
// protocols: the first protocol of the client that the server knows too. Pure.
UpgradeDecision DecideUpgrade(const HttpHead& head, StreamKind kind);

// The whole answer, with its end of head.
std::string UpgradeAnswer(const UpgradeDecision& decision);

}  // namespace podvisor

#endif  // PODVISOR_CRI_STREAMING_HTTP_UPGRADE_H_
