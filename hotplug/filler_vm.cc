#include "hotplug/filler_vm.h"

#include <stdlib.h>
#include <unistd.h>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/time/clock.h"
#include "base/file.h"
#include "base/process.h"
#include "base/status_macros.h"
#include "guestagent/agent.pb.h"

namespace podvisor {
namespace {

constexpr char kProgram[] = "hotplug/memory_filler";

const ContainerId kContainer(std::string(64, 'c'));
const std::string kImage(64, 'd');

absl::Time In(int seconds) { return absl::Now() + absl::Seconds(seconds); }

absl::Status RunTool(const std::vector<std::string>& argv) {
  CommandOptions options;
  options.argv = argv;
  options.deadline = In(60);
  ASSIGN_OR_RETURN(const CommandResult result, RunCommand(options));
  if (result.exit_code == 0) return absl::OkStatus();
  return absl::InternalError(absl::StrCat(argv[0], ": ", result.stderr_data));
}

}  // namespace

absl::StatusOr<std::unique_ptr<FillerVm>> FillerVm::Start(
    const FillerVmOptions& options) {
  std::string directory = "/tmp/pvfiller.XXXXXX";
  if (mkdtemp(directory.data()) == nullptr) {
    return absl::InternalError("mkdtemp");
  }
  std::unique_ptr<FillerVm> filler(new FillerVm(directory));
  RETURN_IF_ERROR(filler->MakeDisks());
  ASSIGN_OR_RETURN(
      filler->vm_,
      HotplugVm::Start({{directory + "/image", "image", true},
                        {directory + "/scratch", "scratch", false}},
                       options.boot_bytes));
  RETURN_IF_ERROR(filler->StartContainer(options.memory_limit_bytes));
  return filler;
}

FillerVm::~FillerVm() {
  vm_.reset();
  RemoveTree(directory_).IgnoreError();
}

absl::Status FillerVm::MakeDisks() {
  const std::string root = directory_ + "/root";
  RETURN_IF_ERROR(MakeDirectories(root + "/proc"));
  RETURN_IF_ERROR(MakeDirectories(root + "/dirty"));
  const std::string program = access(kProgram, R_OK) == 0
                                  ? kProgram
                                  : absl::StrCat("bazel-bin/", kProgram);
  RETURN_IF_ERROR(RunTool({"cp", "-L", program, root + "/memory_filler"}));
  RETURN_IF_ERROR(RunTool({"mksquashfs", root, directory_ + "/image", "-quiet",
                           "-no-progress", "-all-root"}));
  RETURN_IF_ERROR(RunTool({"truncate", "-s", "3G", directory_ + "/scratch"}));
  return RunTool({"mkfs.ext4", "-q", "-F", directory_ + "/scratch"});
}

absl::Status FillerVm::StartContainer(int64_t memory_limit_bytes) {
  agent::v1::ConfigureSandboxRequest sandbox;
  sandbox.set_hostname("filler");
  sandbox.set_scratch_serial("scratch");
  RETURN_IF_ERROR(vm_->agent().ConfigureSandbox(sandbox, In(60)));
  RETURN_IF_ERROR(vm_->agent().MountImage("image", kImage, "squashfs", In(60)));
  agent::v1::ContainerSpec spec;
  spec.mutable_root()->set_image(kImage);
  spec.add_args("/memory_filler");
  spec.set_cwd("/");
  spec.mutable_user()->set_uid(0);
  spec.set_pid_namespace(agent::v1::ContainerSpec::CONTAINER);
  spec.mutable_resources()->set_memory_limit_bytes(memory_limit_bytes);
  agent::v1::Mount* dirty = spec.add_mounts();
  dirty->set_kind(agent::v1::Mount::TMPFS);
  dirty->set_destination("/dirty");
  dirty->set_size_bytes(int64_t{16} << 30);
  RETURN_IF_ERROR(vm_->agent().Create(kContainer, spec, In(60)).status());
  return vm_->agent().Start(kContainer, In(60));
}

absl::StatusOr<std::string> FillerVm::Fill(std::vector<std::string> arguments) {
  arguments.insert(arguments.begin(), "/memory_filler");
  ASSIGN_OR_RETURN(const ExecSyncResult result,
                   vm_->agent().ExecSync(
                       {.container = kContainer, .args = arguments}, In(300)));
  if (result.exit_code == 0) return result.stdout_data;
  return absl::InternalError(absl::StrCat(
      "memory_filler: exit code ", result.exit_code, " ", result.stderr_data));
}

absl::Status FillerVm::FillTmpfs(int64_t bytes) {
  return Fill({"/dirty/file", absl::StrCat(bytes)}).status();
}

absl::Status FillerVm::FillCache(int64_t bytes) {
  return Fill({"/file", absl::StrCat(bytes)}).status();
}

absl::StatusOr<EndlessFill> FillerVm::FillWithoutEnd(bool tmpfs) {
  std::vector<std::string> arguments = {"--without-end"};
  if (tmpfs) arguments.push_back("/dirty/file");
  ASSIGN_OR_RETURN(const std::string text, Fill(arguments));
  const std::vector<std::string> words =
      absl::StrSplit(text, absl::ByAnyChar(" \n"), absl::SkipEmpty());
  EndlessFill fill;
  int kills = 0;
  if (words.size() != 3 || !absl::SimpleAtoi(words[0], &fill.signal) ||
      !absl::SimpleAtoi(words[1], &fill.peak_bytes) ||
      !absl::SimpleAtoi(words[2], &kills)) {
    return absl::InternalError(absl::StrCat("memory_filler said: ", text));
  }
  fill.by_own_cgroup = kills > 0;
  return fill;
}

absl::StatusOr<int64_t> FillerVm::PssBytes() const {
  ASSIGN_OR_RETURN(
      const std::string text,
      ReadFile(absl::StrCat("/proc/", vm_->process().pid, "/smaps_rollup")));
  for (const absl::string_view line : absl::StrSplit(text, '\n')) {
    if (!absl::StartsWith(line, "Pss:")) continue;
    const std::vector<absl::string_view> words =
        absl::StrSplit(line, ' ', absl::SkipEmpty());
    int64_t kib = 0;
    if (words.size() == 3 && absl::SimpleAtoi(words[1], &kib)) {
      return kib << 10;
    }
  }
  return absl::DataLossError("smaps_rollup without Pss");
}

absl::StatusOr<int64_t> FillerVm::SettledPssBytes(int64_t wanted_bytes) const {
  const absl::Time end = In(1);
  while (true) {
    ASSIGN_OR_RETURN(const int64_t bytes, PssBytes());
    if (bytes <= wanted_bytes || absl::Now() >= end) return bytes;
    absl::SleepFor(absl::Milliseconds(5));
  }
}

}  // namespace podvisor
