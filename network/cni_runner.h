#ifndef PODVISOR_NETWORK_CNI_RUNNER_H_
#define PODVISOR_NETWORK_CNI_RUNNER_H_

#include <functional>
#include <set>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "network/cni_attachment.h"
#include "network/cni_config.h"
#include "network/cni_result.h"

namespace podvisor {

// Runs the plugins of a network configuration, section 2 to 4 of the CNI
// specification. Each is a process group of its own that is killed at the
// deadline; what a plugin prints is bounded, and what it leaves running is not
// waited for.
//
// Thread-safe. Errors: NotFound (no such plugin), DeadlineExceeded, Cancelled,
// DataLoss (no result), and CniError()'s.
class CniRunner {
 public:
  explicit CniRunner(std::vector<std::string> bin_dirs)
      : bin_dirs_(std::move(bin_dirs)) {}

  // The last plugin's result. After an error Del() has to undo the rest.
  absl::StatusOr<CniResult> Add(const CniAttachment& attachment,
                                const std::function<bool()>& cancelled,
                                absl::Time deadline) const;
  // All plugins, the last first; goes on after an error and returns the first.
  // Whether the network namespace is there yet makes no difference.
  absl::Status Del(const CniAttachment& attachment, bool netns_exists,
                   absl::Time deadline) const;
  // OK also where the version has no CHECK, or the list wants none.
  absl::Status Check(const CniAttachment& attachment,
                     absl::Time deadline) const;
  // Whether the plugins are there and, from version 1.1.0 on, say that they can
  // do an ADD.
  absl::Status Status(const CniConfigList& config, absl::Time deadline) const;
  // Has the plugins give back what they keep for pods that are not in `valid`.
  // All plugins; goes on after an error and returns the first. OK also where
  // the version has no GC (before 1.1.0), or the list wants none. A plugin that
  // outlives us would take what later pods have: EndStrayPlugins() finds it by
  // `netns_directory`.
  absl::Status Gc(const CniConfigList& config, const std::set<PodId>& valid,
                  const std::string& netns_directory,
                  absl::Time deadline) const;

 private:
  // What the plugin printed.
  absl::StatusOr<std::string> Run(absl::string_view command,
                                  const CniAttachment& attachment,
                                  const CniPlugin& plugin, std::string input,
                                  const std::function<bool()>& cancelled,
                                  absl::Time deadline) const;

  const std::vector<std::string> bin_dirs_;
};

}  // namespace podvisor

#endif  // PODVISOR_NETWORK_CNI_RUNNER_H_
