#ifndef PODVISOR_E2E_CRICTL_NODE_H_
#define PODVISOR_E2E_CRICTL_NODE_H_

#include <map>
#include <string>
#include <vector>

#include "base/process.h"
#include "e2e/test_node.h"
#include "nlohmann/json.hpp"

namespace podvisor::e2e {

inline constexpr char kCrictl[] = "../cri_tools/crictl";

// A TestNode with its image, used through the real crictl, as a person at a
// node does. Not thread-safe.
class CrictlNode {
 public:
  explicit CrictlNode(const std::vector<std::string>& config_edits);

  TestNode& node() { return node_; }

  // `arguments` with what leads crictl to this node before them. By itself it
  // waits 4 s for a pod to run and 2 s for all else.
  std::vector<std::string> ImpatientArguments(
      std::vector<std::string> arguments);
  CommandResult ImpatientCrictl(std::vector<std::string> arguments);
  // The same with a minute for each call, as suits a busy machine.
  std::vector<std::string> Arguments(std::vector<std::string> arguments);
  CommandResult Crictl(std::vector<std::string> arguments);
  // What crictl prints, without the end of the line; it must succeed.
  std::string Say(const std::vector<std::string>& arguments);

  // Paths of files for `crictl runp` and `crictl create`. The container sleeps.
  std::string PodFile(const std::string& name,
                      const std::map<std::string, std::string>& annotations);
  std::string ContainerFile(
      const nlohmann::json& resources,
      const std::map<std::string, std::string>& annotations = {});

 private:
  std::string Write(const std::string& name, const nlohmann::json& json);

  TestNode node_;
};

}  // namespace podvisor::e2e

#endif  // PODVISOR_E2E_CRICTL_NODE_H_
