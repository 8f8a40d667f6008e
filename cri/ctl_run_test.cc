#include "cri/ctl_run.h"

#include <sstream>
#include <string>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "cri/ctl_vms.h"
#include "gtest/gtest.h"

namespace podvisor {
namespace {

// A CRI server that runs nothing and remembers what it was told.
class FakeCriClient final : public CriClient {
 public:
  absl::StatusOr<std::string> PullImage(const std::string& image) override {
    return absl::StrCat("sha256:", image);
  }
  absl::StatusOr<std::string> RunPod(
      const runtime::v1::PodSandboxConfig& config,
      const std::string&) override {
    pod = config;
    return std::string("pod1");
  }
  absl::StatusOr<std::string> RunContainer(
      const std::string&, const runtime::v1::ContainerConfig& config,
      const runtime::v1::PodSandboxConfig&) override {
    if (config.metadata().name() == failing_container) {
      return absl::ResourceExhaustedError("the host has no memory left");
    }
    containers.push_back(config);
    return absl::StrCat("c", containers.size());
  }
  absl::Status RemovePod(const std::string& pod_id) override {
    removed = pod_id;
    return absl::OkStatus();
  }
  absl::StatusOr<std::vector<runtime::v1::PodSandbox>> ListPods() override {
    runtime::v1::PodSandbox sandbox;
    sandbox.set_id("0123456789abcdef");
    sandbox.mutable_metadata()->set_name("web");
    sandbox.mutable_metadata()->set_namespace_("shop");
    return std::vector<runtime::v1::PodSandbox>{sandbox};
  }
  absl::StatusOr<runtime::v1::PodSandboxStatusResponse> PodStatus(
      const std::string&) override {
    if (!status_error.ok()) return status_error;
    runtime::v1::PodSandboxStatusResponse response;
    (*response.mutable_info())["info"] = info;
    return response;
  }

