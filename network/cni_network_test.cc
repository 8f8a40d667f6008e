// The packaged plugins in network namespaces of this test's own.

#include "network/cni_network.h"

#include <sched.h>
#include <stdlib.h>
#include <unistd.h>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "base/file.h"
#include "base/network_namespace.h"
#include "base/process.h"
#include "gtest/gtest.h"
#include "network/network_namespace.h"

namespace podvisor {
namespace {

class CniNetworkTest : public testing::Test {
 protected:
  void SetUp() override {
    if (geteuid() != 0) GTEST_SKIP() << "NOT TESTED: namespaces need root";
    // The host's side of the cables is this thread's namespace.
    ASSERT_EQ(unshare(CLONE_NEWNET), 0);
    std::string pattern = "/tmp/podvisor-cni.XXXXXX";
    directory_ = mkdtemp(pattern.data());
    ASSERT_TRUE(MakeDirectories(directory_ + "/conf").ok());
    network_ = std::make_unique<CniNetwork>(
        CniNetworkOptions{directory_ + "/netns",
                          directory_ + "/conf",
                          {"/opt/cni/bin", "/usr/lib/cni"}},
        &clock_);
  }
  void TearDown() override {
    if (network_ == nullptr) return;
    EXPECT_EQ(Shell("ls -A " + directory_ + "/netns"), "");
    EXPECT_EQ(Leases(), "");
    // The kernel takes away what was in a namespace when it gets round to it.
    const absl::Time end = clock_.Now() + absl::Seconds(20);
    std::string cables;
    do {
      cables = Shell("ip -br link | grep -c veth");
    } while (cables != "0\n" && clock_.Now() < end);
    EXPECT_EQ(cables, "0\n");
    EXPECT_TRUE(RemoveTree(directory_).ok());
  }

  void Configure(const std::string& plugin) {
    ASSERT_TRUE(
        WriteFileAtomically(
            directory_ + "/conf/10.conflist",
            absl::StrCat(R"({"cniVersion":"1.0.0","name":"test","plugins":[{)",
                         R"("type":")", plugin,
                         R"(","mtu":1450,"ipam":{"type":"host-local",)",
                         R"("dataDir":")", directory_,
                         R"(/leases","ranges":[[{"subnet":"10.55.0.0/24"}],)",
                         R"([{"subnet":"fd55::/64"}]],"routes":[{"dst":)",
                         R"("0.0.0.0/0"},{"dst":"::/0"}]}}]})"))
            .ok());
  }
  std::string Shell(const std::string& script) {
    CommandOptions options;
    options.argv = {"sh", "-c", script};
    options.deadline = clock_.Now() + absl::Seconds(20);
    return RunCommand(options)->stdout_data;
  }
  std::string Leases() {
    return Shell("ls " + directory_ +
                 "/leases/test 2>/dev/null | grep '^[0-9a-f]'");
  }
  absl::StatusOr<PodLink> Add(const PodId& id) {
    PodNetworkRequest request;
    request.id = id;
    request.pod_name = "pod";
    return network_->Add(
        request,
        [this](const NetworkRecord& record) {
          records_.push_back(record);
          return absl::OkStatus();
        },
        nullptr, clock_.Now() + absl::Seconds(30));
  }
  absl::Status Remove(const PodId& id, const std::string& record) {
    return network_->Remove(id, record, clock_.Now() + absl::Seconds(30));
  }

  SystemClock clock_;
  std::string directory_;
  std::unique_ptr<CniNetwork> network_;
  std::vector<NetworkRecord> records_;
  const PodId id_{RandomHexId()};
};

TEST_F(CniNetworkTest, APodGetsAnInterfaceAsThePluginMadeIt) {
  Configure("ptp");
  absl::StatusOr<PodLink> link = Add(id_);
  ASSERT_TRUE(link.ok()) << link.status();

  EXPECT_EQ(link->guest.mtu, 1450);
  EXPECT_EQ(link->guest.mac.size(), 6u);
  ASSERT_EQ(link->guest.addresses.size(), 2u);
  EXPECT_EQ(link->guest.addresses[0].address, std::string("\x0a\x37\0\x02", 4));
  EXPECT_EQ(link->guest.addresses[0].prefix_length, 24);
  // ptp sends everything by its gateway: the kernel's own route is not there.
  bool by_gateway = false;
  for (const GuestRoute& route : link->guest.routes) {
    by_gateway |= route.destination == std::string("\x0a\x37\0\0", 4) &&
                  route.gateway == std::string("\x0a\x37\0\x01", 4);
    EXPECT_NE(route.destination.substr(0, 1), "\xfe") << "link-local";
  }
  EXPECT_TRUE(by_gateway);
  EXPECT_EQ(records_.size(), 2u);
  EXPECT_TRUE(records_[0].ips.empty());
  EXPECT_EQ(records_[1].ips,
            (std::vector<std::string>{"10.55.0.2", "fd55::2"}));

  link->tap.Reset();
  EXPECT_TRUE(Remove(id_, records_[1].json).ok());
}

