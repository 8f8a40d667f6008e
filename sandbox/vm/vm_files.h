#ifndef PODVISOR_SANDBOX_VM_VM_FILES_H_
#define PODVISOR_SANDBOX_VM_VM_FILES_H_

#include <cstddef>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/unique_fd.h"

namespace podvisor {

// A VM's files in the pod's run directory, reached through a descriptor of the
// directory: its path may be longer than a socket's address can be.
//
// Thread-safe.
class VmFiles {
 public:
  // NotFound when the directory is not there.
  static absl::StatusOr<VmFiles> Open(const std::string& pod_directory);

  // Valid in this process, as long as the object lives.
  std::string qmp_socket() const { return Path("qmp.sock"); }
  std::string agent_socket() const { return Path("agent.sock"); }

  // New listening sockets in the place of old ones.
  absl::StatusOr<UniqueFd> ListenForQmp() const { return Listen("qmp.sock"); }
  absl::StatusOr<UniqueFd> ListenForAgent() const {
    return Listen("agent.sock");
  }
  // Emptied and opened for appending.
  absl::StatusOr<UniqueFd> NewConsole() const { return New(kConsole); }
  absl::StatusOr<UniqueFd> NewQemuLog() const { return New(kQemuLog); }

  // The last bytes of what the guest, or QEMU itself, has printed. Hostile.
  absl::StatusOr<std::string> ConsoleTail(size_t max_bytes) const {
    return Tail(kConsole, max_bytes);
  }
  absl::StatusOr<std::string> QemuLogTail(size_t max_bytes) const {
    return Tail(kQemuLog, max_bytes);
  }

  // Cuts a console that is longer than `max_bytes` down to its last `kept`, so
  // that what the guest prints last, a panic, finds room. QEMU goes on writing
  // at the end; what it writes in the very moment is lost.
  absl::Status TrimConsole(size_t max_bytes, size_t kept) const;

  // From the pod's directory: what a guest fills has a file system of its own.
  static constexpr char kConsole[] = "output/console.log";
  static constexpr char kQemuLog[] = "output/qemu.log";

 private:
  explicit VmFiles(UniqueFd directory);

  std::string Path(const char* name) const;
  absl::StatusOr<UniqueFd> Listen(const char* name) const;
  absl::StatusOr<UniqueFd> New(const char* name) const;
  absl::StatusOr<std::string> Tail(const char* name, size_t max_bytes) const;

  UniqueFd directory_;
};

// The line in a console's text that says why the guest's kernel gave up, fit
// for a message, or empty. Pure.
std::string PanicLine(const std::string& console);

// The last lines of a text, fit for a message of at most `max_bytes`. Pure.
std::string LastLines(const std::string& text, size_t max_bytes);

}  // namespace podvisor

#endif  // PODVISOR_SANDBOX_VM_VM_FILES_H_
