// Containers in their real surroundings: crun, cgroups and overlays in one VM
// under TCG, driven over the agent channel. The image is a BusyBox.

#include <signal.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <chrono>
#include <fstream>
#include <iostream>
#include <memory>
#include <set>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/time/clock.h"
#include "base/file.h"
#include "base/ids.h"
#include "base/process.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "guestagent/agent/test_vm.h"

namespace podvisor {
namespace {

using agent::v1::Agent;
using agent::v1::ContainerExit;
using agent::v1::ContainerSpec;
using agent::v1::ContainerState;
using agent::v1::ExecInput;
using agent::v1::ExecOutput;
using agent::v1::OutputChunk;
using agent::v1::OutputRequest;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;

// Bounds for a busy machine; none of them is waited for when all is well.
constexpr absl::Duration kBootTimeout = absl::Seconds(120);
constexpr std::chrono::seconds kCallTimeout{90};
constexpr char kImage[] =
    "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";
// Its /dev is a symbolic link to /tmp.
constexpr char kTrapImage[] =
    "ffeeddccbbaa99887766554433221100ffeeddccbbaa99887766554433221100";

std::string ImageFile(const char* name) {
  const char* directory = getenv("PODVISOR_GUEST_IMAGE_DIR");
  return absl::StrCat(directory == nullptr ? "guestagent/image" : directory,
                      "/", name);
}

absl::Status RunTool(std::vector<std::string> argv) {
  CommandOptions options;
  options.argv = std::move(argv);
  options.deadline = absl::Now() + absl::Seconds(60);
  const auto result = RunCommand(options);
  if (!result.ok()) return result.status();
  return result->exit_code == 0 ? absl::OkStatus()
                                : absl::InternalError(result->stderr_data);
}

// A BusyBox with its libraries, a user database, and traps.
constexpr char kMakeImage[] = R"sh(
set -e
mkdir -p root/bin root/etc root/tmp root/proc root/sys
cp "$(command -v busybox)" root/bin/busybox
for library in $(ldd root/bin/busybox 2>/dev/null | grep -o '/[^ ]*');
do
  mkdir -p "root$(dirname $library)"
  cp -L "$library" "root$library"
done
for applet in sh cat echo id sleep seq ls dd head tail stat mount ps kill tty \
    stty touch pwd env true false grep wc readlink yes hostname;
do
  ln -s busybox root/bin/$applet
done
chmod 1777 root/tmp
printf 'root:x:0:0::/root:/bin/sh\nweb:x:1000:1000::/srv:/bin/sh\n' >root/etc/passwd
printf 'root:x:0:\nweb:x:1000:\nextra:x:50:web\n' >root/etc/group
echo data >root/etc/not-executable
mksquashfs root image.sqfs -quiet -no-progress -all-root >/dev/null
ln -s /tmp root/dev
mksquashfs root trap.sqfs -quiet -no-progress -all-root >/dev/null
truncate -s 256M scratch.img
mke2fs -q -t ext4 scratch.img
)sh";

struct Output {
  std::string out;
  std::string err;
  uint64_t out_end = 0;
};

struct ExecResult {
  grpc::Status status;
  std::string out;
  std::string err;
  int exit_code = -1;
};

class ContainerVmTest : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    // Not TempDir(): a socket's path has at most 107 bytes.
    std::string directory = "/tmp/cvm.XXXXXX";
    ASSERT_NE(mkdtemp(directory.data()), nullptr);
    directory_ = new std::string(directory);
    const absl::Status made =
        RunTool({"sh", "-c", absl::StrCat("cd ", directory, "\n", kMakeImage)});
    ASSERT_TRUE(made.ok()) << made;
    auto vm = TestVm::Start({.vmlinux = ImageFile("vmlinux"),
                             .initrd = ImageFile("initrd.img"),
                             .directory = directory,
                             .extra_kernel_parameters = ""});
    ASSERT_TRUE(vm.ok()) << vm.status();
    vm_ = vm->release();
    const absl::Status connected = vm_->Connect(kBootTimeout);
    ASSERT_TRUE(connected.ok()) << connected << vm_->ConsoleText();
    Configure();
  }

  static void Configure() {
    agent::v1::HelloRequest hello;
    hello.set_protocol_version(1);
    hello.set_entropy(std::string(32, 'e'));
    hello.set_wall_clock_unix_nanos(absl::ToUnixNanos(absl::Now()));
    agent::v1::HelloResponse hello_response;
    ASSERT_TRUE(Call(&Agent::Stub::Hello, hello, &hello_response).ok());
    ASSERT_TRUE(
        vm_->PlugDisk(*directory_ + "/scratch.img", "scratch", false, 1).ok());
    ASSERT_TRUE(
        vm_->PlugDisk(*directory_ + "/image.sqfs", "image", true, 2).ok());
    ASSERT_TRUE(
        vm_->PlugDisk(*directory_ + "/trap.sqfs", "trap", true, 3).ok());
    agent::v1::ConfigureSandboxRequest configure;
    configure.set_hostname("pod-1");
    configure.set_resolv_conf("nameserver 10.0.0.10\n");
    configure.set_scratch_serial("scratch");
    agent::v1::ConfigureSandboxResponse configured;
    grpc::Status status =
        Call(&Agent::Stub::ConfigureSandbox, configure, &configured);
    ASSERT_TRUE(status.ok()) << status.error_message();
    MountImage("image", kImage);
    MountImage("trap", kTrapImage);
  }

  static void MountImage(const std::string& serial, const std::string& image) {
    agent::v1::MountImageRequest mount;
    mount.set_serial(serial);
    mount.set_image(image);
    mount.set_fs_type("squashfs");
    agent::v1::MountImageResponse mounted;
    const grpc::Status status = Call(&Agent::Stub::MountImage, mount, &mounted);
    ASSERT_TRUE(status.ok()) << status.error_message();
  }

  static void TearDownTestSuite() {
    // The agent logs errors only.
    if (vm_ != nullptr) {
      EXPECT_THAT(vm_->ConsoleText(), Not(HasSubstr("\"level\"")));
      EXPECT_THAT(vm_->ConsoleText(), Not(HasSubstr("panic")));
    }
    delete vm_;
    vm_ = nullptr;
    if (directory_ != nullptr) RemoveTree(*directory_).IgnoreError();
    delete directory_;
  }

  void SetUp() override { ASSERT_NE(vm_, nullptr); }
  void TearDown() override {
    for (const std::string& id : created_) EXPECT_TRUE(Delete(id).ok());
  }

  template <typename Method, typename Request, typename Response>
  static grpc::Status Call(Method method, const Request& request,
                           Response* response) {
    grpc::ClientContext context;
    context.set_deadline(std::chrono::system_clock::now() + kCallTimeout);
    return (vm_->stub()->*method)(&context, request, response);
  }

  static ContainerSpec Spec(std::vector<std::string> args) {
    ContainerSpec spec;
    spec.mutable_root()->set_image(kImage);
    spec.set_pid_namespace(ContainerSpec::POD);
    for (std::string& arg : args) spec.add_args(std::move(arg));
    return spec;
  }
  static ContainerSpec Shell(const std::string& script) {
    return Spec({"/bin/sh", "-c", script});
  }

  grpc::Status Create(const std::string& id, const ContainerSpec& spec,
                      agent::v1::CreateContainerResponse* response) {
    agent::v1::CreateContainerRequest request;
    request.set_container_id(id);
    *request.mutable_spec() = spec;
    created_.insert(id);
    return Call(&Agent::Stub::CreateContainer, request, response);
  }

  static grpc::Status Start(const std::string& id) {
    agent::v1::StartContainerRequest request;
    request.set_container_id(id);
    agent::v1::StartContainerResponse response;
    return Call(&Agent::Stub::StartContainer, request, &response);
  }

  static grpc::Status Signal(const std::string& id, int signal, bool all) {
    agent::v1::SignalContainerRequest request;
    request.set_container_id(id);
    request.set_signal(signal);
    request.set_all_processes(all);
    agent::v1::SignalContainerResponse response;
    return Call(&Agent::Stub::SignalContainer, request, &response);
  }

  static grpc::Status Delete(const std::string& id) {
    agent::v1::DeleteContainerRequest request;
    request.set_container_id(id);
    agent::v1::DeleteContainerResponse response;
    return Call(&Agent::Stub::DeleteContainer, request, &response);
  }

  // Created and started; the id.
  std::string Run(const ContainerSpec& spec) {
    const std::string id = RandomHexId();
    agent::v1::CreateContainerResponse response;
    absl::Time begin = absl::Now();
    grpc::Status status = Create(id, spec, &response);
    EXPECT_TRUE(status.ok()) << status.error_message();
    const absl::Duration create = absl::Now() - begin;
    begin = absl::Now();
    if (status.ok()) status = Start(id);
    EXPECT_TRUE(status.ok()) << status.error_message();
    std::cerr << "create " << create << ", start " << absl::Now() - begin
              << "\n";
    return id;
  }

  static ContainerExit AwaitExit(const std::string& id) {
    grpc::ClientContext context;
    context.set_deadline(std::chrono::system_clock::now() + kCallTimeout);
    const auto reader = vm_->stub()->WatchExits(&context, {});
    ContainerExit exit;
    while (reader->Read(&exit)) {
      if (exit.container_id() == id) break;
      exit.Clear();
    }
    context.TryCancel();
    reader->Finish();
    EXPECT_EQ(exit.container_id(), id);
    return exit;
  }

  // Everything from `begin` on; acknowledges each chunk. Stops after
  // `max_chunks` as a host that dies would.
  static Output ReadOutput(const std::string& id, uint64_t begin = 0,
                           int max_chunks = 1 << 30) {
    grpc::ClientContext context;
    context.set_deadline(std::chrono::system_clock::now() + kCallTimeout);
    const auto stream = vm_->stub()->StreamOutput(&context);
    OutputRequest request;
    request.set_container_id(id);
    request.set_stdout_offset(begin);
    stream->Write(request);
    Output output;
    OutputChunk chunk;
    output.out_end = begin;
    int ends = 0;
    while (ends < 2 && max_chunks-- > 0 && stream->Read(&chunk)) {
      const bool out = chunk.stream() == OutputChunk::STDOUT;
      EXPECT_EQ(chunk.offset(), out ? output.out_end : output.err.size());
      (out ? output.out : output.err) += chunk.data();
      if (out) output.out_end += chunk.data().size();
      ends += chunk.eof();
      request.clear_container_id();
      request.set_stdout_offset(output.out_end);
      request.set_stderr_offset(output.err.size());
      stream->Write(request);
    }
    if (ends < 2) {
      context.TryCancel();
      stream->Finish();
      return output;
    }
    stream->WritesDone();
    EXPECT_FALSE(stream->Read(&chunk));
    const grpc::Status status = stream->Finish();
    EXPECT_TRUE(status.ok()) << status.error_message();
    return output;
  }

  // Output of a container that ends by itself with this exit code.
  std::string OutputOf(const ContainerSpec& spec, int exit_code = 0) {
    const std::string id = Run(spec);
    if (HasFailure()) return "";
    const Output output = ReadOutput(id);
    EXPECT_EQ(AwaitExit(id).exit_code(), exit_code);
    EXPECT_EQ(output.err, "");
    return output.out;
  }

  static ExecResult Exec(const std::string& id, std::vector<std::string> args,
                         const std::string& input = "", bool tty = false) {
    grpc::ClientContext context;
    context.set_deadline(std::chrono::system_clock::now() + kCallTimeout);
    const absl::Time begin = absl::Now();
    const auto stream = vm_->stub()->Exec(&context);
    ExecInput message;
    ExecInput::Start* start = message.mutable_start();
    start->set_container_id(id);
    for (std::string& arg : args) start->add_args(std::move(arg));
    start->set_tty(tty);
    start->set_stdin(!input.empty());
    start->set_drain_timeout_nanos(absl::ToInt64Nanoseconds(absl::Seconds(2)));
    stream->Write(message);
    if (tty) {
      message.mutable_resize()->set_width(100);
      message.mutable_resize()->set_height(40);
      stream->Write(message);
    }
    if (!input.empty()) {
      message.set_stdin(input);
      stream->Write(message);
    }
    if (!tty) stream->WritesDone();
    ExecResult result;
    ExecOutput output;
    while (stream->Read(&output)) {
      result.out += output.stdout();
      result.err += output.stderr();
      if (output.output_case() == ExecOutput::kExitCode) {
        result.exit_code = output.exit_code();
        if (tty) stream->WritesDone();
      }
    }
    result.status = stream->Finish();
    std::cerr << "exec " << absl::Now() - begin << "\n";
    return result;
  }

  static TestVm* vm_;
  static std::string* directory_;
  std::set<std::string> created_;
};

