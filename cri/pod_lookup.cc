#include "cri/pod_lookup.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "base/clean_text.h"
#include "base/status_macros.h"

namespace podvisor {
namespace {

// As many as a line of a terminal shows, and no more of each than it needs.
constexpr size_t kShownIds = 5;
constexpr size_t kShownIdLength = 12;

std::string Shortened(std::vector<std::string> ids) {
  const size_t all = ids.size();
  ids.resize(std::min(all, kShownIds));
  for (std::string& id : ids) id = CleanText(id, kShownIdLength);
  return absl::StrCat(absl::StrJoin(ids, ", "), all > kShownIds ? ", ..." : "");
}

}  // namespace

absl::StatusOr<std::string> FindPod(CriClient& client,
                                    const std::string& wanted) {
  ASSIGN_OR_RETURN(const std::vector<runtime::v1::PodSandbox> pods,
                   client.ListPods());
  std::vector<std::string> matches;
  for (const runtime::v1::PodSandbox& pod : pods) {
    if (pod.id() == wanted) return pod.id();
    const std::string& name = pod.metadata().name();
    if (absl::StartsWith(pod.id(), wanted) || name == wanted ||
        absl::StrCat(pod.metadata().namespace_(), "/", name) == wanted) {
      matches.push_back(pod.id());
    }
  }
  const std::string shown = CleanText(wanted, 128);
  if (matches.empty()) {
    return absl::NotFoundError(absl::StrCat("there is no pod \"", shown, "\""));
  }
  if (matches.size() > 1) {
    return absl::InvalidArgumentError(
        absl::StrCat("\"", shown, "\" means several pods; give the id of one: ",
                     Shortened(std::move(matches))));
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
