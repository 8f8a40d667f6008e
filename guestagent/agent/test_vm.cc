#include "guestagent/agent/test_vm.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "base/errno_status.h"
#include "base/file.h"
#include "base/status_macros.h"
#include "grpcpp/create_channel_posix.h"

namespace podvisor {
namespace {

constexpr char kKernelParameters[] =
    "quiet console=ttyS0 8250.nr_uarts=1 panic=-1 swiotlb=noforce "
    "no_timer_check tsc=reliable noreplace-smp rcupdate.rcu_expedited=1 "
    "cryptomgr.notests random.trust_cpu=on audit=0 i8042.noaux i8042.nokbd "
    "memhp_default_state=online_movable";

absl::StatusOr<UniqueFd> ConnectUnix(const std::string& path) {
  UniqueFd fd(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_un address = {};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof(address.sun_path)) {
    return absl::InvalidArgumentError("socket path is too long");
  }
  memcpy(address.sun_path, path.c_str(), path.size() + 1);
  if (connect(fd.get(), reinterpret_cast<sockaddr*>(&address),
              sizeof(address)) != 0) {
    return ErrnoStatus(errno, absl::StrCat("connect ", path));
  }
  return fd;
}

bool Readable(int fd, absl::Time deadline) {
  pollfd entry = {.fd = fd, .events = POLLIN, .revents = 0};
  const int64_t left = absl::ToInt64Milliseconds(deadline - absl::Now());
  return poll(&entry, 1, std::clamp<int64_t>(left, 0, 60'000)) > 0;
}

// Reads and drops everything up to the end of the ACK for `nonce`; the byte
// after it stays in the socket.
bool ReadAck(int fd, const ChannelNonce& nonce, absl::Time deadline) {
  std::string window;
  while (Readable(fd, deadline)) {
    char byte;
    if (recv(fd, &byte, 1, 0) != 1) return false;
    window.push_back(byte);
    if (window.size() < kChannelAckSize) continue;
    const auto ack = MatchChannelAck(window);
    if (ack.has_value() && ack->nonce == nonce) return true;
    window.erase(0, 1);
  }
  return false;
}

}  // namespace

std::vector<std::string> TestVm::CommandLine() const {
  const std::string& dir = options_.directory;
  return {
      "qemu-system-x86_64",
      "-nodefaults",
      "-no-user-config",
      "-no-reboot",
      "-display",
      "none",
      "-accel",
      "tcg,thread=multi",
      "-cpu",
      "max,-erms,-fsrm",
      "-machine",
      "q35,memory-backend=ram",
      "-object",
      "memory-backend-memfd,id=ram,size=256M,share=on",
      "-m",
      "size=256M,slots=4,maxmem=4G",
      "-smp",
      "1,sockets=4,cores=1,threads=1,maxcpus=4",
      "-kernel",
      options_.vmlinux,
      "-initrd",
      options_.initrd,
      "-append",
      absl::StrCat(kKernelParameters, " ", options_.extra_kernel_parameters),
      "-device",
      "pci-bridge,id=pb1,chassis_nr=77,bus=pcie.0",
      "-chardev",
      absl::StrCat("file,id=console,path=", dir, "/console.log"),
      "-serial",
      "chardev:console",
      "-device",
      "virtio-serial-pci,id=serial0,max_ports=4",
      "-chardev",
      absl::StrCat("socket,id=agent,path=", dir,
                   "/agent.sock,server=on,wait=off"),
      "-device",
      "virtserialport,chardev=agent,name=podvisor.agent",
      "-object",
      "memory-backend-memfd,id=hot,size=1G,share=on,reserve=off",
      "-device",
      "virtio-mem-pci,id=vmem0,memdev=hot,requested-size=0",
      "-chardev",
      absl::StrCat("socket,id=qmp,path=", dir, "/qmp.sock,server=on,wait=off"),
      "-mon",
      "chardev=qmp,mode=control",
  };
}

absl::StatusOr<std::unique_ptr<TestVm>> TestVm::Start(TestVmOptions options) {
  std::unique_ptr<TestVm> vm(new TestVm(std::move(options)));
  if (getrandom(vm->secret_.data(), vm->secret_.size(), 0) < 0) {
    return ErrnoStatus(errno, "getrandom");
  }
  const std::string log = absl::StrCat(vm->options_.directory, "/qemu.log");
  const UniqueFd log_fd(
      open(log.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600));
  ASSIGN_OR_RETURN(vm->process_,
                   Spawn({.argv = vm->CommandLine(),
                          .env = {"PATH=/usr/sbin:/usr/bin:/sbin:/bin"},
                          .fds = {},
                          .stdout_fd = log_fd.get(),
                          .stderr_fd = log_fd.get()}));
  RETURN_IF_ERROR(vm->ConnectQmp(absl::Now() + absl::Seconds(10)));
  return vm;
}

TestVm::~TestVm() {
  stub_.reset();
  channel_.reset();
  KillGroup(process_, absl::Now() + absl::Seconds(10)).IgnoreError();
}

absl::Status TestVm::ConnectQmp(absl::Time deadline) {
  const std::string path = absl::StrCat(options_.directory, "/qmp.sock");
  while (true) {
    absl::StatusOr<UniqueFd> fd = ConnectUnix(path);
    if (fd.ok()) {
      qmp_ = std::move(*fd);
      break;
    }
    if (absl::Now() > deadline || !IsRunning()) return fd.status();
    absl::SleepFor(absl::Milliseconds(2));
  }
  RETURN_IF_ERROR(ReadQmp().status());  // The greeting.
  return Qmp("qmp_capabilities", nlohmann::json::object()).status();
}

absl::StatusOr<nlohmann::json> TestVm::ReadQmp() {
  const absl::Time deadline = absl::Now() + absl::Seconds(20);
  while (true) {
    const size_t end = qmp_buffer_.find('\n');
    if (end != std::string::npos) {
      nlohmann::json message =
          nlohmann::json::parse(qmp_buffer_.substr(0, end), nullptr, false);
      qmp_buffer_.erase(0, end + 1);
      if (message.is_discarded()) return absl::DataLossError("QMP");
      return message;
    }
    if (!Readable(qmp_.get(), deadline)) {
      return absl::DeadlineExceededError("QMP");
    }
    std::array<char, 4096> buffer;
    const ssize_t size = read(qmp_.get(), buffer.data(), buffer.size());
    if (size <= 0) return absl::UnavailableError("QMP closed");
    qmp_buffer_.append(buffer.data(), size);
  }
}

absl::StatusOr<nlohmann::json> TestVm::Qmp(const std::string& command,
                                           const nlohmann::json& arguments) {
  const nlohmann::json request = {{"execute", command},
                                  {"arguments", arguments}};
  RETURN_IF_ERROR(WriteAll(qmp_.get(), absl::StrCat(request.dump(), "\n")));
  while (true) {
    ASSIGN_OR_RETURN(nlohmann::json message, ReadQmp());
    if (message.contains("return")) return message["return"];
    if (message.contains("error")) {
      return absl::InvalidArgumentError(message["error"].dump());
    }
  }
}

absl::Status TestVm::PlugDisk(const std::string& path,
                              const std::string& serial, bool read_only,
                              int slot) {
  RETURN_IF_ERROR(Qmp("blockdev-add", {{"driver", "raw"},
                                       {"node-name", "node-" + serial},
                                       {"read-only", read_only},
                                       {"file",
                                        {{"driver", "file"},
                                         {"filename", path},
                                         {"read-only", read_only},
                                         {"locking", "off"}}}})
                      .status());
  return Qmp("device_add", {{"driver", "virtio-blk-pci"},
                            {"id", "disk-" + serial},
                            {"drive", "node-" + serial},
                            {"bus", "pb1"},
                            {"addr", std::to_string(slot)},
                            {"serial", serial},
                            {"disable-legacy", "on"}})
      .status();
}

absl::StatusOr<UniqueFd> TestVm::Handshake(absl::Duration timeout) {
  const std::string path = absl::StrCat(options_.directory, "/agent.sock");
  {
    ASSIGN_OR_RETURN(const UniqueFd thrown_away, ConnectUnix(path));
    shutdown(thrown_away.get(), SHUT_RDWR);
  }
  ASSIGN_OR_RETURN(UniqueFd fd, ConnectUnix(path));
  ChannelHello hello{.secret = secret_};
  if (getrandom(hello.nonce.data(), hello.nonce.size(), 0) < 0) {
    return ErrnoStatus(errno, "getrandom");
  }
  const auto bytes = EncodeChannelHello(hello);
  if (send(fd.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL) !=
      static_cast<ssize_t>(bytes.size())) {
    return ErrnoStatus(errno, "send HELLO");
  }
  if (!ReadAck(fd.get(), hello.nonce, absl::Now() + timeout)) {
    return absl::DeadlineExceededError("no ACK");
  }
  fcntl(fd.get(), F_SETFL, O_NONBLOCK);
  return fd;
}

absl::Status TestVm::Connect(absl::Duration timeout) {
  const absl::Time deadline = absl::Now() + timeout;
  // The first try is as long as a boot takes; a lost HELLO costs one more.
  absl::Duration try_for = stub_ == nullptr ? timeout / 2 : timeout / 8;
  // QEMU serves one client: the next one would wait behind this.
  stub_.reset();
  channel_.reset();
  while (true) {
    absl::StatusOr<UniqueFd> fd =
        Handshake(std::min(try_for, deadline - absl::Now()));
    if (fd.ok()) {
      channel_ = grpc::CreateCustomInsecureChannelFromFd(
          "agent", fd->Release(), grpc::ChannelArguments());
      stub_ = agent::v1::Agent::NewStub(channel_);
      return absl::OkStatus();
    }
    if (absl::Now() >= deadline || !IsRunning()) return fd.status();
    try_for *= 2;
  }
}

std::string TestVm::ConsoleText() const {
  return ReadFile(absl::StrCat(options_.directory, "/console.log"))
      .value_or("");
}

}  // namespace podvisor
