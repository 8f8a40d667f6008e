#include "e2e/pod_cgroup.h"

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "base/file.h"

namespace podvisor::e2e {

std::vector<std::string> CgroupTrees() {
  std::vector<std::string> trees;
  const std::string mounts = ReadFile("/proc/self/mountinfo").value();
  for (const absl::string_view line : absl::StrSplit(mounts, '\n')) {
    if (!absl::StrContains(line, " - cgroup")) continue;
    const std::vector<std::string> fields = absl::StrSplit(line, ' ');
    trees.push_back(fields[4]);
  }
  return trees;
}

std::string CgroupFile(const std::string& cgroup,
                       const std::vector<std::string>& names) {
  for (const std::string& tree : CgroupTrees()) {
    for (const std::string& name : names) {
      const auto text = ReadFile(absl::StrCat(tree, cgroup, "/", name));
      if (text.ok()) return text->substr(0, text->find('\n'));
    }
  }
  return "none";
}

int64_t OpenFilesLimit(int64_t pid) {
  const std::string limits =
      ReadFile(absl::StrCat("/proc/", pid, "/limits")).value_or("");
  for (const absl::string_view line : absl::StrSplit(limits, '\n')) {
    if (!absl::StartsWith(line, "Max open files")) continue;
    const std::vector<std::string> words =
        absl::StrSplit(line, ' ', absl::SkipEmpty());
    int64_t soft = -1;
    return absl::SimpleAtoi(words[3], &soft) ? soft : -1;
  }
  return -1;
}

}  // namespace podvisor::e2e
