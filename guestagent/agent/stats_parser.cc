#include "guestagent/agent/stats_parser.h"

#include <limits>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_split.h"

namespace podvisor {
namespace {

// "12.34" as 1234; the kernel prints two decimals.
uint32_t ParseHundredths(absl::string_view text) {
  double percent = 0;
  if (!absl::SimpleAtod(text, &percent) || !(percent >= 0)) return 0;
  if (percent > 100) return 10000;
  return static_cast<uint32_t>(percent * 100 + 0.5);
}

struct PressureLine {
  uint32_t avg10 = 0;
  uint32_t avg60 = 0;
  uint32_t avg300 = 0;
  uint64_t total_micros = 0;
};

PressureLine ParsePressureLine(absl::string_view line) {
  PressureLine parsed;
  for (absl::string_view field : absl::StrSplit(line, ' ')) {
    const size_t equals = field.find('=');
    if (equals == absl::string_view::npos) continue;
    const absl::string_view name = field.substr(0, equals);
    const absl::string_view value = field.substr(equals + 1);
    if (name == "avg10") parsed.avg10 = ParseHundredths(value);
    if (name == "avg60") parsed.avg60 = ParseHundredths(value);
    if (name == "avg300") parsed.avg300 = ParseHundredths(value);
    if (name == "total") {
      parsed.total_micros = ParseNumber(value).value_or(0);
    }
  }
  return parsed;
}

}  // namespace

std::optional<uint64_t> ParseNumber(absl::string_view text) {
  text = absl::StripAsciiWhitespace(text);
  uint64_t number = 0;
  if (text.empty() || !absl::ascii_isdigit(text[0]) ||
      !absl::SimpleAtoi(text, &number)) {
    return std::nullopt;
  }
  return number;
}

std::optional<uint64_t> ParseKeyedNumber(absl::string_view text,
                                         absl::string_view key) {
  for (absl::string_view line : absl::StrSplit(text, '\n')) {
    if (line.size() > key.size() && line[key.size()] == ' ' &&
        line.substr(0, key.size()) == key) {
      return ParseNumber(line.substr(key.size() + 1));
    }
  }
  return std::nullopt;
}

agent::v1::Pressure ParsePressure(absl::string_view text) {
  agent::v1::Pressure pressure;
  for (absl::string_view line : absl::StrSplit(text, '\n')) {
    const PressureLine parsed = ParsePressureLine(line);
    if (line.substr(0, 5) == "some ") {
      pressure.set_some_total_micros(parsed.total_micros);
      pressure.set_some_avg10(parsed.avg10);
      pressure.set_some_avg60(parsed.avg60);
      pressure.set_some_avg300(parsed.avg300);
    } else if (line.substr(0, 5) == "full ") {
      pressure.set_full_total_micros(parsed.total_micros);
      pressure.set_full_avg10(parsed.avg10);
      pressure.set_full_avg60(parsed.avg60);
      pressure.set_full_avg300(parsed.avg300);
    }
  }
  return pressure;
}

void ParseContainerStats(const CgroupTexts& texts,
                         agent::v1::ContainerStats* stats) {
  const uint64_t cpu_micros =
      ParseKeyedNumber(texts.cpu_stat, "usage_usec").value_or(0);
  if (cpu_micros <= std::numeric_limits<uint64_t>::max() / 1000) {
    stats->set_cpu_usage_nanos(cpu_micros * 1000);
  }
  const uint64_t usage = ParseNumber(texts.memory_current).value_or(0);
  const uint64_t inactive =
      ParseKeyedNumber(texts.memory_stat, "inactive_file").value_or(0);
  stats->set_memory_usage_bytes(usage);
  stats->set_memory_working_set_bytes(usage > inactive ? usage - inactive : 0);
  stats->set_memory_rss_bytes(
      ParseKeyedNumber(texts.memory_stat, "anon").value_or(0));
  stats->set_memory_page_faults(
      ParseKeyedNumber(texts.memory_stat, "pgfault").value_or(0));
  stats->set_memory_major_page_faults(
      ParseKeyedNumber(texts.memory_stat, "pgmajfault").value_or(0));
  stats->set_memory_limit_bytes(ParseNumber(texts.memory_max).value_or(0));
  stats->set_pids(ParseNumber(texts.pids_current).value_or(0));
}

}  // namespace podvisor
