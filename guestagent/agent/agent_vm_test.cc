// The agent in its real surroundings: one VM under TCG for all tests here,
// booted from the guest image. The host's side is test_vm.h.

#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include <chrono>
#include <memory>
#include <string>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "base/file.h"
#include "base/process.h"
#include "gtest/gtest.h"
#include "guestagent/agent/test_vm.h"

namespace podvisor {
namespace {

using agent::v1::GuestResources;

constexpr int64_t kMiB = 1 << 20;
// Bounds for a busy machine; none of them is waited for when all is well.
constexpr absl::Duration kBootTimeout = absl::Seconds(120);
constexpr std::chrono::seconds kCallTimeout{60};
const char kImage[] =
    "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";

// The image is given by environment variables where Bazel does not place it.
std::string ImageFile(const char* name) {
  const char* directory = getenv("PODVISOR_GUEST_IMAGE_DIR");
  return absl::StrCat(directory == nullptr ? "guestagent/image" : directory,
                      "/", name);
}

class AgentVmTest : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    // Not Bazel's directory: a socket's path has 107 bytes at most.
    std::string directory = "/tmp/podvisor-agent-test.XXXXXX";
    ASSERT_NE(mkdtemp(directory.data()), nullptr);
    directory_ = new std::string(directory);
    auto vm = TestVm::Start({.vmlinux = ImageFile("vmlinux"),
                             .initrd = ImageFile("initrd.img"),
                             .directory = directory,
                             .extra_kernel_parameters = ""});
    ASSERT_TRUE(vm.ok()) << vm.status();
    vm_ = vm->release();
    const absl::Status connected = vm_->Connect(kBootTimeout);
    ASSERT_TRUE(connected.ok()) << connected << vm_->ConsoleText();
    ASSERT_TRUE(SayHello().ok());
  }

  static void TearDownTestSuite() {
    delete vm_;
    vm_ = nullptr;
    if (directory_ != nullptr) RemoveTree(*directory_).IgnoreError();
    delete directory_;
  }

  void SetUp() override { ASSERT_NE(vm_, nullptr); }

  template <typename Method, typename Request, typename Response>
  static grpc::Status Call(Method method, const Request& request,
                           Response* response) {
    grpc::ClientContext context;
    context.set_deadline(std::chrono::system_clock::now() + kCallTimeout);
    return (vm_->stub()->*method)(&context, request, response);
  }

  static grpc::Status SayHello() {
    agent::v1::HelloRequest request;
    request.set_protocol_version(1);
    request.set_entropy(std::string(32, 'e'));
    request.set_wall_clock_unix_nanos(absl::ToUnixNanos(absl::Now()));
    agent::v1::HelloResponse response;
    const grpc::Status status =
        Call(&agent::v1::Agent::Stub::Hello, request, &response);
    EXPECT_EQ(response.protocol_version(), status.ok() ? 1u : 0u);
    return status;
  }

  static GuestResources Observe() {
    GuestResources resources;
    const grpc::Status status =
        Call(&agent::v1::Agent::Stub::ObserveResources,
             agent::v1::ObserveResourcesRequest(), &resources);
    EXPECT_TRUE(status.ok()) << status.error_message();
    return resources;
  }

  static grpc::Status SetOnlineCpus(int count, absl::Duration timeout,
                                    GuestResources* resources) {
    agent::v1::SetOnlineCpusRequest request;
    request.set_count(count);
    request.set_timeout_nanos(absl::ToInt64Nanoseconds(timeout));
    return Call(&agent::v1::Agent::Stub::SetOnlineCpus, request, resources);
  }

  static grpc::Status AwaitMemory(int64_t bytes, bool at_most,
                                  absl::Duration timeout,
                                  GuestResources* resources) {
    agent::v1::AwaitMemoryRequest request;
    request.set_memory_total_bytes(bytes);
    request.set_at_most(at_most);
    request.set_timeout_nanos(absl::ToInt64Nanoseconds(timeout));
    return Call(&agent::v1::Agent::Stub::AwaitMemory, request, resources);
  }

  static grpc::Status MountImage(const std::string& serial,
                                 const std::string& image,
                                 const std::string& fs_type) {
    agent::v1::MountImageRequest request;
    request.set_serial(serial);
    request.set_image(image);
    request.set_fs_type(fs_type);
    agent::v1::MountImageResponse response;
    return Call(&agent::v1::Agent::Stub::MountImage, request, &response);
  }

