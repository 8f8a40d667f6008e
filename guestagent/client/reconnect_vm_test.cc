// Kills the host's side of the agent channel over and over, half of the times
// in the middle of a stream, and connects again at once. Needs QEMU, and takes
// a few minutes.

#include <fcntl.h>
#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstdlib>
#include <iostream>
#include <memory>
#include <optional>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/process.h"
#include "base/unique_fd.h"
#include "gtest/gtest.h"
#include "guestagent/client/grpc_agent_client.h"
#include "guestagent/client/raw_vm.h"

namespace podvisor {
namespace {

constexpr int kKills = 200;
constexpr uint64_t kLineBytes = 16;
constexpr uint64_t kOutputBytes = uint64_t{96} << 20;
constexpr absl::Duration kPatience = absl::Seconds(120);

const ContainerId kContainer(std::string(64, 'c'));
const std::string kImage(64, 'd');

// A file that the build made, under `bazel test` and from the source's root.
std::string BuiltFile(const std::string& name) {
  const std::string built = absl::StrCat("bazel-bin/", name);
  return access(name.c_str(), R_OK) == 0 ? name : built;
}

absl::Status RunTool(const std::vector<std::string>& argv) {
  CommandOptions options;
  options.argv = argv;
  options.deadline = absl::Now() + kPatience;
  const absl::StatusOr<CommandResult> result = RunCommand(options);
  if (!result.ok()) return result.status();
  if (result->exit_code != 0) {
    return absl::InternalError(
        absl::StrCat(argv[0], ": ", result->stderr_data));
  }
  return absl::OkStatus();
}

// One run of reconnect_peer.
class Peer {
 public:
  Peer(const std::vector<std::string>& arguments, const std::string& log) {
    int ends[2];
    EXPECT_EQ(pipe2(ends, O_CLOEXEC), 0);
    numbers_.Reset(ends[0]);
    const UniqueFd stdout_fd(ends[1]);
    const UniqueFd stderr_fd(
        open(log.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600));
    SpawnOptions options;
    options.argv = {BuiltFile("guestagent/client/reconnect_peer")};
    options.argv.insert(options.argv.end(), arguments.begin(), arguments.end());
    options.stdout_fd = stdout_fd.get();
    options.stderr_fd = stderr_fd.get();
    const absl::StatusOr<ProcessIdentity> process = Spawn(options);
    EXPECT_TRUE(process.ok()) << process.status();
    if (process.ok()) process_ = *process;
  }
  ~Peer() { Kill(); }

  // The next number that it tells; nothing at its end or after kPatience.
  std::optional<uint64_t> Next() {
    pollfd polled = {numbers_.get(), POLLIN, 0};
    if (poll(&polled, 1, absl::ToInt64Milliseconds(kPatience)) != 1) return {};
    uint64_t number = 0;
    if (read(numbers_.get(), &number, sizeof(number)) != sizeof(number)) {
      return {};
    }
    return number;
  }

  void Kill() {
    if (process_.pid == 0) return;
    EXPECT_TRUE(KillGroup(process_, absl::Now() + kPatience).ok());
    process_ = {};
  }

  // For one that ends by itself.
  bool EndedWell() {
    const absl::StatusOr<int> status =
        WaitProcess(process_, absl::Now() + kPatience);
    process_ = {};
    return status.ok() && *status == 0;
  }

 private:
  UniqueFd numbers_;
  ProcessIdentity process_;
};

class ReconnectVmTest : public testing::Test {
 protected:
  ReconnectVmTest() : directory_("/tmp/podvisor-vm-XXXXXX") {
    EXPECT_NE(mkdtemp(directory_.data()), nullptr);
  }
  ~ReconnectVmTest() override {
    vm_ = nullptr;
    RemoveTree(directory_).IgnoreError();
  }

  absl::Status MakeDisks() {
    const std::string root = directory_ + "/root";
    absl::Status status = MakeDirectories(root + "/proc");
    if (status.ok()) {
      status =
          RunTool({"cp", "-L", BuiltFile("guestagent/client/numbered_lines"),
                   root + "/numbered_lines"});
    }
    if (status.ok()) {
      status = RunTool({"mksquashfs", root, directory_ + "/image", "-quiet",
                        "-no-progress", "-all-root"});
    }
    if (status.ok()) {
      status = RunTool({"truncate", "-s", "64M", directory_ + "/scratch"});
    }
    if (status.ok()) {
      status = RunTool({"mkfs.ext4", "-q", "-F", directory_ + "/scratch"});
    }
    return status;
  }