TEST_F(CniNetworkTest, WhatComesInAtTheInterfaceComesOutOfTheTap) {
  Configure("ptp");
  absl::StatusOr<PodLink> link = Add(id_);
  ASSERT_TRUE(link.ok()) << link.status();

  // The host asks for the pod's MAC address, a broadcast.
  Shell("bash -c 'echo hello >/dev/udp/10.55.0.2/9'");

  bool asked = false;
  char frame[4096];
  ssize_t size;
  while ((size = read(link->tap.get(), frame, sizeof(frame))) > 0) {
    // Behind the virtio header of 10 bytes: an ARP request.
    asked |= size > 24 && frame[22] == 0x08 && frame[23] == 0x06;
  }
  EXPECT_TRUE(asked);

  link->tap.Reset();
  EXPECT_TRUE(Remove(id_, records_[1].json).ok());
}

TEST_F(CniNetworkTest, APodIsRemovedByWhatWasConfiguredWhenItCame) {
  Configure("bridge");
  absl::StatusOr<PodLink> link = Add(id_);
  ASSERT_TRUE(link.ok()) << link.status();
  link->tap.Reset();
  ASSERT_EQ(unlink((directory_ + "/conf/10.conflist").c_str()), 0);

  EXPECT_TRUE(Remove(id_, records_[1].json).ok());
  EXPECT_TRUE(Remove(id_, records_[1].json).ok()) << "twice";
}

TEST_F(CniNetworkTest, AnAddThatWasCutOffIsUndoneByTheFirstRecord) {
  Configure("ptp");
  absl::StatusOr<PodLink> link = Add(id_);
  ASSERT_TRUE(link.ok()) << link.status();
  link->tap.Reset();

  EXPECT_TRUE(Remove(id_, records_[0].json).ok());
}

TEST_F(CniNetworkTest, AfterARebootOfTheHostTheLeaseIsReleased) {
  Configure("ptp");
  absl::StatusOr<PodLink> link = Add(id_);
  ASSERT_TRUE(link.ok()) << link.status();
  link->tap.Reset();
  ASSERT_TRUE(
      RemoveNetworkNamespace(directory_ + "/netns/" + id_.value()).ok());

  EXPECT_TRUE(Remove(id_, records_[1].json).ok());
}

TEST_F(CniNetworkTest, APodWithoutARecordIsSwept) {
  Configure("ptp");
  absl::StatusOr<PodLink> link = Add(id_);
  ASSERT_TRUE(link.ok()) << link.status();
  link->tap.Reset();

  EXPECT_TRUE(network_->Sweep({id_}, clock_.Now() + absl::Seconds(30)).ok());
  EXPECT_NE(Leases(), "");
  EXPECT_TRUE(network_->Sweep({}, clock_.Now() + absl::Seconds(30)).ok());
}

// The packaged plugins of today's Debian have no GC, so this one is a script.
TEST_F(CniNetworkTest, ASweepHasTheNetworkForgetPodsThatNothingIsLeftOf) {
  ASSERT_TRUE(WriteFileAtomically(directory_ + "/conf/10.conflist",
                                  R"({"cniVersion":"1.1.0","name":"test",)"
                                  R"("plugins":[{"type":"keeper"}]})")
                  .ok());
  ASSERT_TRUE(WriteFileAtomically(
                  directory_ + "/keeper",
                  absl::StrCat("#!/bin/sh\necho $CNI_COMMAND >", directory_,
                               "/call\ncat >>", directory_, "/call\n"),
                  0755)
                  .ok());
  CniNetwork network(
      {directory_ + "/netns", directory_ + "/conf", {directory_}}, &clock_);

  EXPECT_TRUE(network.Sweep({id_}, clock_.Now() + absl::Seconds(30)).ok());

  const std::string call = ReadFile(directory_ + "/call").value_or("");
  EXPECT_TRUE(absl::StrContains(call, "GC\n")) << call;
  EXPECT_TRUE(absl::StrContains(call, id_.value())) << call;
}

TEST_F(CniNetworkTest, WithoutAConfigurationNothingIsMadeAndTheReasonIsGiven) {
  const absl::Status ready = network_->Ready();
  EXPECT_TRUE(absl::IsFailedPrecondition(ready));
  EXPECT_TRUE(absl::StrContains(ready.message(), "/conf")) << ready;

  EXPECT_TRUE(absl::IsFailedPrecondition(Add(id_).status()));
  EXPECT_TRUE(records_.empty());
}

TEST_F(CniNetworkTest, CheckFindsAnInterfaceThatIsGone) {
  Configure("ptp");
  absl::StatusOr<PodLink> link = Add(id_);
  ASSERT_TRUE(link.ok()) << link.status();
  const absl::Time soon = clock_.Now() + absl::Seconds(30);

  EXPECT_TRUE(network_->Check(records_[1].json, soon).ok());
  link->tap.Reset();
  ASSERT_TRUE(RunInNetworkNamespace(directory_ + "/netns/" + id_.value(), [&] {
                Shell("ip link del eth0");
                return absl::OkStatus();
              }).ok());
  EXPECT_FALSE(network_->Check(records_[1].json, soon).ok());

  EXPECT_TRUE(Remove(id_, records_[1].json).ok());
}

}  // namespace
}  // namespace podvisor
