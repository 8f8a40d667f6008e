#include "cri/ctl_run.h"

#include <unistd.h>

#include <sstream>
#include <string>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "base/file.h"
#include "cri/convert_container.h"
#include "cri/convert_ids.h"
#include "cri/convert_pod.h"
#include "cri/fake_cri_client.h"
#include "gtest/gtest.h"

namespace podvisor {
namespace {

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

TEST(CtlRunTest, APodWithoutTheHostsUsersIsTakenWithOneMappingForAllOfIt) {
  PodManifest manifest = TwoContainers();
  manifest.containers[0].mounts = {{.host_path = "/srv", .mount_path = "/v"}};
  EXPECT_EQ(
      ConvertPod(MakePodRequests(manifest, Options()).pod, "").value().ids,
      std::nullopt);
  manifest.host_users = false;
  const PodRequests requests = MakePodRequests(manifest, Options());

  const PodSpec pod = ConvertPod(requests.pod, "").value();
  ASSERT_TRUE(pod.ids.has_value());
  const ContainerSpec container =
      ConvertContainer(requests.containers[0], requests.pod).value().spec;
  EXPECT_EQ(container.mounts[0].ids, pod.ids);
  EXPECT_TRUE(CheckIdsOfPod(pod.ids, requests.containers[0], container).ok());
}

TEST(CtlRunTest, ContainersRunFromThePulledImage) {
  FakeCriClient client;
  std::ostringstream out;

  const absl::Status status =
      RunPodManifest(client, TwoContainers(), Options(), out);

  ASSERT_TRUE(status.ok()) << status;
  ASSERT_EQ(client.started.size(), 2u);
  EXPECT_EQ(client.started[0].image().image(), "sha256:x");
  EXPECT_EQ(client.started[0].image().user_specified_image(), "x");
  EXPECT_EQ(client.removed, "");
  EXPECT_TRUE(absl::StrContains(out.str(), "pod pod1 default/web"))
      << out.str();
  EXPECT_TRUE(absl::StrContains(out.str(), "container c2 b")) << out.str();
}

TEST(CtlRunTest, APodThatRunsAlreadyIsNotRunBesideItself) {
  PodManifest manifest = TwoContainers();
  manifest.name_space = "shop";
  FakeCriClient client;
  std::ostringstream out;

  const absl::Status second = RunPodManifest(client, manifest, Options(), out);
  client.pods[0].set_state(runtime::v1::SANDBOX_NOTREADY);
  const absl::Status ended = RunPodManifest(client, manifest, Options(), out);

  EXPECT_TRUE(absl::IsAlreadyExists(second)) << second;
  EXPECT_TRUE(absl::StrContains(second.message(), client.pods[0].id()));
  EXPECT_TRUE(ended.ok()) << ended;
}

TEST(CtlRunTest, AFailureLeavesNoPodAndNoDirectoryOfItsLogs) {
  PodRequestOptions options = Options();
  options.log_directory = testing::TempDir() + "/ctl-run-failed";
  FakeCriClient client;
  client.failing_container = "b";
  std::ostringstream out;

  const absl::Status status =
      RunPodManifest(client, TwoContainers(), options, out);

  EXPECT_TRUE(absl::IsResourceExhausted(status));
  EXPECT_TRUE(absl::StrContains(status.message(), "container b"));
  EXPECT_EQ(client.removed, "pod1");
  EXPECT_NE(access(options.log_directory.c_str(), F_OK), 0);

  // One that was there is somebody's.
  ASSERT_TRUE(MakeDirectories(options.log_directory).ok());
  EXPECT_FALSE(RunPodManifest(client, TwoContainers(), options, out).ok());
  EXPECT_EQ(access(options.log_directory.c_str(), F_OK), 0);
}

}  // namespace
}  // namespace podvisor
