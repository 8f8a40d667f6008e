#include "network/cni_result.h"

#include <arpa/inet.h>

#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "base/bounded_json.h"
#include "base/clean_text.h"
#include "base/status_macros.h"
#include "nlohmann/json.hpp"

namespace podvisor {
namespace {

using Json = nlohmann::json;

constexpr int64_t kMaxBytes = 1 << 20;
constexpr size_t kMaxAddresses = 64;
constexpr size_t kMaxWords = 64;

absl::StatusOr<std::string> CanonicalAddress(absl::string_view text) {
  const std::string address(text.substr(0, text.find('/')));
  const int family = absl::StrContains(address, ':') ? AF_INET6 : AF_INET;
  unsigned char bytes[16];
  char canonical[INET6_ADDRSTRLEN];
  if (inet_pton(family, address.c_str(), bytes) != 1 ||
      inet_ntop(family, bytes, canonical, sizeof(canonical)) == nullptr) {
    return absl::DataLossError(
        absl::StrCat("\"", CleanText(text, 80), "\" is no address"));
  }
  return std::string(canonical);
}

// An address of an interface outside of the pod is not the pod's.
bool IsOfPod(const Json& ip, const Json& interfaces) {
  const auto index = ip.find("interface");
  if (index == ip.end() || !index->is_number_unsigned()) return true;
  const uint64_t at = index->get<uint64_t>();
  if (!interfaces.is_array() || at >= interfaces.size()) return true;
  const Json& interface = interfaces[at];
  if (!interface.is_object()) return true;
  const auto sandbox = interface.find("sandbox");
  return sandbox != interface.end() && sandbox->is_string() &&
         !sandbox->get_ref<const std::string&>().empty();
}

absl::StatusOr<std::vector<std::string>> Words(const Json& dns,
                                               const char* key) {
  ASSIGN_OR_RETURN(std::vector<std::string> words, JsonStrings(dns, key));
  if (words.size() > kMaxWords) {
    return absl::DataLossError(absl::StrCat("dns.", key, ": is too long"));
  }
  // Each becomes a word of a line of resolv.conf.
  for (const std::string& word : words) {
    if (word.empty() || word != CleanText(word, 255) ||
        absl::StrContains(word, ' ')) {
      return absl::DataLossError(absl::StrCat("dns.", key, ": no word"));
    }
  }
  return words;
}

absl::Status ReadAddresses(const Json& json, CniResult* result) {
  const auto ips = json.find("ips");
  if (ips == json.end() || ips->is_null()) return absl::OkStatus();
  if (!ips->is_array() || ips->size() > kMaxAddresses) {
    return absl::DataLossError("ips: is no list, or too long");
  }
  const Json interfaces = json.value("interfaces", Json());
  for (const Json& ip : *ips) {
    if (!ip.is_object()) return absl::DataLossError("ips: no object");
    if (!IsOfPod(ip, interfaces)) continue;
    ASSIGN_OR_RETURN(const std::string text, JsonString(ip, "address"));
    ASSIGN_OR_RETURN(std::string address, CanonicalAddress(text));
    result->ips.push_back(std::move(address));
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<CniResult> ParseCniResult(absl::string_view text) {
  ASSIGN_OR_RETURN(const Json json,
                   ParseBoundedJson(text, kMaxBytes, "a CNI result"));
  CniResult result;
  RETURN_IF_ERROR(ReadAddresses(json, &result));
  if (const auto dns = json.find("dns"); dns != json.end()) {
    if (!dns->is_object()) return absl::DataLossError("dns: is no object");
    ASSIGN_OR_RETURN(result.dns_servers, Words(*dns, "nameservers"));
    ASSIGN_OR_RETURN(result.dns_searches, Words(*dns, "search"));
    ASSIGN_OR_RETURN(result.dns_options, Words(*dns, "options"));
  }
  result.json = json.dump();
  return result;
}

absl::Status CniError(absl::string_view plugin, int exit_code,
                      absl::string_view standard_output,
                      absl::string_view standard_error) {
  const std::string what = absl::StrCat("CNI plugin ", plugin);
  const absl::StatusOr<Json> json =
      ParseBoundedJson(standard_output, kMaxBytes, "a CNI error");
  const std::string words =
      json.ok() ? JsonString(*json, "msg").value_or("") : "";
  if (words.empty()) {
    return absl::InternalError(absl::StrCat(what, " ended with exit code ",
                                            exit_code, ": ",
                                            CleanText(standard_error, 512)));
  }
  const std::string details = JsonString(*json, "details").value_or("");
  const std::string message =
      absl::StrCat(what, ": ", CleanText(words, 512),
                   details.empty() ? "" : ": ", CleanText(details, 512));
  const auto code = json->find("code");
  if (code != json->end() && (*code == 11 || *code == 50)) {
    return absl::UnavailableError(message);
  }
  return absl::InternalError(message);
}

}  // namespace podvisor
