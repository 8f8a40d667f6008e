#ifndef PODVISOR_CRI_FAKE_CRI_CLIENT_H_
#define PODVISOR_CRI_FAKE_CRI_CLIENT_H_

#include <map>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "cri/cri_client.h"

namespace podvisor {

// A CRI server that runs nothing: it remembers what it was told, and answers
// with what the test has set.
class FakeCriClient final : public CriClient {
 public:
  FakeCriClient() {
    runtime::v1::PodSandbox& sandbox = pods.emplace_back();
    sandbox.set_id("0123456789abcdef");
    sandbox.mutable_metadata()->set_name("web");
    sandbox.mutable_metadata()->set_namespace_("shop");
  }

  absl::StatusOr<std::string> PullImage(const std::string& image) override {
    return absl::StrCat("sha256:", image);
  }
  absl::StatusOr<std::string> RunPod(
      const runtime::v1::PodSandboxConfig& config,
      const std::string&) override {
    pod = config;
    return std::string("pod1");
  }
  absl::StatusOr<std::string> RunContainer(
      const std::string&, const runtime::v1::ContainerConfig& config,
      const runtime::v1::PodSandboxConfig&) override {
    if (config.metadata().name() == failing_container) {
      return absl::ResourceExhaustedError("the host has no memory left");
    }
    started.push_back(config);
    return absl::StrCat("c", started.size());
  }
  absl::Status RemovePod(const std::string& pod_id) override {
    if (!remove_error.ok()) return remove_error;
    removed = pod_id;
    return absl::OkStatus();
  }
  absl::StatusOr<std::vector<runtime::v1::PodSandbox>> ListPods() override {
    if (!list_error.ok()) return list_error;
    return pods;
  }
  absl::StatusOr<runtime::v1::PodSandboxStatusResponse> PodStatus(
      const std::string& pod_id) override {
    if (!status_error.ok()) return status_error;
    runtime::v1::PodSandboxStatusResponse response;
    for (const runtime::v1::PodSandbox& known : pods) {
      if (known.id() != pod_id) continue;
      *response.mutable_status()->mutable_metadata() = known.metadata();
    }
    (*response.mutable_info())["info"] = info;
    return response;
  }
  absl::StatusOr<std::vector<runtime::v1::Container>> ListContainers(
      const std::string&) override {
    return containers;
  }
  absl::StatusOr<runtime::v1::ContainerStatus> ContainerStatus(
      const std::string& container_id) override {
    if (!status_error.ok()) return status_error;
    const auto found = statuses.find(container_id);
    if (found == statuses.end()) return absl::NotFoundError("no container");
    return found->second;
  }

  // What it was told.
  runtime::v1::PodSandboxConfig pod;
  std::vector<runtime::v1::ContainerConfig> started;
  std::string removed;

  // What it answers. At first there is one pod, shop/web.
  std::string failing_container;
  std::vector<runtime::v1::PodSandbox> pods;
  std::string info;
  absl::Status list_error;
  absl::Status remove_error;
  absl::Status status_error;
  std::vector<runtime::v1::Container> containers;
  std::map<std::string, runtime::v1::ContainerStatus> statuses;
};

}  // namespace podvisor

#endif  // PODVISOR_CRI_FAKE_CRI_CLIENT_H_
