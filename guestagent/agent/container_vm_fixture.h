#ifndef PODVISOR_GUESTAGENT_AGENT_CONTAINER_VM_FIXTURE_H_
#define PODVISOR_GUESTAGENT_AGENT_CONTAINER_VM_FIXTURE_H_

#include <signal.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <chrono>
#include <fstream>
#include <iostream>
#include <map>
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
using agent::v1::Agent;
using agent::v1::ContainerExit;
using agent::v1::ContainerSpec;
using agent::v1::ContainerState;
using agent::v1::ExecInput;
using agent::v1::ExecOutput;
using agent::v1::OutputChunk;
using agent::v1::OutputRequest;

// Bounds for a busy machine; none of them is waited for when all is well.
inline constexpr absl::Duration kBootTimeout = absl::Seconds(120);
inline constexpr std::chrono::seconds kCallTimeout{90};
inline constexpr char kImage[] =
    "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";
// Its /dev is a symbolic link to /tmp.
inline constexpr char kTrapImage[] =
    "ffeeddccbbaa99887766554433221100ffeeddccbbaa99887766554433221100";

inline std::string GuestImageFile(const char* name) {
  const char* directory = getenv("PODVISOR_GUEST_IMAGE_DIR");
  return absl::StrCat(directory == nullptr ? "guestagent/image" : directory,
                      "/", name);
}

inline absl::Status RunTool(std::vector<std::string> argv) {
  CommandOptions options;
  options.argv = std::move(argv);
  options.deadline = absl::Now() + absl::Seconds(60);
  const auto result = RunCommand(options);
  if (!result.ok()) return result.status();
  return result->exit_code == 0 ? absl::OkStatus()
                                : absl::InternalError(result->stderr_data);
}

// A BusyBox with its libraries, a user database, and traps.
inline constexpr char kMakeImage[] = R"sh(
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

// One VM for all tests of a suite, with a sandbox configured and both images
// mounted. What a test creates is deleted after it.
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
    auto vm = TestVm::Start({.vmlinux = GuestImageFile("vmlinux"),
                             .initrd = GuestImageFile("initrd.img"),
                             .directory = directory,
                             .extra_kernel_parameters = ""});
    ASSERT_TRUE(vm.ok()) << vm.status();
    vm_ = vm->release();
    const absl::Status connected = vm_->Connect(kBootTimeout);
    ASSERT_TRUE(connected.ok()) << connected << vm_->ConsoleText();
    Configure();
  }

  static void Configure() {
    ASSERT_TRUE(Hello(absl::Now()).ok());
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
    if (ids_.length() > 0) *configure.mutable_user_namespace() = ids_;
    for (const auto& [name, value] : sysctls_) {
      (*configure.mutable_sysctls())[name] = value;
    }
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
      EXPECT_THAT(vm_->ConsoleText(),
                  testing::Not(testing::HasSubstr("\"level\"")));
      EXPECT_THAT(vm_->ConsoleText(),
                  testing::Not(testing::HasSubstr("panic")));
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

  // Sets the guest's clock.
  static grpc::Status Hello(absl::Time now) {
    agent::v1::HelloRequest request;
    request.set_protocol_version(1);
    request.set_entropy(std::string(32, 'e'));
    request.set_wall_clock_unix_nanos(absl::ToUnixNanos(now));
    agent::v1::HelloResponse response;
    return Call(&Agent::Stub::Hello, request, &response);
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

  static void AddDevice(const std::string& source,
                        const std::string& destination,
                        const std::string& access, ContainerSpec* spec) {
    agent::v1::Mount* mount = spec->add_mounts();
    mount->set_kind(agent::v1::Mount::DEVICE);
    mount->set_source(source);
    mount->set_destination(destination);
    mount->set_access(access);
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

  // Of the pod, for a suite to set before it is set up. Length 0: it has no
  // user namespace.
  static inline agent::v1::IdMapping ids_;
  static inline std::map<std::string, std::string> sysctls_;
  static inline TestVm* vm_ = nullptr;
  static inline std::string* directory_ = nullptr;
  std::set<std::string> created_;
};

}  // namespace podvisor

#endif  // PODVISOR_GUESTAGENT_AGENT_CONTAINER_VM_FIXTURE_H_
