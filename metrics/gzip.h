#ifndef PODVISOR_METRICS_GZIP_H_
#define PODVISOR_METRICS_GZIP_H_

#include <string>

#include "absl/strings/string_view.h"

namespace podvisor {

// Compresses with zlib's fastest level in the gzip format. Pure.
std::string Gzip(absl::string_view data);

}  // namespace podvisor

#endif  // PODVISOR_METRICS_GZIP_H_
