#include "guestagent/client/raw_vm.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <cerrno>
#include <cstring>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "base/errno_status.h"
#include "base/status_macros.h"
#include "base/unique_fd.h"

namespace podvisor {
namespace {

constexpr int kAgentListenerFd = 3;  // in QEMU

constexpr char kKernelParameters[] =
    "quiet console=ttyS0 panic=-1 swiotlb=noforce no_timer_check";

// QEMU inherits the socket, so it can be connected to before QEMU runs.
absl::StatusOr<UniqueFd> Listen(const std::string& path) {
  UniqueFd fd(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (!fd.valid()) return ErrnoStatus(errno, "socket");
  sockaddr_un address = {};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof(address.sun_path)) {
    return absl::InvalidArgumentError(absl::StrCat("too long: ", path));
  }
  std::memcpy(address.sun_path, path.data(), path.size());
  if (bind(fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof(address)) !=
          0 ||
      listen(fd.get(), 1) != 0) {
    return ErrnoStatus(errno, absl::StrCat("listen on ", path));
  }
  return fd;
}

std::vector<std::string> CommandLine(const RawVmOptions& options) {
  std::vector<std::string> argv = {
      "setpriv",
      "--pdeathsig",
      "KILL",
      options.qemu,
      "-nodefaults",
      "-no-user-config",
      "-no-reboot",
      "-display",
      "none",
      "-machine",
      "q35",
      "-accel",
      options.accelerator,
      "-cpu",
      options.cpu_model,
      "-smp",
      absl::StrCat(options.cpus),
      "-m",
      absl::StrCat(options.memory_mib, "M"),
      "-kernel",
      options.kernel,
      "-initrd",
      options.initrd,
      "-append",
      absl::StrCat(kKernelParameters, " ", options.kernel_parameters),
      "-chardev",
      absl::StrCat("file,id=console,path=", options.directory, "/console.log"),
      "-serial",
      "chardev:console",
      "-device",
      "virtio-serial-pci,id=serial0,max_ports=4",
      "-chardev",
      absl::StrCat("socket,id=agent,fd=", kAgentListenerFd,
                   ",server=on,wait=off"),
      "-device",
      "virtserialport,chardev=agent,name=podvisor.agent"};
  for (const RawVmDisk& disk : options.disks) {
    const std::string node = absl::StrCat("node-", disk.serial);
    argv.insert(
        argv.end(),
        {"-blockdev",
         absl::StrCat("driver=file,node-name=", node, ",filename=", disk.path,
                      ",read-only=", disk.read_only ? "on" : "off"),
         "-device",
         absl::StrCat("virtio-blk-pci,drive=", node, ",serial=", disk.serial)});
  }
  argv.insert(argv.end(), options.extra_arguments.begin(),
              options.extra_arguments.end());
  return argv;
}

}  // namespace

absl::StatusOr<std::unique_ptr<RawVm>> RawVm::Start(
    const RawVmOptions& options) {
  ASSIGN_OR_RETURN(const UniqueFd listener,
                   Listen(options.directory + "/agent.sock"));
  const std::string log_path = options.directory + "/qemu.log";
  const UniqueFd log(
      open(log_path.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600));
  if (!log.valid()) return ErrnoStatus(errno, log_path);
  SpawnOptions spawn;
  spawn.argv = CommandLine(options);
  spawn.fds = {{listener.get(), kAgentListenerFd}};
  spawn.stdout_fd = log.get();
  spawn.stderr_fd = log.get();
  ASSIGN_OR_RETURN(const ProcessIdentity process, Spawn(spawn));
  return std::unique_ptr<RawVm>(new RawVm(options.directory, process));
}

RawVm::~RawVm() {
  KillGroup(process_, absl::Now() + absl::Seconds(30)).IgnoreError();
}

}  // namespace podvisor
