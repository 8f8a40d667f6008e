#include "network/cni_network.h"

#include <dirent.h>
#include <errno.h>

#include <algorithm>
#include <memory>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/errno_status.h"
#include "base/file.h"
#include "base/netlink.h"
#include "base/network_namespace.h"
#include "base/status_macros.h"
#include "network/network_namespace.h"
#include "network/pod_link.h"

namespace podvisor {
namespace {

// Of a whole list; a plugin that takes longer hangs.
constexpr absl::Duration kAddTime = absl::Seconds(60);
constexpr absl::Duration kDelTime = absl::Seconds(30);
constexpr absl::Duration kStatusTime = absl::Seconds(5);

}  // namespace

CniNetwork::CniNetwork(CniNetworkOptions options, Clock* clock)
    : options_(std::move(options)), clock_(clock), runner_(options_.bin_dirs) {}

std::string CniNetwork::NamespacePath(const PodId& id) const {
  return absl::StrCat(options_.netns_directory, "/", id.value());
}

absl::Status CniNetwork::Ready() {
  absl::Status ready;
  if (absl::StatusOr<CniConfigList> config = LoadCniConfig(options_.conf_dir);
      config.ok()) {
    ready = runner_.Status(*config, clock_->Now() + kStatusTime);
  } else {
    ready = config.status();
  }
  if (ready.ok()) return ready;
  return absl::FailedPreconditionError(
      absl::StrCat("no network for pods: ", ready.message()));
}

absl::StatusOr<PodLink> CniNetwork::Add(const PodNetworkRequest& request,
                                        const NetworkRecorder& recorder,
                                        const std::function<bool()>& cancelled,
                                        absl::Time deadline) {
  absl::StatusOr<CniConfigList> config = LoadCniConfig(options_.conf_dir);
  if (!config.ok()) {
    return absl::FailedPreconditionError(
        absl::StrCat("no network for pods: ", config.status().message()));
  }
  ASSIGN_OR_RETURN(
      CniAttachment attachment,
      MakeAttachment(request, *std::move(config), NamespacePath(request.id)));
  RETURN_IF_ERROR(recorder({EncodeAttachment(attachment), {}}));
  RETURN_IF_ERROR(MakeDirectories(options_.netns_directory));
  RETURN_IF_ERROR(MakeNetworkNamespace(attachment.netns));
  ASSIGN_OR_RETURN(CniResult result,
                   runner_.Add(attachment, cancelled,
                               std::min(deadline, clock_->Now() + kAddTime)));
  if (result.ips.empty()) {
    return absl::InternalError("the network gave the pod no address");
  }
  attachment.result = result.json;
  RETURN_IF_ERROR(recorder({EncodeAttachment(attachment), result.ips}));

  PodLink link;
  RETURN_IF_ERROR(
      RunInNetworkNamespace(attachment.netns, [&]() -> absl::Status {
        ASSIGN_OR_RETURN(NetlinkSocket netlink, NetlinkSocket::Open());
        ASSIGN_OR_RETURN(link.guest, ReadInterface(netlink, kPodInterface));
        ASSIGN_OR_RETURN(link.tap,
                         ConnectTap(netlink, kPodInterface, link.guest.mtu));
        return absl::OkStatus();
      }));
  link.dns_servers = std::move(result.dns_servers);
  link.dns_searches = std::move(result.dns_searches);
  link.dns_options = std::move(result.dns_options);
  return link;
}

absl::Status CniNetwork::Remove(const PodId& id, absl::string_view record_json,
                                absl::Time deadline) {
  const std::string path = NamespacePath(id);
  if (!record_json.empty()) {
    ASSIGN_OR_RETURN(const CniAttachment attachment,
                     DecodeAttachment(record_json));
    RETURN_IF_ERROR(runner_.Del(attachment,
                                IsNetworkNamespace(attachment.netns),
                                std::min(deadline, clock_->Now() + kDelTime)));
  }
  return RemoveNetworkNamespace(path);
}

absl::Status CniNetwork::Check(absl::string_view record_json,
                               absl::Time deadline) {
  if (record_json.empty()) return absl::OkStatus();
  ASSIGN_OR_RETURN(const CniAttachment attachment,
                   DecodeAttachment(record_json));
  return runner_.Check(attachment,
                       std::min(deadline, clock_->Now() + kDelTime));
}

absl::Status CniNetwork::Sweep(const std::set<PodId>& known,
                               absl::Time deadline) {
  const absl::StatusOr<CniConfigList> config = LoadCniConfig(options_.conf_dir);
  absl::Status first = SweepNamespaces(known, config, deadline);
  // What is kept for a pod of which there is no namespace either. A known pod
  // that has left the network, or is in another one, may be named all the same.
  if (config.ok()) {
    first.Update(runner_.Gc(*config, known, options_.netns_directory,
                            std::min(deadline, clock_->Now() + kDelTime)));
  }
  return first;
}

absl::Status CniNetwork::SweepNamespaces(
    const std::set<PodId>& known, const absl::StatusOr<CniConfigList>& config,
    absl::Time deadline) {
  const std::unique_ptr<DIR, int (*)(DIR*)> entries(
      opendir(options_.netns_directory.c_str()), closedir);
  if (entries == nullptr) {
    return errno == ENOENT ? absl::OkStatus()
                           : ErrnoStatus(errno, options_.netns_directory);
  }
  absl::Status first;
  while (const dirent* entry = readdir(entries.get())) {
    const PodId id{std::string(entry->d_name)};
    if (!IsHexId(id.value()) || known.contains(id)) continue;
    // A record comes before its namespace and goes after it, so this one was
    // lost. What the network is now is the best guess at what it was then.
    if (config.ok()) {
      PodNetworkRequest request;
      request.id = id;
      ASSIGN_OR_RETURN(const CniAttachment attachment,
                       MakeAttachment(request, *config, NamespacePath(id)));
      first.Update(runner_.Del(attachment, IsNetworkNamespace(attachment.netns),
                               std::min(deadline, clock_->Now() + kDelTime)));
    }
    first.Update(RemoveNetworkNamespace(NamespacePath(id)));
  }
  return first;
}

}  // namespace podvisor
