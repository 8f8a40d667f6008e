#ifndef PODVISOR_GUESTAGENT_CLIENT_RAW_VM_H_
#define PODVISOR_GUESTAGENT_CLIENT_RAW_VM_H_

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "base/process.h"

namespace podvisor {

struct RawVmDisk {
  std::string path;    // a raw image
  std::string serial;  // at most 20 characters
  bool read_only = true;
};

struct RawVmOptions {
  std::string kernel;     // vmlinux
  std::string initrd;     // with the agent as /init
  std::string directory;  // existing, for sockets and logs; a short path
  std::string qemu = "qemu-system-x86_64";
  std::string accelerator = "tcg,thread=multi";
  // Copying with `rep movsb` is slow under TCG, see docs/agent-protocol.md.
  std::string cpu_model = "max,-erms,-fsrm";
  int cpus = 1;
  int memory_mib = 256;
  std::string kernel_parameters;  // appended
  std::vector<RawVmDisk> disks;
  std::vector<std::string> extra_arguments;
};

// A QEMU with the guest image and nothing of ours around it: for tests of the
// agent channel, and the denominator of benchmarks. It boots while Start()
// returns; connect to agent_socket() at once.
//
// QEMU is killed by the destructor, and by the kernel when the thread that
// called Start() ends. Not thread-safe.
class RawVm {
 public:
  static absl::StatusOr<std::unique_ptr<RawVm>> Start(
      const RawVmOptions& options);
  ~RawVm();

  RawVm(const RawVm&) = delete;
  RawVm& operator=(const RawVm&) = delete;

  std::string agent_socket() const { return directory_ + "/agent.sock"; }
  std::string console_log() const { return directory_ + "/console.log"; }
  std::string qemu_log() const { return directory_ + "/qemu.log"; }
  const ProcessIdentity& process() const { return process_; }

 private:
  RawVm(std::string directory, const ProcessIdentity& process)
      : directory_(std::move(directory)), process_(process) {}

  const std::string directory_;
  const ProcessIdentity process_;
};

}  // namespace podvisor

#endif  // PODVISOR_GUESTAGENT_CLIENT_RAW_VM_H_
