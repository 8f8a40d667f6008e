// The operator's tool against a running daemon.

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "base/file.h"
#include "e2e/test_node.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace podvisor::e2e {
namespace {

using testing::AllOf;
using testing::HasSubstr;

constexpr char kManifest[] = R"(apiVersion: v1
kind: Pod
metadata:
  name: web
  labels: {app: web}
spec:
  containers:
  - name: main
    image: busybox:1.36
    command: [sh, -c, "echo ready; while :; do sleep 0.1; done"]
    resources:
      limits: {cpu: "2", memory: 128Mi}
)";

class PodvisorctlE2eTest : public testing::Test {
 protected:
  CommandResult Ctl(std::vector<std::string> arguments) {
    arguments.insert(arguments.begin(),
                     {"--config", node_.directory() + "/podvisor.toml"});
    return RunProgram("cri/podvisorctl", std::move(arguments));
  }
  std::string Write(const std::string& name, absl::string_view text) {
    const std::string path = absl::StrCat(node_.directory(), "/", name);
    EXPECT_TRUE(WriteFileAtomically(path, text).ok());
    return path;
  }
  int Pods() {
    cri::ListPodSandboxResponse pods;
    Call call;
    EXPECT_TRUE(node_.runtime().ListPodSandbox(&call, {}, &pods).ok());
    return pods.items_size();
  }

  TestNode node_;
};

TEST_F(PodvisorctlE2eTest, RunStartsAPodThatVmsAndConsoleThenShow) {
  const std::string manifest = Write("web.yaml", kManifest);
  const std::string logs = node_.directory() + "/logs/web";

  const CommandResult run = Ctl({"run", "--log-dir", logs, manifest});

  ASSERT_EQ(run.exit_code, 0) << run.stderr_data;
  EXPECT_THAT(run.stdout_data, HasSubstr("default/web"));
  const CommandResult vms = Ctl({"vms"});
  EXPECT_EQ(vms.exit_code, 0) << vms.stderr_data;
  EXPECT_THAT(vms.stdout_data,
              AllOf(HasSubstr("default/web"), HasSubstr("ready"),
                    HasSubstr("2/2/2"), HasSubstr("256/256/256")));
  const CommandResult console = Ctl({"console", "--lines", "5", "web"});
  EXPECT_EQ(console.exit_code, 0) << console.stderr_data;
  EXPECT_FALSE(console.stdout_data.empty());
  EXPECT_LE(std::vector<std::string>(absl::StrSplit(console.stdout_data, '\n'))
                .size(),
            6u);
  EXPECT_TRUE(AwaitTrue(absl::Seconds(10), [&] {
    return absl::StrContains(ReadFile(logs + "/main.log").value_or(""),
                             "stdout F ready");
  })) << logs;
}

TEST_F(PodvisorctlE2eTest, RunThatFailsHalfWayLeavesNoPod) {
  std::string text = kManifest;
  text.append(
      "  - {name: second, image: \"busybox:1.36\", volumeMounts: "
      "[{name: v, mountPath: /v}]}\n"
      "  volumes: [{name: v, hostPath: {path: /no/such/path}}]\n");

  const CommandResult run = Ctl({"run", Write("bad.yaml", text)});

  EXPECT_EQ(run.exit_code, 1);
  EXPECT_THAT(run.stderr_data, HasSubstr("/no/such/path"));
  EXPECT_EQ(Pods(), 0);
}

TEST_F(PodvisorctlE2eTest, AnUnknownPodOrADaemonThatIsNotThereIsAClearError) {
  const CommandResult unknown = Ctl({"console", "nothing"});
  EXPECT_EQ(unknown.exit_code, 1);
  EXPECT_THAT(unknown.stderr_data, HasSubstr("there is no pod \"nothing\""));

  const CommandResult nobody =
      Ctl({"--socket", node_.directory() + "/none.sock", "vms"});
  EXPECT_EQ(nobody.exit_code, 1);
  EXPECT_THAT(nobody.stderr_data, HasSubstr("none.sock"));
}

TEST_F(PodvisorctlE2eTest, CheckAndConfigTellAboutThisNode) {
  const CommandResult check = Ctl({"check"});
  EXPECT_EQ(check.exit_code, 0) << check.stdout_data;
  const CommandResult config = Ctl({"config"});
  EXPECT_THAT(config.stdout_data, HasSubstr(node_.directory() + "/root"));
}

}  // namespace
}  // namespace podvisor::e2e
