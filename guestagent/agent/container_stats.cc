#include "guestagent/agent/container_stats.h"

#include <limits.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "base/file.h"
#include "guestagent/agent/huge_pages.h"
#include "guestagent/agent/open_files.h"
#include "guestagent/agent/stats_parser.h"
#include "guestagent/plain_names.h"

namespace podvisor {
namespace {

// A look takes some 30 us under TCG. Who has more open is not counted.
constexpr uint64_t kMaxLooks = 4096;
constexpr size_t kMaxNetDevBytes = 64 << 10;

}  // namespace

StatsReader::StatsReader(Paths paths)
    : paths_(std::move(paths)),
      huge_page_sizes_(HugePageSizes(paths_.huge_pages)) {}

void StatsReader::Read(const CgroupDirectory& cgroup, pid_t first_process,
                       Deadline looks_end,
                       agent::v1::ContainerStats* stats) const {
  const std::string cpu_stat = cgroup.Read("cpu.stat");
  const std::string cpu_max = cgroup.Read("cpu.max");
  const std::string cpu_pressure = cgroup.Read("cpu.pressure");
  const std::string memory_current = cgroup.Read("memory.current");
  const std::string memory_max = cgroup.Read("memory.max");
  const std::string memory_low = cgroup.Read("memory.low");
  const std::string memory_peak = cgroup.Read("memory.peak");
  const std::string memory_swap_current = cgroup.Read("memory.swap.current");
  const std::string memory_swap_max = cgroup.Read("memory.swap.max");
  const std::string memory_stat = cgroup.Read("memory.stat");
  const std::string memory_events = cgroup.Read("memory.events");
  const std::string memory_pressure = cgroup.Read("memory.pressure");
  const std::string io_pressure = cgroup.Read("io.pressure");
  const std::string pids_current = cgroup.Read("pids.current");
  const std::string pids_max = cgroup.Read("pids.max");
  ParseContainerStats({.cpu_stat = cpu_stat,
                       .cpu_max = cpu_max,
                       .cpu_pressure = cpu_pressure,
                       .memory_current = memory_current,
                       .memory_max = memory_max,
                       .memory_low = memory_low,
                       .memory_peak = memory_peak,
                       .memory_swap_current = memory_swap_current,
                       .memory_swap_max = memory_swap_max,
                       .memory_stat = memory_stat,
                       .memory_events = memory_events,
                       .memory_pressure = memory_pressure,
                       .io_pressure = io_pressure,
                       .pids_current = pids_current,
                       .pids_max = pids_max},
                      stats);
  ReadProcesses(cgroup, first_process, looks_end, stats);
  ReadDevices(cgroup, stats);
}

void StatsReader::ReadPod(const CgroupDirectory& pod,
                          const std::string& scratch_dir, pid_t network_process,
                          agent::v1::GetStatsResponse* response) const {
  for (auto& one : Interfaces(network_process)) {
    *response->add_interfaces() = std::move(one);
  }
  if (auto scratch = FileSystemOf(scratch_dir)) {
    *response->mutable_scratch() = *std::move(scratch);
  }
  const std::string cpu = pod.Read("cpu.pressure");
  const std::string memory = pod.Read("memory.pressure");
  const std::string io = pod.Read("io.pressure");
  if (!cpu.empty()) *response->mutable_pod_cpu_pressure() = ParsePressure(cpu);
  if (!memory.empty()) {
    *response->mutable_pod_memory_pressure() = ParsePressure(memory);
  }
  if (!io.empty()) *response->mutable_pod_io_pressure() = ParsePressure(io);
}

void StatsReader::ReadProcesses(const CgroupDirectory& cgroup,
                                pid_t first_process, Deadline looks_end,
                                agent::v1::ContainerStats* stats) const {
  rlimit limit = {};
  if (first_process > 0 &&
      prlimit(first_process, RLIMIT_NOFILE, nullptr, &limit) == 0 &&
      limit.rlim_cur != RLIM_INFINITY) {
    stats->set_max_open_files(limit.rlim_cur);
  }
  // A cgroup tells its own processes only; the container may have made others.
  if (ParseKeyedNumber(cgroup.Read("cgroup.stat"), "nr_descendants") != 0) {
    return;
  }
  const std::vector<pid_t> processes =
      ParseProcesses(cgroup.Read("cgroup.procs"));
  // Too many to be read, or on their way out.
  if (processes.empty()) return;
  stats->set_processes(processes.size());
  const std::optional<OpenFiles> open =
      CountOpenFiles(paths_.proc, processes, kMaxLooks, looks_end);
  if (!open.has_value()) return;
  stats->set_file_descriptors(open->descriptors);
  stats->set_sockets(open->sockets);
}

void StatsReader::ReadDevices(const CgroupDirectory& cgroup,
                              agent::v1::ContainerStats* stats) const {
  for (auto& device : ParseIoStat(cgroup.Read("io.stat"))) {
    device.set_name(DeviceName(device.major_number(), device.minor_number()));
    // Unplugged meanwhile.
    if (device.name().empty()) continue;
    *stats->add_block_devices() = std::move(device);
  }
  for (const std::string& size : huge_page_sizes_) {
    const std::optional<uint64_t> bytes =
        ParseNumber(cgroup.Read(absl::StrCat("hugetlb.", size, ".current")));
    if (!bytes.has_value()) continue;
    auto* pages = stats->add_huge_pages();
    pages->set_size(size);
    pages->set_bytes(*bytes);
  }
}

std::vector<agent::v1::GetStatsResponse::Interface> StatsReader::Interfaces(
    pid_t network_process) const {
  const std::string process =
      network_process == 0 ? "" : absl::StrCat("/", network_process);
  return ParseNetDev(
      ReadFile(absl::StrCat(paths_.proc, process, "/net/dev"), kMaxNetDevBytes)
          .value_or(""));
}

std::optional<agent::v1::GetStatsResponse::FileSystem>
StatsReader::FileSystemOf(const std::string& directory) const {
  struct stat info = {};
  struct statvfs size = {};
  if (stat(directory.c_str(), &info) != 0 ||
      statvfs(directory.c_str(), &size) != 0) {
    return std::nullopt;
  }
  agent::v1::GetStatsResponse::FileSystem file_system;
  file_system.set_device(DeviceName(major(info.st_dev), minor(info.st_dev)));
  if (file_system.device().empty()) return std::nullopt;
  file_system.set_bytes(uint64_t{size.f_blocks} * size.f_frsize);
  file_system.set_inodes(size.f_files);
  file_system.set_free_inodes(size.f_ffree);
  return file_system;
}

std::string StatsReader::DeviceName(uint32_t major_number,
                                    uint32_t minor_number) const {
  char target[PATH_MAX];
  const ssize_t length = readlink(
      absl::StrCat(paths_.block_devices, "/", major_number, ":", minor_number)
          .c_str(),
      target, sizeof(target));
  if (length <= 0) return "";
  absl::string_view name(target, static_cast<size_t>(length));
  name.remove_prefix(name.rfind('/') + 1);  // npos + 1 is 0
  return IsPlainName(name) ? std::string(name) : "";
}

}  // namespace podvisor
