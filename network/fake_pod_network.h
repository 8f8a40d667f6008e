#ifndef PODVISOR_NETWORK_FAKE_POD_NETWORK_H_
#define PODVISOR_NETWORK_FAKE_POD_NETWORK_H_

#include <fcntl.h>

#include <map>
#include <set>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/strings/str_cat.h"
#include "absl/synchronization/mutex.h"
#include "base/status_macros.h"
#include "network/pod_network.h"

namespace podvisor {

// Misbehaviour that real networks show.
struct NetworkFaults {
  absl::Status ready = absl::OkStatus();
  absl::Status add = absl::OkStatus();     // after the first record
  absl::Status remove = absl::OkStatus();  // the pod stays attached
  // As `remove`, but the namespace can be removed without them.
  absl::Status remove_by_plugins = absl::OkStatus();
};

// A network of no packets: its taps are /dev/null. Thread-safe.
class FakePodNetwork final : public PodNetwork {
 public:
  absl::Status Ready() override {
    absl::MutexLock lock(&mutex_);
    return faults_.ready;
  }

  absl::StatusOr<PodLink> Add(const PodNetworkRequest& request,
                              const NetworkRecorder& recorder,
                              const std::function<bool()>&,
                              absl::Time) override {
    const std::string record =
        absl::StrCat("{\"pod\":\"", request.id.value(), "\"}");
    RETURN_IF_ERROR(recorder({record, {}}));
    std::string ip;
    PodLink link;
    {
      absl::MutexLock lock(&mutex_);
      attached_.insert(request.id);
      RETURN_IF_ERROR(faults_.add);
      ip = absl::StrCat("10.9.0.", ++last_);
      link.dns_servers = dns_servers_;
    }
    RETURN_IF_ERROR(recorder({record, {ip, "fd00::9"}}));
    link.tap.Reset(open("/dev/null", O_RDWR | O_CLOEXEC));
    link.guest.mac = std::string("\x02\0\0\0\0\x09", 6);
    link.guest.mtu = 1500;
    link.guest.addresses = {{std::string("\x0a\x09\0\x01", 4), 24}};
    return link;
  }

  absl::Status Remove(const PodId& id, absl::string_view record_json,
                      absl::Time) override {
    absl::MutexLock lock(&mutex_);
    RETURN_IF_ERROR(faults_.remove);
    if (record_json.empty()) return absl::OkStatus();
    RETURN_IF_ERROR(faults_.remove_by_plugins);
    attached_.erase(id);
    return absl::OkStatus();
  }

  absl::Status Check(absl::string_view, absl::Time) override {
    return absl::OkStatus();
  }

  absl::Status Sweep(const std::set<PodId>& known, absl::Time) override {
    absl::MutexLock lock(&mutex_);
    std::erase_if(attached_,
                  [&](const PodId& id) { return !known.contains(id); });
    return absl::OkStatus();
  }

  void SetFaults(const NetworkFaults& faults) {
    absl::MutexLock lock(&mutex_);
    faults_ = faults;
  }
  void SetDnsServers(const std::vector<std::string>& servers) {
    absl::MutexLock lock(&mutex_);
    dns_servers_ = servers;
  }
  // As an operator who gives leases back by hand.
  void Forget() {
    absl::MutexLock lock(&mutex_);
    attached_.clear();
  }
  std::set<PodId> attached() const {
    absl::MutexLock lock(&mutex_);
    return attached_;
  }

 private:
  mutable absl::Mutex mutex_;
  std::vector<std::string> dns_servers_ ABSL_GUARDED_BY(mutex_);
  NetworkFaults faults_ ABSL_GUARDED_BY(mutex_);
  std::set<PodId> attached_ ABSL_GUARDED_BY(mutex_);
  int last_ ABSL_GUARDED_BY(mutex_) = 0;
};

}  // namespace podvisor

#endif  // PODVISOR_NETWORK_FAKE_POD_NETWORK_H_
