#ifndef PODVISOR_NETWORK_FAKE_POD_NETWORK_H_
#define PODVISOR_NETWORK_FAKE_POD_NETWORK_H_

#include <fcntl.h>

#include <map>
#include <set>
#include <string>

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
    {
      absl::MutexLock lock(&mutex_);
      attached_.insert(request.id);
      RETURN_IF_ERROR(faults_.add);
      ip = absl::StrCat("10.9.0.", ++last_);
    }
    RETURN_IF_ERROR(recorder({record, {ip, "fd00::9"}}));
    PodLink link;
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
    if (!record_json.empty()) attached_.erase(id);
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
  std::set<PodId> attached() const {
    absl::MutexLock lock(&mutex_);
    return attached_;
  }

 private:
  mutable absl::Mutex mutex_;
  NetworkFaults faults_ ABSL_GUARDED_BY(mutex_);
  std::set<PodId> attached_ ABSL_GUARDED_BY(mutex_);
  int last_ ABSL_GUARDED_BY(mutex_) = 0;
};

}  // namespace podvisor

#endif  // PODVISOR_NETWORK_FAKE_POD_NETWORK_H_
