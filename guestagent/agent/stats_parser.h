#ifndef PODVISOR_GUESTAGENT_AGENT_STATS_PARSER_H_
#define PODVISOR_GUESTAGENT_AGENT_STATS_PARSER_H_

#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <vector>

#include "absl/strings/string_view.h"
#include "guestagent/agent.pb.h"

namespace podvisor {

// Parsers of small kernel files (cgroup-v2.rst, psi.rst). Pure; what is missing
// or makes no sense is nullopt or zero, never an error: a kernel without a
// controller still has the other figures.

// The number after `key` in lines of "key value".
std::optional<uint64_t> ParseKeyedNumber(absl::string_view text,
                                         absl::string_view key);

// A file with one number; "max" is nullopt.
std::optional<uint64_t> ParseNumber(absl::string_view text);

// "some avg10=1.53 avg60=... avg300=... total=123\nfull ...".
agent::v1::Pressure ParsePressure(absl::string_view text);

// "253:0 rbytes=1 wbytes=2 rios=3 wios=4 ..." for each device, at most 64 of
// them; names are not filled in.
std::vector<agent::v1::ContainerStats::BlockDevice> ParseIoStat(
    absl::string_view text);

// The lines of /proc/net/dev but the loopback's: the first 16 with names that
// the contract allows.
std::vector<agent::v1::GetStatsResponse::Interface> ParseNetDev(
    absl::string_view text);

// The numbers of cgroup.procs.
std::vector<pid_t> ParseProcesses(absl::string_view text);

// The texts of a container's cgroup files; a missing file is empty.
struct CgroupTexts {
  absl::string_view cpu_stat = {};
  absl::string_view cpu_max = {};
  absl::string_view cpu_pressure = {};
  absl::string_view memory_current = {};
  absl::string_view memory_max = {};
  absl::string_view memory_low = {};
  absl::string_view memory_peak = {};
  absl::string_view memory_swap_current = {};
  absl::string_view memory_swap_max = {};
  absl::string_view memory_stat = {};
  absl::string_view memory_events = {};
  absl::string_view memory_pressure = {};
  absl::string_view io_pressure = {};
  absl::string_view pids_current = {};
  absl::string_view pids_max = {};
};

// Fills the cpu, memory, pressure and pids fields. Working set: usage without
// inactive page cache, as the kubelet counts it; rss: anonymous memory.
void ParseContainerStats(const CgroupTexts& texts,
                         agent::v1::ContainerStats* stats);

}  // namespace podvisor

#endif  // PODVISOR_GUESTAGENT_AGENT_STATS_PARSER_H_
