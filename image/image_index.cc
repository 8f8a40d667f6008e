#include "image/image_index.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "absl/algorithm/container.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "base/bounded_json.h"
#include "base/clean_text.h"
#include "base/status_macros.h"
#include "image/content_digest.h"

namespace podvisor {
namespace {

using nlohmann::json;

constexpr int kVersion = 1;
constexpr int64_t kMaxIndexBytes = 64 << 20;

void AddName(std::vector<std::string>& names, const std::string& name) {
  const auto at = std::lower_bound(names.begin(), names.end(), name);
  if (at == names.end() || *at != name) names.insert(at, name);
}

// A registry may give one image under ever new manifests: only so many of its
// digests stay, those of its tags and the one just pulled always.
void ForgetOldDigests(ImageRecord& record, absl::string_view newest) {
  constexpr size_t kMostDigests = 64;
  std::vector<std::string>& names = record.image.repo_digests;
  size_t count = names.size();
  std::erase_if(names, [&](const std::string& name) {
    if (count <= kMostDigests || name == newest) return false;
    for (const auto& [tag, digest] : record.digest_of_tag) {
      if (absl::EndsWith(name, digest)) return false;
    }
    --count;
    return true;
  });
}

absl::Status NoSuchImage(absl::string_view reference) {
  return absl::NotFoundError(absl::StrCat(
      "no image \"", CleanText(reference.substr(0, 300), 300), "\""));
}

bool Names(const ImageRecord& record, const ImageReference& reference) {
  const std::string name = reference.Name();
  return absl::c_linear_search(reference.digest.empty()
                                   ? record.image.repo_tags
                                   : record.image.repo_digests,
                               name);
}

absl::StatusOr<ImageRecord> ParseRecord(const json& item) {
  if (!item.is_object()) return absl::DataLossError("it is no object");
  ImageRecord record;
  ASSIGN_OR_RETURN(record.image.id, JsonString(item, "id"));
  ASSIGN_OR_RETURN(record.image.repo_tags, JsonStrings(item, "repo_tags"));
  ASSIGN_OR_RETURN(record.image.repo_digests,
                   JsonStrings(item, "repo_digests"));
  ASSIGN_OR_RETURN(record.policy_digest, JsonString(item, "policy_digest"));
  if (!IsSha256Digest(record.image.id)) {
    return absl::DataLossError("its id is no digest");
  }
  const auto size = item.find("size_bytes");
  if (size == item.end() || !size->is_number_unsigned()) {
    return absl::DataLossError("it has no size");
  }
  record.image.size_bytes = size->get<int64_t>();
  const auto tags = item.find("digest_of_tag");
  if (tags != item.end() && tags->is_object()) {
    for (const auto& [tag, unused] : tags->items()) {
      ASSIGN_OR_RETURN(record.digest_of_tag[tag],
                       JsonString(*tags, tag.c_str()));
    }
  }
  for (const auto* names :
       {&record.image.repo_tags, &record.image.repo_digests}) {
    for (const std::string& name : *names) {
      const absl::StatusOr<ImageReference> parsed = ParseImageReference(name);
      if (!parsed.ok() || parsed->Name() != name) {
        return absl::DataLossError("it has a malformed name");
      }
    }
  }
  return record;
}

}  // namespace

absl::StatusOr<std::shared_ptr<const ImageRecord>> ImageIndex::Find(
    absl::string_view reference) const {
  if (absl::StartsWith(reference, "sha256:") && IsSha256Digest(reference)) {
    const auto found = records_.find(std::string(reference));
    if (found != records_.end()) return found->second;
  }
  const absl::StatusOr<ImageReference> name = ParseImageReference(reference);
  if (name.ok()) {
    for (const auto& [unused, record] : records_) {
      if (Names(*record, *name)) return record;
    }
  }
  const std::optional<std::string> digits = ImageIdDigits(reference);
  if (!digits.has_value()) {
    return name.ok() ? NoSuchImage(reference) : name.status();
  }
  const std::string prefix = absl::StrCat("sha256:", *digits);
  const auto first = records_.lower_bound(prefix);
  if (first == records_.end() || !absl::StartsWith(first->first, prefix)) {
    return NoSuchImage(reference);
  }
  const auto second = std::next(first);
  if (second != records_.end() && absl::StartsWith(second->first, prefix)) {
    return absl::InvalidArgumentError(
        absl::StrCat("the image id ", *digits, " is ambiguous"));
  }
  return first->second;
}

std::shared_ptr<const ImageRecord> ImageIndex::FindId(
    const std::string& id) const {
  const auto found = records_.find(id);
  return found == records_.end() ? nullptr : found->second;
}

void ImageIndex::Add(const ImageRecord& record, const ImageReference& reference,
                     const std::string& digest) {
  const std::string name = reference.Name();
  ImageRecord added = record;
  if (const auto known = FindId(record.image.id); known != nullptr) {
    added.image.repo_tags = known->image.repo_tags;
    added.image.repo_digests = known->image.repo_digests;
    added.digest_of_tag = known->digest_of_tag;
  }
  if (reference.digest.empty()) {
    for (auto& [id, other] : records_) {
      if (id == record.image.id || !Names(*other, reference)) continue;
      ImageRecord without = *other;
      std::vector<std::string>& tags = without.image.repo_tags;
      tags.erase(std::remove(tags.begin(), tags.end(), name), tags.end());
      without.digest_of_tag.erase(name);
      other = std::make_shared<const ImageRecord>(std::move(without));
    }
    AddName(added.image.repo_tags, name);
    added.digest_of_tag[name] = digest;
  }
  const std::string digest_name =
      absl::StrCat(reference.repository, "@", digest);
  AddName(added.image.repo_digests, digest_name);
  ForgetOldDigests(added, digest_name);
  records_[record.image.id] =
      std::make_shared<const ImageRecord>(std::move(added));
}

void ImageIndex::Restore(ImageRecord record) {
  const std::string id = record.image.id;
  records_[id] = std::make_shared<const ImageRecord>(std::move(record));
}

void ImageIndex::Remove(const std::string& id) { records_.erase(id); }

std::string ImageIndex::Serialize() const {
  json images = json::array();
  for (const auto& [id, record] : records_) {
    images.push_back({{"id", id},
                      {"size_bytes", record->image.size_bytes},
                      {"repo_tags", record->image.repo_tags},
                      {"repo_digests", record->image.repo_digests},
                      {"digest_of_tag", record->digest_of_tag},
                      {"policy_digest", record->policy_digest}});
  }
  const json document = {{"version", kVersion}, {"images", images}};
  return document.dump(1, ' ', false, json::error_handler_t::replace) + "\n";
}

absl::StatusOr<ImageIndex> ImageIndex::Parse(
    absl::string_view text, std::vector<std::string>* problems) {
  ASSIGN_OR_RETURN(const json document,
                   ParseBoundedJson(text, kMaxIndexBytes, "image index"));
  const auto version = document.find("version");
  const auto images = document.find("images");
  if (version == document.end() || !version->is_number_unsigned() ||
      images == document.end() || !images->is_array()) {
    return absl::DataLossError("image index: not such a document");
  }
  if (version->get<uint64_t>() > kVersion) {
    return absl::FailedPreconditionError(absl::StrCat(
        "image index: version ", version->get<uint64_t>(),
        " was written by a newer release; this one knows ", kVersion));
  }
  ImageIndex index;
  for (const json& item : *images) {
    absl::StatusOr<ImageRecord> record = ParseRecord(item);
    if (!record.ok()) {
      problems->push_back(std::string(record.status().message()));
      continue;
    }
    const std::string id = record->image.id;
    index.records_[id] =
        std::make_shared<const ImageRecord>(*std::move(record));
  }
  return index;
}

}  // namespace podvisor