  static absl::Status RunTool(std::vector<std::string> argv) {
    const auto result =
        RunCommand({.argv = std::move(argv),
                    .env = {"PATH=/usr/sbin:/usr/bin:/sbin:/bin"},
                    .stdin_data = "",
                    .deadline = absl::Now() + absl::Seconds(60),
                    .cancelled = nullptr});
    if (!result.ok()) return result.status();
    return result->exit_code == 0 ? absl::OkStatus()
                                  : absl::InternalError(result->stderr_data);
  }

  static TestVm* vm_;
  static std::string* directory_;
};

TestVm* AgentVmTest::vm_ = nullptr;
std::string* AgentVmTest::directory_ = nullptr;

TEST_F(AgentVmTest, NothingIsWrittenToTheConsole) {
  EXPECT_EQ(vm_->ConsoleText(), "");
}

TEST_F(AgentVmTest, ObservesWhatTheVmBootedWith) {
  const GuestResources resources = Observe();

  EXPECT_EQ(resources.cpus_online(), 1u);
  EXPECT_GT(resources.memory_total_bytes(), 150 * kMiB);
  EXPECT_LT(resources.memory_total_bytes(), 256 * kMiB);
  EXPECT_EQ(resources.memory_block_bytes(), 128 * kMiB);
  EXPECT_EQ(resources.memory_total_at_boot_bytes(),
            resources.memory_total_bytes());
}

TEST_F(AgentVmTest, CpuThatNobodyPluggedIsADeadlineExceeded) {
  GuestResources resources;

  const grpc::Status status =
      SetOnlineCpus(2, absl::Milliseconds(100), &resources);

  EXPECT_EQ(status.error_code(), grpc::StatusCode::DEADLINE_EXCEEDED);
  EXPECT_EQ(Observe().cpus_online(), 1u);
}

TEST_F(AgentVmTest, PluggedCpusGoOnlineAndOfflineAgain) {
  for (int cpu = 1; cpu < 3; ++cpu) {
    const auto plugged =
        vm_->Qmp("device_add", {{"driver", "max-x86_64-cpu"},
                                {"id", absl::StrCat("cpu", cpu)},
                                {"erms", false},
                                {"fsrm", false},
                                {"socket-id", cpu},
                                {"core-id", 0},
                                {"thread-id", 0}});
    ASSERT_TRUE(plugged.ok()) << plugged.status();
  }
  GuestResources resources;

  grpc::Status status = SetOnlineCpus(3, absl::Seconds(30), &resources);
  ASSERT_TRUE(status.ok()) << status.error_message();
  EXPECT_EQ(resources.cpus_online(), 3u);

  status = SetOnlineCpus(1, absl::Seconds(30), &resources);
  ASSERT_TRUE(status.ok()) << status.error_message();
  EXPECT_EQ(resources.cpus_online(), 1u);
}

TEST_F(AgentVmTest, NoCpuAtAllIsRefused) {
  GuestResources resources;
  EXPECT_EQ(SetOnlineCpus(0, absl::Seconds(1), &resources).error_code(),
            grpc::StatusCode::INVALID_ARGUMENT);
}

TEST_F(AgentVmTest, MemoryGrowsAndShrinksWithVirtioMem) {
  const int64_t before = Observe().memory_total_bytes();
  GuestResources resources;

  ASSERT_TRUE(vm_->Qmp("qom-set", {{"path", "/machine/peripheral/vmem0"},
                                   {"property", "requested-size"},
                                   {"value", 512 * kMiB}})
                  .ok());
  grpc::Status status =
      AwaitMemory(before + 512 * kMiB, false, absl::Seconds(30), &resources);
  ASSERT_TRUE(status.ok()) << status.error_message();
  EXPECT_EQ(resources.memory_total_bytes(), before + 512 * kMiB);
  EXPECT_LT(resources.memory_total_at_boot_bytes(), before + 1);

  ASSERT_TRUE(vm_->Qmp("qom-set", {{"path", "/machine/peripheral/vmem0"},
                                   {"property", "requested-size"},
                                   {"value", 0}})
                  .ok());
  status = AwaitMemory(before, true, absl::Seconds(30), &resources);
  ASSERT_TRUE(status.ok()) << status.error_message();
  EXPECT_EQ(resources.memory_total_bytes(), before);
}

TEST_F(AgentVmTest, MemoryThatNobodyPluggedIsADeadlineExceeded) {
  GuestResources resources;
  EXPECT_EQ(
      AwaitMemory(int64_t{1} << 40, false, absl::Milliseconds(50), &resources)
          .error_code(),
      grpc::StatusCode::DEADLINE_EXCEEDED);
}

