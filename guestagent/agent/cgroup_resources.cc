#include "guestagent/agent/cgroup_resources.h"

#include <algorithm>
#include <iterator>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "base/clean_text.h"
#include "base/cpu_list.h"
#include "base/status_macros.h"
#include "guestagent/cpu_weight.h"

namespace podvisor {
namespace {

// The limits of the kernel's CFS bandwidth control.
constexpr int64_t kMinPeriodMicros = 1000;
constexpr int64_t kMaxPeriodMicros = 1'000'000;
constexpr int64_t kMinQuotaMicros = 1000;
constexpr size_t kMaxUnifiedKeys = 64;
constexpr size_t kMaxUnifiedValueBytes = 4096;

constexpr absl::string_view kControllers[] = {
    "cpu", "cpuset", "memory", "io", "pids", "hugetlb", "misc", "rdma"};

bool IsUnifiedKey(absl::string_view key) {
  const size_t dot = key.find('.');
  if (dot == absl::string_view::npos || dot + 1 == key.size() ||
      key.size() > 128) {
    return false;
  }
  if (std::find(std::begin(kControllers), std::end(kControllers),
                key.substr(0, dot)) == std::end(kControllers)) {
    return false;
  }
  return std::all_of(key.begin(), key.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
           (c >= '0' && c <= '9') || c == '.' || c == '_';
  });
}

absl::Status CheckFile(absl::string_view file) {
  if (IsUnifiedKey(file)) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat(
      "not a cgroup file of a container: \"", CleanText(file, 128), "\""));
}

absl::Status CheckUnified(absl::string_view key, absl::string_view value) {
  RETURN_IF_ERROR(CheckFile(key));
  if (value.size() > kMaxUnifiedValueBytes ||
      value.find('\0') != absl::string_view::npos) {
    return absl::InvalidArgumentError(
        absl::StrCat("impossible value for ", key));
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status CheckResources(const agent::v1::LinuxResources& resources) {
  const int64_t quota = resources.cpu_quota_micros();
  if (quota < -1 || (quota > 0 && quota < kMinQuotaMicros)) {
    return absl::InvalidArgumentError(
        absl::StrCat("impossible CPU quota of ", quota, " us"));
  }
  const int64_t period = resources.cpu_period_micros();
  if (period != 0 && (period < kMinPeriodMicros || period > kMaxPeriodMicros)) {
    return absl::InvalidArgumentError(
        absl::StrCat("impossible CPU period of ", period, " us"));
  }
  if (resources.cpu_shares() < 0) {
    return absl::InvalidArgumentError("negative CPU shares");
  }
  if (resources.memory_limit_bytes() < -1) {
    return absl::InvalidArgumentError("negative memory limit");
  }
  if (resources.pids_limit() < -1) {
    return absl::InvalidArgumentError("negative process limit");
  }
  RETURN_IF_ERROR(ParseCpuList(resources.cpuset_cpus()).status());
  if (static_cast<size_t>(resources.unified_size()) > kMaxUnifiedKeys) {
    return absl::InvalidArgumentError("too many cgroup files");
  }
  for (const auto& [key, value] : resources.unified()) {
    RETURN_IF_ERROR(CheckUnified(key, value));
  }
  return absl::OkStatus();
}

absl::Status CheckCgroupFiles(
    const google::protobuf::RepeatedPtrField<std::string>& files) {
  if (static_cast<size_t>(files.size()) > kMaxUnifiedKeys) {
    return absl::InvalidArgumentError("too many cgroup files");
  }
  for (const std::string& file : files) RETURN_IF_ERROR(CheckFile(file));
  return absl::OkStatus();
}

void ParseCpuMax(absl::string_view text, agent::v1::LinuxResources* resources) {
  const std::vector<absl::string_view> words =
      absl::StrSplit(absl::StripAsciiWhitespace(text), ' ');
  int64_t quota = -1;
  int64_t period = 0;
  if (words.size() != 2 ||
      (words[0] != "max" && !absl::SimpleAtoi(words[0], &quota)) ||
      !absl::SimpleAtoi(words[1], &period)) {
    return;
  }
  resources->set_cpu_quota_micros(quota);
  resources->set_cpu_period_micros(period);
}

absl::StatusOr<std::vector<CgroupWrite>> PlanCgroupUpdate(
    const agent::v1::LinuxResources& resources,
    absl::string_view current_cpu_max) {
  RETURN_IF_ERROR(CheckResources(resources));
  std::vector<CgroupWrite> writes;
  if (resources.cpu_shares() > 0) {
    writes.push_back({"cpu.weight", absl::StrCat(CpuWeightFromShares(
                                        resources.cpu_shares()))});
  }
  const int64_t quota = resources.cpu_quota_micros();
  const int64_t period = resources.cpu_period_micros();
  if (quota != 0 || period != 0) {
    std::string value =
        quota == 0 ? std::string(*absl::StrSplit(current_cpu_max, ' ').begin())
        : quota == -1 ? "max"
                      : absl::StrCat(quota);
    if (value.empty()) value = "max";
    // Without a second number the kernel keeps the period.
    if (period != 0) absl::StrAppend(&value, " ", period);
    writes.push_back({"cpu.max", value});
  }
  if (!resources.cpuset_cpus().empty()) {
    writes.push_back({"cpuset.cpus", resources.cpuset_cpus()});
  }
  if (resources.pids_limit() != 0) {
    writes.push_back({"pids.max", resources.pids_limit() < 0
                                      ? "max"
                                      : absl::StrCat(resources.pids_limit())});
  }
  std::vector<CgroupWrite> unified;
  for (const auto& [key, value] : resources.unified()) {
    unified.push_back({key, value});
  }
  std::sort(unified.begin(), unified.end(),
            [](const CgroupWrite& a, const CgroupWrite& b) {
              return a.file < b.file;
            });
  writes.insert(writes.end(), unified.begin(), unified.end());
  return writes;
}

}  // namespace podvisor
