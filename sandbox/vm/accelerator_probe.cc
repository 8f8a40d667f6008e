#include "sandbox/vm/accelerator_probe.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <cerrno>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "base/clean_text.h"
#include "base/errno_status.h"
#include "base/file.h"
#include "base/ids.h"
#include "base/log.h"
#include "base/status_macros.h"
#include "base/unique_fd.h"
#include "nlohmann/json.hpp"
#include "volume/pod_directory.h"

namespace podvisor {
namespace {

using Json = nlohmann::json;

// No pod's: see kFirstJailUid for the range.
constexpr uid_t kProbeUid = 2147483000;
constexpr absl::Duration kCleanupTime = absl::Seconds(10);

std::string CachePath(const std::string& run_dir) {
  return absl::StrCat(run_dir, "/accelerator.json");
}

// What an earlier daemon found out under the same key. A damaged file is no
// answer, and is replaced.
std::optional<AcceleratorChoice> ReadCache(const std::string& run_dir,
                                           const std::string& key) {
  const absl::StatusOr<std::string> text =
      ReadFile(CachePath(run_dir), 64 << 10);
  if (!text.ok()) return std::nullopt;
  const Json json = Json::parse(*text, nullptr, false);
  if (!json.is_object()) return std::nullopt;
  for (const char* field : {"key", "accelerator", "reason"}) {
    if (!json.contains(field) || !json[field].is_string()) return std::nullopt;
  }
  if (json["key"] != key) return std::nullopt;
  return AcceleratorChoice{
      json["accelerator"] == "kvm" ? Accelerator::kKvm : Accelerator::kTcg,
      json["reason"].get<std::string>()};
}

void WriteCache(const std::string& run_dir, const std::string& key,
                const AcceleratorChoice& choice) {
  const Json json = {
      {"key", key},
      {"accelerator", choice.accelerator == Accelerator::kKvm ? "kvm" : "tcg"},
      {"reason", choice.reason}};
  absl::Status written = MakeDirectories(run_dir, 0711);
  if (written.ok())
    written = WriteFileAtomically(CachePath(run_dir), json.dump());
  if (!written.ok()) {
    Log(LogLevel::kWarning, "the accelerator will be probed again",
        {{"error", written.message()}});
  }
}

AcceleratorChoice Tcg(absl::string_view reason) {
  return {Accelerator::kTcg, CleanText(reason, 512)};
}

}  // namespace

absl::StatusOr<std::string> ProbeKey(const VmSpec& spec,
                                     const std::string& boot_id_path) {
  ASSIGN_OR_RETURN(const std::string boot_id, ReadFile(boot_id_path, 4096));
  std::string key(absl::StripAsciiWhitespace(boot_id));
  for (const std::string* path : {&spec.qemu, &spec.kernel, &spec.initrd}) {
    struct stat info;
    if (stat(path->c_str(), &info) != 0) return ErrnoStatus(errno, *path);
    absl::StrAppend(&key, " ", *path, ":", info.st_size, ":",
                    info.st_mtim.tv_sec, ".", info.st_mtim.tv_nsec);
  }
  absl::StrAppend(&key, " ", spec.kernel_params);
  return key;
}

std::optional<AcceleratorChoice> KnownAccelerator(const std::string& run_dir,
                                                  const VmSpec& spec) {
  const absl::StatusOr<std::string> key = ProbeKey(spec);
  return key.ok() ? ReadCache(run_dir, *key) : std::nullopt;
}

AcceleratorProbe::AcceleratorProbe(VmLauncher* launcher, Clock* clock,
                                   std::string run_dir, std::string kvm_device)
    : launcher_(launcher),
      clock_(clock),
      run_dir_(std::move(run_dir)),
      kvm_device_(std::move(kvm_device)) {}

absl::StatusOr<AcceleratorChoice> AcceleratorProbe::Choose(
    absl::string_view wanted, const VmSpec& base) {
  if (wanted == "kvm") {
    return AcceleratorChoice{Accelerator::kKvm, "configured"};
  }
  if (wanted == "tcg") return Tcg("configured");
  if (wanted != "auto") {
    return absl::InvalidArgumentError(absl::StrCat(
        "accelerator is \"", wanted, "\", not \"auto\", \"kvm\" or \"tcg\""));
  }
  const UniqueFd device(open(kvm_device_.c_str(), O_RDWR | O_CLOEXEC));
  if (!device.valid()) {
    return Tcg(
        absl::StrCat("no KVM: ", ErrnoStatus(errno, kvm_device_).message()));
  }
  const absl::StatusOr<std::string> key = ProbeKey(base);
  if (!key.ok()) {
    return Tcg(absl::StrCat("KVM not probed: ", key.status().message()));
  }
  if (std::optional<AcceleratorChoice> known = ReadCache(run_dir_, *key)) {
    return *std::move(known);
  }
  const AcceleratorChoice choice = Probe(base);
  WriteCache(run_dir_, *key, choice);
  return choice;
}

AcceleratorChoice AcceleratorProbe::Probe(const VmSpec& base) {
  VmSpec spec = base;
  spec.id = PodId(RandomHexId());
  spec.accelerator = Accelerator::kKvm;
  spec.uid = kProbeUid;
  spec.boot_vcpus = 1;
  spec.max_vcpus = 1;
  spec.boot_memory_bytes = int64_t{256} << 20;
  spec.max_memory_bytes = spec.boot_memory_bytes;
  spec.memory_slots = 0;
  spec.cgroup_procs.clear();
  const absl::StatusOr<PodDirectory> directory =
      PodDirectory::Create(run_dir_, spec.id);
  if (!directory.ok()) {
    return Tcg(absl::StrCat("KVM not probed: ", directory.status().message()));
  }
  spec.directory = directory->path();
  const absl::Time start = clock_->Now();
  absl::StatusOr<std::unique_ptr<Vm>> vm = launcher_->Launch(
      spec, [](const VmRecord&) { return absl::OkStatus(); },
      start + kProbeTime);
  const absl::Duration took = clock_->Now() - start;
  if (!vm.ok()) {
    return Tcg(
        absl::StrCat("KVM does not boot the guest: ", vm.status().message()));
  }
  const absl::Status killed =
      (*vm)->process().Kill(clock_->Now() + kCleanupTime);
  if (!killed.ok()) {
    return Tcg(absl::StrCat("KVM: the VM cannot be ended: ", killed.message()));
  }
  return {Accelerator::kKvm,
          absl::StrCat("KVM booted the guest in ", absl::FormatDuration(took))};
}

}  // namespace podvisor
