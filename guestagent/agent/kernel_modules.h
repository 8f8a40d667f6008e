#ifndef PODVISOR_GUESTAGENT_AGENT_KERNEL_MODULES_H_
#define PODVISOR_GUESTAGENT_AGENT_KERNEL_MODULES_H_

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_set.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/synchronization/mutex.h"

namespace podvisor {

// One line of the image's module list, which the image's build resolves:
// "boot|later|demand NAME DEPENDENCY...". All dependencies come before, in
// order. What is loaded on demand waits until the kernel asks for it.
struct KernelModule {
  enum class Phase { kBoot, kLater, kDemand };

  Phase phase = Phase::kLater;
  std::string name;
  std::vector<std::string> dependencies;

  bool operator==(const KernelModule&) const = default;
};

// Pure. DataLoss for a line that is not of that form.
absl::StatusOr<std::vector<KernelModule>> ParseModuleList(
    absl::string_view text);

// Loads kernel modules of the image, each once. A module that the kernel has
// already is OK. Thread-safe.
class KernelModules {
 public:
  // Gives one module, with all its dependencies loaded, to the kernel.
  using Loader = std::function<absl::Status(const std::string& name)>;

  KernelModules(std::vector<KernelModule> modules, Loader loader);

  // The image's own: list and files in `directory`, finit_module(2).
  static absl::StatusOr<std::unique_ptr<KernelModules>> FromDirectory(
      const std::string& directory);

  // Loads `name` and what it needs. OK when the image has no such module: the
  // kernel has it built in, or the use of it will say what is missing.
  absl::Status Load(absl::string_view name);
  absl::Status LoadBootModules();
  // Everything but what waits for a demand, so that devices which are plugged
  // later find a driver.
  absl::Status LoadAll();

 private:
  absl::Status LoadOne(const std::string& name)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  const std::vector<KernelModule> modules_;
  const Loader loader_;
  absl::Mutex mutex_;
  absl::flat_hash_set<std::string> loaded_ ABSL_GUARDED_BY(mutex_);
};

// What the kernel runs as modprobe(8): `arguments` without the program's own
// name, as in {"-q", "--", "bridge"}. Pure. InvalidArgument without a name.
absl::StatusOr<std::string> ModuleToProbe(
    const std::vector<std::string>& arguments);

}  // namespace podvisor

#endif  // PODVISOR_GUESTAGENT_AGENT_KERNEL_MODULES_H_
