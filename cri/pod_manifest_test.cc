#include "cri/pod_manifest.h"

#include <string>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"

namespace podvisor {
namespace {

constexpr char kFull[] = R"(apiVersion: v1
kind: Pod
metadata:
  name: web
  namespace: shop
  labels: {app: web}
spec:
  containers:
  - name: nginx
    image: nginx:1.25
    command: ["nginx"]
    args: [-g, "daemon off;"]
    workingDir: /srv
    env:
    - name: MODE
      value: "on"
    volumeMounts:
    - {name: data, mountPath: /data, readOnly: true}
    resources:
      requests: {cpu: 250m}
      limits: {cpu: "2", memory: 512Mi}
    securityContext:
      runAsUser: 33
      capabilities: {drop: [ALL], add: [NET_BIND_SERVICE]}
    imagePullPolicy: Always
  volumes:
  - name: data
    hostPath: {path: /srv/data}
  shareProcessNamespace: true
  hostUsers: false
  securityContext:
    runAsUser: 1000
    runAsGroup: 1001
)";

std::string WithContainer(const char* fields) {
  return absl::StrCat(
      "apiVersion: v1\nkind: Pod\nmetadata: {name: a}\nspec:\n  containers:\n"
      "  - name: c\n    image: i\n",
      fields);
}

TEST(PodManifestTest, FullManifest) {
  const auto pod = ParsePodManifest(kFull, "pod.yaml");

  ASSERT_TRUE(pod.ok()) << pod.status();
  EXPECT_EQ(pod->name, "web");
  EXPECT_EQ(pod->name_space, "shop");
  EXPECT_EQ(pod->labels.at("app"), "web");
  EXPECT_TRUE(pod->share_process_namespace);
  EXPECT_FALSE(pod->host_users);
  ASSERT_EQ(pod->containers.size(), 1u);
  const ManifestContainer& container = pod->containers[0];
  EXPECT_EQ(container.args, (std::vector<std::string>{"-g", "daemon off;"}));
  EXPECT_EQ(container.env[0].second, "on");
  EXPECT_EQ(container.mounts[0].host_path, "/srv/data");
  EXPECT_TRUE(container.mounts[0].read_only);
  EXPECT_EQ(container.cpu_limit_millis, 2000);
  EXPECT_EQ(container.cpu_request_millis, 250);
  EXPECT_EQ(container.memory_limit_bytes, 512 << 20);
  EXPECT_EQ(container.run_as_user, 33);
  EXPECT_EQ(container.run_as_group, 1001);
  EXPECT_EQ(container.drop_capabilities, std::vector<std::string>{"ALL"});
  ASSERT_EQ(pod->warnings.size(), 1u);
  EXPECT_TRUE(absl::StrContains(pod->warnings[0], "imagePullPolicy"));
}

struct BadCase {
  const char* name;
  std::string yaml;
  const char* message;
};

class BadManifestTest : public testing::TestWithParam<BadCase> {};

TEST_P(BadManifestTest, SaysWhereAndWhat) {
  const auto pod = ParsePodManifest(GetParam().yaml, "p.yaml");

  ASSERT_TRUE(absl::IsInvalidArgument(pod.status())) << pod.status();
  EXPECT_TRUE(absl::StrContains(pod.status().message(), GetParam().message))
      << pod.status();
}

INSTANTIATE_TEST_SUITE_P(
    All, BadManifestTest,
    testing::Values(
        BadCase{"Empty", "", "p.yaml:1: has 0 documents"},
        BadCase{"NotYaml", "a: [", "p.yaml:"},
        BadCase{"NotAMap", "- a\n", "a map is needed"},
        BadCase{
            "OtherKind", "apiVersion: v1\nkind: Job\n",
            "kind: only a manifest with apiVersion v1 and kind Pod is taken"},
        BadCase{"TwoDocuments", "a: b\n---\nc: d\n", "has 2 documents"},
        BadCase{"NoContainers",
                "apiVersion: v1\nkind: Pod\nmetadata: {name: a}\nspec: {}\n",
                "spec.containers: is missing"},
        BadCase{"NoName", "apiVersion: v1\nkind: Pod\nmetadata: {}\nspec: {}\n",
                "metadata.name: is missing"},
        BadCase{"Misspelt", WithContainer("    comand: [a]\n"),
                "p.yaml:8: spec.containers[0].comand: is not known; did you "
                "mean \"command\"?"},
        BadCase{"Unsupported", WithContainer("    lifecycle: {}\n"),
                "spec.containers[0].lifecycle: is not supported by `run`"},
        BadCase{"Twice", WithContainer("    image: j\n"), "is given twice"},
        BadCase{"TwoOfOneName", WithContainer("  - name: c\n    image: j\n"),
                "spec.containers[1]: \"c\" is another container's name"},
        BadCase{"TextForList", WithContainer("    command: nginx\n"),
                "spec.containers[0].command: a list is needed"},
        BadCase{"ListForText", WithContainer("    workingDir: [a]\n"),
                "a string is needed"},
        BadCase{"BadFlag", WithContainer("    tty: yes\n"),
                "true or false is needed"},
        BadCase{"BadQuantity",
                WithContainer("    resources: {limits: {cpu: lots}}\n"),
                "\"lots\" is not a quantity"},
        BadCase{"RequestAboveLimit",
                WithContainer("    resources: {limits: {cpu: 1}, requests: "
                              "{cpu: 2}}\n"),
                "the cpu request is larger than the limit"},
        BadCase{"UnknownVolume",
                WithContainer("    volumeMounts: [{name: x, mountPath: /x}]\n"),
                "there is no volume \"x\""},
        BadCase{"EmptyDir",
                WithContainer("  volumes: [{name: x, emptyDir: {}}]\n"),
                "emptyDir: is not supported"},
        BadCase{"TooDeep",
                WithContainer("    command: ") + std::string(1000, '[') + "\n",
                "nested too deeply"},
        BadCase{"TooLong", std::string((1 << 20) + 1, '#'), "longer than"}),
    [](const testing::TestParamInfo<BadCase>& info) {
      return std::string(info.param.name);
    });

TEST(PodManifestTest, AnyCutIsAnErrorOrAPod) {
  const std::string full = kFull;
  for (size_t length = 0; length < full.size(); ++length) {
    const auto pod = ParsePodManifest(full.substr(0, length), "p.yaml");
    EXPECT_TRUE(pod.ok() || absl::IsInvalidArgument(pod.status()));
  }
}

}  // namespace
}  // namespace podvisor
