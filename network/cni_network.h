#ifndef PODVISOR_NETWORK_CNI_NETWORK_H_
#define PODVISOR_NETWORK_CNI_NETWORK_H_

#include <set>
#include <string>
#include <vector>

#include "base/clock.h"
#include "network/cni_runner.h"
#include "network/pod_network.h"

namespace podvisor {

struct CniNetworkOptions {
  std::string netns_directory;  // of namespaces, each named after its pod
  std::string conf_dir;
  std::vector<std::string> bin_dirs;
};

// Networks by CNI plugins. Each pod has a network namespace; what a plugin made
// in it stays there, and a tap beside it is the VM's end of the cable.
class CniNetwork final : public PodNetwork {
 public:
  // `clock` outlives it.
  CniNetwork(CniNetworkOptions options, Clock* clock);

  absl::Status Ready() override;
  absl::StatusOr<PodLink> Add(const PodNetworkRequest& request,
                              const NetworkRecorder& recorder,
                              const std::function<bool()>& cancelled,
                              absl::Time deadline) override;
  absl::Status Remove(const PodId& id, absl::string_view record_json,
                      absl::Time deadline) override;
  absl::Status Check(absl::string_view record_json,
                     absl::Time deadline) override;
  absl::Status Sweep(const std::set<PodId>& known,
                     absl::Time deadline) override;

 private:
  std::string NamespacePath(const PodId& id) const;
  // Of pods that are not known, those that have a namespace here.
  absl::Status SweepNamespaces(const std::set<PodId>& known,
                               const absl::StatusOr<CniConfigList>& config,
                               absl::Time deadline);

  const CniNetworkOptions options_;
  Clock* const clock_;
  const CniRunner runner_;
};

}  // namespace podvisor

#endif  // PODVISOR_NETWORK_CNI_NETWORK_H_
