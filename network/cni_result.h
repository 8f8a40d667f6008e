#ifndef PODVISOR_NETWORK_CNI_RESULT_H_
#define PODVISOR_NETWORK_CNI_RESULT_H_

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace podvisor {

// What is used of a plugin's result. Addresses, routes and neighbours are not:
// those that count are read from the pod's network namespace.
struct CniResult {
  // The pod's, canonical text without a prefix ("10.1.0.2", "fd00::2"), in the
  // plugin's order.
  std::vector<std::string> ips;
  std::vector<std::string> dns_servers;
  std::vector<std::string> dns_searches;
  std::vector<std::string> dns_options;
  std::string json;  // the whole, as the next plugin gets it

  bool operator==(const CniResult&) const = default;
};

// Parses a success result of CNI 0.3.0 to 1.1.0. Pure. A plugin is a program
// that somebody installed: at most 1 MiB, 64 addresses, each of them an
// address. DataLoss.
absl::StatusOr<CniResult> ParseCniResult(absl::string_view text);

// The error that a plugin means which ended with `exit_code` and printed
// these: Unavailable for "try again later" (code 11) and "not available now"
// (code 50), else Internal. Pure.
absl::Status CniError(absl::string_view plugin, int exit_code,
                      absl::string_view standard_output,
                      absl::string_view standard_error);

}  // namespace podvisor

#endif  // PODVISOR_NETWORK_CNI_RESULT_H_
