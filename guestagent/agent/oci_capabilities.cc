#include "guestagent/agent/oci_capabilities.h"

#include <algorithm>
#include <bitset>
#include <iterator>
#include <optional>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "base/clean_text.h"
#include "base/status_macros.h"
#include "guestagent/default_capabilities.h"

namespace podvisor {
namespace {

// In the order of linux/capability.h.
constexpr absl::string_view kNames[] = {
    "CAP_CHOWN",
    "CAP_DAC_OVERRIDE",
    "CAP_DAC_READ_SEARCH",
    "CAP_FOWNER",
    "CAP_FSETID",
    "CAP_KILL",
    "CAP_SETGID",
    "CAP_SETUID",
    "CAP_SETPCAP",
    "CAP_LINUX_IMMUTABLE",
    "CAP_NET_BIND_SERVICE",
    "CAP_NET_BROADCAST",
    "CAP_NET_ADMIN",
    "CAP_NET_RAW",
    "CAP_IPC_LOCK",
    "CAP_IPC_OWNER",
    "CAP_SYS_MODULE",
    "CAP_SYS_RAWIO",
    "CAP_SYS_CHROOT",
    "CAP_SYS_PTRACE",
    "CAP_SYS_PACCT",
    "CAP_SYS_ADMIN",
    "CAP_SYS_BOOT",
    "CAP_SYS_NICE",
    "CAP_SYS_RESOURCE",
    "CAP_SYS_TIME",
    "CAP_SYS_TTY_CONFIG",
    "CAP_MKNOD",
    "CAP_LEASE",
    "CAP_AUDIT_WRITE",
    "CAP_AUDIT_CONTROL",
    "CAP_SETFCAP",
    "CAP_MAC_OVERRIDE",
    "CAP_MAC_ADMIN",
    "CAP_SYSLOG",
    "CAP_WAKE_ALARM",
    "CAP_BLOCK_SUSPEND",
    "CAP_AUDIT_READ",
    "CAP_PERFMON",
    "CAP_BPF",
    "CAP_CHECKPOINT_RESTORE",
};

using Set = std::bitset<std::size(kNames)>;

bool IsAll(absl::string_view name) {
  return absl::EqualsIgnoreCase(name, "ALL") ||
         absl::EqualsIgnoreCase(name, "CAP_ALL");
}

std::optional<size_t> Find(absl::string_view name) {
  std::string full = absl::AsciiStrToUpper(name);
  if (!absl::StartsWith(full, "CAP_")) full = absl::StrCat("CAP_", full);
  const auto* found = std::find(std::begin(kNames), std::end(kNames), full);
  if (found == std::end(kNames)) return std::nullopt;
  return static_cast<size_t>(found - std::begin(kNames));
}

// The set of `names` without ALL, which is looked for by HasAll().
template <typename Names>
absl::StatusOr<Set> Parse(const Names& names) {
  Set set;
  for (const std::string& name : names) {
    if (IsAll(name)) continue;
    const std::optional<size_t> index = Find(name);
    if (!index) {
      return absl::InvalidArgumentError(
          absl::StrCat("unknown capability \"", CleanText(name, 64), "\""));
    }
    set.set(*index);
  }
  return set;
}

template <typename Names>
bool HasAll(const Names& names) {
  return std::any_of(names.begin(), names.end(),
                     [](const std::string& name) { return IsAll(name); });
}

std::vector<std::string> Name(const Set& set) {
  std::vector<std::string> names;
  for (size_t i = 0; i < set.size(); ++i) {
    if (set.test(i)) names.emplace_back(kNames[i]);
  }
  return names;
}

}  // namespace

absl::StatusOr<CapabilitySets> PlanCapabilities(
    const agent::v1::Capabilities& capabilities, bool privileged) {
  ASSIGN_OR_RETURN(const Set add, Parse(capabilities.add()));
  ASSIGN_OR_RETURN(const Set drop, Parse(capabilities.drop()));
  ASSIGN_OR_RETURN(const Set ambient, Parse(capabilities.add_ambient()));
  Set bounding;
  if (privileged || HasAll(capabilities.add())) {
    bounding.set();
  } else if (!HasAll(capabilities.drop())) {
    for (absl::string_view name : kDefaultCapabilities)
      bounding.set(*Find(name));
  }
  bounding |= add;
  if (!privileged) bounding &= ~drop;
  bounding |= ambient;
  return CapabilitySets{Name(bounding), Name(ambient)};
}

}  // namespace podvisor
