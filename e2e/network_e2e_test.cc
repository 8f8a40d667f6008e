// What a pod's network is to its users: addresses, peers, the host, host ports,
// names, and nothing that stays behind. The host here is the network namespace
// of the test, see TestNode.

#include <signal.h>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "base/file.h"
#include "base/process.h"
#include "e2e/test_node.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace podvisor::e2e {
namespace {

using testing::HasSubstr;

constexpr char kServer[] =
    "mkdir /tmp/www; hostname >/tmp/www/name; httpd -f -p 8080 -h /tmp/www";

class NetworkE2eTest : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    node_ = new TestNode();
    node_->PullImage();
  }
  static void TearDownTestSuite() { delete node_; }

  struct Running {
    std::string pod;
    std::string container;
    std::string ip;
    std::string ip6;
  };

  static cri::PodSandboxNetworkStatus NetworkOf(const std::string& pod) {
    cri::PodSandboxStatusRequest request;
    request.set_pod_sandbox_id(pod);
    cri::PodSandboxStatusResponse response;
    Call call;
    EXPECT_TRUE(
        node_->runtime().PodSandboxStatus(&call, request, &response).ok());
    return response.status().network();
  }
  static Running RunServer(const cri::PodSandboxConfig& config) {
    Running running;
    running.pod = node_->RunPod(config);
    running.container = node_->CreateContainer(
        running.pod, node_->ContainerConfig("server", kServer), config);
    node_->StartContainer(running.container);
    const cri::PodSandboxNetworkStatus network = NetworkOf(running.pod);
    running.ip = network.ip();
    if (network.additional_ips_size() > 0) {
      running.ip6 = network.additional_ips(0).ip();
    }
    return running;
  }
  // A command on the host.
  static std::string Host(const std::string& script) {
    CommandOptions options;
    options.argv = {"sh", "-c", script};
    options.deadline = absl::Now() + absl::Seconds(30);
    return RunCommand(options)->stdout_data;
  }
  static std::string Fetch(const std::string& address) {
    return Host(absl::StrCat("curl -s --retry 20 --retry-connrefused ",
                             "--retry-delay 1 --max-time 20 -g http://",
                             address, "/name"));
  }
  static bool NetworkReady() {
    cri::StatusResponse response;
    Call call;
    EXPECT_TRUE(node_->runtime().Status(&call, {}, &response).ok());
    return response.status().conditions(1).status();
  }

  static TestNode* node_;
};

TestNode* NetworkE2eTest::node_ = nullptr;

TEST_F(NetworkE2eTest, PodsAndTheHostReachEachOtherByBothFamilies) {
  const Running one = RunServer(node_->PodConfig("one"));
  const Running two = RunServer(node_->PodConfig("two"));
  ASSERT_NE(one.ip, "");
  ASSERT_NE(one.ip6, "");
  ASSERT_NE(one.ip, two.ip);

  EXPECT_EQ(Fetch(one.ip + ":8080"), "one\n");
  EXPECT_EQ(Fetch("[" + two.ip6 + "]:8080"), "two\n");
  EXPECT_EQ(node_->Exec(one.container,
                        {"wget", "-qO-", "http://" + two.ip + ":8080/name"}),
            "two\n");
  EXPECT_EQ(node_->Exec(two.container,
                        {"wget", "-qO-", "http://[" + one.ip6 + "]:8080/name"}),
            "one\n");
  // The host, by the pod's gateway.
  EXPECT_THAT(
      node_->Exec(one.container, {"sh", "-c",
                                  "ping -c 1 -W 5 $(ip route | sed -n "
                                  "'s/^default via \\([^ ]*\\).*/\\1/p')"}),
      HasSubstr("1 packets received"));

  node_->RemovePod(one.pod);
  node_->RemovePod(two.pod);
  EXPECT_EQ(node_->Leftovers(), "");
}

