#ifndef PODVISOR_BASE_CPU_LIST_H_
#define PODVISOR_BASE_CPU_LIST_H_

#include <set>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace podvisor {

// CPUs by their numbers, and the text form that the kernel, the kubelet and
// cgroups share; "List format" of cpuset(7).
using CpuList = std::set<int>;

// The highest number that is understood: CONFIG_NR_CPUS of the largest kernels
// is 8192.
inline constexpr int kHighestCpu = 8191;

// "0-3,7" as numbers; empty for an empty text. Order and repetition mean
// nothing, as in the kernel. Pure.
//
// InvalidArgument, quoting at most 64 cleaned bytes, for anything else: a sign,
// a space, an empty item, a range that runs backwards, a number above
// kHighestCpu, a text longer than any list of different CPUs.
absl::StatusOr<CpuList> ParseCpuList(absl::string_view text);

// The shortest text for the same CPUs, in ascending order.
std::string FormatCpuList(const CpuList& cpus);

// A file of the kernel, such as /sys/devices/system/cpu/online: a list and the
// end of its line. DataLoss for any other content.
absl::StatusOr<CpuList> ReadCpuList(const std::string& path);

}  // namespace podvisor

#endif  // PODVISOR_BASE_CPU_LIST_H_
