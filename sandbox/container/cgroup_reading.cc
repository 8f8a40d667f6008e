#include "sandbox/container/cgroup_reading.h"

#include <optional>
#include <set>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "base/cpu_list.h"
#include "guestagent/cpu_weight.h"
#include "sandbox/container/container_request.h"

namespace podvisor {
namespace {

constexpr char kMemoryMax[] = "memory.max";
constexpr char kSwapMax[] = "memory.swap.max";
constexpr int64_t kPageBytes = 4096;

// One of the two that the cgroup may have, also as the guest was asked for it.
struct Candidate {
  const ContainerResources& resources;
  agent::v1::LinuxResources guest;
};

// What the kernel makes of a size: whole pages.
bool IsSameSize(int64_t asked, int64_t has, int64_t page_bytes) {
  if (asked < 0 || has < 0) return asked == has;
  return asked / page_bytes == has / page_bytes;
}

// Of a file "hugetlb.2MB.max"; 1 for what has no unit that we know.
int64_t HugePageBytes(absl::string_view file) {
  constexpr std::pair<absl::string_view, int64_t> kSizes[] = {
      {"hugetlb.64KB.", int64_t{64} << 10},
      {"hugetlb.2MB.", int64_t{2} << 20},
      {"hugetlb.32MB.", int64_t{32} << 20},
      {"hugetlb.1GB.", int64_t{1} << 30}};
  for (const auto& [prefix, bytes] : kSizes) {
    if (absl::StartsWith(file, prefix)) return bytes;
  }
  return 1;
}

bool IsSameText(absl::string_view file, absl::string_view asked,
                absl::string_view has) {
  if (asked == has) return true;
  int64_t asked_bytes = 0;
  int64_t has_bytes = 0;
  if (!absl::SimpleAtoi(asked, &asked_bytes) ||
      !absl::SimpleAtoi(has, &has_bytes)) {
    return false;
  }
  return IsSameSize(
      asked_bytes, has_bytes,
      absl::StartsWith(file, "memory.") ? kPageBytes : HugePageBytes(file));
}

// What a cgroup has in a file that nobody wrote.
bool IsUntouched(absl::string_view file, absl::string_view has) {
  if (absl::StartsWith(file, "hugetlb.")) return has == "0";
  if (absl::EndsWith(file, ".max") || absl::EndsWith(file, ".high")) {
    return has == "max";
  }
  return has == "0";
}

// Writes what the guest has over what is not known, one quantity at a time.
class Reading {
 public:
  Reading(const ContainerResources& had, const ContainerResources& tried,
          const agent::v1::ReadCgroupResponse& cgroup, CpusetMode cpuset)
      : had_{had, ExplicitResourcesOf(had, cpuset)},
        tried_{tried, ExplicitResourcesOf(tried, cpuset)},
        cpuset_(cpuset),
        cgroup_(cgroup),
        has_(cgroup.resources()),
        known_(CommonResources(had, tried)) {}

  ContainerResources Result() && {
    ReadCpu();
    ReadShares();
    ReadMemory();
    if (cpuset_ == CpusetMode::kGuest) ReadCpus();
    ReadSwap();
    ReadHugePages();
    ReadFiles();
    return std::move(known_);
  }

 private:
  // The first that `is_it` is true of.
  template <typename IsIt>
  const ContainerResources* WhoseIs(const IsIt& is_it) const {
    for (const Candidate* one : {&had_, &tried_}) {
      if (is_it(*one)) return &one->resources;
    }
    return nullptr;
  }
  // nullopt: the guest did not tell.
  std::optional<std::string> File(const std::string& file) const {
    const auto found = has_.unified().find(file);
    if (found == has_.unified().end()) return std::nullopt;
    return found->second;
  }

  void ReadCpu() {
    if (has_.cpu_period_micros() == 0) return;
    const ContainerResources* whose = WhoseIs([&](const Candidate& one) {
      return one.guest.cpu_quota_micros() == has_.cpu_quota_micros() &&
             one.guest.cpu_period_micros() == has_.cpu_period_micros();
    });
    known_.cpu_quota =
        whose != nullptr ? whose->cpu_quota : has_.cpu_quota_micros();
    known_.cpu_period =
        whose != nullptr ? whose->cpu_period : has_.cpu_period_micros();
  }

  void ReadShares() {
    if (had_.resources.cpu_shares == tried_.resources.cpu_shares ||
        cgroup_.cpu_weight() == 0) {
      return;
    }
    const ContainerResources* whose = WhoseIs([&](const Candidate& one) {
      return one.resources.cpu_shares > 0 &&
             CpuWeightFromShares(one.resources.cpu_shares) ==
                 cgroup_.cpu_weight();
    });
    known_.cpu_shares = whose != nullptr
                            ? whose->cpu_shares
                            : CpuSharesFromWeight(cgroup_.cpu_weight());
  }

