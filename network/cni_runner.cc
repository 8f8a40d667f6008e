#include "network/cni_runner.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "base/process.h"
#include "base/status_macros.h"

namespace podvisor {

absl::StatusOr<std::string> CniRunner::Run(
    absl::string_view command, const CniAttachment& attachment,
    const CniPlugin& plugin, std::string input,
    const std::function<bool()>& cancelled, absl::Time deadline) const {
  ASSIGN_OR_RETURN(const std::string path,
                   FindCniPlugin(bin_dirs_, plugin.type));
  CommandOptions options;
  options.argv = {path};
  // iptables and the like are looked for in the PATH.
  options.env = {
      "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
      absl::StrCat("CNI_COMMAND=", command),
      absl::StrCat("CNI_PATH=", absl::StrJoin(bin_dirs_, ":"))};
  if (!attachment.id.empty() || !attachment.netns.empty()) {
    options.env.push_back(absl::StrCat("CNI_NETNS=", attachment.netns));
  }
  if (!attachment.id.empty()) {
    options.env.push_back(
        absl::StrCat("CNI_CONTAINERID=", attachment.id.value()));
    options.env.push_back(absl::StrCat("CNI_IFNAME=", kPodInterface));
    options.env.push_back(absl::StrCat("CNI_ARGS=", attachment.args));
  }
  options.stdin_data = std::move(input);
  options.deadline = deadline;
  options.cancelled = cancelled;
  const std::string what =
      absl::StrCat("CNI ", command, ": plugin ", plugin.type);
  absl::StatusOr<CommandResult> result = RunCommand(options);
  if (!result.ok()) return Annotate(result.status(), what);
  if (result->exit_code != 0) {
    return Annotate(CniError(plugin.type, result->exit_code,
                             result->stdout_data, result->stderr_data),
                    absl::StrCat("CNI ", command));
  }
  return std::move(result->stdout_data);
}

absl::StatusOr<CniResult> CniRunner::Add(const CniAttachment& attachment,
                                         const std::function<bool()>& cancelled,
                                         absl::Time deadline) const {
  CniResult result;
  for (const CniPlugin& plugin : attachment.config.plugins) {
    ASSIGN_OR_RETURN(
        const std::string printed,
        Run("ADD", attachment, plugin,
            PluginInput(attachment, plugin, result.json), cancelled, deadline));
    absl::StatusOr<CniResult> parsed = ParseCniResult(printed);
    if (!parsed.ok()) {
      return Annotate(parsed.status(),
                      absl::StrCat("CNI ADD: plugin ", plugin.type));
    }
    result = *std::move(parsed);
  }
  return result;
}

absl::Status CniRunner::Del(const CniAttachment& attachment, bool netns_exists,
                            absl::Time deadline) const {
  CniAttachment present = attachment;
  // Of a namespace that is gone the plugins release what is outside of it.
  if (!netns_exists) present.netns.clear();
  const bool with_result =
      CniVersionAtLeast(attachment.config.version, "0.4.0");
  absl::Status first;
  const std::vector<CniPlugin>& plugins = attachment.config.plugins;
  for (auto plugin = plugins.rbegin(); plugin != plugins.rend(); ++plugin) {
    first.Update(
        Run("DEL", present, *plugin,
            PluginInput(present, *plugin, with_result ? attachment.result : ""),
            nullptr, deadline)
            .status());
  }
  return first;
}

absl::Status CniRunner::Check(const CniAttachment& attachment,
                              absl::Time deadline) const {
  const CniConfigList& config = attachment.config;
  if (config.disable_check || attachment.result.empty() ||
      !CniVersionAtLeast(config.version, "0.4.0")) {
    return absl::OkStatus();
  }
  for (const CniPlugin& plugin : config.plugins) {
    RETURN_IF_ERROR(Run("CHECK", attachment, plugin,
                        PluginInput(attachment, plugin, attachment.result),
                        nullptr, deadline)
                        .status());
  }
  return absl::OkStatus();
}

absl::Status CniRunner::Status(const CniConfigList& config,
                               absl::Time deadline) const {
  CniAttachment none;
  none.config = config;
  none.runtime_config = "{}";
  for (const CniPlugin& plugin : config.plugins) {
    RETURN_IF_ERROR(FindCniPlugin(bin_dirs_, plugin.type).status());
    if (!CniVersionAtLeast(config.version, "1.1.0")) continue;
    RETURN_IF_ERROR(Run("STATUS", none, plugin, PluginInput(none, plugin, ""),
                        nullptr, deadline)
                        .status());
  }
  return absl::OkStatus();
}

absl::Status CniRunner::Gc(const CniConfigList& config,
                           const std::set<PodId>& valid,
                           const std::string& netns_directory,
                           absl::Time deadline) const {
  if (config.disable_gc || !CniVersionAtLeast(config.version, "1.1.0")) {
    return absl::OkStatus();
  }
  CniAttachment none;
  // What EndStrayPlugins() knows our plugins by; to a GC it says nothing.
  none.netns = netns_directory + "/";
  absl::Status first;
  for (const CniPlugin& plugin : config.plugins) {
    first.Update(Run("GC", none, plugin, GcInput(config, plugin, valid),
                     nullptr, deadline)
                     .status());
  }
  return first;
}

}  // namespace podvisor