TEST_F(AgentVmTest, ImageDiskIsFoundBySerialAndMountedOnce) {
  const std::string tree = absl::StrCat(*directory_, "/tree");
  const std::string file = absl::StrCat(*directory_, "/image.squashfs");
  ASSERT_TRUE(MakeDirectories(tree, 0755).ok());
  ASSERT_TRUE(WriteFileAtomically(tree + "/hello", "hello", 0644).ok());
  ASSERT_TRUE(
      RunTool({"mksquashfs", tree, file, "-quiet", "-no-progress"}).ok());
  ASSERT_TRUE(vm_->PlugDisk(file, "image-1", true, 5).ok());

  const grpc::Status status = MountImage("image-1", kImage, "squashfs");

  EXPECT_TRUE(status.ok()) << status.error_message();
  EXPECT_TRUE(MountImage("image-1", kImage, "squashfs").ok());
  EXPECT_EQ(MountImage("image-2", kImage, "squashfs").error_code(),
            grpc::StatusCode::FAILED_PRECONDITION);
  agent::v1::UnmountImageRequest unmount;
  unmount.set_image(kImage);
  agent::v1::UnmountImageResponse unmounted;
  EXPECT_TRUE(
      Call(&agent::v1::Agent::Stub::UnmountImage, unmount, &unmounted).ok());
}

TEST_F(AgentVmTest, DiskWithoutThatFileSystemIsDataLoss) {
  const std::string file = absl::StrCat(*directory_, "/zeroes");
  const UniqueFd zeroes(open(file.c_str(), O_CREAT | O_RDWR | O_CLOEXEC, 0600));
  ASSERT_EQ(ftruncate(zeroes.get(), kMiB), 0);
  ASSERT_TRUE(vm_->PlugDisk(file, "zeroes", true, 6).ok());

  EXPECT_EQ(MountImage("zeroes", kImage, "squashfs").error_code(),
            grpc::StatusCode::DATA_LOSS);
}

TEST_F(AgentVmTest, NamesThatCouldLeaveTheirDirectoryAreRefused) {
  EXPECT_EQ(MountImage("image-1", "../../etc", "squashfs").error_code(),
            grpc::StatusCode::INVALID_ARGUMENT);
  EXPECT_EQ(MountImage("../vda", kImage, "squashfs").error_code(),
            grpc::StatusCode::INVALID_ARGUMENT);
  EXPECT_EQ(MountImage("image-1", kImage, "overlay").error_code(),
            grpc::StatusCode::INVALID_ARGUMENT);
}

TEST_F(AgentVmTest, SandboxIsConfiguredOnceWithItsScratchDisk) {
  const std::string file = absl::StrCat(*directory_, "/scratch");
  const UniqueFd disk(open(file.c_str(), O_CREAT | O_RDWR | O_CLOEXEC, 0600));
  ASSERT_EQ(ftruncate(disk.get(), 256 * kMiB), 0);
  ASSERT_TRUE(
      RunTool({"mkfs.ext4", "-q", "-O", "^has_journal", "-m", "0", file}).ok());
  ASSERT_TRUE(vm_->PlugDisk(file, "scratch", false, 7).ok());
  agent::v1::ConfigureSandboxRequest request;
  agent::v1::ConfigureSandboxResponse response;
  request.set_hostname("web-0");
  request.set_resolv_conf("nameserver 10.0.0.10\n");
  request.set_scratch_serial("scratch");
  (*request.mutable_sysctls())["vm.swappiness"] = "1";

  EXPECT_EQ(Call(&agent::v1::Agent::Stub::ConfigureSandbox, request, &response)
                .error_code(),
            grpc::StatusCode::INVALID_ARGUMENT);
  request.clear_sysctls();
  (*request.mutable_sysctls())["net.core.somaxconn"] = "1024";
  (*request.mutable_sysctls())["kernel.shmmax"] = "1048576";
  grpc::Status status =
      Call(&agent::v1::Agent::Stub::ConfigureSandbox, request, &response);
  EXPECT_TRUE(status.ok()) << status.error_message();
  EXPECT_TRUE(
      Call(&agent::v1::Agent::Stub::ConfigureSandbox, request, &response).ok());
  request.set_hostname("other");
  EXPECT_EQ(Call(&agent::v1::Agent::Stub::ConfigureSandbox, request, &response)
                .error_code(),
            grpc::StatusCode::FAILED_PRECONDITION);
}

