#ifndef PODVISOR_GUESTAGENT_AGENT_TEST_VM_H_
#define PODVISOR_GUESTAGENT_AGENT_TEST_VM_H_

#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "base/process.h"
#include "base/unique_fd.h"
#include "grpcpp/grpcpp.h"
#include "guestagent/agent.grpc.pb.h"
#include "guestagent/channel_format.h"
#include "nlohmann/json.hpp"

namespace podvisor {

struct TestVmOptions {
  std::string vmlinux;
  std::string initrd;
  std::string directory;  // for sockets and the console log
  std::string extra_kernel_parameters;
};

// A QEMU (TCG, 256 MiB, one CPU of at most four, a PCI bridge "pb1", an empty
// virtio-mem of at most 1 GiB) that boots the guest image, for tests of the
// agent in its real surroundings. Killed by the destructor. For one thread.
class TestVm {
 public:
  static absl::StatusOr<std::unique_ptr<TestVm>> Start(TestVmOptions options);
  ~TestVm();
  TestVm(const TestVm&) = delete;
  TestVm& operator=(const TestVm&) = delete;

  // A new session on the agent channel, as docs/agent-protocol.md has it.
  // Replaces the stub of an earlier one.
  absl::Status Connect(absl::Duration timeout);
  agent::v1::Agent::Stub* stub() { return stub_.get(); }

  // One QMP command; the "return" member.
  absl::StatusOr<nlohmann::json> Qmp(const std::string& command,
                                     const nlohmann::json& arguments);
  // Plugs a file as a virtio-blk disk.
  absl::Status PlugDisk(const std::string& path, const std::string& serial,
                        bool read_only, int slot);

  std::string ConsoleText() const;
  bool IsRunning() const { return IsAlive(process_); }
  const ProcessIdentity& process() const { return process_; }

 private:
  explicit TestVm(TestVmOptions options) : options_(std::move(options)) {}
  std::vector<std::string> CommandLine() const;
  absl::Status ConnectQmp(absl::Time deadline);
  absl::StatusOr<nlohmann::json> ReadQmp();
  absl::StatusOr<UniqueFd> Handshake(absl::Duration timeout);

  const TestVmOptions options_;
  ProcessIdentity process_;
  UniqueFd qmp_;
  std::string qmp_buffer_;
  ChannelSecret secret_ = {};
  std::shared_ptr<grpc::Channel> channel_;
  std::unique_ptr<agent::v1::Agent::Stub> stub_;
};

}  // namespace podvisor

#endif  // PODVISOR_GUESTAGENT_AGENT_TEST_VM_H_