TestVm* ContainerVmTest::vm_ = nullptr;
std::string* ContainerVmTest::directory_ = nullptr;

TEST_F(ContainerVmTest, OutputAndExitCodeArrive) {
  const std::string id = Run(Shell("echo to-out; echo to-err >&2; exit 3"));
  const Output output = ReadOutput(id);
  EXPECT_EQ(output.out, "to-out\n");
  EXPECT_EQ(output.err, "to-err\n");
  const ContainerExit exit = AwaitExit(id);
  EXPECT_EQ(exit.exit_code(), 3);
  EXPECT_FALSE(exit.oom_killed());
  EXPECT_LT(absl::AbsDuration(absl::Now() - absl::FromUnixNanos(
                                                exit.finished_at_unix_nanos())),
            absl::Minutes(1));
}

TEST_F(ContainerVmTest, SandboxIsSharedAndFilesAreThePods) {
  EXPECT_EQ(
      OutputOf(Shell("hostname; cat /etc/hostname /etc/resolv.conf; "
                     "head -n 1 /etc/hosts; stat -f -c %T /dev/shm /dev; "
                     "ls /dev/vport* /dev/mem /dev/kmsg 2>/dev/null; true")),
      "pod-1\npod-1\nnameserver 10.0.0.10\n127.0.0.1\tlocalhost\n"
      "tmpfs\ntmpfs\n");
  EXPECT_EQ(OutputOf(Shell("ls /tmp | wc -l; touch /dev/shm/x")), "0\n");
  EXPECT_EQ(OutputOf(Shell("ls /dev/shm; readlink /proc/self/cwd")), "x\n/\n");
}

