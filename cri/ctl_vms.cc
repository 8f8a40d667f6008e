#include "cri/ctl_vms.h"

#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <tuple>
#include <utility>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "base/clean_text.h"
#include "base/errno_status.h"
#include "base/status_macros.h"
#include "base/unique_fd.h"
#include "cri/plain_file.h"
#include "cri/pod_lookup.h"
#include "nlohmann/json.hpp"

namespace podvisor {
namespace {

constexpr off_t kMaxConsoleBytes = 1 << 20;
constexpr char kRow[] = "%-13s %-28s %-9s %-14s %-26s %s\n";

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

template <typename Format>
std::string Sizes(const nlohmann::json& info, const char* key, Format format) {
  const nlohmann::json sizes = info.value(key, nlohmann::json::object());
  if (!sizes.is_object()) return "?";
  return absl::StrCat(format(sizes, "target"), "/", format(sizes, "plugged"),
                      "/", format(sizes, "online"));
}

// What of a pod is not as it should be.
std::string Note(const nlohmann::json& info) {
  std::vector<std::string> notes;
  for (const auto& [key, name, cut] :
       {std::tuple("vcpus", "vCPUs", "cutByPodMilli"),
        std::tuple("memoryBytes", "memory", "cutByPod")}) {
    const nlohmann::json sizes = info.value(key, nlohmann::json::object());
    if (!sizes.is_object()) continue;
    if (sizes.value("clamped", nlohmann::json()) == true) {
      notes.push_back(absl::StrCat(name, " cut to the maximum"));
    }
    if (sizes.value(cut, nlohmann::json(0)) != 0) {
      notes.push_back(absl::StrCat(name, " cut to the pod's own limit"));
    }
    if (sizes.value("shortfall", nlohmann::json(0)) != 0) {
      notes.push_back(
          absl::StrCat(Mebibytes(sizes, "shortfall"), " MiB to be given back"));
    }
  }
  const std::string error = CleanText(InfoText(info, "lastError"), 200);
  if (!error.empty()) notes.push_back(error);
  return absl::StrJoin(notes, "; ");
}

// The guest writes this file: it is bounded, and nothing of it reaches the
// terminal as a command.
absl::StatusOr<std::string> ReadTail(const std::string& path) {
  ASSIGN_OR_RETURN(const UniqueFd file, OpenPlainFile(path));
  struct stat info;
  if (fstat(file.get(), &info) != 0) return ErrnoStatus(errno, path);
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

absl::StatusOr<std::string> VmTable(CriClient& client) {
  ASSIGN_OR_RETURN(const std::vector<runtime::v1::PodSandbox> pods,
                   client.ListPods());
  std::string table =
      absl::StrFormat(kRow, "ID", "NAMESPACE/POD", "STATE", "VCPUS A/P/O",
                      "MEMORY MiB A/P/O", "NOTE");
  for (const runtime::v1::PodSandbox& pod : pods) {
    const std::string name = CleanText(
        absl::StrCat(pod.metadata().namespace_(), "/", pod.metadata().name()),
        64);
    const std::string id = pod.id().substr(0, 12);
    const auto status = client.PodStatus(pod.id());
    if (!status.ok()) {
      absl::StrAppendFormat(&table, kRow, id, name, "?", "?", "?",
                            status.status().message());
      continue;
    }
    const nlohmann::json info = PodInfo(*status);
    absl::StrAppendFormat(&table, kRow, id, name, InfoText(info, "state"),
                          Sizes(info, "vcpus", Count),
                          Sizes(info, "memoryBytes", Mebibytes), Note(info));
  }
  return absl::StrCat(table, "A asked, P plugged, O online in the guest\n");
}

absl::Status PrintConsole(CriClient& client, const std::string& pod, int lines,
                          std::ostream& out, std::ostream& notes) {
  ASSIGN_OR_RETURN(const std::string id, FindPod(client, pod));
  ASSIGN_OR_RETURN(const runtime::v1::PodSandboxStatusResponse status,
                   client.PodStatus(id));
  const std::string path = InfoText(PodInfo(status), "consolePath");
  if (path.empty()) {
    return absl::FailedPreconditionError(
        absl::StrCat("pod ", id, " has no console now"));
  }
  const absl::StatusOr<std::string> tail = ReadTail(path);
  if (absl::IsNotFound(tail.status())) {
    return absl::FailedPreconditionError(
        absl::StrCat("pod ", id, " has no console any more: its VM is gone"));
  }
  RETURN_IF_ERROR(tail.status());
  const absl::string_view text = absl::StripTrailingAsciiWhitespace(*tail);
  if (text.empty()) {
    notes
        << "the guest has written nothing to its console, as one that is "
           "well does: its kernel\ntells there only what it dies of. With "
           "kernel_params = \"loglevel=7\" those of new pods\ntell more. What "
           "containers write is in `podvisorctl logs`.\n";
    return absl::OkStatus();
  }
  std::vector<std::string> all = absl::StrSplit(text, '\n');
  const size_t first =
      all.size() > static_cast<size_t>(lines) ? all.size() - lines : 0;
  for (size_t i = first; i < all.size(); ++i) {
    out << CleanText(absl::StripTrailingAsciiWhitespace(all[i]), 4096) << "\n";
  }
  return absl::OkStatus();
}

}  // namespace podvisor
