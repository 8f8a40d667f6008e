#include "e2e/crictl_node.h"

#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "base/file.h"
#include "gtest/gtest.h"

namespace podvisor::e2e {

using Json = nlohmann::json;

CrictlNode::CrictlNode(const std::vector<std::string>& config_edits)
    : node_(config_edits) {
  EXPECT_EQ(Crictl({"pull", kImage}).exit_code, 0);
}

std::vector<std::string> CrictlNode::ImpatientArguments(
    std::vector<std::string> arguments) {
  arguments.insert(arguments.begin(),
                   {"--config", node_.directory() + "/crictl.yaml"});
  return arguments;
}

CommandResult CrictlNode::ImpatientCrictl(std::vector<std::string> arguments) {
  return RunProgram(kCrictl, ImpatientArguments(std::move(arguments)));
}

std::vector<std::string> CrictlNode::Arguments(
    std::vector<std::string> arguments) {
  arguments.insert(arguments.begin(), {"--timeout", "60s"});
  return ImpatientArguments(std::move(arguments));
}

CommandResult CrictlNode::Crictl(std::vector<std::string> arguments) {
  return RunProgram(kCrictl, Arguments(std::move(arguments)));
}

std::string CrictlNode::Say(const std::vector<std::string>& arguments) {
  const CommandResult result = Crictl(arguments);
  EXPECT_EQ(result.exit_code, 0) << result.stderr_data;
  return std::string(absl::StripAsciiWhitespace(result.stdout_data));
}

std::string CrictlNode::PodFile(
    const std::string& name,
    const std::map<std::string, std::string>& annotations) {
  return Write("pod.json",
               {{"metadata",
                 {{"name", name}, {"namespace", "published"}, {"uid", name}}},
                {"annotations", annotations},
                {"linux", Json::object()}});
}

std::string CrictlNode::ContainerFile(
    const Json& resources,
    const std::map<std::string, std::string>& annotations) {
  return Write("container.json", {{"metadata", {{"name", "main"}}},
                                  {"image", {{"image", kImage}}},
                                  {"command", {"sleep", "3600"}},
                                  {"annotations", annotations},
                                  {"linux", {{"resources", resources}}}});
}

std::string CrictlNode::Write(const std::string& name, const Json& json) {
  const std::string path = absl::StrCat(node_.directory(), "/", name);
  EXPECT_TRUE(WriteFileAtomically(path, json.dump()).ok());
  return path;
}

}  // namespace podvisor::e2e