TEST_F(NetworkE2eTest, TheInterfaceIsAsThePluginMadeIt) {
  cri::PodSandboxConfig config = node_->PodConfig("seen");
  config.mutable_dns_config()->add_servers("10.0.0.10");
  config.mutable_dns_config()->add_searches("svc.example");
  const Running pod = RunServer(config);

  const std::string link =
      node_->Exec(pod.container, {"ip", "addr", "show", "eth0"});
  EXPECT_THAT(link, HasSubstr("mtu 1450"));
  EXPECT_THAT(link, HasSubstr(pod.ip + "/24"));
  EXPECT_THAT(link, HasSubstr(pod.ip6 + "/64"));
  EXPECT_THAT(link, testing::Not(HasSubstr("tentative")));
  EXPECT_EQ(node_->Exec(pod.container, {"cat", "/etc/resolv.conf"}),
            "nameserver 10.0.0.10\nsearch svc.example\n");
  EXPECT_EQ(node_->Exec(pod.container, {"hostname"}), "seen\n");
  node_->RemovePod(pod.pod);
}

TEST_F(NetworkE2eTest, APodsNetworkOutlivesTheDaemon) {
  const Running pod = RunServer(node_->PodConfig("lasting"));
  node_->EndDaemon(SIGKILL);

  EXPECT_EQ(Fetch(pod.ip + ":8080"), "lasting\n");
  node_->StartDaemon();

  EXPECT_EQ(NetworkOf(pod.pod).ip(), pod.ip);
  EXPECT_EQ(Fetch(pod.ip + ":8080"), "lasting\n");
  node_->RemovePod(pod.pod);
  EXPECT_EQ(node_->Leftovers(), "");
}

TEST_F(NetworkE2eTest, ADaemonThatIsKilledWhileAPodStartsLeavesNothing) {
  cri::RunPodSandboxRequest request;
  *request.mutable_config() = node_->PodConfig("cut");
  cri::RunPodSandboxResponse response;
  Call call;
  grpc::CompletionQueue queue;
  const auto reader =
      node_->runtime().AsyncRunPodSandbox(&call, request, &queue);
  grpc::Status status;
  reader->Finish(&response, &status, nullptr);
  ASSERT_TRUE(AwaitTrue(absl::Seconds(20), [] {
    return Host("ls " + node_->directory() + "/run/netns") != "";
  }));
  node_->EndDaemon(SIGKILL);
  void* tag = nullptr;
  bool ok = false;
  queue.Next(&tag, &ok);
  queue.Shutdown();

  node_->StartDaemon();
  EXPECT_EQ(node_->Leftovers(), "");
}

TEST_F(NetworkE2eTest, WithoutAConfigurationNoPodStartsAndTheNodeSaysWhy) {
  const std::string conflist = node_->directory() + "/net.d/10-e2e.conflist";
  ASSERT_TRUE(NetworkReady());
  ASSERT_EQ(rename(conflist.c_str(), (conflist + ".off").c_str()), 0);

  cri::RunPodSandboxRequest request;
  *request.mutable_config() = node_->PodConfig("none");
  cri::RunPodSandboxResponse response;
  Call call;
  const grpc::Status status =
      node_->runtime().RunPodSandbox(&call, request, &response);
  EXPECT_EQ(status.error_code(), grpc::StatusCode::FAILED_PRECONDITION);
  EXPECT_THAT(status.error_message(), HasSubstr("net.d"));
  EXPECT_TRUE(AwaitTrue(absl::Seconds(20), [] { return !NetworkReady(); }));
  EXPECT_EQ(node_->Leftovers(), "");

  ASSERT_EQ(rename((conflist + ".off").c_str(), conflist.c_str()), 0);
  EXPECT_TRUE(AwaitTrue(absl::Seconds(20), [] { return NetworkReady(); }));
}

TEST_F(NetworkE2eTest, AHostPortLeadsToThePodAlsoFromLoopback) {
  const std::string conflist = node_->directory() + "/net.d/10-e2e.conflist";
  Host(
      absl::StrCat("sed -i 's/}]}$/},{\"type\":\"portmap\",\"snat\":true,"
                   "\"capabilities\":{\"portMappings\":true}}]}/' ",
                   conflist));
  cri::PodSandboxConfig config = node_->PodConfig("ported");
  auto* port = config.add_port_mappings();
  port->set_container_port(8080);
  port->set_host_port(18080);
  const Running pod = RunServer(config);

  ASSERT_EQ(Fetch(pod.ip + ":8080"), "ported\n");
  EXPECT_EQ(Fetch("127.0.0.1:18080"), "ported\n");
  node_->RemovePod(pod.pod);
  EXPECT_EQ(Host("iptables -t nat -S | grep -c 18080"), "0\n");
}

}  // namespace
}  // namespace podvisor::e2e
