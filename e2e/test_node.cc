#include "e2e/test_node.h"

#include <dirent.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/stat.h>

#include <algorithm>
#include <iostream>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/time/clock.h"
#include "base/file.h"
#include "grpc/grpc.h"
#include "grpcpp/create_channel.h"
#include "grpcpp/security/credentials.h"
#include "gtest/gtest.h"
#include "nlohmann/json.hpp"

namespace podvisor::e2e {
namespace {

constexpr size_t kShownLog = 32 << 10;

// Where the test's data files are.
std::string Runfile(const std::string& path) {
  const char* root = getenv("TEST_SRCDIR");
  return absl::StrCat(root == nullptr ? "." : root, "/podvisor/", path);
}

void RunOrDie(const std::vector<std::string>& argv) {
  CommandOptions options;
  options.argv = argv;
  options.deadline = absl::Now() + absl::Seconds(120);
  const absl::StatusOr<CommandResult> result = RunCommand(options);
  if (!result.ok() || result->exit_code != 0) {
    ADD_FAILURE() << argv[0] << ": " << result.status()
                  << (result.ok() ? result->stderr_data : "");
    abort();
  }
}

// What a pod's network makes, veths, routes, sysctls and rules, is made in a
// network namespace of the test's own: nothing of the host is touched. Whatever
// the test starts lives there too, and so loopback is the same for all.
void EnterOwnNetwork() {
  if (unshare(CLONE_NEWNET) != 0) {
    ADD_FAILURE() << "a network namespace: " << strerror(errno);
    abort();
  }
  RunOrDie({"ip", "link", "set", "lo", "up"});
}

// The parent of a process; 0 for one that is gone. proc(5).
pid_t ParentOf(pid_t pid) {
  const std::string stat =
      ReadFile(absl::StrCat("/proc/", pid, "/stat")).value_or("");
  // Behind the name, which ends with the last parenthesis: state, parent.
  const std::vector<std::string> fields =
      absl::StrSplit(stat.substr(stat.rfind(')') + 1), ' ');
  pid_t parent = 0;
  return fields.size() > 2 && absl::SimpleAtoi(fields[2], &parent) ? parent : 0;
}

void AppendEntries(const std::string& directory, std::string& into) {
  std::unique_ptr<DIR, int (*)(DIR*)> entries(opendir(directory.c_str()),
                                              closedir);
  if (entries == nullptr) return;
  while (const dirent* entry = readdir(entries.get())) {
    // A pod's directory is named by 64 digits.
    if (absl::string_view(entry->d_name).size() == 64) {
      absl::StrAppend(&into, "file ", directory, "/", entry->d_name, "\n");
    }
  }
}

// Cables of pods, and addresses that are still taken.
void AppendNetwork(const std::string& directory, std::string& into) {
  CommandOptions options;
  options.argv = {"sh", "-c",
                  absl::StrCat("ip -br link show type veth; cd ", directory,
                               "/leases/e2e 2>/dev/null && ls | grep "
                               "'^[0-9a-f]'")};
  options.deadline = absl::Now() + absl::Seconds(10);
  const absl::StatusOr<CommandResult> result = RunCommand(options);
  absl::StrAppend(&into, result.ok() ? result->stdout_data : "network?\n");
}

nlohmann::json VerboseInfo(cri::RuntimeService::Stub& runtime,
                           const std::string& pod) {
  cri::PodSandboxStatusRequest request;
  request.set_pod_sandbox_id(pod);
  request.set_verbose(true);
  cri::PodSandboxStatusResponse response;
  Call call;
  const grpc::Status status =
      runtime.PodSandboxStatus(&call, request, &response);
  EXPECT_TRUE(status.ok()) << status.error_message();
  return nlohmann::json::parse(
      response.info().count("info") ? response.info().at("info") : "{}");
}

}  // namespace

CommandResult RunProgram(const std::string& program,
                         std::vector<std::string> arguments) {
  CommandOptions options;
  options.argv = std::move(arguments);
  options.argv.insert(options.argv.begin(), Runfile(program));
  options.deadline = absl::Now() + absl::Seconds(60);
  return RunCommand(options).value();
}

ProcessIdentity StartProgram(const std::string& program, SpawnOptions options) {
  options.argv.insert(options.argv.begin(), Runfile(program));
  return Spawn(options).value();
}

bool AwaitTrue(absl::Duration timeout, const std::function<bool()>& done) {
  const absl::Time deadline = absl::Now() + timeout;
  while (!done()) {
    if (absl::Now() > deadline) return false;
    absl::SleepFor(absl::Milliseconds(50));
  }
  return true;
}

cri::LinuxContainerResources Resources(int64_t milli_cpu, int64_t memory_mib) {
  cri::LinuxContainerResources resources;
  if (milli_cpu > 0) {
    resources.set_cpu_period(100'000);
    resources.set_cpu_quota(milli_cpu * 100);
  }
  resources.set_memory_limit_in_bytes(memory_mib * kMiB);
  return resources;
}

TestNode::TestNode(const std::vector<std::string>& config_edits) {
  // Before gRPC has threads.
  static const bool kAlone = (EnterOwnNetwork(), true);
  (void)kAlone;
  grpc_init();  // never balanced: a shutdown of gRPC may take ten seconds
  // Not TEST_TMPDIR: unix sockets have at most 107 bytes for their path.
  std::string pattern = "/tmp/podvisor-e2e.XXXXXX";
  directory_ = mkdtemp(pattern.data());
  chmod(directory_.c_str(), 0755);
  RunOrDie({Runfile("e2e/testnode"), "start", directory_,
            Runfile("guestagent/image/vmlinux"),
            Runfile("guestagent/image/initrd.img")});
  // For whoever reads the log of a test that failed.
  EditConfig("s/^metrics_address.*/&\\nlog_level = \"debug\"/");
  for (const std::string& edit : config_edits) EditConfig(edit);
  StartDaemon();
}

TestNode::~TestNode() {
  if (testing::UnitTest::GetInstance()->Failed()) {
    const std::string log =
        ReadFile(directory_ + "/podvisord.log").value_or("");
    std::cerr << "podvisord's log ends with:\n"
              << log.substr(log.size() - std::min(log.size(), kShownLog));
  }
  if (daemon_.has_value()) {
    RemoveAllPods();
    EndDaemon(SIGTERM);
  }
  EXPECT_EQ(Leftovers(), "");
  StopRegistry();
  const absl::Status removed = RemoveTree(directory_);
  EXPECT_TRUE(removed.ok()) << removed;
}

std::string TestNode::ConfigValue(const std::string& key) const {
  const std::string text = ReadFile(directory_ + "/podvisor.toml").value_or("");
  const std::string begin = absl::StrCat("\n", key, " = \"");
  const size_t at = text.find(begin);
  if (at == std::string::npos) return "";
  const size_t value = at + begin.size();
  return text.substr(value, text.find('"', value) - value);
}

void TestNode::EditConfig(const std::string& edit) {
  RunOrDie({"sed", "-i", edit, directory_ + "/podvisor.toml"});
}

void TestNode::RemoveAllPods() {
  cri::ListPodSandboxResponse pods;
  Call call;
  if (!runtime_->ListPodSandbox(&call, {}, &pods).ok()) return;
  for (const cri::PodSandbox& pod : pods.items()) RemovePod(pod.id());
}

void TestNode::StartDaemon() {
  const std::string log = directory_ + "/podvisord.log";
  UniqueFd log_fd(
      open(log.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644));
  SpawnOptions spawn;
  spawn.argv = {Runfile("cri/podvisord"), "--config",
                directory_ + "/podvisor.toml"};
  spawn.stderr_fd = log_fd.get();
  daemon_ = Spawn(spawn).value();
  const std::string target =
      absl::StrCat("unix://", directory_, "/run/podvisor.sock");
  const bool up = AwaitTrue(absl::Seconds(60), [&] {
    // A new channel each time: a refused connection makes an old one wait.
    const auto channel =
        grpc::CreateChannel(target, grpc::InsecureChannelCredentials());
    runtime_ = cri::RuntimeService::NewStub(channel);
    images_ = cri::ImageService::NewStub(channel);
    Call call(absl::Seconds(1));
    cri::VersionResponse version;
    return runtime_->Version(&call, {}, &version).ok();
  });
  if (!up) {
    ADD_FAILURE() << "podvisord does not answer:\n"
                  << ReadFile(log).value_or("no log");
    abort();
  }
}

void TestNode::EndDaemon(int signal) {
  // An idle channel that nobody polls does not see the server's goodbye, and
  // the server would wait for it. A call that is still there holds the channel.
  runtime_.reset();
  images_.reset();
  kill(daemon_->pid, signal);
  const absl::StatusOr<int> ended =
      WaitProcess(*daemon_, absl::Now() + absl::Seconds(30));
  EXPECT_TRUE(ended.ok()) << ended.status();
  if (ended.ok() && signal == SIGTERM) {
    EXPECT_EQ(*ended, 0) << "it did not end in order";
    EXPECT_NE(access((directory_ + "/run/podvisor.sock").c_str(), F_OK), 0);
  }
  daemon_.reset();
}

void TestNode::StopRegistry() {
  RunOrDie({Runfile("e2e/testnode"), "stop", directory_});
}

std::string TestNode::metrics_address() const {
  const std::string log = ReadFile(directory_ + "/podvisord.log").value_or("");
  constexpr absl::string_view kKey = "\"metrics_address\":\"";
  const size_t at = log.rfind(std::string(kKey));
  if (at == std::string::npos) return "";
  const size_t begin = at + kKey.size();
  return log.substr(begin, log.find('"', begin) - begin);
}

cri::PodSandboxConfig TestNode::PodConfig(const std::string& name) const {
  cri::PodSandboxConfig config;
  config.mutable_metadata()->set_name(name);
  config.mutable_metadata()->set_namespace_("e2e");
  config.mutable_metadata()->set_uid(name + "-uid");
  config.set_hostname(name);
  config.set_log_directory(directory_ + "/logs");
  (*config.mutable_labels())["app"] = name;
  return config;
}

cri::ContainerConfig TestNode::ContainerConfig(
    const std::string& name, const std::string& script) const {
  cri::ContainerConfig config;
  config.mutable_metadata()->set_name(name);
  config.mutable_image()->set_image(kImage);
  for (const char* word : {"sh", "-c"}) config.add_command(word);
  config.add_command(script);
  config.set_log_path(name + ".log");
  return config;
}

void TestNode::PullImage(const std::string& image) {
  cri::PullImageRequest request;
  request.mutable_image()->set_image(image);
  cri::PullImageResponse response;
  Call call;
  const grpc::Status status = images_->PullImage(&call, request, &response);
  EXPECT_TRUE(status.ok()) << status.error_message();
}

std::string TestNode::RunPod(const cri::PodSandboxConfig& config) {
  cri::RunPodSandboxRequest request;
  *request.mutable_config() = config;
  cri::RunPodSandboxResponse response;
  Call call;
  const grpc::Status status =
      runtime_->RunPodSandbox(&call, request, &response);
  EXPECT_TRUE(status.ok()) << status.error_message();
  if (status.ok()) pods_.insert(response.pod_sandbox_id());
  return response.pod_sandbox_id();
}

std::string TestNode::CreateContainer(const std::string& pod,
                                      const cri::ContainerConfig& config,
                                      const cri::PodSandboxConfig& pod_config) {
  cri::CreateContainerRequest request;
  request.set_pod_sandbox_id(pod);
  *request.mutable_config() = config;
  *request.mutable_sandbox_config() = pod_config;
  cri::CreateContainerResponse response;
  Call call;
  const grpc::Status status =
      runtime_->CreateContainer(&call, request, &response);
  EXPECT_TRUE(status.ok()) << status.error_message();
  return response.container_id();
}

void TestNode::StartContainer(const std::string& container) {
  cri::StartContainerRequest request;
  request.set_container_id(container);
  cri::StartContainerResponse response;
  Call call;
  const grpc::Status status =
      runtime_->StartContainer(&call, request, &response);
  EXPECT_TRUE(status.ok()) << status.error_message();
}

void TestNode::StopContainer(const std::string& container) {
  cri::StopContainerRequest request;
  request.set_container_id(container);
  request.set_timeout(20);
  cri::StopContainerResponse response;
  Call call;
  const grpc::Status status =
      runtime_->StopContainer(&call, request, &response);
  EXPECT_TRUE(status.ok()) << status.error_message();
}

void TestNode::RemovePod(const std::string& pod) {
  cri::RemovePodSandboxRequest request;
  request.set_pod_sandbox_id(pod);
  cri::RemovePodSandboxResponse response;
  Call call;
  const grpc::Status status =
      runtime_->RemovePodSandbox(&call, request, &response);
  EXPECT_TRUE(status.ok()) << status.error_message();
}

cri::ContainerStatus TestNode::Status(const std::string& container) {
  cri::ContainerStatusRequest request;
  request.set_container_id(container);
  cri::ContainerStatusResponse response;
  Call call;
  const grpc::Status status =
      runtime_->ContainerStatus(&call, request, &response);
  EXPECT_TRUE(status.ok()) << status.error_message();
  return response.status();
}

cri::ContainerStatus TestNode::AwaitState(const std::string& container,
                                          cri::ContainerState state) {
  cri::ContainerStatus last;
  const bool reached = AwaitTrue(absl::Seconds(60), [&] {
    last = Status(container);
    return last.state() == state;
  });
  EXPECT_TRUE(reached) << last.DebugString();
  return last;
}

std::string TestNode::Exec(const std::string& container,
                           const std::vector<std::string>& command) {
  cri::ExecSyncRequest request;
  request.set_container_id(container);
  for (const std::string& word : command) request.add_cmd(word);
  request.set_timeout(30);
  cri::ExecSyncResponse response;
  Call call;
  const grpc::Status status = runtime_->ExecSync(&call, request, &response);
  EXPECT_TRUE(status.ok()) << status.error_message();
  EXPECT_EQ(response.exit_code(), 0) << response.stderr();
  return response.stdout();
}

int64_t TestNode::PodInfo(const std::string& pod, const std::string& pointer) {
  const nlohmann::json value =
      VerboseInfo(*runtime_, pod)
          .value(nlohmann::json::json_pointer(pointer), nlohmann::json(-1));
  return value.is_boolean() ? value.get<bool>() : value.get<int64_t>();
}

std::string TestNode::PodInfoText(const std::string& pod,
                                  const std::string& pointer) {
  return VerboseInfo(*runtime_, pod)
      .value(nlohmann::json::json_pointer(pointer), std::string());
}

int64_t TestNode::AwaitPodInfo(const std::string& pod,
                               const std::string& pointer, int64_t value) {
  int64_t last = -1;
  const bool reached = AwaitTrue(absl::Seconds(60), [&] {
    last = PodInfo(pod, pointer);
    return last == value;
  });
  if (!reached) std::cerr << VerboseInfo(*runtime_, pod).dump(1) << "\n";
  return last;
}

std::map<pid_t, std::string> TestNode::CommandLines() const {
  std::map<pid_t, std::string> lines;
  std::unique_ptr<DIR, int (*)(DIR*)> proc(opendir("/proc"), closedir);
  while (const dirent* entry = readdir(proc.get())) {
    pid_t pid = 0;
    if (!absl::SimpleAtoi(entry->d_name, &pid)) continue;
    std::string line =
        ReadFile(absl::StrCat("/proc/", pid, "/cmdline")).value_or("");
    // QEMU sees nothing of the node's directory and names its pod only; one
    // that still boots, of a pod that nobody knows, is a child of podvisord.
    const bool ours =
        absl::StrContains(line, directory_) ||
        (daemon_.has_value() && ParentOf(pid) == daemon_->pid) ||
        std::any_of(pods_.begin(), pods_.end(), [&](const std::string& pod) {
          return absl::StrContains(line, pod);
        });
    // podvisord itself is named by its configuration file.
    if (!ours || line.empty() || absl::StrContains(line, "podvisor.toml") ||
        absl::StrContains(line, "registry.yml")) {
      continue;
    }
    std::replace(line.begin(), line.end(), '\0', ' ');
    lines[pid] = std::move(line);
  }
  return lines;
}

std::set<pid_t> TestNode::Processes(
    const std::vector<std::string>& words) const {
  std::set<pid_t> pids;
  for (const auto& [pid, line] : CommandLines()) {
    const bool all = std::all_of(
        words.begin(), words.end(),
        [&](const std::string& word) { return absl::StrContains(line, word); });
    if (all) pids.insert(pid);
  }
  return pids;
}

void TestNode::KillProcess(int64_t pid) const {
  ASSERT_GT(pid, 1);
  ASSERT_EQ(CommandLines().count(static_cast<pid_t>(pid)), 1u) << pid;
  EXPECT_EQ(kill(static_cast<pid_t>(pid), SIGKILL), 0);
}

std::string TestNode::Leftovers() const {
  std::string left;
  AwaitTrue(absl::Seconds(10), [&] {
    left.clear();
    for (const auto& [pid, line] : CommandLines()) {
      absl::StrAppend(&left, "process ", pid, ": ", line, "\n");
    }
    const std::string mounts =
        ReadFile("/proc/self/mountinfo").value_or("no mountinfo");
    for (const absl::string_view line : absl::StrSplit(mounts, '\n')) {
      if (absl::StrContains(line, directory_)) {
        absl::StrAppend(&left, "mount ", line, "\n");
      }
    }
    AppendEntries(directory_ + "/run/pods", left);
    AppendEntries(directory_ + "/root/pods", left);
    AppendEntries(directory_ + "/run/netns", left);
    AppendNetwork(directory_, left);
    return left.empty();
  });
  return left;
}

}  // namespace podvisor::e2e
