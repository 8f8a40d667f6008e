#include "cri/convert_resources.h"

#include <string>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "base/cpu_list.h"
#include "base/status_macros.h"
#include "cri/field_check.h"
#include "hotplug/pod_demand.h"

namespace podvisor {
namespace {

constexpr int64_t kMaxBytes = int64_t{1} << 62;
// The kernel's limits: max_cfs_quota_period and min_cfs_quota_period.
constexpr int64_t kMinCfsMicros = 1000;
constexpr int64_t kMaxCfsPeriodMicros = 1'000'000;
constexpr int64_t kMaxCpuShares = 262'144;
constexpr int kMaxUnified = 128;
constexpr int kMaxHugepageSizes = 16;

absl::Status Wrong(absl::string_view field, absl::string_view member,
                   absl::string_view what) {
  return absl::InvalidArgumentError(
      absl::StrCat(field, ".", member, ": ", what));
}

absl::Status CheckNumbers(const runtime::v1::LinuxContainerResources& from,
                          absl::string_view field) {
  const auto name = [field](absl::string_view member) {
    return absl::StrCat(field, ".", member);
  };
  if (from.cpu_period() != 0) {
    RETURN_IF_ERROR(CheckRange(name("cpu_period"), from.cpu_period(),
                               kMinCfsMicros, kMaxCfsPeriodMicros));
  }
  if (from.cpu_quota() != 0 && from.cpu_quota() != -1) {
    RETURN_IF_ERROR(CheckRange(name("cpu_quota"), from.cpu_quota(),
                               kMinCfsMicros, kMaxBytes));
  }
  RETURN_IF_ERROR(
      CheckRange(name("cpu_shares"), from.cpu_shares(), 0, kMaxCpuShares));
  RETURN_IF_ERROR(CheckRange(name("memory_limit_in_bytes"),
                             from.memory_limit_in_bytes(), 0, kMaxBytes));
  RETURN_IF_ERROR(CheckRange(name("memory_swap_limit_in_bytes"),
                             from.memory_swap_limit_in_bytes(), -1, kMaxBytes));
  if (from.memory_swap_limit_in_bytes() > 0 &&
      from.memory_swap_limit_in_bytes() < from.memory_limit_in_bytes()) {
    return Wrong(field, "memory_swap_limit_in_bytes",
                 absl::StrCat(from.memory_swap_limit_in_bytes(),
                              " is for memory and swap together, and below "
                              "memory_limit_in_bytes, ",
                              from.memory_limit_in_bytes()));
  }
  return CheckRange(name("oom_score_adj"), from.oom_score_adj(), -1000, 1000);
}

// The format of hugetlb's control files: "2MB", "1GB".
bool IsPageSize(absl::string_view text) {
  if (text.size() < 3 || text.size() > 16 || text.back() != 'B') return false;
  const char unit = text[text.size() - 2];
  if (unit != 'K' && unit != 'M' && unit != 'G') return false;
  return text.substr(0, text.size() - 2).find_first_not_of("0123456789") ==
         absl::string_view::npos;
}

absl::Status ConvertHugepages(const runtime::v1::LinuxContainerResources& from,
                              absl::string_view field, ContainerResources& to) {
  if (from.hugepage_limits_size() > kMaxHugepageSizes) {
    return Wrong(field, "hugepage_limits", "has too many page sizes");
  }
  for (const auto& limit : from.hugepage_limits()) {
    if (!IsPageSize(limit.page_size())) {
      return Wrong(field, "hugepage_limits",
                   "a page size is written as \"2MB\" or \"1GB\"");
    }
    if (limit.limit() > static_cast<uint64_t>(kMaxBytes)) {
      return Wrong(field, "hugepage_limits", "a limit is above 2^62");
    }
    if (!to.hugepage_limits.emplace(limit.page_size(), limit.limit()).second) {
      return Wrong(field, "hugepage_limits", "has one page size twice");
    }
  }
  return absl::OkStatus();
}

absl::Status ConvertUnified(const runtime::v1::LinuxContainerResources& from,
                            absl::string_view field, ContainerResources& to) {
  if (from.unified_size() > kMaxUnified) {
    return Wrong(field, "unified", "has too many entries");
  }
  for (const auto& [file, value] : from.unified()) {
    bool plain = !file.empty() && file.size() <= 128 && file.front() != '.' &&
                 absl::string_view(file).find('.') != absl::string_view::npos;
    for (const char c : file) {
      plain = plain && (absl::ascii_isalnum(static_cast<unsigned char>(c)) ||
                        c == '.' || c == '_' || c == '-');
    }
    if (!plain) {
      return Wrong(field, "unified",
                   "a key is the name of a cgroup v2 file such as "
                   "\"memory.high\"");
    }
    // What they mean depends on the node, and is checked, in fields of their
    // own.
    if (absl::StartsWith(file, "cpuset.")) {
      return Wrong(field, "unified",
                   "CPUs are given with cpuset_cpus, not with cpuset files");
    }
    RETURN_IF_ERROR(
        CheckLine(absl::StrCat(field, ".unified[", file, "]"), value, 4096));
    to.unified[file] = value;
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<ContainerResources> ConvertResources(
    const runtime::v1::LinuxContainerResources& resources,
    absl::string_view field) {
  RETURN_IF_ERROR(CheckNumbers(resources, field));
  // Not kept as numbers: it is returned to the client as it came.
  RETURN_IF_ERROR(Annotate(ParseCpuList(resources.cpuset_cpus()).status(),
                           absl::StrCat(field, ".cpuset_cpus")));
  if (!resources.cpuset_mems().empty() && resources.cpuset_mems() != "0") {
    return Wrong(
        field, "cpuset_mems",
        "the guest has one NUMA node; only \"\" and \"0\" are possible");
  }
  ContainerResources converted;
  converted.cpu_period = resources.cpu_period();
  converted.cpu_quota = resources.cpu_quota();
  converted.cpu_shares = resources.cpu_shares();
  converted.memory_limit_bytes = resources.memory_limit_in_bytes();
  converted.memory_swap_limit_bytes = resources.memory_swap_limit_in_bytes();
  converted.oom_score_adj = resources.oom_score_adj();
  converted.cpuset_cpus = resources.cpuset_cpus();
  converted.cpuset_mems = resources.cpuset_mems();
  RETURN_IF_ERROR(ConvertHugepages(resources, field, converted));
  RETURN_IF_ERROR(ConvertUnified(resources, field, converted));
  // What makes up the VM's size is in a text, too.
  RETURN_IF_ERROR(Annotate(DemandOf(converted).status(), field));
  return converted;
}

runtime::v1::LinuxContainerResources ToLinuxResources(
    const ContainerResources& resources) {
  runtime::v1::LinuxContainerResources linux;
  linux.set_cpu_period(resources.cpu_period);
  linux.set_cpu_quota(resources.cpu_quota);
  linux.set_cpu_shares(resources.cpu_shares);
  linux.set_memory_limit_in_bytes(resources.memory_limit_bytes);
  linux.set_memory_swap_limit_in_bytes(resources.memory_swap_limit_bytes);
  linux.set_oom_score_adj(resources.oom_score_adj);
  linux.set_cpuset_cpus(resources.cpuset_cpus);
  linux.set_cpuset_mems(resources.cpuset_mems);
  for (const auto& [page_size, limit] : resources.hugepage_limits) {
    auto* hugepages = linux.add_hugepage_limits();
    hugepages->set_page_size(page_size);
    hugepages->set_limit(static_cast<uint64_t>(limit));
  }
  for (const auto& [file, value] : resources.unified) {
    (*linux.mutable_unified())[file] = value;
  }
  return linux;
}

}  // namespace podvisor