TEST_F(ContainerVmTest, UserOfTheImageRunsTheProcess) {
  ContainerSpec spec = Shell(
      "id -u; id -g; id -G; echo $HOME; grep -E 'Cap(Inh|Prm|Eff|Amb)' "
      "/proc/self/status; echo hello >/dev/stderr");
  spec.mutable_user()->set_username("web");
  spec.mutable_user()->add_supplemental_groups(77);
  const std::string id = RandomHexId();
  agent::v1::CreateContainerResponse response;
  ASSERT_TRUE(Create(id, spec, &response).ok());
  EXPECT_EQ(response.uid(), 1000);
  EXPECT_THAT(response.supplemental_groups(), ElementsAre(1000, 50, 77));
  ASSERT_TRUE(Start(id).ok());
  const Output output = ReadOutput(id);
  EXPECT_EQ(output.out,
            "1000\n1000\n1000 50 77\n/srv\n"
            "CapInh:\t0000000000000000\nCapPrm:\t0000000000000000\n"
            "CapEff:\t0000000000000000\nCapAmb:\t0000000000000000\n");
  EXPECT_EQ(output.err, "hello\n");
}

TEST_F(ContainerVmTest, NoDescriptorLeaksIntoContainerOrExec) {
  // The listing itself has one more, of the directory.
  const std::string list = "cd /proc/self/fd; echo *; exec sleep 1000";
  const std::string id = Run(Shell(list));
  EXPECT_EQ(ReadOutput(id, 0, 1).out, "0 1 2 3\n");
  EXPECT_EQ(Exec(id, {"/bin/sh", "-c", "cd /proc/self/fd; echo *"}).out,
            "0 1 2 3\n");
}

