#include "cri/ctl_vms.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_split.h"
#include "base/clean_text.h"
#include "base/errno_status.h"
#include "base/status_macros.h"
#include "base/unique_fd.h"
#include "nlohmann/json.hpp"

namespace podvisor {
namespace {

constexpr off_t kMaxConsoleBytes = 1 << 20;
constexpr char kRow[] = "%-13s %-28s %-9s %-14s %-26s %s\n";

nlohmann::json Info(const runtime::v1::PodSandboxStatusResponse& status) {
  const auto text = status.info().find("info");
  if (text == status.info().end()) return nlohmann::json::object();
  nlohmann::json info = nlohmann::json::parse(text->second, nullptr, false);
  return info.is_object() ? info : nlohmann::json::object();
}

std::string Count(const nlohmann::json& sizes, const char* state) {
  const auto value = sizes.find(state);
  if (value == sizes.end() || !value->is_number_integer()) return "?";
  return absl::StrCat(value->get<int64_t>());
}

std::string Mebibytes(const nlohmann::json& sizes, const char* state) {
  const auto value = sizes.find(state);
  if (value == sizes.end() || !value->is_number_integer()) return "?";
  return absl::StrCat(value->get<int64_t>() >> 20);
}

std::string Text(const nlohmann::json& info, const char* key) {
  const auto value = info.find(key);
  return value != info.end() && value->is_string() ? value->get<std::string>()
                                                   : std::string();
}

template <typename Format>
std::string Sizes(const nlohmann::json& info, const char* key, Format format) {
  const nlohmann::json sizes = info.value(key, nlohmann::json::object());
  if (!sizes.is_object()) return "?";
  return absl::StrCat(format(sizes, "target"), "/", format(sizes, "plugged"),
                      "/", format(sizes, "online"));
}

absl::StatusOr<std::string> FindPod(CriClient& client,
                                    const std::string& wanted) {
  ASSIGN_OR_RETURN(const std::vector<runtime::v1::PodSandbox> pods,
                   client.ListPods());
  std::vector<std::string> matches;
  for (const runtime::v1::PodSandbox& pod : pods) {
    if (pod.id() == wanted) return pod.id();
    if (absl::StartsWith(pod.id(), wanted) || pod.metadata().name() == wanted) {
      matches.push_back(pod.id());
    }
  }
  const std::string shown = CleanText(wanted, 128);
  if (matches.empty()) {
    return absl::NotFoundError(absl::StrCat("there is no pod \"", shown, "\""));
  }
  if (matches.size() > 1) {
    return absl::InvalidArgumentError(
        absl::StrCat("\"", shown, "\" means several pods; give an id"));
  }
  return matches.front();
}

// The guest writes this file: it is bounded, and nothing of it reaches the
// terminal as a command.
absl::StatusOr<std::string> ReadTail(const std::string& path) {
  const UniqueFd file(open(
      path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY));
  if (!file.valid()) return ErrnoStatus(errno, path);
  struct stat info;
  if (fstat(file.get(), &info) != 0) return ErrnoStatus(errno, path);
  if (!S_ISREG(info.st_mode)) {
    return absl::FailedPreconditionError(absl::StrCat(path, " is not a file"));
  }
  const off_t length = std::min<off_t>(info.st_size, kMaxConsoleBytes);
  std::string tail(static_cast<size_t>(length), '\0');
  size_t done = 0;
  while (done < tail.size()) {
    const ssize_t got = pread(file.get(), tail.data() + done,
                              tail.size() - done, info.st_size - length + done);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return ErrnoStatus(errno, path);
    if (got == 0) break;
    done += static_cast<size_t>(got);
  }
  tail.resize(done);
  return tail;
}

}  // namespace

absl::Status PrintVms(CriClient& client, std::ostream& out) {
  ASSIGN_OR_RETURN(const std::vector<runtime::v1::PodSandbox> pods,
                   client.ListPods());
  out << absl::StreamFormat(kRow, "ID", "NAMESPACE/POD", "STATE", "VCPUS A/P/O",
                            "MEMORY MiB A/P/O", "NOTE");
  for (const runtime::v1::PodSandbox& pod : pods) {
    const std::string name = CleanText(
        absl::StrCat(pod.metadata().namespace_(), "/", pod.metadata().name()),
        64);
    const std::string id = pod.id().substr(0, 12);
    const auto status = client.PodStatus(pod.id());
    if (!status.ok()) {
      out << absl::StreamFormat(kRow, id, name, "?", "?", "?",
                                status.status().message());
      continue;
    }
    const nlohmann::json info = Info(*status);
    out << absl::StreamFormat(kRow, id, name, Text(info, "state"),
                              Sizes(info, "vcpus", Count),
                              Sizes(info, "memoryBytes", Mebibytes),
                              CleanText(Text(info, "lastError"), 200));
  }
  out << "A asked, P plugged, O online in the guest\n";
  return absl::OkStatus();
}

absl::Status PrintConsole(CriClient& client, const std::string& pod, int lines,
                          std::ostream& out) {
  ASSIGN_OR_RETURN(const std::string id, FindPod(client, pod));
  ASSIGN_OR_RETURN(const runtime::v1::PodSandboxStatusResponse status,
                   client.PodStatus(id));
  const std::string path = Text(Info(status), "consolePath");
  if (path.empty()) {
    return absl::FailedPreconditionError(
        absl::StrCat("pod ", id, " has no console now"));
  }
  ASSIGN_OR_RETURN(const std::string tail, ReadTail(path));
  std::vector<std::string> all =
      absl::StrSplit(absl::StripTrailingAsciiWhitespace(tail), '\n');
  const size_t first =
      all.size() > static_cast<size_t>(lines) ? all.size() - lines : 0;
  for (size_t i = first; i < all.size(); ++i) {
    out << CleanText(absl::StripTrailingAsciiWhitespace(all[i]), 4096) << "\n";
  }
  return absl::OkStatus();
}

}  // namespace podvisor
