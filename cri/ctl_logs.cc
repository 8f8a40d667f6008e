#include "cri/ctl_logs.h"

#include <set>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/time/time.h"
#include "base/clean_text.h"
#include "base/status_macros.h"
#include "cri/log_reader.h"
#include "cri/pod_lookup.h"

namespace podvisor {
namespace {

constexpr absl::Duration kLookInterval = absl::Milliseconds(200);

absl::StatusOr<std::string> FindContainer(CriClient& client,
                                          const std::string& pod,
                                          const std::string& wanted) {
  ASSIGN_OR_RETURN(const std::vector<runtime::v1::Container> all,
                   client.ListContainers(pod));
  const runtime::v1::Container* latest = nullptr;
  std::set<std::string> names;
  for (const runtime::v1::Container& container : all) {
    const std::string& name = container.metadata().name();
    if (!wanted.empty() && name != wanted &&
        !absl::StartsWith(container.id(), wanted)) {
      continue;
    }
    names.insert(CleanText(name, 128));
    if (latest == nullptr || container.created_at() > latest->created_at()) {
      latest = &container;
    }
  }
  if (latest == nullptr) {
    return absl::NotFoundError(
        wanted.empty() ? absl::StrCat("pod ", pod, " has no container")
                       : absl::StrCat("pod ", pod, " has no container \"",
                                      CleanText(wanted, 128), "\""));
  }
  if (names.size() > 1) {
    return absl::InvalidArgumentError(absl::StrCat(
        "several containers: ", absl::StrJoin(names, ", "), "; name one"));
  }
  return latest->id();
}

// False, too, while the daemon cannot tell.
bool HasEnded(CriClient& client, const std::string& container) {
  const auto status = client.ContainerStatus(container);
  if (!status.ok()) return absl::IsNotFound(status.status());
  return status->state() == runtime::v1::CONTAINER_EXITED;
}

}  // namespace

absl::Status PrintLogs(CriClient& client, const LogsRequest& request,
                       Pause* pause) {
  ASSIGN_OR_RETURN(const std::string pod, FindPod(client, request.pod));
  ASSIGN_OR_RETURN(const std::string container,
                   FindContainer(client, pod, request.container));
  ASSIGN_OR_RETURN(const runtime::v1::ContainerStatus status,
                   client.ContainerStatus(container));
  if (status.log_path().empty()) {
    return absl::FailedPreconditionError(
        absl::StrCat("container ", container, " has no log"));
  }
  LogReader reader(status.log_path());
  LogPrinter printer(request.standard_output, request.standard_error);
  while (true) {
    // Asked first: what was written before the end is read after it.
    const bool last = pause == nullptr || HasEnded(client, container);
    const absl::Status read =
        reader.ReadOn([&](absl::string_view bytes) { printer.Add(bytes); });
    // The file comes with the container's start.
    if (!read.ok() && (last || !absl::IsNotFound(read))) return read;
    if (last || !*request.standard_output.out || !pause->For(kLookInterval)) {
      printer.Finish();
      return absl::OkStatus();
    }
  }
}

}  // namespace podvisor
