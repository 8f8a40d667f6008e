#include "guestagent/agent/stats_parser.h"

#include <limits>
#include <string>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_split.h"
#include "guestagent/plain_names.h"

namespace podvisor {
namespace {

using agent::v1::ContainerStats;
using BlockDevice = ContainerStats::BlockDevice;
using Interface = agent::v1::GetStatsResponse::Interface;

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

// One line of io.stat; nullopt for one that is none.
std::optional<BlockDevice> ParseIoLine(absl::string_view line) {
  const std::vector<absl::string_view> fields = absl::StrSplit(line, ' ');
  const std::pair<absl::string_view, absl::string_view> numbers =
      absl::StrSplit(fields[0], absl::MaxSplits(':', 1));
  BlockDevice device;
  uint32_t major = 0;
  uint32_t minor = 0;
  if (!absl::SimpleAtoi(numbers.first, &major) ||
      !absl::SimpleAtoi(numbers.second, &minor)) {
    return std::nullopt;
  }
  device.set_major_number(major);
  device.set_minor_number(minor);
  for (const absl::string_view field : fields) {
    const std::pair<absl::string_view, absl::string_view> parts =
        absl::StrSplit(field, absl::MaxSplits('=', 1));
    const uint64_t value = ParseNumber(parts.second).value_or(0);
    if (parts.first == "rbytes") device.set_read_bytes(value);
    if (parts.first == "wbytes") device.set_written_bytes(value);
    if (parts.first == "rios") device.set_reads(value);
    if (parts.first == "wios") device.set_writes(value);
  }
  return device;
}

// One line of /proc/net/dev (net/core/net-procfs.c): the name, then bytes,
// packets, errs, drop, fifo, frame, compressed, multicast received, and the
// same of what was sent.
std::optional<Interface> ParseNetLine(absl::string_view line) {
  const std::pair<absl::string_view, absl::string_view> parts =
      absl::StrSplit(line, absl::MaxSplits(':', 1));
  const absl::string_view name = absl::StripAsciiWhitespace(parts.first);
  if (!IsPlainName(name) || name == "lo") return std::nullopt;
  std::vector<uint64_t> numbers;
  for (const absl::string_view field :
       absl::StrSplit(parts.second, ' ', absl::SkipEmpty())) {
    const std::optional<uint64_t> number = ParseNumber(field);
    if (!number.has_value()) return std::nullopt;
    numbers.push_back(*number);
  }
  if (numbers.size() < 12) return std::nullopt;
  Interface one;
  one.set_name(std::string(name));
  one.set_receive_bytes(numbers[0]);
  one.set_receive_packets(numbers[1]);
  one.set_receive_errors(numbers[2]);
  one.set_receive_dropped(numbers[3]);
  one.set_transmit_bytes(numbers[8]);
  one.set_transmit_packets(numbers[9]);
  one.set_transmit_errors(numbers[10]);
  one.set_transmit_dropped(numbers[11]);
  return one;
}

// A figure that may be missing: the number after `key`, or the only one of a
// file when it is empty, in units of which the field has `scale`.
struct Figure {
  absl::string_view text;
  absl::string_view key;
  void (ContainerStats::*set)(uint64_t);
  uint64_t scale = 1;
  bool is_limit = false;  // then "max" is 0: none
};

void SetFigure(const Figure& figure, ContainerStats* stats) {
  const std::optional<uint64_t> number =
      figure.key.empty() ? ParseNumber(figure.text)
                         : ParseKeyedNumber(figure.text, figure.key);
  if (figure.is_limit && absl::StripAsciiWhitespace(figure.text) == "max") {
    (stats->*figure.set)(0);
  }
  if (!number.has_value() ||
      *number > std::numeric_limits<uint64_t>::max() / figure.scale) {
    return;
  }
  (stats->*figure.set)(*number * figure.scale);
}

void ParseOptionalFigures(const CgroupTexts& texts, ContainerStats* stats) {
  using S = ContainerStats;
  const std::pair<absl::string_view, absl::string_view> quota_and_period =
      absl::StrSplit(texts.cpu_max, absl::MaxSplits(' ', 1));
  for (const Figure& figure : {
           Figure{texts.cpu_stat, "user_usec", &S::set_cpu_user_nanos, 1000},
           Figure{texts.cpu_stat, "system_usec", &S::set_cpu_system_nanos,
                  1000},
           Figure{texts.cpu_stat, "nr_periods", &S::set_cpu_periods},
           Figure{texts.cpu_stat, "nr_throttled",
                  &S::set_cpu_throttled_periods},
           Figure{texts.cpu_stat, "throttled_usec", &S::set_cpu_throttled_nanos,
                  1000},
           Figure{quota_and_period.first, "", &S::set_cpu_quota_micros},
           Figure{quota_and_period.second, "", &S::set_cpu_period_micros},
           Figure{texts.memory_stat, "file", &S::set_memory_cache_bytes},
           Figure{texts.memory_stat, "file_mapped",
                  &S::set_memory_mapped_file_bytes},
           Figure{texts.memory_stat, "kernel", &S::set_memory_kernel_bytes},
           Figure{texts.memory_peak, "", &S::set_memory_peak_bytes},
           Figure{texts.memory_swap_current, "", &S::set_memory_swap_bytes},
           Figure{texts.memory_swap_max, "", &S::set_memory_swap_limit_bytes, 1,
                  true},
           Figure{texts.memory_low, "", &S::set_memory_low_bytes},
           Figure{texts.memory_events, "max", &S::set_memory_limit_hits},
           Figure{texts.memory_events, "oom_kill", &S::set_oom_kills},
           Figure{texts.pids_max, "", &S::set_threads_max, 1, true},
       }) {
    SetFigure(figure, stats);
  }
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

std::vector<BlockDevice> ParseIoStat(absl::string_view text) {
  std::vector<BlockDevice> devices;
  for (const absl::string_view line : absl::StrSplit(text, '\n')) {
    if (devices.size() == kMaxBlockDevices) break;
    if (auto device = ParseIoLine(line)) devices.push_back(*std::move(device));
  }
  return devices;
}

std::vector<Interface> ParseNetDev(absl::string_view text) {
  std::vector<Interface> interfaces;
  for (const absl::string_view line : absl::StrSplit(text, '\n')) {
    if (interfaces.size() == kMaxInterfaces) break;
    if (auto one = ParseNetLine(line)) interfaces.push_back(*std::move(one));
  }
  return interfaces;
}

std::vector<pid_t> ParseProcesses(absl::string_view text) {
  std::vector<pid_t> pids;
  for (const absl::string_view line :
       absl::StrSplit(text, '\n', absl::SkipEmpty())) {
    pid_t pid = 0;
    // 0 stands for a process outside our PID namespace: there is none.
    if (absl::SimpleAtoi(line, &pid) && pid > 0) pids.push_back(pid);
  }
  return pids;
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
  ParseOptionalFigures(texts, stats);
  if (!texts.cpu_pressure.empty()) {
    *stats->mutable_cpu_pressure() = ParsePressure(texts.cpu_pressure);
  }
  if (!texts.memory_pressure.empty()) {
    *stats->mutable_memory_pressure() = ParsePressure(texts.memory_pressure);
  }
  if (!texts.io_pressure.empty()) {
    *stats->mutable_io_pressure() = ParsePressure(texts.io_pressure);
  }
}

}  // namespace podvisor
