#include "cri/convert_container.h"

#include <functional>
#include <limits>
#include <string>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "cri/convert_resources.h"
#include "cri/signal_name.h"
#include "gtest/gtest.h"

namespace podvisor {
namespace {

using runtime::v1::ContainerConfig;
using runtime::v1::PodSandboxConfig;

ContainerConfig ValidConfig() {
  ContainerConfig config;
  config.mutable_metadata()->set_name("nginx");
  config.mutable_image()->set_image("sha256:abc");
  return config;
}

runtime::v1::LinuxContainerSecurityContext& Security(ContainerConfig& config) {
  return *config.mutable_linux()->mutable_security_context();
}

runtime::v1::LinuxContainerResources& Resources(ContainerConfig& config) {
  return *config.mutable_linux()->mutable_resources();
}

runtime::v1::Mount& AddMount(ContainerConfig& config) {
  runtime::v1::Mount& mount = *config.add_mounts();
  mount.set_container_path("/data");
  mount.set_host_path("/var/data");
  return mount;
}

runtime::v1::Mount& AddImageMount(ContainerConfig& config,
                                  const std::string& image,
                                  const std::string& sub_path) {
  runtime::v1::Mount& mount = *config.add_mounts();
  mount.set_container_path("/volume");
  mount.set_readonly(true);
  mount.mutable_image()->set_image(image);
  mount.set_image_sub_path(sub_path);
  return mount;
}

PodSandboxConfig PrivilegedPod() {
  PodSandboxConfig config;
  config.mutable_linux()->mutable_security_context()->set_privileged(true);
  return config;
}

absl::StatusOr<ConvertedContainer> Convert(const ContainerConfig& config) {
  return ConvertContainer(config, PodSandboxConfig());
}

TEST(ConvertContainerTest, LeastRequestIsEnough) {
  const absl::StatusOr<ConvertedContainer> converted = Convert(ValidConfig());

  ASSERT_TRUE(converted.ok()) << converted.status();
  EXPECT_EQ(converted->spec.name, "nginx");
  EXPECT_EQ(converted->spec.image, "sha256:abc");
  EXPECT_EQ(converted->spec.user_image, "sha256:abc");
  EXPECT_EQ(converted->spec.security.pid_namespace, NamespaceMode::kPod);
  EXPECT_EQ(converted->seccomp.kind, SeccompChoice::Kind::kUnconfined);
}

TEST(ConvertContainerTest, EverythingArrives) {
  ContainerConfig config = ValidConfig();
  config.mutable_image()->set_user_specified_image("nginx:1.25");
  config.add_command("/bin/sh");
  config.add_args("-c");
  config.add_args("echo \xff");
  config.set_working_dir("/srv");
  config.set_log_path("nginx/0.log");
  config.set_tty(true);
  config.set_stdin(true);
  config.set_stdin_once(true);
  config.set_stop_signal(runtime::v1::SIGNAL_SIGRTMINPLUS3);
  (*config.mutable_labels())["a"] = "b";
  auto& mount = AddMount(config);
  mount.set_readonly(true);
  mount.set_propagation(runtime::v1::PROPAGATION_HOST_TO_CONTAINER);
  mount.set_selinux_relabel(true);
  for (const char* option : {"noexec", "nosuid", "noexec"}) {
    mount.add_mount_options(option);
  }
  auto& device = *config.add_devices();
  device.set_host_path("/dev/fuse");
  device.set_container_path("/dev/fuse");
  device.set_permissions("rw");
  AddImageMount(config, "sha256:2", "data/x");
  Resources(config).set_cpu_quota(400'000);
  Resources(config).set_cpuset_cpus("0-3,7");
  auto& security = Security(config);
  security.mutable_run_as_user()->set_value(1000);
  security.mutable_run_as_group()->set_value(1001);
  security.add_supplemental_groups(5);
  security.set_supplemental_groups_policy(runtime::v1::Strict);
  security.mutable_capabilities()->add_add_capabilities("net_admin");
  security.mutable_capabilities()->add_drop_capabilities("ALL");
  security.mutable_capabilities()->add_add_ambient_capabilities("CAP_CHOWN");
  security.set_no_new_privs(true);
  security.set_readonly_rootfs(true);
  security.add_masked_paths("/proc/kcore");
  security.add_readonly_paths("/proc/sys");
  security.mutable_namespace_options()->set_pid(runtime::v1::TARGET);
  security.mutable_namespace_options()->set_target_id("abc");

  const absl::StatusOr<ConvertedContainer> converted = Convert(config);

  ASSERT_TRUE(converted.ok()) << converted.status();
  const ContainerSpec& spec = converted->spec;
  EXPECT_EQ(spec.user_image, "nginx:1.25");
  EXPECT_EQ(spec.command, std::vector<std::string>{"/bin/sh"});
  EXPECT_EQ(spec.args, (std::vector<std::string>{"-c", "echo \xff"}));
  EXPECT_EQ(spec.working_dir, "/srv");
  EXPECT_EQ(spec.log_path, "nginx/0.log");
  EXPECT_TRUE(spec.tty && spec.stdin && spec.stdin_once);
  EXPECT_EQ(spec.stop_signal, "SIGRTMIN+3");
  EXPECT_EQ(spec.labels.at("a"), "b");
  ASSERT_EQ(spec.mounts.size(), 2u);
  EXPECT_TRUE(spec.mounts[0].read_only && spec.mounts[0].slave);
  EXPECT_EQ(spec.mounts[0].options,
            (std::vector<std::string>{"noexec", "nosuid"}));
  EXPECT_EQ(spec.mounts[1].image, "sha256:2");
  EXPECT_EQ(spec.mounts[1].image_sub_path, "data/x");
  ASSERT_EQ(spec.devices.size(), 1u);
  EXPECT_EQ(spec.devices[0].path, "/dev/fuse");
  EXPECT_EQ(spec.resources.cpu_quota, 400'000);
  EXPECT_EQ(spec.resources.cpuset_cpus, "0-3,7");
  EXPECT_EQ(spec.security.run_as_user, 1000);
  EXPECT_EQ(spec.security.run_as_group, 1001);
  EXPECT_EQ(spec.security.supplemental_groups, std::vector<int64_t>{5});
  EXPECT_TRUE(spec.security.strict_supplemental_groups);
  EXPECT_EQ(spec.security.add_capabilities,
            std::vector<std::string>{"CAP_NET_ADMIN"});
  EXPECT_EQ(spec.security.drop_capabilities, std::vector<std::string>{"ALL"});
  EXPECT_EQ(spec.security.add_ambient_capabilities,
            std::vector<std::string>{"CAP_CHOWN"});
  EXPECT_TRUE(spec.security.no_new_privileges);
  EXPECT_TRUE(spec.security.read_only_root);
  EXPECT_EQ(spec.security.masked_paths,
            std::vector<std::string>{"/proc/kcore"});
  EXPECT_EQ(spec.security.pid_namespace, NamespaceMode::kTarget);
  EXPECT_EQ(spec.security.pid_target, "abc");
}

TEST(ConvertContainerTest, EnvValuesAreBytes) {
  ContainerConfig config = ValidConfig();
  config.add_envs()->set_key("A");
  config.mutable_envs(0)->set_value("x\xff\n=\x01");

  const absl::StatusOr<ConvertedContainer> converted = Convert(config);

  ASSERT_TRUE(converted.ok()) << converted.status();
  EXPECT_EQ(converted->spec.env, std::vector<std::string>{"A=x\xff\n=\x01"});
}

struct Refusal {
  const char* name;
  std::function<void(ContainerConfig&)> change;
  absl::StatusCode code;
  const char* message;  // a part of it
};

constexpr absl::StatusCode kInvalid = absl::StatusCode::kInvalidArgument;
constexpr absl::StatusCode kMissing = absl::StatusCode::kUnimplemented;

const Refusal kRefusals[] = {
    {"NoMetadata", [](auto& c) { c.clear_metadata(); }, kInvalid,
     "config.metadata: is missing"},
    {"NameIsPath", [](auto& c) { c.mutable_metadata()->set_name("a/b"); },
     kInvalid, "is a path"},
    {"NoImage", [](auto& c) { c.clear_image(); }, kInvalid,
     "config.image.image: is empty"},
    {"NewlineInImage", [](auto& c) { c.mutable_image()->set_image("a\nb"); },
     kInvalid, "config.image.image"},
    {"NulInArgs", [](auto& c) { c.add_args(std::string("a\0b", 3)); }, kInvalid,
     "config.args"},
    {"LongArgument", [](auto& c) { c.add_args(std::string(1 << 17, 'a')); },
     kInvalid, "config.args: has 131072 bytes"},
    {"ManyArguments",
     [](auto& c) {
       for (int i = 0; i < 40; ++i) c.add_args(std::string(65536, 'a'));
     },
     kInvalid, "together"},
    {"EnvWithoutKey", [](auto& c) { c.add_envs()->set_value("x"); }, kInvalid,
     "config.envs"},
    {"EnvKeyWithEquals", [](auto& c) { c.add_envs()->set_key("A=B"); },
     kInvalid, "contains \"=\""},
    {"NulInEnv",
     [](auto& c) {
       c.add_envs()->set_key("A");
       c.mutable_envs(0)->set_value(std::string("s\0t", 3));
     },
     kInvalid, "config.envs[A]: contains a NUL byte"},
    {"RelativeWorkingDir", [](auto& c) { c.set_working_dir("srv"); }, kInvalid,
     "config.working_dir"},
    {"AbsoluteLogPath", [](auto& c) { c.set_log_path("/etc/passwd"); },
     kInvalid, "config.log_path"},
    {"LogPathUpwards", [](auto& c) { c.set_log_path("a/../../b"); }, kInvalid,
     "config.log_path"},
    {"StdinOnceWithoutStdin", [](auto& c) { c.set_stdin_once(true); }, kInvalid,
     "config.stdin_once"},
    {"UnknownSignal",
     [](auto& c) { c.set_stop_signal(static_cast<runtime::v1::Signal>(99)); },
     kInvalid, "config.stop_signal"},
    {"Device", [](auto& c) { c.add_devices()->set_host_path("sda"); }, kInvalid,
     "config.devices[0].host_path"},
    {"CdiDevice", [](auto& c) { c.add_cdi_devices()->set_name("a.b/c=d"); },
     kMissing, "config.CDI_devices"},
    {"Windows", [](auto& c) { c.mutable_windows(); }, kInvalid,
     "config.windows"},
    {"PodAnnotation",
     [](auto& c) {
       (*c.mutable_annotations())
           ["com.github.containers.virtcontainers.sandbox_mem"] = "4G";
     },
     kInvalid, "belongs on the pod"},
    {"MountOverRoot", [](auto& c) { AddMount(c).set_container_path("//."); },
     kInvalid, "cannot replace the root"},
    {"RelativeMount", [](auto& c) { AddMount(c).set_container_path("data"); },
     kInvalid, "config.mounts[0].container_path"},
    {"MountWithoutSource", [](auto& c) { AddMount(c).clear_host_path(); },
     kInvalid, "config.mounts[0].host_path: is empty"},
    {"MountTraversal", [](auto& c) { AddMount(c).set_host_path("/a/../b"); },
     kInvalid, "contains \"..\""},
    {"Bidirectional",
     [](auto& c) {
       AddMount(c).set_propagation(runtime::v1::PROPAGATION_BIDIRECTIONAL);
     },
     kInvalid, "cannot reach the host"},
    {"RecursiveNotReadonly",
     [](auto& c) { AddMount(c).set_recursive_read_only(true); }, kInvalid,
     "needs readonly"},
    {"RecursivePropagates",
     [](auto& c) {
       auto& mount = AddMount(c);
       mount.set_readonly(true);
       mount.set_recursive_read_only(true);
       mount.set_propagation(runtime::v1::PROPAGATION_HOST_TO_CONTAINER);
     },
     kInvalid, "needs PROPAGATION_PRIVATE"},
    {"IdMappedMount",
     [](auto& c) { AddMount(c).add_uidmappings()->set_length(1); }, kInvalid,
     "exactly one uid and one gid mapping"},
    {"MountOption", [](auto& c) { AddMount(c).add_mount_options("suid"); },
     kInvalid, "config.mounts[0].mount_options: \"suid\""},
    {"WritableImageMount",
     [](auto& c) {
       auto& mount = AddMount(c);
       mount.clear_host_path();
       mount.mutable_image()->set_image("a");
     },
     kInvalid, "must be readonly"},
    {"ImageMountWithoutAName", [](auto& c) { AddImageMount(c, "", ""); },
     kInvalid, "image.image"},
    {"ImageMountOfTheHost",
     [](auto& c) { AddImageMount(c, "a", "").set_host_path("/x"); }, kInvalid,
     "both host_path and image"},
    {"AbsoluteSubPath", [](auto& c) { AddImageMount(c, "a", "/etc"); },
     kInvalid, "image_sub_path"},
    {"SubPathThatLeadsUp", [](auto& c) { AddImageMount(c, "a", "x/../.."); },
     kInvalid, "image_sub_path"},
    {"GroupWithoutUser",
     [](auto& c) { Security(c).mutable_run_as_group()->set_value(1); },
     kInvalid, "without run_as_user or run_as_username"},
    {"UserTwice",
     [](auto& c) {
       Security(c).mutable_run_as_user()->set_value(1);
       Security(c).set_run_as_username("a");
     },
     kInvalid, "together with run_as_user"},
    {"NumericNameTooLarge",
     [](auto& c) { Security(c).set_run_as_username("4294967296"); }, kInvalid,
     "run_as_username"},
    {"NegativeNumericName",
     [](auto& c) { Security(c).set_run_as_username("-1"); }, kInvalid,
     "run_as_username"},
    {"NewlineInUsername",
     [](auto& c) { Security(c).set_run_as_username("a\nroot:x:0"); }, kInvalid,
     "run_as_username"},
    {"UnknownCapability",
     [](auto& c) {
       Security(c).mutable_capabilities()->add_add_capabilities("FLY");
     },
     kInvalid, "\"FLY\" is not a capability"},
    {"Privileged", [](auto& c) { Security(c).set_privileged(true); }, kInvalid,
     "not created for privileged"},
    {"TargetWithoutId",
     [](auto& c) {
       Security(c).mutable_namespace_options()->set_pid(runtime::v1::TARGET);
     },
     kInvalid, "target_id: is empty"},
    {"HostPid",
     [](auto& c) {
       Security(c).mutable_namespace_options()->set_pid(runtime::v1::NODE);
     },
     kInvalid, "host's PID namespace"},
    {"Apparmor",
     [](auto& c) {
       Security(c).mutable_apparmor()->set_profile_type(
           runtime::v1::SecurityProfile::Localhost);
     },
     kMissing, "AppArmor"},
    {"EmptyLocalhostSeccomp",
     [](auto& c) {
       Security(c).mutable_seccomp()->set_profile_type(
           runtime::v1::SecurityProfile::Localhost);
     },
     kInvalid, "seccomp.localhost_ref: is empty"},
    {"NegativeQuota", [](auto& c) { Resources(c).set_cpu_quota(-2); }, kInvalid,
     "cpu_quota: -2"},
    {"TinyQuota", [](auto& c) { Resources(c).set_cpu_quota(999); }, kInvalid,
     "cpu_quota"},
    {"LongPeriod", [](auto& c) { Resources(c).set_cpu_period(1'000'001); },
     kInvalid, "cpu_period"},
    {"NegativeShares", [](auto& c) { Resources(c).set_cpu_shares(-1); },
     kInvalid, "cpu_shares"},
    {"HugeMemory",
     [](auto& c) {
       Resources(c).set_memory_limit_in_bytes(
           std::numeric_limits<int64_t>::max());
     },
     kInvalid, "memory_limit_in_bytes"},
    {"OomScore", [](auto& c) { Resources(c).set_oom_score_adj(1001); },
     kInvalid, "oom_score_adj"},
    {"BackwardCpuset", [](auto& c) { Resources(c).set_cpuset_cpus("3-1"); },
     kInvalid, "cpuset_cpus"},
    {"CpusetWithText", [](auto& c) { Resources(c).set_cpuset_cpus("0,+1"); },
     kInvalid, "cpuset_cpus"},
    {"NumaNode", [](auto& c) { Resources(c).set_cpuset_mems("1"); }, kInvalid,
     "one NUMA node"},
    {"PageSize",
     [](auto& c) { Resources(c).add_hugepage_limits()->set_page_size("2M"); },
     kInvalid, "hugepage_limits"},
    {"LongCpuset",
     [](auto& c) {
       std::string list = "0";
       while (list.size() < 64 << 10) list += ",0";
       Resources(c).set_cpuset_cpus(list);
     },
     kInvalid, "cpuset_cpus"},
    {"CpusetBesideItsField",
     [](auto& c) { (*Resources(c).mutable_unified())["cpuset.cpus"] = "9"; },
     kInvalid, "cpuset_cpus"},
    {"NumaNodeBesideItsField",
     [](auto& c) { (*Resources(c).mutable_unified())["cpuset.mems"] = "1"; },
     kInvalid, "cpuset"},
    {"UnifiedMemoryThatIsNoNumber",
     [](auto& c) { (*Resources(c).mutable_unified())["memory.max"] = "-1"; },
     kInvalid, "memory.max"},
    {"UnifiedPath",
     [](auto& c) { (*Resources(c).mutable_unified())["../memory.max"] = "1"; },
     kInvalid, "unified"},
    {"UnifiedNewline",
     [](auto& c) { (*Resources(c).mutable_unified())["memory.max"] = "1\n"; },
     kInvalid, "unified[memory.max]"},
};

class ConvertContainerRefusalTest : public testing::TestWithParam<Refusal> {};

TEST_P(ConvertContainerRefusalTest, IsRefusedByName) {
  ContainerConfig config = ValidConfig();
  GetParam().change(config);

  const absl::Status status = Convert(config).status();

  EXPECT_EQ(status.code(), GetParam().code) << status;
  EXPECT_TRUE(absl::StrContains(status.message(), GetParam().message))
      << status;
}

INSTANTIATE_TEST_SUITE_P(All, ConvertContainerRefusalTest,
                         testing::ValuesIn(kRefusals), [](const auto& info) {
                           return std::string(info.param.name);
                         });

TEST(ConvertContainerTest, IdsThatWouldWrapAreRefused) {
  for (const int64_t id :
       {int64_t{-1}, int64_t{1} << 31, (int64_t{1} << 32) - 1, int64_t{1} << 32,
        std::numeric_limits<int64_t>::max(),
        std::numeric_limits<int64_t>::min()}) {
    ContainerConfig user = ValidConfig();
    Security(user).mutable_run_as_user()->set_value(id);
    ContainerConfig group = ValidConfig();
    Security(group).mutable_run_as_user()->set_value(1);
    Security(group).mutable_run_as_group()->set_value(id);
    ContainerConfig extra = ValidConfig();
    Security(extra).add_supplemental_groups(id);

    EXPECT_TRUE(absl::IsInvalidArgument(Convert(user).status())) << id;
    EXPECT_TRUE(absl::IsInvalidArgument(Convert(group).status())) << id;
    EXPECT_TRUE(absl::IsInvalidArgument(Convert(extra).status())) << id;
  }
}

TEST(ConvertContainerTest, SecretsAreNotShown) {
  ContainerConfig config = ValidConfig();
  config.add_envs()->set_key("TOKEN");
  config.mutable_envs(0)->set_value(absl::StrCat("hunter2", std::string(1, 0)));

  const absl::Status status = Convert(config).status();

  EXPECT_FALSE(absl::StrContains(status.message(), "hunter2")) << status;
}

TEST(ConvertContainerTest, PrivilegedIgnoresSeccomp) {
  ContainerConfig config = ValidConfig();
  Security(config).set_privileged(true);
  Security(config).mutable_seccomp()->set_profile_type(
      runtime::v1::SecurityProfile::RuntimeDefault);

  const auto converted = ConvertContainer(config, PrivilegedPod());

  ASSERT_TRUE(converted.ok()) << converted.status();
  EXPECT_TRUE(converted->spec.security.privileged);
  EXPECT_EQ(converted->seccomp, SeccompChoice{});
}

TEST(ConvertContainerTest, SeccompIsChosenByTypeOrDeprecatedText) {
  using Kind = SeccompChoice::Kind;
  const auto by_text = [](const char* text) {
    ContainerConfig config = ValidConfig();
    Security(config).set_seccomp_profile_path(text);
    return Convert(config).value().seccomp;
  };
  const auto by_type = [](runtime::v1::SecurityProfile::ProfileType type) {
    ContainerConfig config = ValidConfig();
    Security(config).mutable_seccomp()->set_profile_type(type);
    Security(config).mutable_seccomp()->set_localhost_ref("/p.json");
    return Convert(config).value().seccomp;
  };

  EXPECT_EQ(by_text(""), (SeccompChoice{Kind::kUnconfined, ""}));
  EXPECT_EQ(by_text("unconfined"), (SeccompChoice{Kind::kUnconfined, ""}));
  EXPECT_EQ(by_text("runtime/default"),
            (SeccompChoice{Kind::kRuntimeDefault, ""}));
  EXPECT_EQ(by_text("localhost//p.json"),
            (SeccompChoice{Kind::kLocalhost, "/p.json"}));
  EXPECT_EQ(by_type(runtime::v1::SecurityProfile::Unconfined),
            (SeccompChoice{Kind::kUnconfined, ""}));
  EXPECT_EQ(by_type(runtime::v1::SecurityProfile::RuntimeDefault),
            (SeccompChoice{Kind::kRuntimeDefault, ""}));
  EXPECT_EQ(by_type(runtime::v1::SecurityProfile::Localhost),
            (SeccompChoice{Kind::kLocalhost, "/p.json"}));
}

TEST(ConvertResourcesTest, RoundTrips) {
  runtime::v1::LinuxContainerResources resources;
  resources.set_cpu_period(100'000);
  resources.set_cpu_quota(-1);
  resources.set_cpu_shares(1024);
  resources.set_memory_limit_in_bytes(1 << 30);
  resources.set_memory_swap_limit_in_bytes(-1);
  resources.set_oom_score_adj(-998);
  resources.set_cpuset_cpus("0");
  resources.set_cpuset_mems("0");
  resources.add_hugepage_limits()->set_page_size("2MB");
  (*resources.mutable_unified())["memory.oom.group"] = "1";

  const auto converted = ConvertResources(resources, "r");

  ASSERT_TRUE(converted.ok()) << converted.status();
  EXPECT_EQ(ToLinuxResources(*converted).SerializeAsString(),
            resources.SerializeAsString());
}

TEST(ConvertResourcesTest, ALimitForMemoryAndSwapIsNotBelowMemorys) {
  runtime::v1::LinuxContainerResources resources;
  resources.set_memory_limit_in_bytes(4096);
  for (const int64_t fine : {-1, 0, 4096, 8192}) {
    resources.set_memory_swap_limit_in_bytes(fine);
    EXPECT_TRUE(ConvertResources(resources, "r").ok()) << fine;
  }
  resources.set_memory_swap_limit_in_bytes(4095);

  const absl::Status status = ConvertResources(resources, "r").status();

  EXPECT_TRUE(absl::IsInvalidArgument(status));
  EXPECT_EQ(status.message().find("r.memory_swap_limit_in_bytes: 4095"), 0u);
}

TEST(SignalNameTest, EveryNameLeadsBackToItsSignal) {
  for (int i = runtime::v1::Signal_MIN; i <= runtime::v1::Signal_MAX; ++i) {
    const auto signal = static_cast<runtime::v1::Signal>(i);
    EXPECT_EQ(SignalFromName(SignalName(signal).value()), signal) << i;
  }
  EXPECT_EQ(SignalName(runtime::v1::SIGNAL_SIGTERM).value(), "SIGTERM");
  EXPECT_EQ(SignalName(runtime::v1::SIGNAL_SIGRTMAXMINUS1).value(),
            "SIGRTMAX-1");
  EXPECT_EQ(SignalFromName("nonsense"), runtime::v1::SIGNAL_RUNTIME_DEFAULT);
}

}  // namespace
}  // namespace podvisor
