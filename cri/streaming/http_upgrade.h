#ifndef PODVISOR_CRI_STREAMING_HTTP_UPGRADE_H_
#define PODVISOR_CRI_STREAMING_HTTP_UPGRADE_H_

#include <cstddef>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/string_view.h"

namespace podvisor {

// The head of one HTTP request.
struct HttpHead {
  std::string method;
  std::string target;
  std::vector<std::pair<std::string, std::string>> fields;  // as received
};

// Parses heads of at most kMaxHeadBytes; requests with a body are refused, so
// that whatever follows the head belongs to the protocol upgraded to.
struct HttpHeadResult {
  enum class State { kIncomplete, kComplete, kBad };
  State state = State::kIncomplete;
  HttpHead head;          // when complete
  size_t head_bytes = 0;  // what of the input it was
};
constexpr size_t kMaxHeadBytes = 16 << 10;
HttpHeadResult ParseHttpHead(absl::string_view bytes);

// What a URL's first word says; the token must be for the same.
enum class StreamKind { kExec, kAttach, kPortForward };

// "/exec/TOKEN", "/attach/TOKEN" and "/portforward/TOKEN".
std::string StreamPath(StreamKind kind, absl::string_view token);
struct StreamPathParts {
  StreamKind kind = StreamKind::kExec;
  std::string token;
};
std::optional<StreamPathParts> ParseStreamPath(absl::string_view target);

// What the server does with a request whose token is not yet looked at.
struct UpgradeDecision {
  int http_status = 0;           // 101: upgrade
  std::string protocol;          // of the streams, "v4.channel.k8s.io"
  std::string refusal;           // the body, where it is not 101
  bool offer_protocols = false;  // a 403 that lists what is known
};

// RFC 9110 7.8 and Kubernetes' remotecommand and portforward protocols: the
// first protocol of the client that the server knows too. Pure.
UpgradeDecision DecideSpdyUpgrade(const HttpHead& head, StreamKind kind);

// False for a request that a web page of another origin has made.
bool OriginIsOurs(const HttpHead& head);

// The whole answer, with its end of head. A refusal closes the connection.
std::string UpgradeAnswer(const UpgradeDecision& decision, StreamKind kind);

}  // namespace podvisor

#endif  // PODVISOR_CRI_STREAMING_HTTP_UPGRADE_H_