  void Boot() {
    RawVmOptions options;
    options.kernel = BuiltFile("guestagent/image/vmlinux");
    options.initrd = BuiltFile("guestagent/image/initrd.img");
    options.directory = directory_;
    options.disks = {
        {directory_ + "/image", "image", true},
        {directory_ + "/scratch", "scratch", false},
    };
    absl::StatusOr<std::unique_ptr<RawVm>> vm = RawVm::Start(options);
    ASSERT_TRUE(vm.ok()) << vm.status();
    vm_ = *std::move(vm);
  }

  std::unique_ptr<GrpcAgentClient> NewClient() {
    return std::make_unique<GrpcAgentClient>(vm_->agent_socket(), secret_,
                                             AgentClientOptions(), &clock_);
  }

  void StartContainer() {
    const std::unique_ptr<GrpcAgentClient> client = NewClient();
    const absl::Time deadline = clock_.Now() + kPatience;
    ASSERT_EQ(client->Connect(deadline), absl::OkStatus()) << Logs();
    agent::v1::ConfigureSandboxRequest sandbox;
    sandbox.set_hostname("reconnect");
    sandbox.set_scratch_serial("scratch");
    ASSERT_EQ(client->ConfigureSandbox(sandbox, deadline), absl::OkStatus())
        << Logs();
    ASSERT_EQ(client->MountImage("image", kImage, "squashfs", deadline),
              absl::OkStatus())
        << Logs();
    agent::v1::ContainerSpec spec;
    spec.mutable_root()->set_image(kImage);
    spec.add_args("/numbered_lines");
    spec.add_args(absl::StrCat(kOutputBytes / kLineBytes));
    spec.set_cwd("/");
    spec.mutable_user()->set_uid(0);
    spec.set_pid_namespace(agent::v1::ContainerSpec::CONTAINER);
    ASSERT_EQ(client->Create(kContainer, spec, deadline).status(),
              absl::OkStatus())
        << Logs();
    ASSERT_EQ(client->Start(kContainer, deadline), absl::OkStatus()) << Logs();
  }

  std::vector<std::string> PeerArguments(bool stream, uint64_t stored) {
    std::vector<std::string> arguments = {vm_->agent_socket(), secret_.ToHex(),
                                          stream ? "stream" : "idle"};
    if (stream) {
      arguments.push_back(kContainer.value());
      arguments.push_back(absl::StrCat(stored));
    }
    return arguments;
  }

  std::string PeerLog() const { return directory_ + "/peer.log"; }

  std::string Logs() const {
    std::string logs;
    for (const std::string& path :
         {vm_->console_log(), vm_->qemu_log(), PeerLog()}) {
      absl::StrAppend(&logs, path, ":\n", ReadFile(path).value_or(""), "\n");
    }
    return logs;
  }

