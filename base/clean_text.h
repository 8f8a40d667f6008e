#ifndef PODVISOR_BASE_CLEAN_TEXT_H_
#define PODVISOR_BASE_CLEAN_TEXT_H_

#include <cstddef>
#include <string>

#include "absl/strings/string_view.h"

namespace podvisor {

// Text that a guest, an image or a plugin chose, made fit for logs, messages
// and terminals: one line, no control characters, valid UTF-8, bounded.
std::string CleanText(absl::string_view text, size_t max_bytes = 4096);

}  // namespace podvisor

#endif  // PODVISOR_BASE_CLEAN_TEXT_H_
