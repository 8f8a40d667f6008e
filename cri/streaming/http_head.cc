#include "cri/streaming/http_head.h"

#include <algorithm>
#include <boost/asio/buffer.hpp>
#include <boost/beast/http/empty_body.hpp>
#include <boost/beast/http/parser.hpp>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_split.h"

namespace podvisor {

namespace http = boost::beast::http;

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

std::vector<std::string> FieldItems(const HttpHead& head,
                                    absl::string_view name) {
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

bool HasFieldItem(const HttpHead& head, absl::string_view name,
                  absl::string_view wanted) {
  const std::vector<std::string> items = FieldItems(head, name);
  return std::any_of(items.begin(), items.end(), [&](const std::string& item) {
    return absl::EqualsIgnoreCase(item, wanted);
  });
}

}  // namespace podvisor