TEST_F(ContainerVmTest, PidNamespacesAreThoseAskedFor) {
  const std::string first = Run(Spec({"/bin/sleep", "1000"}));
  EXPECT_THAT(OutputOf(Shell("ps -o pid,args")), HasSubstr("sleep 1000"));
  ContainerSpec own = Shell("echo $$; ps -o args");
  own.set_pid_namespace(ContainerSpec::CONTAINER);
  const std::string seen = OutputOf(own);
  EXPECT_TRUE(absl::StartsWith(seen, "1\n")) << seen;
  EXPECT_FALSE(absl::StrContains(seen, "sleep")) << seen;
  own = Spec({"/bin/sleep", "2000"});
  own.set_pid_namespace(ContainerSpec::CONTAINER);
  const std::string target = Run(own);
  ContainerSpec joined = Shell("ps -o pid,args");
  joined.set_pid_namespace(ContainerSpec::TARGET);
  joined.set_pid_target(target);
  const std::string joined_sees = OutputOf(joined);
  EXPECT_THAT(joined_sees, HasSubstr("1 /bin/sleep 2000"));
  EXPECT_FALSE(absl::StrContains(joined_sees, "sleep 1000"));
  EXPECT_TRUE(Signal(first, SIGKILL, false).ok());
  EXPECT_EQ(AwaitExit(first).exit_code(), 137);
}

TEST_F(ContainerVmTest, ExitEndsTheOtherProcessesOfTheContainer) {
  const std::string id = Run(Shell("sleep 3000 & exit 0"));
  EXPECT_EQ(AwaitExit(id).exit_code(), 0);
  ReadOutput(id);  // ends, because the sleep that held the pipe was killed
}

