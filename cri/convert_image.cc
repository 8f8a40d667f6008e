#include "cri/convert_image.h"

#include <cstdint>
#include <limits>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "base/clean_text.h"
#include "nlohmann/json.hpp"

namespace podvisor {
namespace {

// "1000", "1000:1000", "nginx", "nginx:nginx" or empty, which is root. A number
// that is no uid stays a name, which CreateContainer then refuses.
void SetUser(absl::string_view user, runtime::v1::Image& image) {
  const absl::string_view name = user.substr(0, user.find(':'));
  int64_t uid = 0;
  const bool digits =
      name.find_first_not_of("0123456789") == absl::string_view::npos;
  if (name.empty()) {
    image.mutable_uid()->set_value(0);
  } else if (digits && absl::SimpleAtoi(name, &uid) &&
             uid <= std::numeric_limits<int32_t>::max()) {
    image.mutable_uid()->set_value(uid);
  } else {
    image.set_username(CleanText(name, 256));
  }
}

}  // namespace

runtime::v1::Image ToCriImage(const Image& image) {
  runtime::v1::Image converted;
  converted.set_id(image.id);
  for (const std::string& tag : image.repo_tags) converted.add_repo_tags(tag);
  for (const std::string& digest : image.repo_digests) {
    converted.add_repo_digests(digest);
  }
  converted.set_size(
      image.size_bytes > 0 ? static_cast<uint64_t>(image.size_bytes) : 0);
  converted.set_pinned(image.pinned);
  SetUser(image.config.user, converted);
  return converted;
}

std::string ImageInfoJson(const Image& image) {
  // Spliced in as text: a tree of hostile depth must never be walked.
  const bool json = nlohmann::json::accept(image.config_json);
  return absl::StrCat("{\"imageSpec\":", json ? image.config_json : "null",
                      "}");
}

}  // namespace podvisor
