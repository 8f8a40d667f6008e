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
using testing::StartsWith;

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
  // But not what the host has on its loopback: the daemon's streams.
  cri::ExecRequest exec;
  exec.set_container_id(one.container);
  exec.add_cmd("true");
  exec.set_stdout(true);
  cri::ExecResponse stream;
  Call call;
  ASSERT_TRUE(node_->runtime().Exec(&call, exec, &stream).ok());
  ASSERT_THAT(stream.url(), StartsWith("http://127.0.0.1:"));
  const std::string port =
      stream.url().substr(17, stream.url().find('/', 17) - 17);
  EXPECT_EQ(node_->Exec(one.container,
                        {"sh", "-c",
                         absl::StrCat("nc -w 5 $(ip route | sed -n "
                                      "'s/^default via \\([^ ]*\\).*/\\1/p') ",
                                      port, " </dev/null || echo refused")}),
            "refused\n");
  // Nobody who reads the log can use its token.
  EXPECT_THAT(ReadFile(node_->directory() + "/podvisord.log").value_or(""),
              testing::Not(
                  HasSubstr(stream.url().substr(stream.url().rfind('/') + 1))));

  node_->RemovePod(one.pod);
  node_->RemovePod(two.pod);
  EXPECT_EQ(node_->Leftovers(), "");
}

TEST_F(NetworkE2eTest, TheInterfaceIsAsThePluginMadeIt) {
  cri::PodSandboxConfig config = node_->PodConfig("seen");
  config.mutable_dns_config()->add_servers("10.0.0.10");
  config.mutable_dns_config()->add_searches("svc.example");
  constexpr char kBacklog[] = "/proc/sys/net/core/somaxconn";
  const std::string host_backlog = ReadFile(kBacklog).value_or("none");
  (*config.mutable_linux()->mutable_sysctls())["net.core.somaxconn"] = "1234";
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
  const std::string hosts = node_->Exec(pod.container, {"cat", "/etc/hosts"});
  EXPECT_THAT(hosts, HasSubstr("127.0.0.1\tlocalhost\n"));
  EXPECT_THAT(hosts, HasSubstr(pod.ip + "\tseen\n"));
  EXPECT_THAT(hosts, HasSubstr(pod.ip6 + "\tseen\n"));
  // Nobody on the link tells the pod where to send.
  EXPECT_EQ(node_->Exec(pod.container,
                        {"cat", "/proc/sys/net/ipv6/conf/eth0/accept_ra",
                         "/proc/sys/net/ipv6/conf/eth0/accept_redirects"}),
            "0\n0\n");
  EXPECT_EQ(node_->Exec(pod.container, {"cat", kBacklog}), "1234\n");
  EXPECT_EQ(ReadFile(kBacklog).value_or("none"), host_backlog);
  node_->RemovePod(pod.pod);
}

// CVE-2022-0811: what follows the first value named other sysctls, of the host.
TEST_F(NetworkE2eTest, ASysctlsValueIsOneValueAndTheGuests) {
  constexpr char kPattern[] = "/proc/sys/kernel/core_pattern";
  const std::string before = ReadFile(kPattern).value_or("none");
  cri::RunPodSandboxRequest request;
  *request.mutable_config() = node_->PodConfig("injected");
  auto& sysctls = *request.mutable_config()->mutable_linux()->mutable_sysctls();
  sysctls["kernel.shm_rmid_forced"] =
      "1+kernel.core_pattern=|/bin/sh,kernel.core_pattern=|/bin/sh "
      "kernel.core_pattern=|/bin/sh;kernel.core_pattern=|/bin/sh";
  cri::RunPodSandboxResponse response;
  Call call;

  const grpc::Status status =
      node_->runtime().RunPodSandbox(&call, request, &response);

  EXPECT_EQ(status.error_code(), grpc::StatusCode::INVALID_ARGUMENT);
  EXPECT_THAT(status.error_message(), HasSubstr("kernel.shm_rmid_forced"));
  EXPECT_EQ(ReadFile(kPattern).value_or("none"), before);
  EXPECT_EQ(node_->Leftovers(), "");
}

