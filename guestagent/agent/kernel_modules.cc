#include "guestagent/agent/kernel_modules.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "base/errno_status.h"
#include "base/file.h"
#include "base/status_macros.h"
#include "base/unique_fd.h"

namespace podvisor {
namespace {

absl::Status LoadFile(const std::string& path) {
  const UniqueFd file(open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!file.valid()) return ErrnoStatus(errno, path);
  if (syscall(SYS_finit_module, file.get(), "", 0) != 0 && errno != EEXIST) {
    return ErrnoStatus(errno, absl::StrCat("load ", path));
  }
  return absl::OkStatus();
}

std::optional<KernelModule::Phase> PhaseFrom(absl::string_view word) {
  if (word == "boot") return KernelModule::Phase::kBoot;
  if (word == "later") return KernelModule::Phase::kLater;
  if (word == "demand") return KernelModule::Phase::kDemand;
  return std::nullopt;
}

}  // namespace

absl::StatusOr<std::vector<KernelModule>> ParseModuleList(
    absl::string_view text) {
  std::vector<KernelModule> modules;
  absl::flat_hash_set<std::string> known;
  for (absl::string_view line : absl::StrSplit(text, '\n', absl::SkipEmpty())) {
    const std::vector<std::string> words =
        absl::StrSplit(line, ' ', absl::SkipEmpty());
    const std::optional<KernelModule::Phase> phase =
        words.empty() ? std::nullopt : PhaseFrom(words[0]);
    if (words.size() < 2 || !phase.has_value()) {
      return absl::DataLossError(absl::StrCat("module list: ", line));
    }
    const KernelModule module{.phase = *phase,
                              .name = words[1],
                              .dependencies = {words.begin() + 2, words.end()}};
    for (const std::string& dependency : module.dependencies) {
      if (!known.contains(dependency)) {
        return absl::DataLossError(absl::StrCat(
            "module list: ", dependency, " comes after its user ", words[1]));
      }
    }
    if (!known.insert(module.name).second) {
      return absl::DataLossError(absl::StrCat("module list: ", line, " again"));
    }
    modules.push_back(module);
  }
  return modules;
}

KernelModules::KernelModules(std::vector<KernelModule> modules, Loader loader)
    : modules_(std::move(modules)), loader_(std::move(loader)) {}

absl::StatusOr<std::unique_ptr<KernelModules>> KernelModules::FromDirectory(
    const std::string& directory) {
  ASSIGN_OR_RETURN(const std::string text,
                   ReadFile(absl::StrCat(directory, "/list"), 64 << 10));
  ASSIGN_OR_RETURN(std::vector<KernelModule> modules, ParseModuleList(text));
  return std::make_unique<KernelModules>(
      std::move(modules), [directory](const std::string& name) {
        return LoadFile(absl::StrCat(directory, "/", name, ".ko"));
      });
}

absl::Status KernelModules::LoadOne(const std::string& name) {
  if (loaded_.contains(name)) return absl::OkStatus();
  RETURN_IF_ERROR(loader_(name));
  loaded_.insert(name);
  return absl::OkStatus();
}

absl::Status KernelModules::Load(absl::string_view name) {
  absl::MutexLock lock(&mutex_);
  for (const KernelModule& module : modules_) {
    if (module.name != name) continue;
    for (const std::string& dependency : module.dependencies) {
      RETURN_IF_ERROR(LoadOne(dependency));
    }
    return LoadOne(module.name);
  }
  return absl::OkStatus();
}

absl::Status KernelModules::LoadBootModules() {
  absl::MutexLock lock(&mutex_);
  for (const KernelModule& module : modules_) {
    if (module.phase != KernelModule::Phase::kBoot) continue;
    RETURN_IF_ERROR(LoadOne(module.name));
  }
  return absl::OkStatus();
}

absl::Status KernelModules::LoadAll() {
  for (const KernelModule& module : modules_) {
    if (module.phase == KernelModule::Phase::kDemand) continue;
    RETURN_IF_ERROR(Load(module.name));  // Lets others in between.
  }
  return absl::OkStatus();
}

absl::StatusOr<std::string> ModuleToProbe(
    const std::vector<std::string>& arguments) {
  for (const std::string& argument : arguments) {
    if (argument.empty() || argument[0] == '-') continue;
    std::string name = argument;
    // The kernel takes both for the same.
    std::replace(name.begin(), name.end(), '-', '_');
    return name;
  }
  return absl::InvalidArgumentError("modprobe: no module is named");
}

}  // namespace podvisor
