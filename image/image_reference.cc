#include "image/image_reference.h"

#include <algorithm>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "base/clean_text.h"
#include "base/ids.h"
#include "image/content_digest.h"

namespace podvisor {
namespace {

constexpr size_t kMaxTextBytes = 512;
constexpr size_t kMaxRepositoryBytes = 255;
constexpr size_t kMaxTagBytes = 128;
constexpr absl::string_view kDefaultRegistry = "docker.io";

absl::Status Refuse(absl::string_view text, absl::string_view why) {
  return absl::InvalidArgumentError(absl::StrCat(
      "image reference \"", CleanText(text.substr(0, 80), 80), "\": ", why));
}

bool IsLowerAlnum(char c) {
  return absl::ascii_isdigit(c) || absl::ascii_islower(c);
}

// [a-z0-9]+ joined by ".", "_", "__" or any number of "-".
bool IsPathComponent(absl::string_view part) {
  if (part.empty() || !IsLowerAlnum(part.front()) ||
      !IsLowerAlnum(part.back())) {
    return false;
  }
  for (size_t i = 0; i < part.size();) {
    if (IsLowerAlnum(part[i])) {
      ++i;
      continue;
    }
    size_t end = i;
    while (end < part.size() && !IsLowerAlnum(part[end])) ++end;
    const absl::string_view separator = part.substr(i, end - i);
    const bool dashes = separator.find_first_not_of('-') == separator.npos;
    if (separator != "." && separator != "_" && separator != "__" && !dashes) {
      return false;
    }
    i = end;
  }
  return true;
}

// host or host:port, where host is dot-separated letters, digits and inner "-".
bool IsRegistry(absl::string_view text) {
  const size_t colon = text.find(':');
  if (colon != text.npos) {
    const absl::string_view port = text.substr(colon + 1);
    int number = 0;
    if (port.empty() || port.size() > 5 ||
        !std::all_of(port.begin(), port.end(), absl::ascii_isdigit) ||
        !absl::SimpleAtoi(port, &number) || number < 1 || number > 65535) {
      return false;
    }
    text = text.substr(0, colon);
  }
  for (const absl::string_view label : absl::StrSplit(text, '.')) {
    if (label.empty() || label.front() == '-' || label.back() == '-') {
      return false;
    }
    for (const char c : label) {
      if (!absl::ascii_isalnum(c) && c != '-') return false;
    }
  }
  return true;
}

// Docker's rule for the first component of a name.
bool LooksLikeRegistry(absl::string_view part) {
  return part == "localhost" || part.find_first_of(".:") != part.npos ||
         std::any_of(part.begin(), part.end(), absl::ascii_isupper);
}

bool IsTag(absl::string_view tag) {
  if (tag.empty() || tag.size() > kMaxTagBytes) return false;
  if (!absl::ascii_isalnum(tag.front()) && tag.front() != '_') return false;
  return std::all_of(tag.begin(), tag.end(), [](char c) {
    return absl::ascii_isalnum(c) || c == '_' || c == '.' || c == '-';
  });
}

}  // namespace

std::string ImageReference::Name() const {
  return digest.empty() ? absl::StrCat(repository, ":", tag)
                        : absl::StrCat(repository, "@", digest);
}

absl::StatusOr<ImageReference> ParseImageReference(absl::string_view text) {
  if (text.empty()) return absl::InvalidArgumentError("empty image reference");
  if (text.size() > kMaxTextBytes) return Refuse(text, "too long");
  absl::string_view rest = text;
  ImageReference reference;

  const size_t at = rest.find('@');
  if (at != rest.npos) {
    if (!IsSha256Digest(rest.substr(at + 1))) {
      return Refuse(text, "the digest must be sha256: and 64 hex digits");
    }
    reference.digest = std::string(rest.substr(at + 1));
    rest = rest.substr(0, at);
  }
  // A colon behind the last slash begins a tag; one before it, a port.
  const size_t slash = rest.rfind('/');
  const size_t colon = rest.find(':', slash == rest.npos ? 0 : slash);
  if (colon != rest.npos) {
    if (!IsTag(rest.substr(colon + 1))) return Refuse(text, "malformed tag");
    reference.tag = std::string(rest.substr(colon + 1));
    rest = rest.substr(0, colon);
  }
  if (!reference.digest.empty()) reference.tag.clear();
  if (reference.digest.empty() && reference.tag.empty()) {
    reference.tag = "latest";
  }
  if (IsHexId(rest)) return Refuse(text, "64 hex digits are an id, not a name");

  std::vector<absl::string_view> parts = absl::StrSplit(rest, '/');
  std::string registry(kDefaultRegistry);
  if (parts.size() > 1 && LooksLikeRegistry(parts.front())) {
    if (!IsRegistry(parts.front())) return Refuse(text, "malformed registry");
    registry = std::string(parts.front());
    if (registry == "index.docker.io") registry = std::string(kDefaultRegistry);
    parts.erase(parts.begin());
  }
  for (const absl::string_view part : parts) {
    if (!IsPathComponent(part)) return Refuse(text, "malformed name");
  }
  if (registry == kDefaultRegistry && parts.size() == 1) {
    parts.insert(parts.begin(), "library");
  }
  reference.repository = absl::StrCat(registry, "/", absl::StrJoin(parts, "/"));
  if (reference.repository.size() > kMaxRepositoryBytes) {
    return Refuse(text, "the name is longer than 255 bytes");
  }
  return reference;
}

std::optional<std::string> ImageIdDigits(absl::string_view text) {
  const absl::string_view digits =
      absl::StartsWith(text, "sha256:") ? text.substr(7) : text;
  if (digits.empty() || digits.size() > 64) return std::nullopt;
  for (const char c : digits) {
    if (!absl::ascii_isdigit(c) && (c < 'a' || c > 'f')) return std::nullopt;
  }
  return std::string(digits);
}

}  // namespace podvisor