TEST_F(ContainerVmTest, ExecHasStdinExitCodeAndTheContainersUser) {
  ContainerSpec spec = Spec({"/bin/sleep", "1000"});
  spec.mutable_user()->set_uid(1);
  spec.set_cwd("/tmp/new");
  spec.add_env("COLOR=red");
  const std::string id = Run(spec);
  ExecResult result = Exec(id, {"sh", "-c", "id -u; pwd; echo $COLOR; exit 7"});
  EXPECT_TRUE(result.status.ok()) << result.status.error_message();
  EXPECT_EQ(result.out, "1\n/tmp/new\nred\n");
  EXPECT_EQ(result.exit_code, 7);
  const std::string big(1 << 20, 'x');
  result = Exec(id, {"cat"}, big);
  EXPECT_TRUE(result.out == big) << result.out.size();
  EXPECT_EQ(result.exit_code, 0);
  result = Exec(id, {"sh", "-c", "kill -9 $$"});
  EXPECT_EQ(result.exit_code, 137);
}

TEST_F(ContainerVmTest, NothingOfTheAgentsEnvironmentArrives) {
  ContainerSpec spec = Shell("env; exec sleep 1000");
  const std::string id = Run(spec);
  std::string in_container = ReadOutput(id, 0, 1).out;
  std::string in_exec = Exec(id, {"env"}).out;
  for (std::string* text : {&in_container, &in_exec}) {
    EXPECT_THAT(*text, Not(HasSubstr("LIBCONTAINER")));
    EXPECT_THAT(*text, Not(HasSubstr("LISTEN")));
    EXPECT_THAT(*text, HasSubstr("PATH=/usr/local/sbin:"));
    EXPECT_THAT(*text, HasSubstr("HOME=/root\n"));
  }
}

TEST_F(ContainerVmTest, ExecOfWhatCannotRunIsLikeAShells) {
  const std::string id = Run(Spec({"/bin/sleep", "1000"}));
  ExecResult result = Exec(id, {"nope"});
  EXPECT_EQ(result.exit_code, 127) << result.status.error_message();
  EXPECT_THAT(result.err, HasSubstr("nope"));
  result = Exec(id, {"/etc/not-executable"});
  EXPECT_EQ(result.exit_code, 126) << result.err;
  EXPECT_EQ(Exec(id, {"/bin/nope"}, "", true).exit_code, 127);
  EXPECT_EQ(Exec(RandomHexId(), {"true"}).status.error_code(),
            grpc::StatusCode::NOT_FOUND);
}

TEST_F(ContainerVmTest, ExecWithATerminalHasItsSize) {
  const std::string id = Run(Spec({"/bin/sleep", "1000"}));
  const ExecResult result = Exec(
      id, {"sh", "-c", "tty; read line; stty size; echo got $line; exit 4"},
      "typed\n", true);
  EXPECT_TRUE(result.status.ok()) << result.status.error_message();
  EXPECT_EQ(result.exit_code, 4);
  EXPECT_THAT(result.out, HasSubstr("/dev/pts/"));
  EXPECT_THAT(result.out, HasSubstr("40 100\r\n"));
  EXPECT_THAT(result.out, HasSubstr("got typed\r\n"));
}

TEST_F(ContainerVmTest, ExecDoesNotWaitForAChildThatHoldsThePipe) {
  const std::string id = Run(Spec({"/bin/sleep", "1000"}));
  const absl::Time begin = absl::Now();
  const ExecResult result = Exec(id, {"sh", "-c", "sleep 500 & echo done"});
  EXPECT_EQ(result.out, "done\n");
  EXPECT_EQ(result.exit_code, 0);
  EXPECT_LT(absl::Now() - begin, absl::Seconds(60));
}

TEST_F(ContainerVmTest, CancelledExecIsKilled) {
  const std::string id = Run(Spec({"/bin/sleep", "1000"}));
  {
    grpc::ClientContext context;
    const auto stream = vm_->stub()->Exec(&context);
    ExecInput message;
    message.mutable_start()->set_container_id(id);
    for (const char* arg : {"sh", "-c", "echo up; sleep 4321; true"}) {
      message.mutable_start()->add_args(arg);
    }
    stream->Write(message);
    ExecOutput output;
    ASSERT_TRUE(stream->Read(&output));
    EXPECT_EQ(output.stdout(), "up\n");
    context.TryCancel();
    stream->Finish();
  }
  const absl::Time deadline = absl::Now() + absl::Seconds(30);
  std::string processes;
  do {
    processes = Exec(id, {"ps", "-o", "args"}).out;
  } while (absl::StrContains(processes, "4321") && absl::Now() < deadline);
  EXPECT_FALSE(absl::StrContains(processes, "4321")) << processes;
}

