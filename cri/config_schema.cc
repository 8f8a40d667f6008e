#include "cri/config_schema.h"

#include <arpa/inet.h>

#include <algorithm>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "base/status_macros.h"

namespace podvisor {
namespace {

// sizeof(sockaddr_un::sun_path) less the NUL, unix(7).
constexpr size_t kMaxSocketPath = 107;
constexpr size_t kMaxPath = 4095;          // PATH_MAX less the NUL
constexpr size_t kMaxKernelParams = 1024;  // of x86's 2048, ours included

constexpr char kServer[] = "server";
constexpr char kQemu[] = "hypervisor.qemu";

absl::Status CheckPath(absl::string_view path) {
  if (path.empty()) {
    return absl::InvalidArgumentError("is empty; give an absolute path");
  }
  if (!absl::StartsWith(path, "/")) {
    return absl::InvalidArgumentError(absl::StrCat(
        "\"", path, "\" is relative; give an absolute path, for example \"/",
        path, "\""));
  }
  if (path.size() > kMaxPath) {
    return absl::InvalidArgumentError(absl::StrCat(
        "has ", path.size(), " bytes; a path has at most ", kMaxPath));
  }
  for (const absl::string_view part : absl::StrSplit(path, '/')) {
    if (part == "..") {
      return absl::InvalidArgumentError(
          absl::StrCat("\"", path, "\" contains \"..\"; write it out"));
    }
  }
  for (const char c : path) {
    if (absl::ascii_iscntrl(c)) {
      return absl::InvalidArgumentError("contains a control character");
    }
  }
  return absl::OkStatus();
}

// Neither exec nor the metrics ask who is there.
absl::Status CheckLoopbackAddress(absl::string_view address) {
  const size_t colon = address.rfind(':');
  if (colon == absl::string_view::npos) {
    return absl::InvalidArgumentError(absl::StrCat(
        "\"", address, "\" has no port; write IP:PORT, as in \"127.0.0.1:0\""));
  }
  std::string host(address.substr(0, colon));
  const absl::string_view port_text = address.substr(colon + 1);
  uint32_t port = 0;
  if (!std::all_of(port_text.begin(), port_text.end(), absl::ascii_isdigit) ||
      !absl::SimpleAtoi(port_text, &port) || port > 65535) {
    return absl::InvalidArgumentError(
        absl::StrCat("port \"", port_text, "\" is not a number up to 65535"));
  }
  in_addr v4;
  in6_addr v6;
  const bool brackets =
      host.size() > 2 && host.front() == '[' && host.back() == ']';
  if (brackets) host = host.substr(1, host.size() - 2);
  const bool is_v6 = brackets && inet_pton(AF_INET6, host.c_str(), &v6) == 1;
  const bool is_v4 = !brackets && inet_pton(AF_INET, host.c_str(), &v4) == 1;
  if (!is_v4 && !is_v6) {
    return absl::InvalidArgumentError(absl::StrCat(
        "\"", host,
        "\" is not an IP address; write IP:PORT, with an IPv6 address in "
        "brackets"));
  }
  const bool loopback =
      is_v4 ? (ntohl(v4.s_addr) >> 24) == 127 : IN6_IS_ADDR_LOOPBACK(&v6) != 0;
  if (!loopback) {
    return absl::InvalidArgumentError(
        absl::StrCat("\"", host,
                     "\" would be open to the network without a password; "
                     "use 127.0.0.1 or [::1]"));
  }
  return absl::OkStatus();
}

absl::Status CheckString(const ConfigKey& key, absl::string_view value) {
  if (value.find('\0') != absl::string_view::npos) {
    return absl::InvalidArgumentError("contains a NUL byte");
  }
  switch (key.rule) {
    case StringRule::kNone:
      return absl::OkStatus();
    case StringRule::kChoice:
      for (const absl::string_view choice : key.choices) {
        if (value == choice) return absl::OkStatus();
      }
      return absl::InvalidArgumentError(
          absl::StrCat("\"", value, "\" is not a choice; it is one of \"",
                       absl::StrJoin(key.choices, "\", \""), "\""));
    case StringRule::kOptionalPath:
      return value.empty() ? absl::OkStatus() : CheckPath(value);
    case StringRule::kPath:
      return CheckPath(value);
    case StringRule::kSocketPath:
      if (value.size() > kMaxSocketPath) {
        return absl::InvalidArgumentError(absl::StrCat(
            "has ", value.size(), " bytes; the kernel takes at most ",
            kMaxSocketPath, " for a unix socket"));
      }
      return CheckPath(value);
    case StringRule::kLoopbackAddress:
      return CheckLoopbackAddress(value);
    case StringRule::kKernelParams:
      if (value.size() > kMaxKernelParams) {
        return absl::InvalidArgumentError(
            absl::StrCat("has ", value.size(), " bytes; at most ",
                         kMaxKernelParams, " fit"));
      }
      for (const char c : value) {
        if (!absl::ascii_isprint(c)) {
          return absl::InvalidArgumentError(
              "contains a character that is not printable ASCII");
        }
      }
      return absl::OkStatus();
  }
  return absl::InternalError("unknown rule");
}

}  // namespace

absl::Status CheckConfigValue(const ConfigKey& key, Config& config) {
  const ConfigField field = key.field(config);
  if (const auto* text = std::get_if<std::string*>(&field)) {
    return CheckString(key, **text);
  }
  if (const auto* list = std::get_if<std::vector<std::string>*>(&field)) {
    if ((*list)->empty()) {
      return absl::InvalidArgumentError("is empty; give at least one");
    }
    for (const std::string& item : **list) {
      RETURN_IF_ERROR(CheckString(key, item));
    }
  }
  if (const auto* number = std::get_if<int64_t*>(&field)) {
    if (**number < key.min || **number > key.max) {
      return absl::InvalidArgumentError(
          absl::StrCat(**number, " is out of range; ", key.min, " to ", key.max,
                       " is right"));
    }
  }
  if (const auto* duration = std::get_if<absl::Duration*>(&field)) {
    if (**duration < absl::Milliseconds(key.min) ||
        **duration > absl::Milliseconds(key.max)) {
      return absl::InvalidArgumentError(absl::StrCat(
          absl::FormatDuration(**duration), " is out of range; ",
          absl::FormatDuration(absl::Milliseconds(key.min)), " to ",
          absl::FormatDuration(absl::Milliseconds(key.max)), " is right"));
    }
  }
  return absl::OkStatus();
}

std::vector<ConfigConflict> FindConflicts(const Config& config) {
  std::vector<ConfigConflict> conflicts;
  const QemuConfig& qemu = config.qemu;
  if (qemu.default_maxvcpus != 0 &&
      qemu.default_maxvcpus < qemu.default_vcpus) {
    conflicts.push_back(
        {kQemu, "default_maxvcpus",
         absl::StrCat(qemu.default_maxvcpus, " is less than default_vcpus (",
                      qemu.default_vcpus, "); give 0 or at least that")});
  }
  if (qemu.default_maxmemory != 0 &&
      qemu.default_maxmemory < qemu.default_memory) {
    conflicts.push_back(
        {kQemu, "default_maxmemory",
         absl::StrCat(qemu.default_maxmemory, " is less than default_memory (",
                      qemu.default_memory, "); give 0 or at least that")});
  }
  if (config.server.root_dir == config.server.run_dir) {
    conflicts.push_back({kServer, "run_dir",
                         "is the same directory as root_dir; records must "
                         "survive a reboot and sockets must not"});
  }
  if (qemu.pc_dimm_unplug && qemu.memory_hotplug != "pc-dimm") {
    conflicts.push_back({kQemu, "pc_dimm_unplug",
                         absl::StrCat("has no effect with memory_hotplug = \"",
                                      qemu.memory_hotplug, "\"; remove it")});
  }
  return conflicts;
}

}  // namespace podvisor
