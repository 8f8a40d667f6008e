#include "cri/pod_manifest.h"

#include <yaml-cpp/yaml.h>

#include <functional>
#include <set>
#include <string>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "base/clean_text.h"
#include "cri/near_miss.h"
#include "cri/quantity.h"

namespace podvisor {
namespace {

constexpr size_t kMaxYamlBytes = 1 << 20;
// yaml-cpp and its trees recurse; Kubernetes manifests are shallow.
constexpr int kMaxIndent = 64;

// yaml-cpp throws; a mistake of ours is thrown beside it, and both end in
// ParsePodManifest().
struct Mistake {
  YAML::Mark mark;
  std::string message;
};

[[noreturn]] void Fail(const YAML::Node& node, absl::string_view path,
                       absl::string_view what) {
  throw Mistake{node.Mark(), absl::StrCat(path, ": ", what)};
}

using Handler = std::function<void(const YAML::Node&, const std::string& path)>;

// The fields of a map. A null handler is a field that is legal and has no
// effect here.
using Fields = std::vector<std::pair<absl::string_view, Handler>>;

class Parser {
 public:
  PodManifest Parse(const YAML::Node& root);

 private:
  void ReadMap(const YAML::Node& node, const std::string& path,
               const Fields& fields);
  void ReadMetadata(const YAML::Node& node, const std::string& path);
  void ReadSpec(const YAML::Node& node, const std::string& path);
  void ReadVolume(const YAML::Node& node, const std::string& path);
  void ReadPodSecurity(const YAML::Node& node, const std::string& path);
  ManifestContainer ReadContainer(const YAML::Node& node,
                                  const std::string& path);
  void ReadMount(const YAML::Node& node, const std::string& path,
                 ManifestContainer& container);
  void ReadResources(const YAML::Node& node, const std::string& path,
                     ManifestContainer& container);
  void ReadSecurity(const YAML::Node& node, const std::string& path,
                    ManifestContainer& container);

