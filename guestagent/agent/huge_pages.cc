#include "guestagent/agent/huge_pages.h"

#include <dirent.h>

#include <cstdint>
#include <memory>

#include "absl/algorithm/container.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/strip.h"
#include "base/clean_text.h"
#include "base/file.h"
#include "base/status_macros.h"

namespace podvisor {
namespace {

constexpr absl::string_view kFiles[] = {".max", ".rsvd.max"};

// As the kernel's mem_fmt() names hugetlb's cgroup files.
std::string SizeName(int64_t kilobytes) {
  if (kilobytes >= 1 << 20) return absl::StrCat(kilobytes >> 20, "GB");
  if (kilobytes >= 1 << 10) return absl::StrCat(kilobytes >> 10, "MB");
  return absl::StrCat(kilobytes, "KB");
}

// "2MB" of "hugetlb.2MB.max"; empty for any other file.
absl::string_view SizeOf(absl::string_view file) {
  if (!absl::ConsumePrefix(&file, "hugetlb.")) return "";
  for (const absl::string_view suffix : {kFiles[1], kFiles[0]}) {
    if (absl::ConsumeSuffix(&file, suffix)) return file;
  }
  return "";
}

}  // namespace

std::vector<std::string> HugePageSizes(const std::string& directory) {
  std::vector<std::string> sizes;
  std::unique_ptr<DIR, int (*)(DIR*)> entries(opendir(directory.c_str()),
                                              closedir);
  if (entries == nullptr) return sizes;
  while (const dirent* entry = readdir(entries.get())) {
    absl::string_view name = entry->d_name;
    int64_t kilobytes = 0;
    if (!absl::ConsumePrefix(&name, "hugepages-") ||
        !absl::ConsumeSuffix(&name, "kB") ||
        !absl::SimpleAtoi(name, &kilobytes)) {
      continue;
    }
    const std::string pool =
        absl::StrCat(directory, "/", entry->d_name, "/nr_overcommit_hugepages");
    uint64_t pages = 0;
    if (absl::SimpleAtoi(ReadFile(pool).value_or(""), &pages) && pages > 0) {
      sizes.push_back(SizeName(kilobytes));
    }
  }
  return sizes;
}

absl::Status CheckHugePages(const std::vector<std::string>& sizes,
                            agent::v1::LinuxResources* resources) {
  std::vector<std::string> dropped;
  for (const auto& [file, value] : resources->unified()) {
    const absl::string_view size = SizeOf(file);
    if (size.empty() || absl::c_linear_search(sizes, size)) continue;
    if (value != "0") {
      return absl::InvalidArgumentError(absl::StrCat(
          "huge pages of ", CleanText(size, 16),
          ": the guest can make none of that size, only of ",
          sizes.empty() ? "none at all" : absl::StrJoin(sizes, ", ")));
    }
    dropped.push_back(file);
  }
  for (const std::string& file : dropped) {
    resources->mutable_unified()->erase(file);
  }
  return absl::OkStatus();
}

absl::Status LimitHugePages(const std::vector<std::string>& sizes,
                            agent::v1::LinuxResources* resources) {
  RETURN_IF_ERROR(CheckHugePages(sizes, resources));
  for (const std::string& size : sizes) {
    for (const absl::string_view suffix : kFiles) {
      resources->mutable_unified()->insert(
          {absl::StrCat("hugetlb.", size, suffix), "0"});
    }
  }
  return absl::OkStatus();
}

}  // namespace podvisor
