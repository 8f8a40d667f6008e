#ifndef PODVISOR_CRI_FIELD_CHECK_H_
#define PODVISOR_CRI_FIELD_CHECK_H_

#include <cstdint>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"

namespace podvisor {

// Checks of single fields of a request. Each returns InvalidArgument with
// "FIELD: what is wrong"; values in messages are escaped and shortened. Pure.

// A name of a pod or container: 1 to 1024 bytes without control characters and
// "/", and neither "." nor "..". Kubernetes allows less; nothing of ours turns
// one into a path, and this keeps logs and metrics readable.
absl::Status CheckName(absl::string_view field, absl::string_view value);

// Text that is handed on as a C string: no NUL, at most `max_bytes`.
absl::Status CheckText(absl::string_view field, absl::string_view value,
                       size_t max_bytes);

// Text on one line: no control characters at all.
absl::Status CheckLine(absl::string_view field, absl::string_view value,
                       size_t max_bytes);

// An absolute path without ".." and control characters, at most 4095 bytes.
absl::Status CheckAbsolutePath(absl::string_view field,
                               absl::string_view value);

// A path that stays below where it starts: relative, without "..".
absl::Status CheckRelativePath(absl::string_view field,
                               absl::string_view value);

absl::Status CheckRange(absl::string_view field, int64_t value, int64_t min,
                        int64_t max);

// A user or group id: 0 to 2^31 - 1. Larger ones wrap in some consumer
// (CVE-2024-40635), to root in the worst case.
absl::Status CheckUserId(absl::string_view field, int64_t value);

}  // namespace podvisor

#endif  // PODVISOR_CRI_FIELD_CHECK_H_
