#ifndef PODVISOR_SANDBOX_POD_POD_RESIZE_FIXTURE_H_
#define PODVISOR_SANDBOX_POD_POD_RESIZE_FIXTURE_H_

#include <string>
#include <thread>
#include <vector>

#include "absl/strings/match.h"
#include "sandbox/pod/container_lifecycle.h"
#include "sandbox/pod/pod_manager_fixture.h"

namespace podvisor {

// Pods on fake VMs whose containers come, change and end in virtual time.
class PodResizeFixture : public PodManagerFixture {
 protected:
  FakeQemu& Qemu(const std::shared_ptr<Pod>& pod) {
    return launcher_.machine(pod->id())->qemu();
  }
  static ContainerSpec Named(const std::string& name, int64_t milli_cpu,
                             int64_t memory_mib) {
    ContainerSpec spec = ContainerOf(milli_cpu, memory_mib);
    spec.name = name;
    return spec;
  }
  FoundContainer Running(const std::shared_ptr<Pod>& pod,
                         const ContainerSpec& spec) {
    const FoundContainer found = Create(pod, spec);
    EXPECT_TRUE(StartContainer(*pod, *found.container, Soon()).ok());
    return found;
  }
  void End(const std::shared_ptr<Pod>& pod, const FoundContainer& found) {
    Guest(pod).Exit(found.container->id(), 0);
    EXPECT_TRUE(found.container->AwaitExit(Soon()));
  }
  void Pass(absl::Duration time) {
    clock_.Advance(time);
    timers_.RunDue();
  }
  // Commands that change the VM's size.
  std::vector<std::string> Resizes(const std::shared_ptr<Pod>& pod) {
    std::vector<std::string> found;
    for (const std::string& command : Qemu(pod).commands()) {
      const bool device = absl::StrContains(command, "-cpu") ||
                          absl::StrContains(command, "virtio-mem") ||
                          absl::StrContains(command, "dimm");
      if (absl::StartsWith(command, "object-") ||
          absl::StartsWith(command, "qom-set") ||
          (absl::StartsWith(command, "device_") && device)) {
        found.push_back(command);
      }
    }
    return found;
  }
  static int CountCalls(FakeGuestAgent& guest, const std::string& what) {
    int count = 0;
    for (const std::string& call : guest.calls()) {
      count += absl::StartsWith(call, what);
    }
    return count;
  }
  // Creates all of them at once: each waits for the same lock.
  std::vector<absl::Status> CreateTogether(
      const std::shared_ptr<Pod>& pod,
      const std::vector<ContainerSpec>& specs) {
    std::vector<absl::Status> results(specs.size());
    std::vector<std::thread> threads;
    {
      EXPECT_TRUE(pod->operation_lock().LockUntil(absl::InfiniteFuture()));
      const OperationHolder others(&pod->operation_lock());
      for (size_t i = 0; i < specs.size(); ++i) {
        threads.emplace_back([&, i] {
          results[i] = pods_->CreateContainer(pod, specs[i], Soon()).status();
        });
      }
      while (pod->containers().All().size() < specs.size())
        std::this_thread::yield();
    }
    for (std::thread& thread : threads) thread.join();
    return results;
  }
  static ContainerResources Quota(int64_t milli_cpu) {
    ContainerResources resources;
    resources.cpu_quota = milli_cpu * 100;
    return resources;
  }
  int64_t QuotaInGuest(const FoundContainer& found) {
    return Guest(found.pod)
        .spec(found.container->id())
        ->resources()
        .cpu_quota_micros();
  }
};

}  // namespace podvisor

#endif  // PODVISOR_SANDBOX_POD_POD_RESIZE_FIXTURE_H_
