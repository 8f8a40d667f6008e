#include "sandbox/size/cpuset.h"

#include "absl/strings/str_cat.h"
#include "base/status_macros.h"

namespace podvisor {
namespace {

absl::StatusOr<CpuList> CpusOf(const ContainerResources& container) {
  absl::StatusOr<CpuList> cpus = ParseCpuList(container.cpuset_cpus);
  if (!cpus.ok()) return Annotate(cpus.status(), "cpuset_cpus");
  return cpus;
}

}  // namespace

absl::Status CheckCpuset(CpusetMode mode, const ContainerResources& container,
                         const CpuList& host_cpus, int vcpus) {
  ASSIGN_OR_RETURN(const CpuList cpus, CpusOf(container));
  if (mode == CpusetMode::kGuest) {
    if (cpus.empty() || *cpus.rbegin() < vcpus) return absl::OkStatus();
    return absl::InvalidArgumentError(absl::StrCat(
        "cpuset_cpus: CPU ", *cpus.rbegin(), " is not one of the VM's ", vcpus,
        "; the highest is ", vcpus - 1));
  }
  for (const int cpu : cpus) {
    if (host_cpus.contains(cpu)) continue;
    return absl::InvalidArgumentError(
        absl::StrCat("cpuset_cpus: CPU ", cpu, " is not one of the host's, ",
                     FormatCpuList(host_cpus)));
  }
  return absl::OkStatus();
}

absl::StatusOr<CpuList> PinnedCpus(
    CpusetMode mode, absl::Span<const ContainerResources> containers) {
  CpuList all;
  if (mode == CpusetMode::kGuest) return all;
  for (const ContainerResources& container : containers) {
    ASSIGN_OR_RETURN(CpuList cpus, CpusOf(container));
    all.merge(cpus);
  }
  return all;
}

}  // namespace podvisor
