#include "guestagent/agent/open_files.h"

#include <dirent.h>
#include <unistd.h>

#include <memory>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"

namespace podvisor {
namespace {

// The link of a socket's descriptor is "socket:[<inode>]"; no path is like it,
// because those are absolute.
bool IsSocket(int directory, const char* name) {
  char target[16];
  const ssize_t length = readlinkat(directory, name, target, sizeof(target));
  return length > 0 &&
         absl::StartsWith(
             absl::string_view(target, static_cast<size_t>(length)),
             "socket:[");
}

}  // namespace

std::optional<OpenFiles> CountOpenFiles(const std::string& proc,
                                        absl::Span<const pid_t> processes,
                                        uint64_t max_looks, Deadline deadline) {
  OpenFiles open;
  uint64_t looks = 0;
  // The clock is asked now and then only.
  const auto is_too_much = [&] {
    return ++looks > max_looks || (looks % 64 == 0 && deadline.IsOver());
  };
  for (const pid_t process : processes) {
    if (is_too_much()) return std::nullopt;
    const std::unique_ptr<DIR, int (*)(DIR*)> directory(
        opendir(absl::StrCat(proc, "/", process, "/fd").c_str()), closedir);
    if (directory == nullptr) continue;
    while (const dirent* entry = readdir(directory.get())) {
      const absl::string_view name = entry->d_name;
      if (name == "." || name == "..") continue;
      if (is_too_much()) return std::nullopt;
      ++open.descriptors;
      if (IsSocket(dirfd(directory.get()), entry->d_name)) ++open.sockets;
    }
  }
  return open;
}

}  // namespace podvisor