TEST_F(ContainerVmTest, ReconnectsLoseNoOutput) {
  const std::string id = Run(Shell("seq 1 200000"));
  std::string text;
  for (int round = 0; round < 5; ++round) {
    text += ReadOutput(id, text.size(), 3).out;
  }
  text += ReadOutput(id, text.size()).out;
  std::string expected;
  for (int i = 1; i <= 200000; ++i) absl::StrAppend(&expected, i, "\n");
  EXPECT_TRUE(text == expected) << text.size() << " of " << expected.size();
}

TEST_F(ContainerVmTest, LimitsAreSetAndChanged) {
  ContainerSpec spec = Spec({"/bin/sleep", "1000"});
  spec.mutable_resources()->set_cpu_quota_micros(50000);
  spec.mutable_resources()->set_cpu_period_micros(100000);
  spec.mutable_resources()->set_cpu_shares(512);
  spec.mutable_resources()->set_memory_limit_bytes(32 << 20);
  spec.mutable_resources()->set_pids_limit(100);
  const std::string id = Run(spec);
  const std::vector<std::string> show = {
      "sh", "-c",
      "cd /sys/fs/cgroup; cat cpu.max cpu.weight memory.max pids.max"};
  EXPECT_EQ(Exec(id, show).out, "50000 100000\n20\n33554432\n100\n");
  agent::v1::UpdateContainerRequest update;
  update.set_container_id(id);
  update.mutable_resources()->set_cpu_quota_micros(20000);
  update.mutable_resources()->set_memory_limit_bytes(64 << 20);
  agent::v1::UpdateContainerResponse response;
  const absl::Time begin = absl::Now();
  EXPECT_TRUE(Call(&Agent::Stub::UpdateContainer, update, &response).ok());
  std::cerr << "update " << absl::Now() - begin << "\n";
  EXPECT_EQ(Exec(id, show).out, "20000 100000\n20\n67108864\n100\n");
  update.mutable_resources()->set_memory_limit_bytes(4096);
  EXPECT_EQ(Call(&Agent::Stub::UpdateContainer, update, &response).error_code(),
            grpc::StatusCode::FAILED_PRECONDITION);
  EXPECT_EQ(Exec(id, {"true"}).exit_code, 0);
}

TEST_F(ContainerVmTest, OutOfMemoryIsTold) {
  for (int round = 0; round < 5; ++round) {
    ContainerSpec spec = Shell("tail /dev/zero");
    spec.mutable_resources()->set_memory_limit_bytes(16 << 20);
    const std::string id = Run(spec);
    const ContainerExit exit = AwaitExit(id);
    EXPECT_EQ(exit.exit_code(), 137) << ReadOutput(id).err;
    EXPECT_TRUE(exit.oom_killed());
  }
}

TEST_F(ContainerVmTest, OomScoreIsTheAskedOneInContainerAndExec) {
  ContainerSpec spec = Shell("cat /proc/self/oom_score_adj; exec sleep 1000");
  spec.set_oom_score_adj(321);
  const std::string id = Run(spec);
  EXPECT_EQ(ReadOutput(id, 0, 1).out, "321\n");
  EXPECT_EQ(Exec(id, {"cat", "/proc/self/oom_score_adj"}).out, "321\n");
  EXPECT_EQ(OutputOf(Shell("cat /proc/self/oom_score_adj")), "0\n");
}

TEST_F(ContainerVmTest, ContainerWithATerminal) {
  ContainerSpec spec = Shell("tty; echo $TERM; echo error >&2");
  spec.set_tty(true);
  const std::string id = Run(spec);
  EXPECT_EQ(ReadOutput(id).out, "/dev/pts/0\r\nxterm\r\nerror\r\n");
}

