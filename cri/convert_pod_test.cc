#include "cri/convert_pod.h"

#include <functional>
#include <string>

#include "absl/strings/match.h"
#include "gtest/gtest.h"

namespace podvisor {
namespace {

using runtime::v1::PodSandboxConfig;

PodSandboxConfig ValidConfig() {
  PodSandboxConfig config;
  config.mutable_metadata()->set_name("web-0");
  config.mutable_metadata()->set_namespace_("default");
  config.mutable_metadata()->set_uid("0f8c");
  config.mutable_metadata()->set_attempt(2);
  return config;
}

runtime::v1::NamespaceOption& Namespaces(PodSandboxConfig& config) {
  return *config.mutable_linux()
              ->mutable_security_context()
              ->mutable_namespace_options();
}

runtime::v1::UserNamespace& Userns(PodSandboxConfig& config) {
  return *Namespaces(config).mutable_userns_options();
}

void AddMapping(PodSandboxConfig& config, uint32_t container_id) {
  for (auto* mapping : {Userns(config).add_uids(), Userns(config).add_gids()}) {
    mapping->set_host_id(65536);
    mapping->set_container_id(container_id);
    mapping->set_length(65536);
  }
}

TEST(ConvertPodTest, LeastRequestIsEnough) {
  const absl::StatusOr<PodSpec> spec = ConvertPod(ValidConfig(), "");

  ASSERT_TRUE(spec.ok()) << spec.status();
  EXPECT_EQ(spec->metadata.name, "web-0");
  EXPECT_EQ(spec->metadata.name_space, "default");
  EXPECT_EQ(spec->metadata.uid, "0f8c");
  EXPECT_EQ(spec->metadata.attempt, 2u);
  EXPECT_EQ(spec->pid_namespace, NamespaceMode::kPod);
  EXPECT_FALSE(spec->resources.has_value());
}

TEST(ConvertPodTest, OnlyPortsOfTheHostConcernTheNetwork) {
  PodSandboxConfig config = ValidConfig();
  config.add_port_mappings()->set_container_port(80);
  auto* port = config.add_port_mappings();
  port->set_protocol(runtime::v1::UDP);
  port->set_container_port(53);
  port->set_host_port(5353);
  port->set_host_ip("127.0.0.1");

  const absl::StatusOr<PodSpec> spec = ConvertPod(config, "");

  ASSERT_TRUE(spec.ok()) << spec.status();
  EXPECT_EQ(spec->host_ports,
            (std::vector<HostPort>{{5353, 53, "udp", "127.0.0.1"}}));
}

TEST(ConvertPodTest, EverythingArrives) {
  PodSandboxConfig config = ValidConfig();
  config.set_hostname("web-0");
  config.set_log_directory("/var/log/pods/x");
  config.mutable_dns_config()->add_servers("10.0.0.10");
  config.mutable_dns_config()->add_searches("svc.cluster.local");
  config.mutable_dns_config()->add_options("ndots:5");
  (*config.mutable_labels())["app"] = "web";
  (*config.mutable_annotations())["note"] = "line one\nline two";
  auto* linux = config.mutable_linux();
  linux->set_cgroup_parent("/kubepods/burstable/pod0f8c");
  (*linux->mutable_sysctls())["net.core.somaxconn"] = "1024";
  linux->mutable_resources()->set_memory_limit_in_bytes(1 << 30);
  linux->mutable_overhead()->set_cpu_quota(25000);
  Namespaces(config).set_pid(runtime::v1::CONTAINER);
  config.add_port_mappings()->set_container_port(80);

  const absl::StatusOr<PodSpec> spec = ConvertPod(config, "podvisor");

  ASSERT_TRUE(spec.ok()) << spec.status();
  EXPECT_EQ(spec->hostname, "web-0");
  EXPECT_EQ(spec->log_directory, "/var/log/pods/x");
  EXPECT_EQ(spec->runtime_handler, "podvisor");
  EXPECT_EQ(spec->cgroup_parent, "/kubepods/burstable/pod0f8c");
  EXPECT_EQ(spec->dns.servers, std::vector<std::string>{"10.0.0.10"});
  EXPECT_EQ(spec->dns.searches, std::vector<std::string>{"svc.cluster.local"});
  EXPECT_EQ(spec->dns.options, std::vector<std::string>{"ndots:5"});
  EXPECT_EQ(spec->labels.at("app"), "web");
  EXPECT_EQ(spec->annotations.at("note"), "line one\nline two");
  EXPECT_EQ(spec->sysctls.at("net.core.somaxconn"), "1024");
  EXPECT_EQ(spec->resources->memory_limit_bytes, 1 << 30);
  EXPECT_EQ(spec->overhead->cpu_quota, 25000);
  EXPECT_EQ(spec->pid_namespace, NamespaceMode::kContainer);
}

struct Refusal {
  const char* name;
  std::function<void(PodSandboxConfig&)> change;
  absl::StatusCode code;
  const char* message;  // a part of it
};

constexpr absl::StatusCode kInvalid = absl::StatusCode::kInvalidArgument;
constexpr absl::StatusCode kMissing = absl::StatusCode::kUnimplemented;

const Refusal kRefusals[] = {
    {"NoMetadata", [](auto& c) { c.clear_metadata(); }, kInvalid,
     "config.metadata: is missing"},
    {"NoName", [](auto& c) { c.mutable_metadata()->clear_name(); }, kInvalid,
     "config.metadata.name: is empty"},
    {"NoNamespace", [](auto& c) { c.mutable_metadata()->clear_namespace_(); },
     kInvalid, "config.metadata.namespace: is empty"},
    {"NoUid", [](auto& c) { c.mutable_metadata()->clear_uid(); }, kInvalid,
     "config.metadata.uid: is empty"},
    {"NameIsPath", [](auto& c) { c.mutable_metadata()->set_name("../../etc"); },
     kInvalid, "is a path"},
    {"NameIsDots", [](auto& c) { c.mutable_metadata()->set_uid(".."); },
     kInvalid, "is a path"},
    {"NewlineInNamespace",
     [](auto& c) { c.mutable_metadata()->set_namespace_("a\nb"); }, kInvalid,
     "control character"},
    {"NulInUid",
     [](auto& c) { c.mutable_metadata()->set_uid(std::string("a\0b", 3)); },
     kInvalid, "NUL"},
    {"LongName",
     [](auto& c) {
       c.mutable_metadata()->set_name(std::string(64 << 10, 'n'));
     },
     kInvalid, "has 65536 bytes"},
    {"HostnameWithSpace", [](auto& c) { c.set_hostname("a b"); }, kInvalid,
     "config.hostname"},
    {"LongHostname", [](auto& c) { c.set_hostname(std::string(65, 'h')); },
     kInvalid, "config.hostname"},
    {"RelativeLogDirectory", [](auto& c) { c.set_log_directory("log"); },
     kInvalid, "config.log_directory"},
    {"LogDirectoryWithDots", [](auto& c) { c.set_log_directory("/a/../b"); },
     kInvalid, "contains \"..\""},
    {"HostNetwork",
     [](auto& c) { Namespaces(c).set_network(runtime::v1::NODE); }, kInvalid,
     "a pod in a VM cannot share the host's network namespace"},
    {"HostPid", [](auto& c) { Namespaces(c).set_pid(runtime::v1::NODE); },
     kInvalid, "a pod in a VM cannot share the host's PID namespace"},
    {"HostIpc", [](auto& c) { Namespaces(c).set_ipc(runtime::v1::NODE); },
     kInvalid, "a pod in a VM cannot share the host's IPC namespace"},
    {"NetworkOfContainer",
     [](auto& c) { Namespaces(c).set_network(runtime::v1::CONTAINER); },
     kInvalid, "only POD is possible"},
    {"PodTargetsContainer",
     [](auto& c) { Namespaces(c).set_pid(runtime::v1::TARGET); }, kInvalid,
     "TARGET is for containers"},
    {"UnknownPidMode",
     [](auto& c) {
       Namespaces(c).set_pid(static_cast<runtime::v1::NamespaceMode>(9));
     },
     kInvalid, "not a known mode"},
    {"UsernsOfContainer",
     [](auto& c) { Userns(c).set_mode(runtime::v1::CONTAINER); }, kInvalid,
     "is POD or NODE"},
    {"UsernsOfTarget", [](auto& c) { Userns(c).set_mode(runtime::v1::TARGET); },
     kInvalid, "is POD or NODE"},
    {"UsernsTwoMappings",
     [](auto& c) {
       AddMapping(c, 0);
       AddMapping(c, 65536);
     },
     kInvalid, "exactly one"},
    {"UsernsWithoutRoot", [](auto& c) { AddMapping(c, 1); }, kInvalid,
     "must contain the container's id 0"},
    {"GroupWithoutUser",
     [](auto& c) {
       c.mutable_linux()
           ->mutable_security_context()
           ->mutable_run_as_group()
           ->set_value(1);
     },
     kInvalid, "without run_as_user"},
    {"HostPortOfNoPort",
     [](auto& c) { c.add_port_mappings()->set_host_port(80); }, kInvalid,
     "container_port: is missing"},
    {"HostPortProtocol",
     [](auto& c) {
       c.add_port_mappings()->set_protocol(
           static_cast<runtime::v1::Protocol>(7));
     },
     kInvalid, "is TCP, UDP or SCTP"},
    {"HostPortAddress",
     [](auto& c) { c.add_port_mappings()->set_host_ip("1.2.3.4;x"); }, kInvalid,
     "host_ip: is no address"},
    {"NegativeHostPort",
     [](auto& c) { c.add_port_mappings()->set_host_port(-1); }, kInvalid,
     "host_port: -1 is out of range"},
    {"CgroupTraversal",
     [](auto& c) { c.mutable_linux()->set_cgroup_parent("/../../init.scope"); },
     kInvalid, "cgroup_parent"},
    {"RelativeCgroup",
     [](auto& c) { c.mutable_linux()->set_cgroup_parent("kubepods/x"); },
     kInvalid, "cgroup_parent"},
    {"SysctlPath",
     [](auto& c) { (*c.mutable_linux()->mutable_sysctls())["/etc/x"] = "1"; },
     kInvalid, "sysctls"},
    {"SysctlDots",
     [](auto& c) {
       (*c.mutable_linux()->mutable_sysctls())["net/../kernel"] = "1";
     },
     kInvalid, "sysctls"},
    {"SysctlWithPlus",
     [](auto& c) {
       (*c.mutable_linux()->mutable_sysctls())["kernel.shm+x"] = "1";
     },
     kInvalid, "sysctls"},
    {"SysctlValueOfTwoLines",
     [](auto& c) {
       (*c.mutable_linux()->mutable_sysctls())["net.core.x"] = "1\n2";
     },
     kInvalid, "line end"},
    {"DnsWithNewline",
     [](auto& c) {
       c.mutable_dns_config()->add_servers("1.1.1.1\nnameserver 6.6.6.6");
     },
     kInvalid, "dns_config.servers"},
    {"Selinux",
     [](auto& c) {
       c.mutable_linux()
           ->mutable_security_context()
           ->mutable_selinux_options()
           ->set_level("s0");
     },
     kMissing, "SELinux"},
    {"NegativeMemory",
     [](auto& c) {
       c.mutable_linux()->mutable_resources()->set_memory_limit_in_bytes(-1);
     },
     kInvalid, "config.linux.resources.memory_limit_in_bytes: -1"},
    {"HugeOverhead",
     [](auto& c) {
       c.mutable_linux()->mutable_overhead()->set_memory_limit_in_bytes(
           (int64_t{1} << 62) + 1);
     },
     kInvalid, "config.linux.overhead.memory_limit_in_bytes"},
    {"LargeAnnotations",
     [](auto& c) {
       (*c.mutable_annotations())["a"] = std::string((1 << 20) + 1, 'a');
     },
     kInvalid, "config.annotations"},
    {"Windows", [](auto& c) { c.mutable_windows(); }, kInvalid,
     "config.windows"},
};

class ConvertPodRefusalTest : public testing::TestWithParam<Refusal> {};

TEST_P(ConvertPodRefusalTest, IsRefusedByName) {
  PodSandboxConfig config = ValidConfig();
  GetParam().change(config);

  const absl::Status status = ConvertPod(config, "").status();

  EXPECT_EQ(status.code(), GetParam().code) << status;
  EXPECT_TRUE(absl::StrContains(status.message(), GetParam().message))
      << status;
}

INSTANTIATE_TEST_SUITE_P(All, ConvertPodRefusalTest,
                         testing::ValuesIn(kRefusals), [](const auto& info) {
                           return std::string(info.param.name);
                         });

TEST(ConvertPodTest, UnknownRuntimeHandlerIsRefused) {
  EXPECT_TRUE(
      absl::IsInvalidArgument(ConvertPod(ValidConfig(), "gvisor").status()));
}

TEST(ConvertPodTest, UsernsOfTheNodeIsNoUserns) {
  PodSandboxConfig config = ValidConfig();
  Userns(config).set_mode(runtime::v1::NODE);

  EXPECT_EQ(ConvertPod(config, "")->ids, std::nullopt);
}

TEST(ConvertPodTest, UsernsOfThePodIsItsMapping) {
  PodSandboxConfig config = ValidConfig();
  AddMapping(config, 0);

  EXPECT_EQ(ConvertPod(config, "")->ids, (IdMapping{65536, 65536}));
}

TEST(ConvertPodTest, SystemdSliceIsACgroupParent) {
  PodSandboxConfig config = ValidConfig();
  config.mutable_linux()->set_cgroup_parent("test.slice");

  EXPECT_TRUE(ConvertPod(config, "").ok());
}

TEST(ConvertPodTest, MessagesShowNoRawBytes) {
  PodSandboxConfig config = ValidConfig();
  config.mutable_metadata()->set_name("a\x1b[2J\n");

  const absl::Status status = ConvertPod(config, "").status();

  EXPECT_FALSE(absl::StrContains(status.message(), "\x1b"));
  EXPECT_FALSE(absl::StrContains(status.message(), "\n"));
}

}  // namespace
}  // namespace podvisor
