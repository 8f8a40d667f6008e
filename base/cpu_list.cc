#include "base/cpu_list.h"

#include <algorithm>
#include <optional>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "base/clean_text.h"
#include "base/file.h"
#include "base/status_macros.h"

namespace podvisor {
namespace {

// Every second of 8192 CPUs, with five bytes each.
constexpr size_t kMaxTextBytes = 20 << 10;

absl::Status NotAList(absl::string_view text) {
  return absl::InvalidArgumentError(
      absl::StrCat("\"", CleanText(text.substr(0, 64), 64),
                   "\" is not a list of CPUs such as \"0-3,7\""));
}

std::optional<int> ParseCpu(absl::string_view text) {
  int cpu = 0;
  if (text.empty() ||
      !std::all_of(text.begin(), text.end(), absl::ascii_isdigit) ||
      !absl::SimpleAtoi(text, &cpu) || cpu > kHighestCpu) {
    return std::nullopt;
  }
  return cpu;
}

}  // namespace

absl::StatusOr<CpuList> ParseCpuList(absl::string_view text) {
  CpuList cpus;
  if (text.empty()) return cpus;
  if (text.size() > kMaxTextBytes) return NotAList(text);
  for (const absl::string_view range : absl::StrSplit(text, ',')) {
    const size_t dash = range.find('-');
    const std::optional<int> first = ParseCpu(range.substr(0, dash));
    const std::optional<int> last = dash == absl::string_view::npos
                                        ? first
                                        : ParseCpu(range.substr(dash + 1));
    if (!first.has_value() || !last.has_value() || *last < *first) {
      return NotAList(text);
    }
    for (int cpu = *first; cpu <= *last; ++cpu) cpus.insert(cpu);
  }
  return cpus;
}

std::string FormatCpuList(const CpuList& cpus) {
  std::string text;
  for (auto cpu = cpus.begin(); cpu != cpus.end();) {
    const int first = *cpu;
    int last = first;
    for (++cpu; cpu != cpus.end() && *cpu == last + 1; ++cpu) last = *cpu;
    absl::StrAppend(&text, text.empty() ? "" : ",", first);
    if (last > first) absl::StrAppend(&text, "-", last);
  }
  return text;
}

absl::StatusOr<CpuList> ReadCpuList(const std::string& path) {
  ASSIGN_OR_RETURN(const std::string text, ReadFile(path, kMaxTextBytes));
  const absl::StatusOr<CpuList> cpus =
      ParseCpuList(absl::StripSuffix(text, "\n"));
  if (cpus.ok()) return cpus;
  return absl::DataLossError(absl::StrCat(path, ": ", cpus.status().message()));
}

}  // namespace podvisor
