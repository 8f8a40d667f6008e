#include "cri/streaming/http_upgrade.h"

#include <algorithm>
#include <boost/asio/buffer.hpp>
#include <boost/beast/http/empty_body.hpp>
#include <boost/beast/http/parser.hpp>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"

namespace podvisor {
namespace {

namespace http = boost::beast::http;

constexpr char kUpgradeTo[] = "SPDY/3.1";

// What came before v3 cannot tell the size of a terminal, and no client of the
// last ten years knows only that.
const std::vector<std::string>& KnownProtocols(StreamKind kind) {
  static const auto* const commands =
      new std::vector<std::string>{"v4.channel.k8s.io", "v3.channel.k8s.io"};
  static const auto* const forwards =
      new std::vector<std::string>{"portforward.k8s.io"};
  return kind == StreamKind::kPortForward ? *forwards : *commands;
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

// All items of a field that is a list, also over several lines.
std::vector<std::string> Items(const HttpHead& head, absl::string_view name) {
  std::vector<std::string> items;
  for (const auto& [field, value] : head.fields) {
    if (!absl::EqualsIgnoreCase(field, name)) continue;
    for (absl::string_view item : absl::StrSplit(value, ',')) {
      item = absl::StripAsciiWhitespace(item);
      if (!item.empty()) items.emplace_back(item);
    }
  }
  return items;
}

bool HasItem(const HttpHead& head, absl::string_view name,
             absl::string_view wanted) {
  const std::vector<std::string> items = Items(head, name);
  return std::any_of(items.begin(), items.end(), [&](const std::string& item) {
    return absl::EqualsIgnoreCase(item, wanted);
  });
}

absl::string_view ReasonOf(int status) {
  switch (status) {
    case 400:
      return "Bad Request";
    case 403:
      return "Forbidden";
    case 404:
      return "Not Found";
    case 405:
      return "Method Not Allowed";
    default:
      return "Service Unavailable";
  }
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

HttpHeadResult ParseHttpHead(absl::string_view bytes) {
  http::request_parser<http::empty_body> parser;
  parser.header_limit(kMaxHeadBytes);
  boost::system::error_code error;
  HttpHeadResult result;
  result.head_bytes =
      parser.put(boost::asio::buffer(bytes.data(), bytes.size()), error);
  if (error == http::error::need_more && bytes.size() <= kMaxHeadBytes) {
    return result;
  }
  if (error || !parser.is_done()) {
    result.state = HttpHeadResult::State::kBad;
    return result;
  }
  const auto& request = parser.get();
  result.head.method = std::string(request.method_string());
  result.head.target = std::string(request.target());
  for (const auto& field : request) {
    result.head.fields.emplace_back(std::string(field.name_string()),
                                    std::string(field.value()));
  }
  result.state = HttpHeadResult::State::kComplete;
  return result;
}

UpgradeDecision DecideSpdyUpgrade(const HttpHead& head, StreamKind kind) {
  if (head.method != "GET" && head.method != "POST") {
    return {405, "", "only GET and POST"};
  }
  if (!HasItem(head, "Connection", "Upgrade") ||
      !HasItem(head, "Upgrade", kUpgradeTo)) {
    return {400, "", "this needs an upgrade to SPDY/3.1"};
  }
  const std::vector<std::string> offered =
      Items(head, "X-Stream-Protocol-Version");
  if (offered.empty()) return {400, "", "no X-Stream-Protocol-Version"};
  const std::vector<std::string>& known = KnownProtocols(kind);
  for (const std::string& protocol : offered) {
    if (std::find(known.begin(), known.end(), protocol) != known.end()) {
      return {101, protocol, ""};
    }
  }
  return {403, "", "none of the X-Stream-Protocol-Versions is known", true};
}

bool OriginIsOurs(const HttpHead& head) {
  const std::vector<std::string> origins = Items(head, "Origin");
  if (origins.empty()) return true;
  const std::vector<std::string> hosts = Items(head, "Host");
  return origins.size() == 1 && hosts.size() == 1 &&
         origins[0] == absl::StrCat("http://", hosts[0]);
}

std::string UpgradeAnswer(const UpgradeDecision& decision, StreamKind kind) {
  if (decision.http_status == 101) {
    return absl::StrCat("HTTP/1.1 101 Switching Protocols\r\n",
                        "Connection: Upgrade\r\nUpgrade: ", kUpgradeTo,
                        "\r\nX-Stream-Protocol-Version: ", decision.protocol,
                        "\r\n\r\n");
  }
  std::string offer;
  if (decision.offer_protocols) {
    for (const std::string& protocol : KnownProtocols(kind)) {
      absl::StrAppend(&offer, "X-Accepted-Stream-Protocol-Versions: ", protocol,
                      "\r\n");
    }
  }
  return absl::StrCat("HTTP/1.1 ", decision.http_status, " ",
                      ReasonOf(decision.http_status), "\r\n", offer,
                      "Content-Type: text/plain; charset=utf-8\r\n",
                      "Cache-Control: no-store\r\nConnection: close\r\n",
                      "Content-Length: ", decision.refusal.size() + 1,
                      "\r\n\r\n", decision.refusal, "\n");
}

}  // namespace podvisor