// The OCI runtime changes the root with pivot_root(2), in the pod's namespaces.
TEST_F(AgentVmTest, ContainerRunsInTheSandbox) {
  const std::string tree = absl::StrCat(*directory_, "/container");
  const std::string file = absl::StrCat(*directory_, "/container.squashfs");
  for (const char* name : {"/bin", "/proc", "/dev", "/sys", "/etc", "/tmp"}) {
    ASSERT_TRUE(MakeDirectories(tree + name, 0755).ok());
  }
  ASSERT_TRUE(RunTool({"cp", "/bin/busybox", tree + "/bin/sh"}).ok());
  ASSERT_TRUE(
      RunTool({"mksquashfs", tree, file, "-quiet", "-no-progress"}).ok());
  ASSERT_TRUE(vm_->PlugDisk(file, "container", true, 8).ok());
  const std::string image(64, 'c');
  grpc::Status status = MountImage("container", image, "squashfs");
  ASSERT_TRUE(status.ok()) << status.error_message();
  const std::string id(64, 'd');
  agent::v1::CreateContainerRequest create;
  create.set_container_id(id);
  create.mutable_spec()->mutable_root()->set_image(image);
  create.mutable_spec()->set_pid_namespace(agent::v1::ContainerSpec::POD);
  for (const char* arg :
       {"/bin/sh", "-c", "hostname; cat /proc/1/comm; exit 42"}) {
    create.mutable_spec()->add_args(arg);
  }
  agent::v1::CreateContainerResponse created;
  status = Call(&agent::v1::Agent::Stub::CreateContainer, create, &created);
  ASSERT_TRUE(status.ok()) << status.error_message();
  agent::v1::StartContainerRequest start;
  start.set_container_id(id);
  agent::v1::StartContainerResponse started;
  status = Call(&agent::v1::Agent::Stub::StartContainer, start, &started);
  ASSERT_TRUE(status.ok()) << status.error_message();

  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + kCallTimeout);
  const auto exits =
      vm_->stub()->WatchExits(&context, agent::v1::WatchExitsRequest());
  agent::v1::ContainerExit exit;
  ASSERT_TRUE(exits->Read(&exit));
  context.TryCancel();
  EXPECT_EQ(exit.container_id(), id);
  EXPECT_EQ(exit.exit_code(), 42);

  grpc::ClientContext output_context;
  output_context.set_deadline(std::chrono::system_clock::now() + kCallTimeout);
  const auto output = vm_->stub()->StreamOutput(&output_context);
  agent::v1::OutputRequest begin;
  begin.set_container_id(id);
  ASSERT_TRUE(output->Write(begin));
  std::string text;
  agent::v1::OutputChunk chunk;
  while (output->Read(&chunk)) {
    text += chunk.data();
    agent::v1::OutputRequest stored;
    stored.set_stdout_offset(text.size());
    output->Write(stored);
  }
  EXPECT_EQ(text, "web-0\npause\n");

  agent::v1::DeleteContainerRequest remove;
  remove.set_container_id(id);
  agent::v1::DeleteContainerResponse removed;
  status = Call(&agent::v1::Agent::Stub::DeleteContainer, remove, &removed);
  EXPECT_TRUE(status.ok()) << status.error_message();
}

TEST_F(AgentVmTest, EveryNewSessionIsServed) {
  for (int i = 0; i < 20; ++i) {
    const absl::Status connected = vm_->Connect(absl::Seconds(40));
    ASSERT_TRUE(connected.ok()) << i << ": " << connected;
    ASSERT_EQ(Observe().cpus_online(), 1u) << i;
  }
}

TEST_F(AgentVmTest, WrongProtocolVersionIsAFailedPrecondition) {
  agent::v1::HelloRequest request;
  request.set_protocol_version(99);
  agent::v1::HelloResponse response;
  EXPECT_EQ(
      Call(&agent::v1::Agent::Stub::Hello, request, &response).error_code(),
      grpc::StatusCode::FAILED_PRECONDITION);
}

// The last one.
TEST_F(AgentVmTest, PowerOffEndsTheVm) {
  agent::v1::PowerOffRequest request;
  agent::v1::PowerOffResponse response;
  // Its reply may be lost.
  (void)Call(&agent::v1::Agent::Stub::PowerOff, request, &response);

  EXPECT_TRUE(
      WaitProcess(vm_->process(), absl::Now() + absl::Seconds(60)).ok());
  EXPECT_EQ(vm_->ConsoleText().find("panic"), std::string::npos)
      << vm_->ConsoleText();
}

}  // namespace
}  // namespace podvisor