  SystemClock clock_;
  const AgentSecret secret_ = AgentSecret::Random();
  std::string directory_;
  std::unique_ptr<RawVm> vm_;
};

void PrintLatencies(std::vector<uint64_t> micros) {
  std::sort(micros.begin(), micros.end());
  std::cout << "connect until Hello is answered, of " << micros.size()
            << ": median " << micros[micros.size() / 2] / 1000.0 << " ms, p99 "
            << micros[micros.size() * 99 / 100] / 1000.0 << " ms, max "
            << micros.back() / 1000.0 << " ms\n";
}

TEST_F(ReconnectVmTest, RepliesOfARealAgentPassTheChecks) {
  ASSERT_EQ(MakeDisks(), absl::OkStatus());
  ASSERT_NO_FATAL_FAILURE(Boot());
  ASSERT_NO_FATAL_FAILURE(StartContainer());
  const std::unique_ptr<GrpcAgentClient> client = NewClient();
  const absl::Time deadline = clock_.Now() + kPatience;

  const auto hello = client->Hello(deadline);
  const auto size = client->Observe(deadline);
  const auto online = client->SetOnlineCpus(1, deadline);
  const auto stats = client->Stats(deadline);
  const auto short_exec = client->ExecSync(
      {.container = kContainer, .args = {"/numbered_lines", "3"}}, deadline);
  const auto long_exec =
      client->ExecSync({.container = kContainer,
                        .args = {"/numbered_lines", "1000000000000"},
                        .max_output_bytes = 1000},
                       clock_.Now() + absl::Seconds(5));
  const auto missing = client->StreamOutput(
      ContainerId(std::string(64, 'e')), {},
      [](const agent::v1::OutputChunk&) { return OutputOffsets(); });

  ASSERT_TRUE(hello.ok()) << hello.status();
  EXPECT_NE(hello->kernel_release(), "");
  ASSERT_TRUE(size.ok()) << size.status();
  EXPECT_EQ(size->cpus_online, 1);
  EXPECT_GT(size->memory_total_bytes, int64_t{100} << 20);
  EXPECT_EQ(online.status(), absl::OkStatus());
  ASSERT_TRUE(stats.ok()) << stats.status();
  ASSERT_EQ(stats->containers_size(), 1);
  EXPECT_GT(stats->containers(0).memory_usage_bytes(), 0u);
  ASSERT_TRUE(short_exec.ok()) << short_exec.status() << Logs();
  EXPECT_EQ(short_exec->exit_code, 0);
  EXPECT_EQ(short_exec->stdout_data.size(), 3 * kLineBytes);
  EXPECT_TRUE(absl::IsDeadlineExceeded(long_exec.status()))
      << long_exec.status();
  EXPECT_TRUE(absl::IsNotFound(missing)) << missing;
  EXPECT_EQ(client->PowerOff(deadline), absl::OkStatus());
  EXPECT_TRUE(WaitProcess(vm_->process(), deadline).ok());
}

TEST_F(ReconnectVmTest, TwoHundredKilledDaemonsLoseNothing) {
  ASSERT_EQ(MakeDisks(), absl::OkStatus());
  ASSERT_NO_FATAL_FAILURE(Boot());
  ASSERT_NO_FATAL_FAILURE(StartContainer());
  std::mt19937 random(1);  // the same kills in every run
  std::vector<uint64_t> micros;
  uint64_t stored = 0;

  for (int i = 0; i < kKills; ++i) {
    const bool stream = i % 2 == 1;
    Peer peer(PeerArguments(stream, stored), PeerLog());
    const std::optional<uint64_t> connected = peer.Next();
    ASSERT_TRUE(connected.has_value()) << "connection " << i << "\n" << Logs();
    micros.push_back(*connected);
    const int chunks = stream ? 1 + static_cast<int>(random() % 16) : 0;
    for (int chunk = 0; chunk < chunks; ++chunk) {
      const std::optional<uint64_t> told = peer.Next();
      ASSERT_TRUE(told.has_value()) << "connection " << i << "\n" << Logs();
      ASSERT_GT(*told, stored);
      stored = *told;
    }
    peer.Kill();
    // What it had stored when it died counts.
    if (stream) {
      while (const std::optional<uint64_t> told = peer.Next()) stored = *told;
    }
  }
  ASSERT_LT(stored, kOutputBytes) << "no kill came after the output's end";
  Peer last(PeerArguments(true, stored), PeerLog());
  ASSERT_TRUE(last.Next().has_value()) << Logs();
  while (const std::optional<uint64_t> told = last.Next()) stored = *told;

  EXPECT_TRUE(last.EndedWell()) << Logs();
  EXPECT_EQ(stored, kOutputBytes);
  const std::unique_ptr<GrpcAgentClient> client = NewClient();
  const absl::Time deadline = clock_.Now() + kPatience;
  const auto containers = client->List(deadline);
  ASSERT_TRUE(containers.ok()) << containers.status();
  ASSERT_EQ(containers->size(), 1u);
  EXPECT_EQ(containers->at(0).exit().exit_code(), 0);
  EXPECT_EQ(client->Delete(kContainer, deadline), absl::OkStatus());
  PrintLatencies(micros);
}

}  // namespace
}  // namespace podvisor