  void ReadCpus() {
    const absl::StatusOr<CpuList> has = ParseCpuList(has_.cpuset_cpus());
    if (!has.ok()) return;
    const ContainerResources* whose = WhoseIs([&](const Candidate& one) {
      const absl::StatusOr<CpuList> asked =
          ParseCpuList(one.resources.cpuset_cpus);
      return asked.ok() && *asked == *has;
    });
    known_.cpuset_cpus =
        whose != nullptr ? whose->cpuset_cpus : has_.cpuset_cpus();
  }

  void ReadMemory() {
    if (has_.memory_limit_bytes() == 0) return;
    const ContainerResources* whose = WhoseIs([&](const Candidate& one) {
      return IsSameSize(one.guest.memory_limit_bytes(),
                        has_.memory_limit_bytes(), kPageBytes);
    });
    known_.unified.erase(kMemoryMax);
    known_.memory_limit_bytes = has_.memory_limit_bytes();
    if (whose == nullptr) return;
    known_.memory_limit_bytes = whose->memory_limit_bytes;
    const auto file = whose->unified.find(kMemoryMax);
    if (file != whose->unified.end()) known_.unified.insert(*file);
  }

  void ReadSwap() {
    const std::optional<std::string> has = File(kSwapMax);
    if (!has.has_value()) return;
    const ContainerResources* whose = WhoseIs([&](const Candidate& one) {
      const auto asked = one.guest.unified().find(kSwapMax);
      return asked != one.guest.unified().end() &&
             IsSameText(kSwapMax, asked->second, *has);
    });
    if (whose != nullptr) {
      known_.memory_swap_limit_bytes = whose->memory_swap_limit_bytes;
    }
  }

  void ReadHugePages() {
    std::set<std::string> sizes;
    for (const Candidate* one : {&had_, &tried_}) {
      for (const auto& [size, limit] : one->resources.hugepage_limits) {
        sizes.insert(size);
      }
    }
    for (const std::string& size : sizes) {
      const std::string file = absl::StrCat("hugetlb.", size, ".max");
      const std::optional<std::string> has = File(file);
      int64_t bytes = 0;
      if (!has.has_value() || !absl::SimpleAtoi(*has, &bytes)) continue;
      const ContainerResources* whose = WhoseIs([&](const Candidate& one) {
        const auto asked = one.resources.hugepage_limits.find(size);
        return asked != one.resources.hugepage_limits.end() &&
               IsSameSize(asked->second, bytes, HugePageBytes(file));
      });
      if (whose != nullptr) {
        known_.hugepage_limits[size] = whose->hugepage_limits.at(size);
      } else if (!IsUntouched(file, *has)) {
        known_.hugepage_limits[size] = bytes;
      }
    }
  }

  void ReadFiles() {
    for (const auto& entry : has_.unified()) {
      const std::string& name = entry.first;
      const std::string& has = entry.second;
      const bool given = had_.resources.unified.contains(name) ||
                         tried_.resources.unified.contains(name);
      if (!given || name == kMemoryMax) continue;
      const ContainerResources* whose = WhoseIs([&](const Candidate& one) {
        const auto asked = one.resources.unified.find(name);
        return asked != one.resources.unified.end() &&
               IsSameText(name, asked->second, has);
      });
      if (whose != nullptr) {
        known_.unified[name] = whose->unified.at(name);
      } else if (!IsUntouched(name, has)) {
        known_.unified[name] = has;
      }
    }
  }

  const Candidate had_;
  const Candidate tried_;
  const CpusetMode cpuset_;
  const agent::v1::ReadCgroupResponse& cgroup_;
  const agent::v1::LinuxResources& has_;
  ContainerResources known_;
};

}  // namespace

std::vector<std::string> FilesToRead(const ContainerResources& had,
                                     const ContainerResources& tried,
                                     CpusetMode cpuset) {
  std::set<std::string> files;
  const auto add_others = [&](const ContainerResources& one,
                              const ContainerResources& other) {
    const agent::v1::LinuxResources asked = GuestResourcesOf(one, cpuset);
    const agent::v1::LinuxResources also = GuestResourcesOf(other, cpuset);
    for (const auto& [file, value] : asked.unified()) {
      const auto found = also.unified().find(file);
      if (found == also.unified().end() || found->second != value) {
        files.insert(file);
      }
    }
  };
  add_others(had, tried);
  add_others(tried, had);
  return {files.begin(), files.end()};
}

ContainerResources ResourcesAsRead(const ContainerResources& had,
                                   const ContainerResources& tried,
                                   const agent::v1::ReadCgroupResponse& cgroup,
                                   CpusetMode cpuset) {
  return Reading(had, tried, cgroup, cpuset).Result();
}

}  // namespace podvisor