TEST_F(ContainerVmTest, RestrictionsHold) {
  ContainerSpec spec = Shell(
      "touch /x 2>&1; touch /cache/x; ls /sys/firmware | wc -l; "
      "stty 2>&1; "
      "grep -E 'NoNewPrivs|Seccomp:' /proc/self/status; ulimit -n; "
      "echo 1 2>&1 >/proc/sys/kernel/hostname; hostname other 2>&1; "
      "mount -t tmpfs x /tmp 2>&1; stat -c %s /cache/x");
  spec.mutable_root()->set_read_only(true);
  spec.set_no_new_privileges(true);
  spec.add_masked_paths("/sys/firmware");
  spec.add_readonly_paths("/proc/sys");
  agent::v1::Mount* mount = spec.add_mounts();
  mount->set_kind(agent::v1::Mount::TMPFS);
  mount->set_destination("/cache");
  mount->set_size_bytes(1 << 20);
  agent::v1::Rlimit* rlimit = spec.add_rlimits();
  rlimit->set_type("RLIMIT_NOFILE");
  rlimit->set_soft(99);
  rlimit->set_hard(100);
  spec.set_seccomp_profile(
      R"({"defaultAction":"SCMP_ACT_ALLOW","architectures":["SCMP_ARCH_X86_64"],
          "syscalls":[{"names":["sethostname"],"action":"SCMP_ACT_ERRNO",
                       "errnoRet":28}]})");
  const std::string text = OutputOf(spec);
  EXPECT_THAT(text, HasSubstr("touch: /x: Read-only file system\n0\n"));
  EXPECT_THAT(text, HasSubstr("NoNewPrivs:\t1\nSeccomp:\t2\n99\n"));
  EXPECT_THAT(text, HasSubstr("can't create /proc/sys/kernel/hostname"));
  // The error that only the profile gives.
  EXPECT_THAT(text, HasSubstr("No space left on device"));
  EXPECT_THAT(text, HasSubstr("mount: permission denied"));
  EXPECT_TRUE(absl::EndsWith(text, "\n0\n")) << text;
}

