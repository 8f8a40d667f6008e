#include "network/cni_attachment.h"

#include <limits>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "base/bounded_json.h"
#include "base/status_macros.h"
#include "nlohmann/json.hpp"

namespace podvisor {
namespace {

using Json = nlohmann::json;

constexpr int64_t kMaxRecordBytes = 4 << 20;
// What kubelet's own shaping lets a pod send at once, in bits.
constexpr int64_t kBurst = std::numeric_limits<int32_t>::max();

absl::Status CheckArg(absl::string_view name, absl::string_view value) {
  for (const char c : value) {
    if (c == ';' || c == '=' ||
        absl::ascii_iscntrl(static_cast<unsigned char>(c))) {
      return absl::InvalidArgumentError(absl::StrCat(
          name,
          ": \";\", \"=\" and control characters cannot be given to a "
          "network plugin"));
    }
  }
  return absl::OkStatus();
}

// By the names of the capabilities, see CONVENTIONS.md of CNI.
Json RuntimeConfig(const PodNetworkRequest& request) {
  Json config = Json::object();
  for (const PortMapping& port : request.ports) {
    Json mapping = {{"hostPort", port.host_port},
                    {"containerPort", port.container_port},
                    {"protocol", port.protocol}};
    if (!port.host_ip.empty()) mapping["hostIP"] = port.host_ip;
    config["portMappings"].push_back(std::move(mapping));
  }
  if (request.ingress_rate) {
    config["bandwidth"]["ingressRate"] = *request.ingress_rate;
    config["bandwidth"]["ingressBurst"] = kBurst;
  }
  if (request.egress_rate) {
    config["bandwidth"]["egressRate"] = *request.egress_rate;
    config["bandwidth"]["egressBurst"] = kBurst;
  }
  if (!request.dns_servers.empty() || !request.dns_searches.empty() ||
      !request.dns_options.empty()) {
    config["dns"] = {{"servers", request.dns_servers},
                     {"searches", request.dns_searches},
                     {"options", request.dns_options}};
  }
  return config;
}

std::string Dump(const Json& json) {
  return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

// With what every command gives a plugin.
Json InputOf(const CniConfigList& config, const CniPlugin& plugin) {
  Json input = Json::parse(plugin.json, nullptr, false);
  input["name"] = config.name;
  input["cniVersion"] = config.version;
  input.erase("capabilities");
  return input;
}

}  // namespace

absl::StatusOr<CniAttachment> MakeAttachment(const PodNetworkRequest& request,
                                             CniConfigList config,
                                             std::string netns) {
  RETURN_IF_ERROR(CheckArg("the pod's name", request.pod_name));
  RETURN_IF_ERROR(CheckArg("the pod's namespace", request.pod_namespace));
  RETURN_IF_ERROR(CheckArg("the pod's uid", request.pod_uid));
  CniAttachment attachment;
  attachment.id = request.id;
  attachment.netns = std::move(netns);
  attachment.args =
      absl::StrCat("IgnoreUnknown=1;K8S_POD_NAMESPACE=", request.pod_namespace,
                   ";K8S_POD_NAME=", request.pod_name,
                   ";K8S_POD_INFRA_CONTAINER_ID=", request.id.value(),
                   ";K8S_POD_UID=", request.pod_uid);
  attachment.runtime_config = Dump(RuntimeConfig(request));
  attachment.config = std::move(config);
  return attachment;
}

std::string PluginInput(const CniAttachment& attachment,
                        const CniPlugin& plugin,
                        absl::string_view prev_result) {
  Json input = InputOf(attachment.config, plugin);
  const Json known = Json::parse(attachment.runtime_config, nullptr, false);
  Json runtime_config = Json::object();
  for (const std::string& capability : plugin.capabilities) {
    if (known.is_object() && known.contains(capability)) {
      runtime_config[capability] = known[capability];
    }
  }
  if (!runtime_config.empty()) {
    input["runtimeConfig"] = std::move(runtime_config);
  }
  if (!prev_result.empty()) {
    input["prevResult"] = Json::parse(prev_result, nullptr, false);
  }
  return Dump(input);
}

std::string GcInput(const CniConfigList& config, const CniPlugin& plugin,
                    const std::set<PodId>& valid) {
  Json attachments = Json::array();
  for (const PodId& id : valid) {
    attachments.push_back(
        {{"containerID", id.value()}, {"ifname", kPodInterface}});
  }
  Json input = InputOf(config, plugin);
  // The second is the name by a mistake of early versions: for a plugin that
  // knows only that, no attachment would be valid.
  input["cni.dev/valid-attachments"] = attachments;
  input["cni.dev/attachments"] = std::move(attachments);
  return Dump(input);
}

std::string EncodeAttachment(const CniAttachment& attachment) {
  return Dump({{"id", attachment.id.value()},
               {"netns", attachment.netns},
               {"args", attachment.args},
               {"runtime_config", attachment.runtime_config},
               {"config", attachment.config.json},
               {"result", attachment.result}});
}

absl::StatusOr<CniAttachment> DecodeAttachment(absl::string_view text) {
  ASSIGN_OR_RETURN(const Json json, ParseBoundedJson(text, kMaxRecordBytes,
                                                     "a network's record"));
  CniAttachment attachment;
  ASSIGN_OR_RETURN(std::string id, JsonString(json, "id"));
  if (!IsHexId(id)) return absl::DataLossError("a network's record: id");
  attachment.id = PodId(std::move(id));
  ASSIGN_OR_RETURN(attachment.netns, JsonString(json, "netns"));
  ASSIGN_OR_RETURN(attachment.args, JsonString(json, "args"));
  ASSIGN_OR_RETURN(attachment.runtime_config,
                   JsonString(json, "runtime_config"));
  ASSIGN_OR_RETURN(const std::string config, JsonString(json, "config"));
  ASSIGN_OR_RETURN(attachment.config, ParseCniConfig(config));
  ASSIGN_OR_RETURN(attachment.result, JsonString(json, "result"));
  return attachment;
}

}  // namespace podvisor
