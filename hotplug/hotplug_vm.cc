#include "hotplug/hotplug_vm.h"

#include <stdlib.h>
#include <unistd.h>

#include <filesystem>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "base/file.h"
#include "base/status_macros.h"

namespace podvisor {
namespace {

absl::Time In(int seconds) { return absl::Now() + absl::Seconds(seconds); }

std::string ImageFile(const char* name) {
  const char* directory = getenv("PODVISOR_GUEST_IMAGE_DIR");
  return absl::StrCat(directory == nullptr ? "guestagent/image" : directory,
                      "/", name);
}

}  // namespace

bool HotplugVm::IsPossible() {
  return std::filesystem::exists(kHotplugVmQemu) &&
         std::filesystem::exists(ImageFile("vmlinux"));
}

absl::StatusOr<std::unique_ptr<HotplugVm>> HotplugVm::Start(
    const std::vector<RawVmDisk>& disks, int64_t boot_bytes,
    const std::string& kernel_parameters) {
  // Short: QEMU binds to the paths itself.
  std::string directory = "/tmp/pvresize.XXXXXX";
  if (mkdtemp(directory.data()) == nullptr) {
    return absl::InternalError("mkdtemp");
  }
  std::unique_ptr<HotplugVm> vm(new HotplugVm(directory, boot_bytes));
  RawVmOptions options;
  options.kernel = ImageFile("vmlinux");
  options.initrd = ImageFile("initrd.img");
  options.directory = directory;
  options.qemu = kHotplugVmQemu;
  options.memory_mib = static_cast<int>(boot_bytes >> 20);
  options.kernel_parameters =
      absl::StrCat("memhp_default_state=online_movable ", kernel_parameters);
  options.disks = disks;
  // QEMU adds these to what RawVm says under the same names.
  options.extra_arguments = {
      "-machine",
      "memory-backend=ram",  //
      "-object",
      absl::StrCat("memory-backend-memfd,id=ram,share=on,size=", boot_bytes),
      "-m",
      "slots=10,maxmem=16G",
      "-smp",
      "sockets=4,cores=1,threads=1,maxcpus=4",
      "-device",
      absl::StrCat("pci-bridge,id=", kHotplugVmBus,
                   ",chassis_nr=77,bus=pcie.0"),
      "-chardev",
      absl::StrCat("socket,id=qmp,path=", directory, "/qmp,server=on,wait=off"),
      "-mon",
      "chardev=qmp,mode=control"};
  ASSIGN_OR_RETURN(vm->vm_, RawVm::Start(options));
  vm->agent_ = std::make_unique<GrpcAgentClient>(
      vm->vm_->agent_socket(), AgentSecret::Random(), AgentClientOptions(),
      &vm->clock_);
  RETURN_IF_ERROR(vm->ConnectQmp());
  RETURN_IF_ERROR(vm->agent_->Connect(In(120)));
  return vm;
}

HotplugVm::~HotplugVm() {
  agent_.reset();
  qmp_.reset();
  vm_.reset();
  RemoveTree(directory_).IgnoreError();
}

absl::Status HotplugVm::ConnectQmp() {
  qmp_.reset();
  absl::StatusOr<std::unique_ptr<QmpSocketClient>> qmp;
  do {
    qmp = QmpSocketClient::Connect(directory_ + "/qmp", In(30));
  } while (
      !qmp.ok() && alive() &&
      (absl::IsNotFound(qmp.status()) || absl::IsUnavailable(qmp.status())));
  RETURN_IF_ERROR(qmp.status());
  qmp_ = *std::move(qmp);
  return absl::OkStatus();
}

VmLimits HotplugVm::Limits(VcpuUnplug unplug) const {
  VmLimits limits;
  limits.boot_vcpus = 1;
  limits.max_vcpus = 4;
  limits.boot_memory_bytes = boot_bytes_;
  limits.max_memory_bytes = boot_bytes_ + (int64_t{9} << 30);
  limits.vcpu_unplug = unplug;
  return limits;
}

VmLimits HotplugVm::DimmLimits(bool unplug) const {
  VmLimits limits = Limits(VcpuUnplug::kPark);
  limits.memory_device = MemoryDevice::kPcDimm;
  limits.memory_slots = 10;
  limits.dimm_unplug = unplug;
  return limits;
}

VmResizer HotplugVm::Resizer(const VmLimits& limits) {
  return VmResizer(qmp_.get(), agent_.get(), &clock_, limits,
                   {.memory_bus = kHotplugVmBus, .memory_slot = ""});
}

}  // namespace podvisor