  runtime::v1::PodSandboxConfig pod;
  std::vector<runtime::v1::ContainerConfig> containers;
  std::string failing_container;
  std::string removed;
  std::string info;
  absl::Status status_error;
};

PodManifest TwoContainers() {
  PodManifest manifest;
  manifest.name = "web";
  manifest.containers.resize(2);
  manifest.containers[0].name = "a";
  manifest.containers[0].image = "x";
  manifest.containers[0].cpu_limit_millis = 1500;
  manifest.containers[0].cpu_request_millis = 500;
  manifest.containers[0].memory_limit_bytes = 64 << 20;
  manifest.containers[1] = manifest.containers[0];
  manifest.containers[1].name = "b";
  return manifest;
}

PodRequestOptions Options() {
  return {"uid1", testing::TempDir() + "/ctl-run-logs",
          "search a b\nnameserver 127.0.0.53\nnameserver 10.0.0.1\n"
          "options ndots:2\n"};
}

TEST(CtlRunTest, QuantitiesBecomeWhatKubeletSends) {
  const PodRequests requests = MakePodRequests(TwoContainers(), Options());

  const auto& container = requests.containers[0].linux().resources();
  EXPECT_EQ(container.cpu_period(), 100'000);
  EXPECT_EQ(container.cpu_quota(), 150'000);
  EXPECT_EQ(container.cpu_shares(), 512);
  EXPECT_EQ(container.memory_limit_in_bytes(), 64 << 20);
  const auto& pod = requests.pod.linux().resources();
  EXPECT_EQ(pod.cpu_quota(), 300'000);
  EXPECT_EQ(pod.cpu_shares(), 1024);
  EXPECT_EQ(pod.memory_limit_in_bytes(), 128 << 20);
}

TEST(CtlRunTest, OneContainerWithoutALimitLeavesThePodWithout) {
  PodManifest manifest = TwoContainers();
  manifest.containers[1].memory_limit_bytes = 0;
  manifest.containers[1].cpu_limit_millis = 0;

  const PodRequests requests = MakePodRequests(manifest, Options());

  EXPECT_EQ(requests.pod.linux().resources().memory_limit_in_bytes(), 0);
  EXPECT_EQ(requests.pod.linux().resources().cpu_quota(), 0);
  EXPECT_EQ(requests.containers[1].linux().resources().cpu_quota(), 0);
}

TEST(CtlRunTest, DnsIsTheHostsWithoutItsLoopback) {
  const PodRequests requests = MakePodRequests(TwoContainers(), Options());

  const auto& dns = requests.pod.dns_config();
  ASSERT_EQ(dns.servers_size(), 1);
  EXPECT_EQ(dns.servers(0), "10.0.0.1");
  EXPECT_EQ(dns.searches_size(), 2);
  EXPECT_EQ(dns.options(0), "ndots:2");
}

TEST(CtlRunTest, PidNamespaceIsExplicit) {
  PodManifest manifest = TwoContainers();
  const auto pid = [&] {
    return MakePodRequests(manifest, Options())
        .pod.linux()
        .security_context()
        .namespace_options()
        .pid();
  };

  EXPECT_EQ(pid(), runtime::v1::CONTAINER);
  manifest.share_process_namespace = true;
  EXPECT_EQ(pid(), runtime::v1::POD);
  manifest.host_pid = true;
  EXPECT_EQ(pid(), runtime::v1::NODE);
}

TEST(CtlRunTest, ContainersRunFromThePulledImage) {
  FakeCriClient client;
  std::ostringstream out;

  const absl::Status status =
      RunPodManifest(client, TwoContainers(), Options(), out);

  ASSERT_TRUE(status.ok()) << status;
  ASSERT_EQ(client.containers.size(), 2u);
  EXPECT_EQ(client.containers[0].image().image(), "sha256:x");
  EXPECT_EQ(client.containers[0].image().user_specified_image(), "x");
  EXPECT_EQ(client.removed, "");
  EXPECT_TRUE(absl::StrContains(out.str(), "pod pod1 default/web"))
      << out.str();
  EXPECT_TRUE(absl::StrContains(out.str(), "container c2 b")) << out.str();
}

TEST(CtlRunTest, AFailureLeavesNoPod) {
  FakeCriClient client;
  client.failing_container = "b";
  std::ostringstream out;

  const absl::Status status =
      RunPodManifest(client, TwoContainers(), Options(), out);

  EXPECT_TRUE(absl::IsResourceExhausted(status));
  EXPECT_TRUE(absl::StrContains(status.message(), "container b"));
  EXPECT_EQ(client.removed, "pod1");
}

TEST(CtlVmsTest, SizesAreAskedPluggedOnline) {
  FakeCriClient client;
  client.info =
      R"({"state":"ready","vcpus":{"target":4,"plugged":4,"online":3},)"
      R"("memoryBytes":{"target":4294967296,"plugged":2147483648,"online":1}})";
  std::ostringstream out;

  ASSERT_TRUE(PrintVms(client, out).ok());

  EXPECT_TRUE(absl::StrContains(out.str(), "0123456789ab  shop/web"))
      << out.str();
  EXPECT_TRUE(absl::StrContains(out.str(), "4/4/3")) << out.str();
  EXPECT_TRUE(absl::StrContains(out.str(), "4096/2048/0")) << out.str();
}

TEST(CtlVmsTest, OddInfoIsAQuestionMark) {
  FakeCriClient client;
  for (const char* info : {"", "{", "[]", "{\"vcpus\":3}",
                           "{\"vcpus\":{\"target\":\"x\"},\"state\":5}"}) {
    client.info = info;
    std::ostringstream out;
    EXPECT_TRUE(PrintVms(client, out).ok()) << info;
    EXPECT_TRUE(absl::StrContains(out.str(), "?")) << info;
  }
  client.status_error = absl::UnavailableError("gone");
  std::ostringstream out;
  EXPECT_TRUE(PrintVms(client, out).ok());
  EXPECT_TRUE(absl::StrContains(out.str(), "gone"));
}

TEST(CtlConsoleTest, LastLinesWithoutControlCharacters) {
  const std::string path = testing::TempDir() + "/console.log";
  FILE* file = fopen(path.c_str(), "w");
  fputs("one\r\ntwo\r\nthr\x1b[2Jee\r\n", file);
  fclose(file);
  FakeCriClient client;
  client.info = absl::StrCat("{\"consolePath\":\"", path, "\"}");
  std::ostringstream out;

  const absl::Status status = PrintConsole(client, "web", 2, out);

  ASSERT_TRUE(status.ok()) << status;
  EXPECT_TRUE(absl::StartsWith(out.str(), "two\nthr")) << out.str();
  EXPECT_FALSE(absl::StrContains(out.str(), "\x1b"));
  EXPECT_TRUE(absl::IsNotFound(PrintConsole(client, "nope", 2, out)));
}

}  // namespace
}  // namespace podvisor
