#include "guestagent/client/reply_check.h"

#include <algorithm>
#include <initializer_list>
#include <limits>
#include <set>
#include <string>

#include "absl/strings/str_cat.h"
#include "base/clean_text.h"
#include "base/cpu_list.h"
#include "base/ids.h"
#include "base/status_macros.h"
#include "guestagent/plain_names.h"

namespace podvisor {
namespace {

using agent::v1::ContainerExit;
using agent::v1::ContainerState;
using agent::v1::ContainerStats;
using agent::v1::GetStatsResponse;
using agent::v1::OutputChunk;
using agent::v1::Pressure;

constexpr uint32_t kProtocolVersion = 1;
constexpr size_t kMaxTextBytes = 256;
constexpr uint32_t kMaxCpus = 8192;                    // x86-64's NR_CPUS
constexpr int64_t kMaxMemoryBytes = int64_t{1} << 46;  // 46 address bits
constexpr int64_t kMaxDiskBytes = int64_t{1} << 60;    // ext4's limit
constexpr uint64_t kMaxPids = 1 << 22;                 // kernel's PID_MAX_LIMIT
constexpr uint64_t kMaxInt64 = std::numeric_limits<int64_t>::max();
constexpr int64_t kMaxId = (int64_t{1} << 32) - 2;  // -1 is "no user"
constexpr int kMaxGroups = 65536;                   // NGROUPS_MAX
// A pod of a thousand containers is not real; the CRI's users make tens.
constexpr int kMaxContainers = 1024;
constexpr int kMaxHugePageSizes = 8;
constexpr uint32_t kHundredPercent = 10'000;
constexpr int64_t kMaxCpuPeriodMicros = 1'000'000;  // the kernel's
constexpr int64_t kMaxCpuWeight = 10'000;
constexpr size_t kMaxLineBytes = 4096;
constexpr size_t kMaxChunkBytes = 64 << 10;

absl::Status BadReply(absl::string_view what) {
  return absl::DataLossError(absl::StrCat("agent's reply: ", what));
}

bool IsMemory(int64_t bytes) { return bytes >= 0 && bytes <= kMaxMemoryBytes; }

bool IsMemory(uint64_t bytes) {
  return bytes <= static_cast<uint64_t>(kMaxMemoryBytes);
}

bool IsPowerOfTwo(int64_t value) {
  return value > 0 && (value & (value - 1)) == 0;
}

int64_t ClampTime(int64_t unix_nanos, absl::Time now) {
  return std::clamp<int64_t>(unix_nanos, 0,
                             std::max<int64_t>(0, absl::ToUnixNanos(now)));
}

void ClampPressure(Pressure* pressure) {
  const auto percent = [](uint32_t value) {
    return std::min(value, kHundredPercent);
  };
  pressure->set_some_total_micros(
      std::min(pressure->some_total_micros(), kMaxInt64));
  pressure->set_full_total_micros(
      std::min(pressure->full_total_micros(), kMaxInt64));
  pressure->set_some_avg10(percent(pressure->some_avg10()));
  pressure->set_some_avg60(percent(pressure->some_avg60()));
  pressure->set_some_avg300(percent(pressure->some_avg300()));
  pressure->set_full_avg10(percent(pressure->full_avg10()));
  pressure->set_full_avg60(percent(pressure->full_avg60()));
  pressure->set_full_avg300(percent(pressure->full_avg300()));
}

// A figure that the guest may leave out, and the most that it can be.
struct OptionalFigure {
  uint64_t (ContainerStats::*value)() const;
  uint64_t most;
};
constexpr OptionalFigure kOptionalFigures[] = {
    {&ContainerStats::cpu_user_nanos, kMaxInt64},
    {&ContainerStats::cpu_system_nanos, kMaxInt64},
    {&ContainerStats::cpu_periods, kMaxInt64},
    {&ContainerStats::cpu_throttled_periods, kMaxInt64},
    {&ContainerStats::cpu_throttled_nanos, kMaxInt64},
    {&ContainerStats::cpu_period_micros, kMaxInt64},
    {&ContainerStats::cpu_quota_micros, kMaxInt64},
    {&ContainerStats::memory_cache_bytes, uint64_t{kMaxMemoryBytes}},
    {&ContainerStats::memory_mapped_file_bytes, uint64_t{kMaxMemoryBytes}},
    {&ContainerStats::memory_kernel_bytes, uint64_t{kMaxMemoryBytes}},
    {&ContainerStats::memory_peak_bytes, uint64_t{kMaxMemoryBytes}},
    {&ContainerStats::memory_swap_bytes, kMaxInt64},
    {&ContainerStats::memory_limit_hits, kMaxInt64},
    {&ContainerStats::oom_kills, kMaxInt64},
    {&ContainerStats::threads_max, kMaxInt64},
    {&ContainerStats::processes, kMaxPids},
    {&ContainerStats::file_descriptors, kMaxInt64},
    {&ContainerStats::sockets, kMaxInt64},
    {&ContainerStats::max_open_files, kMaxInt64},
};

bool AreCounters(std::initializer_list<uint64_t> values) {
  return std::all_of(values.begin(), values.end(),
                     [](uint64_t value) { return value <= kMaxInt64; });
}

absl::Status CheckDevices(const ContainerStats& stats) {
  if (stats.block_devices_size() > kMaxBlockDevices ||
      stats.huge_pages_size() > kMaxHugePageSizes) {
    return BadReply("too many devices of a container");
  }
  // Twice the same label would spoil all that a client shows.
  std::set<absl::string_view> names;
  for (const ContainerStats::BlockDevice& device : stats.block_devices()) {
    if (!IsPlainName(device.name()) || !names.insert(device.name()).second ||
        !AreCounters({device.read_bytes(), device.written_bytes(),
                      device.reads(), device.writes()})) {
      return BadReply("impossible block device");
    }
  }
  std::set<absl::string_view> sizes;
  for (const ContainerStats::HugePages& pages : stats.huge_pages()) {
    if (!IsPlainName(pages.size()) || !sizes.insert(pages.size()).second ||
        !IsMemory(pages.bytes())) {
      return BadReply("impossible huge pages");
    }
  }
  return absl::OkStatus();
}

absl::Status CheckOptionalFigures(ContainerStats* stats) {
  for (const OptionalFigure& figure : kOptionalFigures) {
    if ((stats->*figure.value)() > figure.most) {
      return BadReply("impossible figures of a container");
    }
  }
  // As with memory_limit_bytes: a user may have asked for any.
  if (stats->has_memory_swap_limit_bytes()) {
    stats->set_memory_swap_limit_bytes(
        std::min(stats->memory_swap_limit_bytes(), kMaxInt64));
  }
  if (stats->has_memory_low_bytes()) {
    stats->set_memory_low_bytes(std::min(stats->memory_low_bytes(), kMaxInt64));
  }
  if (stats->has_cpu_pressure()) ClampPressure(stats->mutable_cpu_pressure());
  if (stats->has_memory_pressure()) {
    ClampPressure(stats->mutable_memory_pressure());
  }
  if (stats->has_io_pressure()) ClampPressure(stats->mutable_io_pressure());
  return CheckDevices(*stats);
}

// Of what the pod's containers share.
absl::Status CheckPodStats(const GetStatsResponse& reply) {
  if (reply.interfaces_size() > kMaxInterfaces) {
    return BadReply("too many interfaces");
  }
  std::set<absl::string_view> names;
  for (const GetStatsResponse::Interface& one : reply.interfaces()) {
    if (!IsPlainName(one.name()) || !names.insert(one.name()).second ||
        !AreCounters({one.receive_bytes(), one.receive_packets(),
                      one.receive_errors(), one.receive_dropped(),
                      one.transmit_bytes(), one.transmit_packets(),
                      one.transmit_errors(), one.transmit_dropped()})) {
      return BadReply("impossible interface");
    }
  }
  const GetStatsResponse::FileSystem& scratch = reply.scratch();
  if (reply.has_scratch() &&
      (!IsPlainName(scratch.device()) ||
       scratch.bytes() > static_cast<uint64_t>(kMaxDiskBytes) ||
       scratch.inodes() > static_cast<uint64_t>(kMaxDiskBytes) ||
       scratch.free_inodes() > scratch.inodes())) {
    return BadReply("impossible scratch disk");
  }
  return absl::OkStatus();
}

absl::Status CheckContainerStats(absl::Time now, ContainerStats* stats) {
  if (!IsHexId(stats->container_id())) return BadReply("not a container id");
  if (!IsMemory(stats->memory_usage_bytes()) ||
      !IsMemory(stats->memory_working_set_bytes()) ||
      !IsMemory(stats->memory_rss_bytes())) {
    return BadReply("impossible memory of a container");
  }
  if (stats->cpu_usage_nanos() > kMaxInt64 || stats->pids() > kMaxPids ||
      stats->memory_page_faults() > kMaxInt64 ||
      stats->memory_major_page_faults() > kMaxInt64 ||
      stats->writable_layer_bytes() > static_cast<uint64_t>(kMaxDiskBytes) ||
      stats->writable_layer_inodes() > static_cast<uint64_t>(kMaxDiskBytes)) {
    return BadReply("impossible figures of a container");
  }
  // A user may have asked for any limit, so an absurd one is no lie.
  stats->set_memory_limit_bytes(
      std::min(stats->memory_limit_bytes(), kMaxInt64));
  stats->set_timestamp_unix_nanos(
      ClampTime(stats->timestamp_unix_nanos(), now));
  return CheckOptionalFigures(stats);
}

}  // namespace

absl::Status CheckHello(agent::v1::HelloResponse* reply) {
  if (reply->protocol_version() != kProtocolVersion) {
    return absl::FailedPreconditionError(
        absl::StrCat("the agent speaks protocol ", reply->protocol_version(),
                     ", not ", kProtocolVersion));
  }
  for (std::string* text :
       {reply->mutable_agent_version(), reply->mutable_kernel_release(),
        reply->mutable_runtime_version()}) {
    *text = CleanText(*text, kMaxTextBytes);
  }
  reply->set_uptime_nanos(std::max<int64_t>(0, reply->uptime_nanos()));
  return absl::OkStatus();
}

absl::StatusOr<GuestSize> CheckGuestResources(
    const agent::v1::GuestResources& reply) {
  if (reply.cpus_present() < 1 || reply.cpus_present() > kMaxCpus ||
      reply.cpus_online() < 1 || reply.cpus_online() > reply.cpus_present()) {
    return BadReply("impossible number of CPUs");
  }
  if (reply.memory_total_bytes() <= 0 ||
      !IsMemory(reply.memory_total_bytes()) ||
      reply.memory_total_at_boot_bytes() <= 0 ||
      !IsMemory(reply.memory_total_at_boot_bytes()) ||
      !IsMemory(reply.memory_available_bytes()) ||
      !IsMemory(reply.memory_free_bytes())) {
    return BadReply("impossible memory of the guest");
  }
  // 0: the kernel has no memory hot plug.
  if (reply.memory_block_bytes() != 0 &&
      (!IsMemory(reply.memory_block_bytes()) ||
       !IsPowerOfTwo(reply.memory_block_bytes()))) {
    return BadReply("impossible size of memory blocks");
  }
  GuestSize size;
  size.cpus_online = static_cast<int>(reply.cpus_online());
  size.cpus_present = static_cast<int>(reply.cpus_present());
  size.memory_total_bytes = reply.memory_total_bytes();
  size.memory_total_at_boot_bytes = reply.memory_total_at_boot_bytes();
  // They are read one after the other while memory comes and goes.
  size.memory_available_bytes =
      std::min(reply.memory_available_bytes(), reply.memory_total_bytes());
  size.memory_free_bytes =
      std::min(reply.memory_free_bytes(), reply.memory_total_bytes());
  size.memory_block_bytes = reply.memory_block_bytes();
  return size;
}

absl::Status CheckCreated(const agent::v1::CreateContainerResponse& reply) {
  const auto is_id = [](int64_t id) { return id >= 0 && id <= kMaxId; };
  if (!is_id(reply.uid()) || !is_id(reply.gid())) {
    return BadReply("impossible user");
  }
  if (reply.supplemental_groups_size() > kMaxGroups ||
      !std::all_of(reply.supplemental_groups().begin(),
                   reply.supplemental_groups().end(), is_id)) {
    return BadReply("impossible groups");
  }
  return absl::OkStatus();
}

absl::Status CheckExit(absl::Time now, ContainerExit* exit) {
  if (!IsHexId(exit->container_id())) return BadReply("not a container id");
  if (exit->exit_code() < 0 || exit->exit_code() > 255) {
    return BadReply("impossible exit code");
  }
  exit->set_finished_at_unix_nanos(
      ClampTime(exit->finished_at_unix_nanos(), now));
  return absl::OkStatus();
}

absl::StatusOr<std::vector<ContainerState>> CheckContainers(
    absl::Time now, const agent::v1::ListContainersResponse& reply) {
  if (reply.containers_size() > kMaxContainers) {
    return BadReply("too many containers");
  }
  std::vector<ContainerState> states;
  std::set<absl::string_view> ids;
  for (const ContainerState& container : reply.containers()) {
    if (!IsHexId(container.container_id()) ||
        !ids.insert(container.container_id()).second) {
      return BadReply("bad or double container id");
    }
    ContainerState state = container;
    switch (state.state()) {
      case ContainerState::CREATED:
      case ContainerState::RUNNING:
        state.clear_exit();
        break;
      case ContainerState::EXITED:
        if (state.exit().container_id() != state.container_id()) {
          return BadReply("exit of another container");
        }
        RETURN_IF_ERROR(CheckExit(now, state.mutable_exit()));
        break;
      default:
        return BadReply("unknown container state");
    }
    states.push_back(std::move(state));
  }
  return states;
}

absl::Status CheckCgroup(const std::vector<std::string>& files,
                         const agent::v1::ReadCgroupResponse& reply) {
  const agent::v1::LinuxResources& has = reply.resources();
  if (has.cpu_quota_micros() < -1 || has.cpu_period_micros() < 0 ||
      has.cpu_period_micros() > kMaxCpuPeriodMicros || reply.cpu_weight() < 0 ||
      reply.cpu_weight() > kMaxCpuWeight || has.memory_limit_bytes() < -1) {
    return BadReply("impossible figures of a cgroup");
  }
  if (has.cpuset_cpus().size() > kMaxLineBytes ||
      !ParseCpuList(has.cpuset_cpus()).ok()) {
    return BadReply("impossible CPUs of a cgroup");
  }
  for (const auto& [file, value] : has.unified()) {
    if (std::find(files.begin(), files.end(), file) == files.end() ||
        value.size() > kMaxLineBytes ||
        CleanText(value, kMaxLineBytes) != value) {
      return BadReply("a file that was not asked for, or no line of text");
    }
  }
  return absl::OkStatus();
}

absl::Status CheckStats(absl::Time now, agent::v1::GetStatsResponse* reply) {
  ASSIGN_OR_RETURN(const GuestSize size,
                   CheckGuestResources(reply->resources()));
  reply->mutable_resources()->set_memory_available_bytes(
      size.memory_available_bytes);
  if (reply->cpu_usage_nanos() > kMaxInt64) return BadReply("impossible usage");
  RETURN_IF_ERROR(CheckPodStats(*reply));
  ClampPressure(reply->mutable_cpu_pressure());
  ClampPressure(reply->mutable_memory_pressure());
  ClampPressure(reply->mutable_io_pressure());
  if (reply->has_pod_cpu_pressure())
    ClampPressure(reply->mutable_pod_cpu_pressure());
  if (reply->has_pod_memory_pressure())
    ClampPressure(reply->mutable_pod_memory_pressure());
  if (reply->has_pod_io_pressure())
    ClampPressure(reply->mutable_pod_io_pressure());
  if (reply->containers_size() > kMaxContainers) {
    return BadReply("too many containers");
  }
  std::set<absl::string_view> ids;
  for (ContainerStats& stats : *reply->mutable_containers()) {
    RETURN_IF_ERROR(CheckContainerStats(now, &stats));
    if (!ids.insert(stats.container_id()).second) {
      return BadReply("double container id");
    }
  }
  return absl::OkStatus();
}

absl::Status OutputChecker::Check(const OutputChunk& chunk) {
  if (chunk.stream() != OutputChunk::STDOUT &&
      chunk.stream() != OutputChunk::STDERR) {
    return BadReply("unknown output stream");
  }
  const bool is_stderr = chunk.stream() == OutputChunk::STDERR;
  uint64_t& received =
      is_stderr ? received_.stderr_bytes : received_.stdout_bytes;
  bool& ended = is_stderr ? stderr_ended_ : stdout_ended_;
  if (ended) return BadReply("output after the end");
  if (chunk.offset() != received) {
    return BadReply(absl::StrCat("output at offset ", chunk.offset(),
                                 " instead of ", received));
  }
  if (chunk.data().size() > kMaxChunkBytes) return BadReply("chunk too large");
  if (chunk.data().empty() && !chunk.eof()) return BadReply("empty chunk");
  if (chunk.data().size() > kMaxInt64 - std::min(received, kMaxInt64)) {
    return BadReply("impossible offset");
  }
  received += chunk.data().size();
  ended = chunk.eof();
  return absl::OkStatus();
}

}  // namespace podvisor
