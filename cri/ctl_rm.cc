#include "cri/ctl_rm.h"

#include <algorithm>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "base/file.h"
#include "base/status_macros.h"
#include "cri/pod_lookup.h"

namespace podvisor {
namespace {

// A uid as `run` makes it. The kubelet's have dashes; and what is only digits
// and letters is the name of one directory.
bool IsOfRun(const std::string& uid) {
  return uid.size() == 32 &&
         std::all_of(uid.begin(), uid.end(), absl::ascii_isxdigit);
}

}  // namespace

std::string PodLogDirectory(const std::string& root_dir,
                            const std::string& uid) {
  return absl::StrCat(root_dir, "/logs/", uid);
}

absl::Status RemovePodAndLogs(CriClient& client, const std::string& pod,
                              const std::string& root_dir, std::ostream& out) {
  ASSIGN_OR_RETURN(const std::string id, FindPod(client, pod));
  ASSIGN_OR_RETURN(const runtime::v1::PodSandboxStatusResponse status,
                   client.PodStatus(id));
  RETURN_IF_ERROR(client.RemovePod(id));
  out << "pod " << id << " removed\n";
  const std::string& uid = status.status().metadata().uid();
  return IsOfRun(uid) ? RemoveTree(PodLogDirectory(root_dir, uid))
                      : absl::OkStatus();
}

}  // namespace podvisor