TEST_F(NetworkE2eTest, APodThatAsksForNoDnsResolvesAsItsHostDoes) {
  const Running pod = RunServer(node_->PodConfig("asks-nothing"));

  EXPECT_EQ(node_->Exec(pod.container, {"cat", "/etc/resolv.conf"}),
            ReadFile("/etc/resolv.conf").value_or(""));
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

// From here on the network also has portmap and bandwidth.
class ChainedNetworkE2eTest : public NetworkE2eTest {
 protected:
  void SetUp() override {
    const std::string conflist = node_->directory() + "/net.d/10-e2e.conflist";
    if (ReadFile(conflist)->find("portmap") != std::string::npos) return;
    Host(absl::StrCat(
        "sed -i 's/}]}$/},{\"type\":\"portmap\",\"snat\":true,"
        "\"capabilities\":{\"portMappings\":true}},{\"type\":\"bandwidth\","
        "\"capabilities\":{\"bandwidth\":true}}]}/' ",
        conflist));
  }
  static void AddPort(cri::Protocol protocol, int container_port, int host_port,
                      cri::PodSandboxConfig& config) {
    auto* port = config.add_port_mappings();
    port->set_protocol(protocol);
    port->set_container_port(container_port);
    port->set_host_port(host_port);
  }
};

TEST_F(ChainedNetworkE2eTest, AHostPortLeadsToThePodAlsoFromLoopback) {
  cri::PodSandboxConfig config = node_->PodConfig("ported");
  AddPort(cri::TCP, 8080, 18080, config);
  AddPort(cri::UDP, 8081, 18081, config);
  AddPort(cri::SCTP, 8082, 18082, config);
  const Running pod = RunServer(config);

  ASSERT_EQ(Fetch(pod.ip + ":8080"), "ported\n");
  EXPECT_EQ(Fetch("127.0.0.1:18080"), "ported\n");
  const std::string rules = Host("iptables -t nat -S");
  EXPECT_THAT(rules, HasSubstr("-p udp -m udp --dport 18081 -j DNAT"));
  EXPECT_THAT(rules, HasSubstr("-p sctp -m sctp --dport 18082 -j DNAT"));
  node_->RemovePod(pod.pod);
  EXPECT_EQ(Host("iptables -t nat -S | grep -c 1808"), "0\n");
}

// A datagram has no answer that says it came: the guest counts it.
TEST_F(ChainedNetworkE2eTest, ADatagramForAHostPortReachesTheGuest) {
  cri::PodSandboxConfig config = node_->PodConfig("datagram");
  AddPort(cri::UDP, 8081, 18081, config);
  const Running pod = RunServer(config);
  ASSERT_EQ(Fetch(pod.ip + ":8080"), "datagram\n");

  EXPECT_TRUE(AwaitTrue(absl::Seconds(20), [&] {
    Host("bash -c 'echo hello >/dev/udp/127.0.0.1/18081'");
    // The column NoPorts, udp(7): a datagram that nobody listens for.
    return node_->Exec(pod.container,
                       {"sh", "-c",
                        "awk '/^Udp:/ && $3 ~ /[0-9]/ {print ($3 > 0)}' "
                        "/proc/net/snmp"}) == "1\n";
  }));
  node_->RemovePod(pod.pod);
}

TEST_F(ChainedNetworkE2eTest, ThePluginShapesWhatAnnotationsLimit) {
  cri::PodSandboxConfig config = node_->PodConfig("shaped");
  (*config.mutable_annotations())["kubernetes.io/ingress-bandwidth"] = "8M";
  (*config.mutable_annotations())["kubernetes.io/egress-bandwidth"] = "4M";
  const Running pod = RunServer(config);

  ASSERT_EQ(Fetch(pod.ip + ":8080"), "shaped\n");
  const std::string shapes = Host("tc qdisc show | grep tbf");
  EXPECT_THAT(shapes, HasSubstr("rate 8Mbit"));
  EXPECT_THAT(shapes, HasSubstr("rate 4Mbit"));
  node_->RemovePod(pod.pod);
  EXPECT_EQ(Host("tc qdisc show | grep -c tbf; ip link show type ifb"), "0\n");
}

}  // namespace
}  // namespace podvisor::e2e