  PodManifest manifest_;
  std::map<std::string, std::string> host_paths_;  // volume name -> path
  std::optional<int64_t> pod_user_;
  std::optional<int64_t> pod_group_;
};

std::string Text(const YAML::Node& node, const std::string& path) {
  if (!node.IsScalar()) Fail(node, path, "a string is needed");
  return node.Scalar();
}

bool Flag(const YAML::Node& node, const std::string& path) {
  const std::string text = Text(node, path);
  if (text == "true") return true;
  if (text == "false") return false;
  Fail(node, path, "true or false is needed");
}

int64_t Integer(const YAML::Node& node, const std::string& path) {
  int64_t value = 0;
  if (!absl::SimpleAtoi(Text(node, path), &value)) {
    Fail(node, path, "an integer is needed");
  }
  return value;
}

int64_t Quantity(absl::StatusOr<int64_t> parsed, const YAML::Node& node,
                 const std::string& path) {
  if (!parsed.ok()) Fail(node, path, std::string(parsed.status().message()));
  return *parsed;
}

void EachItem(const YAML::Node& node, const std::string& path,
              const Handler& handler) {
  if (!node.IsSequence()) Fail(node, path, "a list is needed");
  int index = 0;
  for (const YAML::Node& item : node) {
    handler(item, absl::StrCat(path, "[", index++, "]"));
  }
}

std::vector<std::string> Texts(const YAML::Node& node,
                               const std::string& path) {
  std::vector<std::string> texts;
  EachItem(node, path, [&](const YAML::Node& item, const std::string& at) {
    texts.push_back(Text(item, at));
  });
  return texts;
}

std::map<std::string, std::string> Strings(const YAML::Node& node,
                                           const std::string& path) {
  if (!node.IsMap()) Fail(node, path, "a map is needed");
  std::map<std::string, std::string> strings;
  for (const auto& entry : node) {
    const std::string key = Text(entry.first, path);
    strings[key] = Text(entry.second, absl::StrCat(path, ".", key));
  }
  return strings;
}

void Parser::ReadMap(const YAML::Node& node, const std::string& path,
                     const Fields& fields) {
  if (!node.IsMap()) Fail(node, path, "a map is needed");
  std::map<std::string, bool> seen;
  for (const auto& entry : node) {
    const std::string key = Text(entry.first, path);
    const std::string at = path.empty() ? key : absl::StrCat(path, ".", key);
    if (!seen.emplace(key, true).second)
      Fail(entry.first, at, "is given twice");
    const Handler* handler = nullptr;
    std::vector<absl::string_view> names;
    for (const auto& [name, candidate] : fields) {
      names.push_back(name);
      if (name == key) handler = &candidate;
    }
    if (handler == nullptr) {
      const absl::string_view near = NearestName(key, names);
      Fail(entry.first, at,
           near.empty()
               ? std::string("is not supported by `run`")
               : absl::StrCat("is not known; did you mean \"", near, "\"?"));
    }
    if (entry.second.IsNull()) continue;
    if (*handler) {
      (*handler)(entry.second, at);
    } else {
      manifest_.warnings.push_back(
          absl::StrCat(at, " has no effect without Kubernetes"));
    }
  }
}

void Parser::ReadMetadata(const YAML::Node& node, const std::string& path) {
  ReadMap(
      node, path,
      {{"name", [&](auto& n, auto& p) { manifest_.name = Text(n, p); }},
       {"namespace",
        [&](auto& n, auto& p) { manifest_.name_space = Text(n, p); }},
       {"labels", [&](auto& n, auto& p) { manifest_.labels = Strings(n, p); }},
       {"annotations",
        [&](auto& n, auto& p) { manifest_.annotations = Strings(n, p); }},
       {"uid", nullptr},
       {"creationTimestamp", nullptr}});
  if (manifest_.name.empty()) Fail(node, "metadata.name", "is missing");
}

void Parser::ReadVolume(const YAML::Node& node, const std::string& path) {
  std::string name;
  std::string host_path;
  ReadMap(node, path,
          {{"name", [&](auto& n, auto& p) { name = Text(n, p); }},
           {"hostPath", [&](auto& n, auto& p) {
              ReadMap(
                  n, p,
                  {{"path", [&](auto& m, auto& q) { host_path = Text(m, q); }},
                   {"type", nullptr}});
            }}});
  if (name.empty()) Fail(node, path, "has no name");
  if (host_path.empty()) Fail(node, path, "only hostPath volumes can be used");
  host_paths_[name] = host_path;
}

void Parser::ReadPodSecurity(const YAML::Node& node, const std::string& path) {
  ReadMap(
      node, path,
      {{"runAsUser", [&](auto& n, auto& p) { pod_user_ = Integer(n, p); }},
       {"runAsGroup", [&](auto& n, auto& p) { pod_group_ = Integer(n, p); }},
       {"sysctls", [&](auto& n, auto& p) {
          EachItem(n, p, [&](auto& item, auto& at) {
            std::string name, value;
            ReadMap(item, at,
                    {{"name", [&](auto& m, auto& q) { name = Text(m, q); }},
                     {"value", [&](auto& m, auto& q) { value = Text(m, q); }}});
            manifest_.sysctls[name] = value;
          });
        }}});
}

void Parser::ReadMount(const YAML::Node& node, const std::string& path,
                       ManifestContainer& container) {
  std::string volume, sub_path;
  ManifestVolumeMount mount;
  ReadMap(
      node, path,
      {{"name", [&](auto& n, auto& p) { volume = Text(n, p); }},
       {"mountPath", [&](auto& n, auto& p) { mount.mount_path = Text(n, p); }},
       {"readOnly", [&](auto& n, auto& p) { mount.read_only = Flag(n, p); }}});
  const auto found = host_paths_.find(volume);
  if (found == host_paths_.end()) {
    Fail(node, path,
         absl::StrCat("there is no volume \"", CleanText(volume, 64), "\""));
  }
  if (mount.mount_path.empty()) Fail(node, path, "has no mountPath");
  mount.host_path = found->second;
  container.mounts.push_back(mount);
}

void Parser::ReadResources(const YAML::Node& node, const std::string& path,
                           ManifestContainer& container) {
  const auto cpu_into = [](int64_t& to) {
    return [&to](const YAML::Node& n, const std::string& p) {
      to = Quantity(ParseCpuQuantity(Text(n, p)), n, p);
    };
  };
  const auto bytes_into = [](int64_t& to) {
    return [&to](const YAML::Node& n, const std::string& p) {
      to = Quantity(ParseByteQuantity(Text(n, p)), n, p);
    };
  };
  // CRI has no request for memory: it only matters to a scheduler.
  int64_t memory_request = 0;
  ReadMap(node, path,
          {{"limits",
            [&](auto& n, auto& p) {
              ReadMap(n, p,
                      {{"cpu", cpu_into(container.cpu_limit_millis)},
                       {"memory", bytes_into(container.memory_limit_bytes)}});
            }},
           {"requests", [&](auto& n, auto& p) {
              ReadMap(n, p,
                      {{"cpu", cpu_into(container.cpu_request_millis)},
                       {"memory", bytes_into(memory_request)}});
            }}});
  // Kubernetes: a request that is not given is the limit.
  if (container.cpu_request_millis == 0) {
    container.cpu_request_millis = container.cpu_limit_millis;
  }
  if (memory_request > container.memory_limit_bytes &&
      container.memory_limit_bytes > 0) {
    Fail(node, path, "the memory request is larger than the limit");
  }
  if (container.cpu_limit_millis > 0 &&
      container.cpu_request_millis > container.cpu_limit_millis) {
    Fail(node, path, "the cpu request is larger than the limit");
  }
}

void Parser::ReadSecurity(const YAML::Node& node, const std::string& path,
                          ManifestContainer& c) {
  ReadMap(
      node, path,
      {{"privileged", [&](auto& n, auto& p) { c.privileged = Flag(n, p); }},
       {"readOnlyRootFilesystem",
        [&](auto& n, auto& p) { c.read_only_root = Flag(n, p); }},
       {"allowPrivilegeEscalation",
        [&](auto& n, auto& p) { c.allow_privilege_escalation = Flag(n, p); }},
       {"runAsUser", [&](auto& n, auto& p) { c.run_as_user = Integer(n, p); }},
       {"runAsGroup",
        [&](auto& n, auto& p) { c.run_as_group = Integer(n, p); }},
       {"capabilities", [&](auto& n, auto& p) {
          ReadMap(n, p,
                  {{"add", [&](auto& m,
                               auto& q) { c.add_capabilities = Texts(m, q); }},
                   {"drop", [&](auto& m, auto& q) {
                      c.drop_capabilities = Texts(m, q);
                    }}});
        }}});
}

ManifestContainer Parser::ReadContainer(const YAML::Node& node,
                                        const std::string& path) {
  ManifestContainer c;
  c.run_as_user = pod_user_;
  c.run_as_group = pod_group_;
  const Handler env = [&](const YAML::Node& item, const std::string& at) {
    std::string name, value;
    ReadMap(item, at,
            {{"name", [&](auto& n, auto& p) { name = Text(n, p); }},
             {"value", [&](auto& n, auto& p) { value = Text(n, p); }}});
    if (name.empty()) Fail(item, at, "has no name");
    c.env.emplace_back(name, value);
  };
  const Handler mount = [&](const YAML::Node& item, const std::string& at) {
    ReadMount(item, at, c);
  };
  ReadMap(
      node, path,
      {{"name", [&](auto& n, auto& p) { c.name = Text(n, p); }},
       {"image", [&](auto& n, auto& p) { c.image = Text(n, p); }},
       {"command", [&](auto& n, auto& p) { c.command = Texts(n, p); }},
       {"args", [&](auto& n, auto& p) { c.args = Texts(n, p); }},
       {"workingDir", [&](auto& n, auto& p) { c.working_dir = Text(n, p); }},
       {"env", [&](auto& n, auto& p) { EachItem(n, p, env); }},
       {"volumeMounts", [&](auto& n, auto& p) { EachItem(n, p, mount); }},
       {"resources", [&](auto& n, auto& p) { ReadResources(n, p, c); }},
       {"securityContext", [&](auto& n, auto& p) { ReadSecurity(n, p, c); }},
       {"stdin", [&](auto& n, auto& p) { c.stdin = Flag(n, p); }},
       {"tty", [&](auto& n, auto& p) { c.tty = Flag(n, p); }},
       {"imagePullPolicy", nullptr},
       {"ports", nullptr},
       {"livenessProbe", nullptr},
       {"readinessProbe", nullptr},
       {"startupProbe", nullptr},
       {"terminationMessagePath", nullptr},
       {"terminationMessagePolicy", nullptr}});
  if (c.name.empty()) Fail(node, path, "has no name");
  if (c.image.empty()) Fail(node, path, "has no image");
  return c;
}

void Parser::ReadSpec(const YAML::Node& node, const std::string& path) {
  // Containers refer to volumes and inherit from the pod: they come last,
  // wherever they stand in the file.
  std::optional<YAML::Node> containers;
  const Handler volume = [&](const YAML::Node& item, const std::string& at) {
    ReadVolume(item, at);
  };
  PodManifest& m = manifest_;
  ReadMap(
      node, path,
      {{"containers", [&](auto& n, auto&) { containers = n; }},
       {"volumes", [&](auto& n, auto& p) { EachItem(n, p, volume); }},
       {"hostname", [&](auto& n, auto& p) { m.hostname = Text(n, p); }},
       {"hostNetwork", [&](auto& n, auto& p) { m.host_network = Flag(n, p); }},
       {"hostPID", [&](auto& n, auto& p) { m.host_pid = Flag(n, p); }},
       {"hostIPC", [&](auto& n, auto& p) { m.host_ipc = Flag(n, p); }},
       {"hostUsers", [&](auto& n, auto& p) { m.host_users = Flag(n, p); }},
       {"shareProcessNamespace",
        [&](auto& n, auto& p) { m.share_process_namespace = Flag(n, p); }},
       {"runtimeClassName",
        [&](auto& n, auto& p) { m.runtime_class = Text(n, p); }},
       {"securityContext", [&](auto& n, auto& p) { ReadPodSecurity(n, p); }},
       {"restartPolicy", nullptr},
       {"terminationGracePeriodSeconds", nullptr},
       {"dnsPolicy", nullptr},
       {"nodeName", nullptr},
       {"nodeSelector", nullptr},
       {"serviceAccountName", nullptr},
       {"automountServiceAccountToken", nullptr},
       {"enableServiceLinks", nullptr},
       {"tolerations", nullptr},
       {"priorityClassName", nullptr}});
  if (!containers.has_value()) Fail(node, "spec.containers", "is missing");
  std::set<std::string> names;
  EachItem(*containers, "spec.containers", [&](auto& item, auto& at) {
    m.containers.push_back(ReadContainer(item, at));
    const std::string& name = m.containers.back().name;
    if (!names.insert(name).second) {
      Fail(item, at,
           absl::StrCat("\"", name, "\" is another container's name"));
    }
  });
  if (m.containers.empty()) Fail(*containers, "spec.containers", "is empty");
}

PodManifest Parser::Parse(const YAML::Node& root) {
  std::string kind, version;
  ReadMap(root, "",
          {{"apiVersion", [&](auto& n, auto& p) { version = Text(n, p); }},
           {"kind", [&](auto& n, auto& p) { kind = Text(n, p); }},
           {"metadata", [&](auto& n, auto& p) { ReadMetadata(n, p); }},
           {"spec", [&](auto& n, auto& p) { ReadSpec(n, p); }},
           {"status", nullptr}});
  if (version != "v1" || kind != "Pod") {
    Fail(root, "kind",
         "only a manifest with apiVersion v1 and kind Pod is taken");
  }
  if (manifest_.name.empty()) Fail(root, "metadata.name", "is missing");
  if (manifest_.containers.empty()) Fail(root, "spec", "is missing");
  return std::move(manifest_);
}

// Before the parser recurses: neither flow collections nor indentation may
// nest deeply, and aliases would make a small file a large tree.
bool IsShallow(absl::string_view yaml) {
  int open = 0;
  int dashes = 0;
  bool line_start = true;
  for (const char c : yaml) {
    if (c == '\n') {
      dashes = 0;
      line_start = true;
    }
    if (line_start && c == '-') ++dashes;
    if (c != '-' && c != ' ' && c != '\n' && c != '?' && c != ':') {
      line_start = false;
    }
    if (line_start && (c == '?' || c == ':')) ++dashes;
    if (c == '[' || c == '{') ++open;
    if (c == ']' || c == '}') open = open > 0 ? open - 1 : 0;
    if (open > kMaxIndent || dashes > kMaxIndent) return false;
  }
  return true;
}

bool IsIndentShallow(absl::string_view yaml) {
  constexpr int kMaxColumns = 256;
  int indent = 0;
  bool leading = true;
  for (const char c : yaml) {
    if (c == '\n') {
      leading = true;
      indent = 0;
    } else if (leading && c == ' ') {
      if (++indent > kMaxColumns) return false;
    } else {
      leading = false;
    }
  }
  return true;
}

}  // namespace

absl::StatusOr<PodManifest> ParsePodManifest(absl::string_view yaml,
                                             absl::string_view file) {
  const auto fail = [file](const YAML::Mark& mark, absl::string_view message) {
    // A node that is not in the file has no place: -1.
    return absl::InvalidArgumentError(
        absl::StrCat(file, ":", mark.is_null() ? 1 : mark.line + 1, ": ",
                     CleanText(message, 512)));
  };
  if (yaml.size() > kMaxYamlBytes) {
    return fail(YAML::Mark::null_mark(), "is longer than 1 MiB");
  }
  if (!IsShallow(yaml) || !IsIndentShallow(yaml)) {
    return fail(YAML::Mark::null_mark(), "is nested too deeply");
  }
  try {
    const std::vector<YAML::Node> documents = YAML::LoadAll(std::string(yaml));
    if (documents.size() != 1) {
      return fail(YAML::Mark::null_mark(),
                  absl::StrCat("has ", documents.size(),
                               " documents; one Pod is needed"));
    }
    return Parser().Parse(documents[0]);
  } catch (const Mistake& mistake) {
    return fail(mistake.mark, mistake.message);
  } catch (const YAML::Exception& error) {
    return fail(error.mark, error.msg);
  } catch (const std::exception& error) {
    return fail(YAML::Mark::null_mark(), error.what());
  }
}

}  // namespace podvisor
