#include "guestagent/agent/memory_view.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>

#include <algorithm>
#include <limits>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "base/errno_status.h"
#include "base/file.h"
#include "base/status_macros.h"
#include "base/unique_fd.h"
#include "guestagent/agent/poll_until.h"

namespace podvisor {
namespace {

// A page of descriptors describes so many: 64 bytes each (struct page).
constexpr int64_t kDescribedPages = 4096 / 64;

std::optional<int64_t> MeminfoBytes(absl::string_view line,
                                    absl::string_view name) {
  int64_t kibibytes = 0;
  if (!absl::ConsumePrefix(&line, name) || !absl::ConsumePrefix(&line, ":") ||
      !absl::ConsumeSuffix(&line, " kB") ||
      !absl::SimpleAtoi(absl::StripAsciiWhitespace(line), &kibibytes) ||
      kibibytes < 0 || kibibytes > std::numeric_limits<int64_t>::max() / 1024) {
    return std::nullopt;
  }
  return kibibytes * 1024;
}

absl::StatusOr<MemorySize> ReadMeminfo(const std::string& proc) {
  ASSIGN_OR_RETURN(const std::string text,
                   ReadFile(absl::StrCat(proc, "/meminfo"), 64 << 10));
  return ParseMeminfo(text);
}

// A parameter of the kernel.
bool IsSet(const std::string& path) {
  const absl::StatusOr<std::string> text = ReadFile(path, 64);
  return text.ok() && absl::StripAsciiWhitespace(*text) != "N";
}

bool HasVirtioMem(const std::string& sys) {
  const std::unique_ptr<DIR, int (*)(DIR*)> devices(
      opendir(absl::StrCat(sys, "/bus/virtio/drivers/virtio_mem").c_str()),
      closedir);
  while (const dirent* entry =
             devices == nullptr ? nullptr : readdir(devices.get())) {
    if (absl::StartsWith(entry->d_name, "virtio")) return true;
  }
  return false;
}

absl::StatusOr<std::vector<std::string>> MemoryBlocks(const std::string& path) {
  const std::unique_ptr<DIR, int (*)(DIR*)> directory(opendir(path.c_str()),
                                                      closedir);
  if (directory == nullptr) return ErrnoStatus(errno, path);
  std::vector<std::string> blocks;
  while (const dirent* entry = readdir(directory.get())) {
    absl::string_view name = entry->d_name;
    int number;
    if (absl::ConsumePrefix(&name, "memory") &&
        absl::SimpleAtoi(name, &number)) {
      blocks.push_back(absl::StrCat(path, "/", entry->d_name));
    }
  }
  return blocks;
}

}  // namespace

absl::StatusOr<MemorySize> ParseMeminfo(absl::string_view text) {
  std::optional<int64_t> total;
  std::optional<int64_t> available;
  std::optional<int64_t> free;
  for (absl::string_view line : absl::StrSplit(text, '\n')) {
    if (!total.has_value()) total = MeminfoBytes(line, "MemTotal");
    if (!available.has_value()) available = MeminfoBytes(line, "MemAvailable");
    if (!free.has_value()) free = MeminfoBytes(line, "MemFree");
    if (total.has_value() && available.has_value() && free.has_value()) {
      return MemorySize{.total_bytes = *total,
                        .available_bytes = *available,
                        .free_bytes = *free};
    }
  }
  return absl::DataLossError(
      "meminfo without MemTotal, MemAvailable or MemFree");
}

MemoryView::MemoryView(std::string proc, std::string sys)
    : proc_(std::move(proc)),
      sys_(std::move(sys)),
      self_described_(
          IsSet(sys_ + "/module/memory_hotplug/parameters/memmap_on_memory")),
      online_at_start_(self_described_ ? OnlineBytes() : 0),
      total_at_start_(ReadMeminfo(proc_).value_or(MemorySize()).total_bytes) {}

absl::StatusOr<MemorySize> MemoryView::Observe() const {
  ASSIGN_OR_RETURN(MemorySize size, ReadMeminfo(proc_));
  size.total_bytes += DescriptorBytes(size.total_bytes);
  return size;
}

// Which blocks hold their own descriptors the kernel does not say (Linux 6.1:
// only those that are plugged one at a time, and none of virtio-mem, which
// plugs parts of blocks). It is what is online of them and is not for others.
int64_t MemoryView::DescriptorBytes(int64_t mem_total_bytes) const {
  if (!self_described_ || HasVirtioMem(sys_)) return 0;
  const int64_t plugged = OnlineBytes() - online_at_start_;
  const int64_t usable = mem_total_bytes - total_at_start_;
  return std::clamp<int64_t>(plugged - usable, 0,
                             std::max<int64_t>(0, plugged / kDescribedPages));
}

int64_t MemoryView::OnlineBytes() const {
  const absl::StatusOr<std::vector<std::string>> blocks =
      MemoryBlocks(absl::StrCat(sys_, "/devices/system/memory"));
  if (!blocks.ok()) return 0;
  int64_t online = 0;
  for (const std::string& block : *blocks) {
    const absl::StatusOr<std::string> state =
        ReadFile(absl::StrCat(block, "/state"), 64);
    online += state.ok() && absl::StripAsciiWhitespace(*state) == "online";
  }
  return online * BlockBytes();
}

int64_t MemoryView::BlockBytes() const {
  const absl::StatusOr<std::string> text = ReadFile(
      absl::StrCat(sys_, "/devices/system/memory/block_size_bytes"), 64);
  int64_t bytes = 0;
  if (!text.ok() ||
      !absl::SimpleHexAtoi(absl::StripAsciiWhitespace(*text), &bytes)) {
    return 0;
  }
  return bytes;
}

absl::StatusOr<int> MemoryView::OnlineNewBlocks() const {
  ASSIGN_OR_RETURN(const std::vector<std::string> blocks,
                   MemoryBlocks(absl::StrCat(sys_, "/devices/system/memory")));
  int onlined = 0;
  for (const std::string& block : blocks) {
    const std::string path = absl::StrCat(block, "/state");
    const absl::StatusOr<std::string> state = ReadFile(path, 64);
    // A block may have been unplugged in between.
    if (!state.ok() || absl::StripAsciiWhitespace(*state) != "offline")
      continue;
    const UniqueFd file(open(path.c_str(), O_WRONLY | O_CLOEXEC));
    if (!file.valid()) continue;
    RETURN_IF_ERROR(Annotate(WriteAll(file.get(), "online_movable"), path));
    ++onlined;
  }
  return onlined;
}

absl::StatusOr<MemorySize> MemoryView::AwaitAtLeast(
    int64_t total_bytes, absl::Duration timeout,
    const std::function<bool()>& cancelled) const {
  MemorySize size;
  absl::Status refused;
  const absl::Status status =
      PollUntil(timeout, cancelled, [&]() -> absl::StatusOr<bool> {
        ASSIGN_OR_RETURN(size, Observe());
        if (size.total_bytes >= total_bytes) return true;
        // A refusal (no memory for the page structures) may pass.
        refused = OnlineNewBlocks().status();
        return false;
      });
  if (absl::IsDeadlineExceeded(status) && !refused.ok()) {
    return absl::DeadlineExceededError(refused.message());
  }
  RETURN_IF_ERROR(status);
  return size;
}

absl::StatusOr<MemorySize> MemoryView::AwaitAtMost(
    int64_t total_bytes, absl::Duration timeout,
    const std::function<bool()>& cancelled) const {
  MemorySize size;
  RETURN_IF_ERROR(PollUntil(timeout, cancelled, [&]() -> absl::StatusOr<bool> {
    ASSIGN_OR_RETURN(size, Observe());
    return size.total_bytes <= total_bytes;
  }));
  return size;
}

}  // namespace podvisor