TEST_F(ContainerVmTest, ContainersComeAndGoSideBySide) {
  std::vector<std::string> ids;
  for (int i = 0; i < 12; ++i) ids.push_back(RandomHexId());
  created_.insert(ids.begin(), ids.end());
  std::vector<std::thread> threads;
  for (int worker = 0; worker < 4; ++worker) {
    threads.emplace_back([worker, &ids] {
      for (size_t i = worker; i < ids.size(); i += 4) {
        agent::v1::CreateContainerRequest request;
        request.set_container_id(ids[i]);
        *request.mutable_spec() = Shell(absl::StrCat("echo ", i, "; exit ", i));
        agent::v1::CreateContainerResponse response;
        const grpc::Status status =
            Call(&Agent::Stub::CreateContainer, request, &response);
        EXPECT_TRUE(status.ok()) << status.error_message();
        EXPECT_TRUE(Start(ids[i]).ok());
        EXPECT_EQ(AwaitExit(ids[i]).exit_code(), static_cast<int>(i));
        EXPECT_EQ(ReadOutput(ids[i]).out, absl::StrCat(i, "\n"));
        EXPECT_TRUE(Delete(ids[i]).ok());
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
}

TEST_F(ContainerVmTest, FailedCreateLeavesNothing) {
  const std::string id = RandomHexId();
  agent::v1::CreateContainerResponse response;
  ContainerSpec spec = Spec({"/nope"});
  grpc::Status status = Create(id, spec, &response);
  EXPECT_EQ(status.error_code(), grpc::StatusCode::INVALID_ARGUMENT)
      << status.error_message();
  spec = Spec({"/bin/true"});
  spec.mutable_user()->set_username("4294967296");
  EXPECT_EQ(Create(id, spec, &response).error_code(),
            grpc::StatusCode::INVALID_ARGUMENT);
  spec.mutable_user()->clear_username();
  spec.mutable_root()->set_image(std::string(64, '0'));
  EXPECT_EQ(Create(id, spec, &response).error_code(),
            grpc::StatusCode::FAILED_PRECONDITION);
  ContainerSpec look = Shell("ls /sys/fs/cgroup/pod");
  look.set_privileged(true);
  EXPECT_FALSE(absl::StrContains(OutputOf(look), id));
  EXPECT_TRUE(Create(id, Spec({"/bin/true"}), &response).ok());
}

TEST_F(ContainerVmTest, ImageWhoseDevIsALinkIsRefused) {
  // CVE-2026-41579: nothing may be made where the link leads.
  ContainerSpec spec = Spec({"/bin/true"});
  spec.mutable_root()->set_image(kTrapImage);
  agent::v1::CreateContainerResponse response;
  EXPECT_FALSE(Create(RandomHexId(), spec, &response).ok());
}

TEST_F(ContainerVmTest, ListAndStatesFollowTheLifecycle) {
  const std::string id = RandomHexId();
  const auto state = [&id] {
    agent::v1::ListContainersResponse response;
    EXPECT_TRUE(Call(&Agent::Stub::ListContainers,
                     agent::v1::ListContainersRequest(), &response)
                    .ok());
    for (const ContainerState& container : response.containers()) {
      if (container.container_id() == id) return container.state();
    }
    return ContainerState::STATE_UNSPECIFIED;
  };
  agent::v1::CreateContainerResponse created;
  ASSERT_TRUE(Create(id, Spec({"/bin/sleep", "1000"}), &created).ok());
  EXPECT_EQ(state(), ContainerState::CREATED);
  EXPECT_EQ(Create(id, Spec({"/bin/true"}), &created).error_code(),
            grpc::StatusCode::ALREADY_EXISTS);
  EXPECT_EQ(Exec(id, {"true"}).status.error_code(),
            grpc::StatusCode::FAILED_PRECONDITION);
  ASSERT_TRUE(Start(id).ok());
  EXPECT_EQ(state(), ContainerState::RUNNING);
  EXPECT_EQ(Start(id).error_code(), grpc::StatusCode::FAILED_PRECONDITION);
  EXPECT_TRUE(Signal(id, SIGTERM, false).ok());
  EXPECT_EQ(AwaitExit(id).exit_code(), 128 + SIGTERM);
  EXPECT_EQ(state(), ContainerState::EXITED);
  EXPECT_TRUE(Signal(id, SIGTERM, false).ok());
  const absl::Time begin = absl::Now();
  EXPECT_TRUE(Delete(id).ok());
  std::cerr << "delete " << absl::Now() - begin << "\n";
  EXPECT_TRUE(Delete(id).ok());
  EXPECT_EQ(state(), ContainerState::STATE_UNSPECIFIED);
  EXPECT_EQ(Signal(id, SIGTERM, false).error_code(),
            grpc::StatusCode::NOT_FOUND);
}

TEST_F(ContainerVmTest, CreatedContainerCanBeDeleted) {
  const std::string id = RandomHexId();
  agent::v1::CreateContainerResponse created;
  ASSERT_TRUE(Create(id, Spec({"/bin/sleep", "1000"}), &created).ok());
  EXPECT_TRUE(Delete(id).ok());
}

TEST_F(ContainerVmTest, StatsCountTheContainer) {
  const std::string id =
      Run(Shell("dd if=/dev/zero of=/data bs=1M count=3 2>/dev/null; touch /a; "
                "echo ready; exec sleep 1000"));
  EXPECT_EQ(ReadOutput(id, 0, 1).out, "ready\n");
  agent::v1::GetStatsResponse response;
  const absl::Time begin = absl::Now();
  ASSERT_TRUE(
      Call(&Agent::Stub::GetStats, agent::v1::GetStatsRequest(), &response)
          .ok());
  std::cerr << "stats " << absl::Now() - begin << "\n";
  EXPECT_GT(response.cpu_usage_nanos(), 0u);
  ASSERT_EQ(response.containers_size(), 1);
  const agent::v1::ContainerStats& stats = response.containers(0);
  EXPECT_EQ(stats.container_id(), id);
  EXPECT_GT(stats.cpu_usage_nanos(), 0u);
  EXPECT_GT(stats.memory_usage_bytes(), 0u);
  EXPECT_LE(stats.memory_working_set_bytes(), stats.memory_usage_bytes());
  EXPECT_EQ(stats.memory_limit_bytes(), 0u);
  EXPECT_EQ(stats.pids(), 1u);
  EXPECT_GE(stats.writable_layer_bytes(), 3u << 20);
  EXPECT_GE(stats.writable_layer_inodes(), 2u);
}

TEST_F(ContainerVmTest, PrivilegedContainerCannotOpenTheAgentsPort) {
  ContainerSpec spec = Shell(
      "ls /dev/vda /dev/vdb; p=$(readlink /sys/class/virtio-ports/*/dev); "
      "IFS=: read major minor </sys/class/virtio-ports/vport0p1/dev; "
      "/bin/busybox mknod /port c $major $minor; cat /port 2>&1; true");
  spec.set_privileged(true);
  const std::string text = OutputOf(spec);
  EXPECT_THAT(text, HasSubstr("/dev/vda\n/dev/vdb\n"));
  EXPECT_THAT(text, HasSubstr("Operation not permitted"));
}

}  // namespace
}  // namespace podvisor
