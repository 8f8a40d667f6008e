#ifndef PODVISOR_NETWORK_POD_NETWORK_H_
#define PODVISOR_NETWORK_POD_NETWORK_H_

#include <functional>
#include <set>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "base/ids.h"
#include "base/unique_fd.h"
#include "network/cni_attachment.h"
#include "network/guest_network.h"

namespace podvisor {

// What is to be stored of a pod's network.
struct NetworkRecord {
  std::string json;              // for Remove(); opaque to everybody else
  std::vector<std::string> ips;  // the first is the pod's address; canonical

  bool operator==(const NetworkRecord&) const = default;
};

// Stores the record. Called before anything is made, and again when the
// addresses are known. An error ends the Add().
using NetworkRecorder = std::function<absl::Status(const NetworkRecord&)>;

// A pod's end of its network.
struct PodLink {
  UniqueFd tap;  // opened with IFF_VNET_HDR; the link ends when it is closed
  GuestNetwork guest;
  // What the network knows of DNS; empty: nothing.
  std::vector<std::string> dns_servers;
  std::vector<std::string> dns_searches;
  std::vector<std::string> dns_options;
};

// The networks that pods are attached to. Thread-safe.
class PodNetwork {
 public:
  virtual ~PodNetwork() = default;
  PodNetwork(const PodNetwork&) = delete;
  PodNetwork& operator=(const PodNetwork&) = delete;

  // Whether pods can be attached now; FailedPrecondition, with the reason. May
  // run programs, so not for whoever must not wait.
  virtual absl::Status Ready() = 0;

  // Attaches a pod. After an error Remove() undoes what there is, by what
  // `recorder` got; nothing, where it was not called. `cancelled` is asked now
  // and then; true gives up. Errors: FailedPrecondition (no network is
  // configured), Unavailable (the network says: later), Internal (a plugin
  // failed), DeadlineExceeded, Cancelled, the recorder's.
  virtual absl::StatusOr<PodLink> Add(const PodNetworkRequest& request,
                                      const NetworkRecorder& recorder,
                                      const std::function<bool()>& cancelled,
                                      absl::Time deadline) = 0;

  // Detaches a pod, whatever has become of it or of the configuration. OK for
  // an empty record, and twice. After an error: again, later.
  virtual absl::Status Remove(const PodId& id, absl::string_view record_json,
                              absl::Time deadline) = 0;

  // Whether the network still has the pod as it was added.
  virtual absl::Status Check(absl::string_view record_json,
                             absl::Time deadline) = 0;

  // Removes what there is of pods that are not known, also what only the
  // network still knows of. Before any pod is added: one that comes meanwhile
  // is not known.
  virtual absl::Status Sweep(const std::set<PodId>& known,
                             absl::Time deadline) = 0;

 protected:
  PodNetwork() = default;
};

}  // namespace podvisor

#endif  // PODVISOR_NETWORK_POD_NETWORK_H_
