#include "cri/pod_annotations.h"

#include <algorithm>
#include <cstdint>
#include <iterator>
#include <optional>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "base/clean_text.h"
#include "base/status_macros.h"
#include "cri/blkio_annotation.h"
#include "cri/quantity.h"
#include "hotplug/vm_limits.h"

namespace podvisor {
namespace {

constexpr absl::string_view kSandboxCpu =
    "com.github.containers.virtcontainers.sandbox_cpu";
constexpr absl::string_view kSandboxMem =
    "com.github.containers.virtcontainers.sandbox_mem";
constexpr absl::string_view kBlkioCgroup =
    "com.github.containers.virtcontainers.blkio_cgroup";
constexpr absl::string_view kFilesLimit =
    "com.github.containers.virtcontainers.files_limit";
constexpr absl::string_view kKataVcpus =
    "io.katacontainers.config.hypervisor.default_vcpus";
constexpr absl::string_view kKataMemory =
    "io.katacontainers.config.hypervisor.default_memory";
constexpr absl::string_view kKataMaxVcpus =
    "io.katacontainers.config.hypervisor.default_max_vcpus";

constexpr absl::string_view kPodAnnotations[] = {
    kSandboxCpu, kSandboxMem, kBlkioCgroup,  kFilesLimit,
    kKataVcpus,  kKataMemory, kKataMaxVcpus,
};

constexpr int64_t kMiB = int64_t{1} << 20;
constexpr int64_t kLeastMilliCpu = 500;
// Below this the guest does not come up.
constexpr int64_t kLeastMemory = 128 * kMiB;
constexpr int64_t kMostMemory = int64_t{256} << 30;

absl::Status Refuse(absl::string_view name, absl::string_view value,
                    absl::string_view why) {
  return absl::InvalidArgumentError(absl::StrCat("config.annotations: ", name,
                                                 " = \"", CleanText(value, 64),
                                                 "\": ", why));
}

// Digits only: no sign, no space, no exponent.
std::optional<int64_t> ParseDigits(absl::string_view text) {
  int64_t number = 0;
  if (text.empty() || text.size() > 18 ||
      !std::all_of(text.begin(), text.end(), absl::ascii_isdigit) ||
      !absl::SimpleAtoi(text, &number)) {
    return std::nullopt;
  }
  return number;
}

// "4", "0.5", "1.250"; finer than a thousandth is no number of CPUs.
std::optional<int64_t> ParseMilli(absl::string_view text) {
  const size_t point = text.find('.');
  const std::optional<int64_t> whole = ParseDigits(text.substr(0, point));
  if (!whole.has_value() || *whole > kMostVcpus) return std::nullopt;
  if (point == absl::string_view::npos) return *whole * 1000;
  const absl::string_view decimals = text.substr(point + 1);
  const std::optional<int64_t> part = ParseDigits(decimals);
  if (!part.has_value() || decimals.size() > 3) return std::nullopt;
  int64_t milli = *part;
  for (size_t i = decimals.size(); i < 3; ++i) milli *= 10;
  return *whole * 1000 + milli;
}

std::optional<int64_t> ParseBytes(absl::string_view text) {
  absl::string_view digits = text;
  int64_t unit = 1;
  for (const auto& [suffix, bytes] :
       {std::pair("K", int64_t{1} << 10), std::pair("M", int64_t{1} << 20),
        std::pair("G", int64_t{1} << 30), std::pair("T", int64_t{1} << 40)}) {
    if (absl::ConsumeSuffix(&digits, absl::StrCat(suffix, "i")) ||
        absl::ConsumeSuffix(&digits, suffix)) {
      unit = bytes;
      break;
    }
  }
  const std::optional<int64_t> number = ParseDigits(digits);
  if (!number.has_value() || *number > kMostMemory) return std::nullopt;
  return *number > kMostMemory / unit ? kMostMemory + 1 : *number * unit;
}

constexpr int64_t kLeastRate = 1000;
constexpr int64_t kMostRate = 1'000'000'000'000'000;

struct Meaning {
  absl::string_view name;
  std::optional<int64_t> (*parse)(absl::string_view text);
  int64_t scale;  // of the parsed number
  int64_t least;  // of the scaled one
  int64_t most;
  absl::string_view form;
  std::optional<int64_t> SizeOverrides::*field;
};

constexpr Meaning kMeanings[] = {
    {kSandboxCpu, ParseMilli, 1, kLeastMilliCpu, kMostVcpus * 1000,
     "a number of CPUs from 0.5 to 240, such as \"1.5\"",
     &SizeOverrides::base_milli_cpu},
    {kKataVcpus, ParseMilli, 1, kLeastMilliCpu, kMostVcpus * 1000,
     "a number of CPUs from 0.5 to 240, such as \"1.5\"",
     &SizeOverrides::base_milli_cpu},
    {kSandboxMem, ParseBytes, 1, kLeastMemory, kMostMemory,
     "a size from 128Mi to 256G, such as \"4G\" or \"512Mi\"",
     &SizeOverrides::base_memory_bytes},
    {kKataMemory, ParseDigits, kMiB, kLeastMemory, kMostMemory,
     "a number of MiB from 128 to 262144", &SizeOverrides::base_memory_bytes},
    {kKataMaxVcpus, ParseDigits, 1, 1, kMostVcpus, "a number from 1 to 240",
     &SizeOverrides::max_vcpus},
};

}  // namespace

bool IsPodAnnotation(absl::string_view name) {
  return std::find(std::begin(kPodAnnotations), std::end(kPodAnnotations),
                   name) != std::end(kPodAnnotations);
}

absl::StatusOr<SizeOverrides> ParseSizeAnnotations(
    const std::map<std::string, std::string>& annotations) {
  SizeOverrides size;
  for (const Meaning& meaning : kMeanings) {
    const auto found = annotations.find(std::string(meaning.name));
    if (found == annotations.end()) continue;
    const std::string& text = found->second;
    const std::optional<int64_t> number = meaning.parse(text);
    if (!number.has_value() || *number < meaning.least / meaning.scale ||
        *number > meaning.most / meaning.scale) {
      return Refuse(meaning.name, text, absl::StrCat("must be ", meaning.form));
    }
    const int64_t value = *number * meaning.scale;
    std::optional<int64_t>& field = size.*meaning.field;
    if (field.has_value() && *field != value) {
      return Refuse(meaning.name, text,
                    "contradicts another annotation of the same meaning");
    }
    field = value;
  }
  return size;
}

absl::StatusOr<HostLimits> ParseHostAnnotations(
    const std::map<std::string, std::string>& annotations) {
  HostLimits host;
  if (const auto found = annotations.find(std::string(kFilesLimit));
      found != annotations.end()) {
    host.files_limit = ParseDigits(found->second);
    if (!host.files_limit.has_value()) {
      return Refuse(kFilesLimit, found->second, "must be a number of files");
    }
  }
  if (const auto found = annotations.find(std::string(kBlkioCgroup));
      found != annotations.end()) {
    absl::StatusOr<std::vector<BlockIoLimit>> limits =
        ParseBlkioAnnotation(found->second);
    if (!limits.ok()) {
      return Annotate(limits.status(),
                      absl::StrCat("config.annotations: ", kBlkioCgroup));
    }
    host.block_io = *std::move(limits);
  }
  return host;
}

absl::StatusOr<NetworkShape> ParseShapeAnnotations(
    const std::map<std::string, std::string>& annotations) {
  NetworkShape shape;
  for (const auto& [name, field] : {std::pair("kubernetes.io/ingress-bandwidth",
                                              &NetworkShape::ingress_rate),
                                    std::pair("kubernetes.io/egress-bandwidth",
                                              &NetworkShape::egress_rate)}) {
    const auto found = annotations.find(name);
    if (found == annotations.end()) continue;
    const absl::StatusOr<int64_t> rate = ParseByteQuantity(found->second);
    if (!rate.ok() || *rate < kLeastRate || *rate > kMostRate) {
      return Refuse(name, found->second,
                    "must be bits per second from 1k to 1P, such as \"10M\"");
    }
    shape.*field = *rate;
  }
  return shape;
}

}  // namespace podvisor
