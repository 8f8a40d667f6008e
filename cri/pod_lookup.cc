#include "cri/pod_lookup.h"

#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "base/clean_text.h"
#include "base/status_macros.h"

namespace podvisor {

absl::StatusOr<std::string> FindPod(CriClient& client,
                                    const std::string& wanted) {
  ASSIGN_OR_RETURN(const std::vector<runtime::v1::PodSandbox> pods,
                   client.ListPods());
  std::vector<std::string> matches;
  for (const runtime::v1::PodSandbox& pod : pods) {
    if (pod.id() == wanted) return pod.id();
    if (absl::StartsWith(pod.id(), wanted) || pod.metadata().name() == wanted) {
      matches.push_back(pod.id());
    }
  }
  const std::string shown = CleanText(wanted, 128);
  if (matches.empty()) {
    return absl::NotFoundError(absl::StrCat("there is no pod \"", shown, "\""));
  }
  if (matches.size() > 1) {
    return absl::InvalidArgumentError(
        absl::StrCat("\"", shown, "\" means several pods; give an id"));
  }
  return matches.front();
}

nlohmann::json PodInfo(const runtime::v1::PodSandboxStatusResponse& status) {
  const auto text = status.info().find("info");
  if (text == status.info().end()) return nlohmann::json::object();
  nlohmann::json info = nlohmann::json::parse(text->second, nullptr, false);
  return info.is_object() ? info : nlohmann::json::object();
}

std::string InfoText(const nlohmann::json& info, const char* key) {
  const auto value = info.find(key);
  return value != info.end() && value->is_string() ? value->get<std::string>()
                                                   : std::string();
}

}  // namespace podvisor
