// A pod and its network: attached while the VM boots, left when the pod ends,
// whatever fails.

#include "gtest/gtest.h"
#include "sandbox/pod/container_lifecycle.h"
#include "sandbox/pod/pod_manager_fixture.h"

namespace podvisor {
namespace {

class PodNetworkTest : public PodManagerFixture {
 protected:
  absl::Status RunStatus(const std::string& name) {
    return pods_->RunPod(Spec(name), Soon()).status();
  }
};

TEST_F(PodNetworkTest, AReadyPodShowsItsAddressesAndItsGuestHasThem) {
  const std::shared_ptr<Pod> pod = Run("web");

  EXPECT_EQ(pod->Snapshot().ips,
            (std::vector<std::string>{"10.9.0.1", "fd00::9"}));
  EXPECT_EQ(Guest(pod).network().mtu(), 1500u);
  EXPECT_EQ(Guest(pod).network().addresses_size(), 1);
}

TEST_F(PodNetworkTest, AStoppedPodHasLeftItsNetworkAndShowsNoAddress) {
  const std::shared_ptr<Pod> pod = Run("web");
  ASSERT_TRUE(pod->Stop(Soon()).ok());

  EXPECT_TRUE(network_.attached().empty());
  EXPECT_TRUE(pod->Snapshot().ips.empty());
}

TEST_F(PodNetworkTest, AddressesOutliveTheDaemon) {
  const PodId id = Run("web")->id();
  Restart();

  EXPECT_EQ(pods_->FindPod(id.value()).value()->Snapshot().ips[0], "10.9.0.1");
}

TEST_F(PodNetworkTest, WithoutANetworkNoVmIsBooted) {
  network_.SetFaults({.ready = absl::FailedPreconditionError("no conflist")});

  EXPECT_TRUE(absl::IsFailedPrecondition(RunStatus("web")));
  EXPECT_TRUE(launcher_.launched().empty());
  network_.SetFaults({});
  EXPECT_TRUE(RunStatus("web").ok()) << "nothing blocks the retry";
}

TEST_F(PodNetworkTest, APluginThatFailsEndsThePodWhole) {
  network_.SetFaults({.add = absl::InternalError("no room in the pool")});

  const absl::Status status = RunStatus("web");

  EXPECT_EQ(status.message(), "no room in the pool");
  EXPECT_TRUE(network_.attached().empty()) << "half an ADD was undone";
  EXPECT_TRUE(pods_->ListPods().empty());
}

TEST_F(PodNetworkTest, AGuestThatFindsNoInterfaceEndsThePodWhole) {
  LaunchFaults faults;
  faults.guest.faults.network_fails = true;
  launcher_.SetFaults(faults);

  EXPECT_TRUE(absl::IsDeadlineExceeded(RunStatus("web")));
  EXPECT_TRUE(network_.attached().empty());
}

TEST_F(PodNetworkTest, ABootThatFailsLeavesTheNetwork) {
  LaunchFaults faults;
  faults.launch = absl::UnavailableError("QEMU died");
  launcher_.SetFaults(faults);

  EXPECT_FALSE(RunStatus("web").ok());
  EXPECT_TRUE(network_.attached().empty());
}

TEST_F(PodNetworkTest, APodThatCannotLeaveStaysUntilItCan) {
  const std::shared_ptr<Pod> pod = Run("web");
  network_.SetFaults({.remove = absl::InternalError("iptables is locked")});

  EXPECT_FALSE(pod->Stop(Soon()).ok());
  EXPECT_EQ(pod->state(), SandboxState::kStopping);
  network_.SetFaults({});
  EXPECT_TRUE(pod->Stop(Soon()).ok());
  EXPECT_TRUE(network_.attached().empty());
}

TEST_F(PodNetworkTest, AStopThatFailsIsRepeatedByItsClientAndNoTimer) {
  const std::shared_ptr<Pod> pod = Run("web");
  network_.SetFaults({.remove = absl::InternalError("iptables is locked")});
  const FoundContainer found = Create(pod, ContainerOf(1000, 64));
  ASSERT_TRUE(StartContainer(*pod, *found.container, Soon()).ok());
  Guest(pod).SetFaults({.ignores_sigkill = true});
  EXPECT_FALSE(pod->Stop(Soon()).ok());
  EXPECT_EQ(found.container->phase(), ContainerPhase::kExited)
      << "its VM is gone";

  network_.SetFaults({});
  timers_.RunDue();

  EXPECT_EQ(pod->state(), SandboxState::kStopping);
}

TEST_F(PodNetworkTest, ANetworkThatNeverLetsGoHoldsAPodForMinutesOnly) {
  const std::shared_ptr<Pod> pod = Run("web");
  network_.SetFaults({.remove_by_plugins = absl::InternalError("no plugin")});

  EXPECT_FALSE(pod->Stop(Soon()).ok());
  clock_.Advance(absl::Minutes(5));
  EXPECT_TRUE(pod->Stop(Soon()).ok());
  EXPECT_EQ(pod->state(), SandboxState::kStopped);
  EXPECT_EQ(network_.attached().size(), 1u);

  network_.SetFaults({});
  EXPECT_TRUE(pods_->RemovePod(pod, Soon()).ok());
  EXPECT_TRUE(network_.attached().empty()) << "tried once more";
}

TEST_F(PodNetworkTest, APodIsRemovedThoughItsNetworkNeverLetsGo) {
  const std::shared_ptr<Pod> pod = Run("web");
  network_.SetFaults({.remove_by_plugins = absl::InternalError("no plugin")});
  EXPECT_FALSE(pods_->RemovePod(pod, Soon()).ok());
  clock_.Advance(absl::Minutes(5));

  EXPECT_TRUE(pods_->RemovePod(pod, Soon()).ok());
  EXPECT_TRUE(pods_->ListPods().empty());
  network_.Forget();
}

TEST_F(PodNetworkTest, APodResolvesByItselfByItsNetworkOrByItsHost) {
  EXPECT_EQ(Guest(Run("host")).configured().resolv_conf(),
            "nameserver 1.1.1.1\n");

  PodSpec spec = Spec("own");
  spec.dns.servers = {"10.0.0.10"};
  const absl::StatusOr<PodId> own = pods_->RunPod(spec, Soon());
  ASSERT_TRUE(own.ok()) << own.status();
  EXPECT_EQ(
      Guest(pods_->FindPod(own->value()).value()).configured().resolv_conf(),
      "nameserver 10.0.0.10\n");

  network_.SetDnsServers({"10.9.0.53"});
  EXPECT_EQ(Guest(Run("network")).configured().resolv_conf(),
            "nameserver 10.9.0.53\n");
}

TEST_F(PodNetworkTest, APodThatDiedWithItsDaemonLeavesItsNetworkAtTheStart) {
  Run("web");
  LaunchFaults faults;
  faults.adopt = absl::NotFoundError("the host was restarted");
  launcher_.SetFaults(faults);

  Restart();

  EXPECT_TRUE(network_.attached().empty());
}

}  // namespace
}  // namespace podvisor
