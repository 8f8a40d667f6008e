#include "base/ids.h"

#include <sys/random.h>

#include <algorithm>

#include "absl/base/internal/raw_logging.h"
#include "absl/strings/escaping.h"

namespace podvisor {

std::string RandomHexId() {
  char bytes[32];
  ABSL_RAW_CHECK(getrandom(bytes, sizeof(bytes), 0) == sizeof(bytes),
                 "the kernel has no random bytes");
  return absl::BytesToHexString(absl::string_view(bytes, sizeof(bytes)));
}

bool IsHexId(absl::string_view text) {
  return text.size() == 64 && std::all_of(text.begin(), text.end(), [](char c) {
           return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f');
         });
}

}  // namespace podvisor
