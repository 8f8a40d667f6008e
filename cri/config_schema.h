#ifndef PODVISOR_CRI_CONFIG_SCHEMA_H_
#define PODVISOR_CRI_CONFIG_SCHEMA_H_

#include <cstdint>
#include <string>
#include <variant>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "cri/config.h"

namespace podvisor {

// Where a key's value lives; the alternative is the key's TOML type. A
// duration is written as a string ("5s").
using ConfigField = std::variant<std::string*, int64_t*, bool*, absl::Duration*,
                                 std::vector<std::string>*>;

// What a string may be, beyond being one.
enum class StringRule {
  kNone,
  kChoice,           // one of `choices`
  kPath,             // absolute, without "..", at most 4095 bytes
  kOptionalPath,     // or empty
  kSocketPath,       // a path of at most 107 bytes
  kLoopbackAddress,  // IP:PORT
  kKernelParams,     // printable, on one line
};

struct ConfigKey {
  absl::string_view section;  // "hypervisor.qemu"
  absl::string_view key;
  ConfigField (*field)(Config&);
  absl::string_view help;  // one or more lines, without "#"
  StringRule rule = StringRule::kNone;
  std::vector<absl::string_view> choices;
  int64_t min = 0;  // of an integer; of a duration in milliseconds
  int64_t max = 0;
  // False: parsed and checked, but this version does not act on it, so that
  // any value but the default is an error instead of a surprise.
  bool effective = true;
};

// Every key there is, in the order of the file.
absl::Span<const ConfigKey> ConfigKeys();

// Checks one value (of a Config that has it already) against its key's rule.
// The message says what would be right.
absl::Status CheckConfigValue(const ConfigKey& key, Config& config);

// A rule over several keys that does not hold, with the key to blame.
struct ConfigConflict {
  absl::string_view section;
  absl::string_view key;
  std::string message;
};
std::vector<ConfigConflict> FindConflicts(const Config& config);

}  // namespace podvisor

#endif  // PODVISOR_CRI_CONFIG_SCHEMA_H_
