#include "guestagent/agent/oci_spec.h"

#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "guestagent/agent/oci_mounts.h"
#include "nlohmann/json.hpp"

namespace podvisor {
namespace {

using nlohmann::json;
using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

OciEnvironment Environment() {
  OciEnvironment environment;
  environment.container_id = std::string(64, 'a');
  environment.rootfs = "/run/c/rootfs";
  environment.ipc_namespace = "/proc/7/ns/ipc";
  environment.uts_namespace = "/proc/7/ns/uts";
  environment.pid_namespace = "/proc/7/ns/pid";
  environment.share_dir = "/share";
  environment.shm_dir = "/run/shm";
  environment.resolv_conf_file = "/scratch/etc/resolv.conf";
  return environment;
}

ResolvedUser User() { return {1000, 2000, {2000, 33}, "/srv/web"}; }

agent::v1::ContainerSpec Spec() {
  agent::v1::ContainerSpec spec;
  spec.add_args("/bin/sh");
  return spec;
}

json Build(const agent::v1::ContainerSpec& spec,
           const OciEnvironment& environment = Environment()) {
  const auto config = BuildOciConfig(spec, User(), environment);
  EXPECT_TRUE(config.ok()) << config.status();
  return config.ok() ? json::parse(*config) : json();
}

std::vector<std::string> Destinations(const json& config) {
  std::vector<std::string> destinations;
  for (const json& mount : config["mounts"]) {
    destinations.push_back(mount["destination"]);
  }
  return destinations;
}

json MountAt(const json& config, const std::string& destination) {
  for (const json& mount : config["mounts"]) {
    if (mount["destination"] == destination) return mount;
  }
  return {};
}

TEST(OciSpecTest, SmallestSpecGivesThisProcess) {
  const json process = Build(Spec())["process"];
  EXPECT_EQ(process["args"], json::array({"/bin/sh"}));
  EXPECT_EQ(process["cwd"], "/");
  EXPECT_EQ(process["terminal"], false);
  EXPECT_EQ(process["noNewPrivileges"], false);
  EXPECT_EQ(process["oomScoreAdj"], 0);
  EXPECT_EQ(
      process["user"],
      json::parse(R"({"uid":1000,"gid":2000,"additionalGids":[2000,33]})"));
  EXPECT_EQ(process["env"],
            json::array({"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:"
                         "/usr/bin:/sbin:/bin",
                         "HOME=/srv/web"}));
  EXPECT_EQ(process["capabilities"]["bounding"].size(), 14u);
  EXPECT_EQ(process["capabilities"]["effective"],
            process["capabilities"]["bounding"]);
  EXPECT_TRUE(process["capabilities"]["inheritable"].empty());
  EXPECT_TRUE(process["capabilities"]["ambient"].empty());
}

TEST(OciSpecTest, SmallestSpecGivesTheseMountsInThisOrder) {
  const json config = Build(Spec());
  EXPECT_THAT(Destinations(config),
              ElementsAre("/proc", "/dev", "/sys", "/dev/pts", "/dev/mqueue",
                          "/dev/shm", "/etc/resolv.conf", "/sys/fs/cgroup"));
  EXPECT_EQ(MountAt(config, "/dev")["type"], "tmpfs");
  EXPECT_EQ(MountAt(config, "/dev/shm")["source"], "/run/shm");
  EXPECT_THAT(MountAt(config, "/sys")["options"], Contains("ro"));
  EXPECT_THAT(MountAt(config, "/etc/resolv.conf")["options"], Contains("rw"));
}

TEST(OciSpecTest, NamespacesAreThePodsWithoutANetwork) {
  EXPECT_EQ(Build(Spec())["linux"]["namespaces"], json::parse(R"([
      {"type":"mount"}, {"type":"ipc","path":"/proc/7/ns/ipc"},
      {"type":"uts","path":"/proc/7/ns/uts"},
      {"type":"pid","path":"/proc/7/ns/pid"}, {"type":"cgroup"}])"));
  OciEnvironment own_pid = Environment();
  own_pid.pid_namespace.clear();
  EXPECT_EQ(Build(Spec(), own_pid)["linux"]["namespaces"][3],
            json::parse(R"({"type":"pid"})"));
}

OciEnvironment InUserNamespace() {
  OciEnvironment environment = Environment();
  environment.user_namespace = "/proc/7/ns/user";
  environment.network_namespace = "/proc/7/ns/net";
  environment.ids = IdMapping{65536, 2001};
  return environment;
}

TEST(OciSpecTest, AUserNamespaceIsJoinedWithTheNetworkThatBelongsToIt) {
  const json config = Build(Spec(), InUserNamespace());

  const json& namespaces = config["linux"]["namespaces"];
  EXPECT_THAT(
      namespaces,
      Contains(json::parse(R"({"type":"user","path":"/proc/7/ns/user"})")));
  EXPECT_THAT(
      namespaces,
      Contains(json::parse(R"({"type":"network","path":"/proc/7/ns/net"})")));
  const json mapping =
      json::parse(R"([{"containerID":0,"hostID":65536,"size":2001}])");
  EXPECT_EQ(config["linux"]["uidMappings"], mapping);
  EXPECT_EQ(config["linux"]["gidMappings"], mapping);
}

TEST(OciSpecTest, UsersAndGroupsThatTheNamespaceDoesNotHaveAreRefused) {
  OciEnvironment environment = InUserNamespace();
  EXPECT_TRUE(BuildOciConfig(Spec(), User(), environment).ok());
  environment.ids->length = 2000;  // the group is 2000

  const absl::Status status =
      BuildOciConfig(Spec(), User(), environment).status();

  EXPECT_TRUE(absl::IsInvalidArgument(status));
  EXPECT_THAT(std::string(status.message()), HasSubstr("group 2000"));
}

TEST(OciSpecTest, NothingIsInTheLinuxPartThatNobodyAskedFor) {
  const json config = Build(Spec());
  EXPECT_EQ(config["linux"]["cgroupsPath"], "/pod/" + std::string(64, 'a'));
  EXPECT_EQ(config["linux"]["resources"], json::parse(R"({"devices":[
      {"allow":false,"access":"rwm"}]})"));
  for (const char* absent : {"maskedPaths", "readonlyPaths", "seccomp",
                             "devices", "rootfsPropagation", "sysctl"}) {
    EXPECT_FALSE(config["linux"].contains(absent)) << absent;
  }
  EXPECT_FALSE(config.contains("hostname"));
  EXPECT_FALSE(config.contains("annotations"));
  EXPECT_FALSE(config.contains("hooks"));
}

TEST(OciSpecTest, GivenEnvironmentIsKept) {
  agent::v1::ContainerSpec spec = Spec();
  spec.set_tty(true);
  for (const char* entry : {"PATH=/x", "HOME=/y", "TERM=dumb", "A=b=\nc"}) {
    spec.add_env(entry);
  }
  EXPECT_EQ(Build(spec)["process"]["env"],
            json::array({"PATH=/x", "HOME=/y", "TERM=dumb", "A=b=\nc"}));
}

TEST(OciSpecTest, TerminalGetsTerm) {
  agent::v1::ContainerSpec spec = Spec();
  spec.set_tty(true);
  EXPECT_THAT(Build(spec)["process"]["env"], Contains("TERM=xterm"));
  EXPECT_EQ(Build(spec)["process"]["terminal"], true);
}

TEST(OciSpecTest, ResourcesAreTranslated) {
  agent::v1::ContainerSpec spec = Spec();
  agent::v1::LinuxResources* resources = spec.mutable_resources();
  resources->set_cpu_quota_micros(50000);
  resources->set_cpu_period_micros(100000);
  resources->set_cpu_shares(1);
  resources->set_memory_limit_bytes(64 << 20);
  resources->set_cpuset_cpus("0");
  resources->set_pids_limit(100);
  (*resources->mutable_unified())["memory.oom.group"] = "1";
  EXPECT_EQ(Build(spec)["linux"]["resources"], json::parse(R"({
      "devices":[{"allow":false,"access":"rwm"}],
      "cpu":{"quota":50000,"period":100000,"shares":2,"cpus":"0"},
      "memory":{"limit":67108864}, "pids":{"limit":100},
      "unified":{"memory.oom.group":"1"}})"));
}

TEST(OciSpecTest, PrivilegedHasEverythingButTheAgentsPort) {
  agent::v1::ContainerSpec spec = Spec();
  spec.set_privileged(true);
  OciEnvironment environment = Environment();
  environment.devices = {{"/dev/vda", true, 254, 0, 0660}};
  environment.agent_port_major = 244;
  const json config = Build(spec, environment);
  EXPECT_EQ(config["process"]["capabilities"]["bounding"].size(), 41u);
  EXPECT_THAT(MountAt(config, "/sys")["options"], Contains("rw"));
  EXPECT_EQ(config["linux"]["resources"]["devices"], json::parse(R"([
      {"allow":true,"access":"rwm"},
      {"allow":false,"type":"c","major":244,"access":"rwm"}])"));
  EXPECT_EQ(config["linux"]["devices"], json::parse(R"([
      {"path":"/dev/vda","type":"b","major":254,"minor":0,"fileMode":432}])"));
  EXPECT_EQ(config["linux"]["namespaces"].size(), 4u);
}

void AddShare(const char* source, const char* destination,
              agent::v1::ContainerSpec* spec) {
  agent::v1::Mount* mount = spec->add_mounts();
  mount->set_kind(agent::v1::Mount::SHARE);
  mount->set_source(source);
  mount->set_destination(destination);
}

TEST(OciSpecTest, ShareMountsAreBoundAfterTheirParents) {
  agent::v1::ContainerSpec spec = Spec();
  AddShare("m-2", "/data/sub//deep/../x/", &spec);
  AddShare("m-1", "/data", &spec);
  spec.mutable_mounts(0)->set_read_only(true);
  spec.mutable_mounts(1)->set_slave(true);
  AddShare("m-3", "/etc/resolv.conf", &spec);
  AddShare("m-4", "/dev/shm", &spec);
  spec.mutable_mounts(3)->set_recursive_read_only(true);
  const json config = Build(spec);
  EXPECT_THAT(Destinations(config),
              ElementsAre("/proc", "/dev", "/sys", "/data", "/dev/pts",
                          "/dev/mqueue", "/etc/resolv.conf", "/dev/shm",
                          "/sys/fs/cgroup", "/data/sub/x"));
  EXPECT_EQ(MountAt(config, "/data/sub/x"), json::parse(R"({
      "destination":"/data/sub/x","type":"bind","source":"/share/m-2",
      "options":["rbind","rprivate","ro"]})"));
  EXPECT_EQ(MountAt(config, "/data")["options"],
            json::parse(R"(["rbind","rslave","rw"])"));
  EXPECT_EQ(MountAt(config, "/dev/shm")["options"],
            json::parse(R"(["rbind","rprivate","rro"])"));
  EXPECT_EQ(MountAt(config, "/etc/resolv.conf")["source"], "/share/m-3");
  EXPECT_EQ(config["linux"]["rootfsPropagation"], "rslave");
}

TEST(OciSpecTest, ImageMountsAreBoundReadOnlyInTheirOrder) {
  agent::v1::ContainerSpec spec = Spec();
  AddShare("m", "/data", &spec);
  for (const char* destination : {"/one", "/two"}) {
    agent::v1::Mount* mount = spec.add_mounts();
    mount->set_kind(agent::v1::Mount::IMAGE);
    mount->set_destination(destination);
  }
  OciEnvironment environment = Environment();
  environment.image_paths = {"/images/a", "/images/b/sub"};
  const json config = Build(spec, environment);
  EXPECT_EQ(MountAt(config, "/one")["source"], "/images/a");
  EXPECT_EQ(MountAt(config, "/two"), json::parse(R"({
      "destination":"/two","type":"bind","source":"/images/b/sub",
      "options":["bind","rprivate","nosuid","nodev","ro"]})"));
}

void AddDevice(const char* source, const char* destination, const char* access,
               agent::v1::ContainerSpec* spec) {
  agent::v1::Mount* mount = spec->add_mounts();
  mount->set_kind(agent::v1::Mount::DEVICE);
  mount->set_source(source);
  mount->set_destination(destination);
  mount->set_access(access);
}

TEST(OciSpecTest, ADeviceIsBoundAndAllowedAsFarAsWasAsked) {
  agent::v1::ContainerSpec spec = Spec();
  AddDevice("/dev/fuse", "/dev/fuse", "r", &spec);
  OciEnvironment environment = Environment();
  environment.grants = {{{"/dev/fuse", false, 10, 229, 0666}, "r"}};
  const json config = Build(spec, environment);
  EXPECT_EQ(MountAt(config, "/dev/fuse"), json::parse(R"({
      "destination":"/dev/fuse","type":"bind","source":"/dev/fuse",
      "options":["bind","rprivate","nosuid","noexec"]})"));
  EXPECT_EQ(config["linux"]["resources"]["devices"], json::parse(R"([
      {"allow":false,"access":"rwm"},
      {"allow":true,"type":"c","major":10,"minor":229,"access":"r"}])"));
}

TEST(OciSpecTest, OptionsOfAMountAreAdded) {
  agent::v1::ContainerSpec spec = Spec();
  AddShare("m", "/data", &spec);
  spec.mutable_mounts(0)->add_options("noexec");
  spec.mutable_mounts(0)->add_options("nodev");
  EXPECT_EQ(MountAt(Build(spec), "/data")["options"],
            json::parse(R"(["rbind","rprivate","rw","noexec","nodev"])"));
}

TEST(OciSpecTest, TmpfsMountHasItsSize) {
  agent::v1::ContainerSpec spec = Spec();
  agent::v1::Mount* mount = spec.add_mounts();
  mount->set_kind(agent::v1::Mount::TMPFS);
  mount->set_destination("/tmp");
  mount->set_size_bytes(4096);
  EXPECT_EQ(MountAt(Build(spec), "/tmp")["options"],
            json::parse(R"(["nosuid","nodev","mode=1777","rw","size=4096"])"));
}

TEST(OciSpecTest, MaskedAndReadonlyPathsAndSeccompAreTheHosts) {
  agent::v1::ContainerSpec spec = Spec();
  spec.add_masked_paths("/proc/kcore");
  spec.add_readonly_paths("/proc/sys");
  spec.set_seccomp_profile(R"({"defaultAction":"SCMP_ACT_ALLOW"})");
  const json part = Build(spec)["linux"];
  EXPECT_EQ(part["maskedPaths"], json::array({"/proc/kcore"}));
  EXPECT_EQ(part["readonlyPaths"], json::array({"/proc/sys"}));
  EXPECT_EQ(part["seccomp"]["defaultAction"], "SCMP_ACT_ALLOW");
}

std::vector<agent::v1::ContainerSpec> ImpossibleSpecs() {
  std::vector<agent::v1::ContainerSpec> specs;
  const auto add = [&specs](auto change) {
    agent::v1::ContainerSpec spec = Spec();
    change(&spec);
    specs.push_back(spec);
  };
  using Change = agent::v1::ContainerSpec*;
  add([](Change spec) { spec->clear_args(); });
  add([](Change spec) { spec->set_args(0, ""); });
  add([](Change spec) { spec->add_env("NOEQUALS"); });
  add([](Change spec) { spec->add_env("=x"); });
  add([](Change spec) { spec->add_env(std::string("A=b\0c", 5)); });
  add([](Change spec) { spec->add_env("A=\xff"); });
  for (const char* cwd :
       {"relative", "/proc/self/fd/7", "/x/../proc/1/cwd", "/proc"}) {
    add([cwd](Change spec) { spec->set_cwd(cwd); });
  }
  for (const char* source : {"", "..", ".", "a/b", "../etc", "A", "a b"}) {
    add([source](Change spec) { AddShare(source, "/data", spec); });
  }
  for (const char* destination : {"", "data", "/", "/..", "/dev", "/dev/",
                                  "/proc", "/proc/self", "/a/../proc/sys"}) {
    add([destination](Change spec) { AddShare("m", destination, spec); });
  }
  add([](Change spec) { spec->add_mounts()->set_destination("/x"); });
  add([](Change spec) {
    spec->add_mounts()->set_destination("/x");
    spec->mutable_mounts(0)->set_kind(agent::v1::Mount::IMAGE);
  });
  for (const char* source : {"", "/dev", "/dev/../etc", "/etc/x", "fuse"}) {
    add([source](Change spec) { AddDevice(source, "/x", "r", spec); });
  }
  for (const char* access : {"", "x", "rwx"}) {
    add([access](Change spec) { AddDevice("/dev/x", "/x", access, spec); });
  }
  add([](Change spec) { AddDevice("/dev/x", "/dev", "r", spec); });
  for (const char* option : {"", "suid", "noexec,suid", "bind"}) {
    add([option](Change spec) {
      AddShare("m", "/data", spec);
      spec->mutable_mounts(0)->add_options(option);
    });
  }
  add([](Change spec) { spec->add_masked_paths("proc"); });
  add([](Change spec) { spec->set_oom_score_adj(-1001); });
  add([](Change spec) { spec->add_rlimits()->set_type("RLIMIT_X"); });
  add([](Change spec) {
    spec->add_rlimits()->set_type("RLIMIT_NOFILE");
    spec->mutable_rlimits(0)->set_soft(2);
  });
  for (const char* seccomp : {"[]", "{", "{}", R"({"defaultAction":1})"}) {
    add([seccomp](Change spec) { spec->set_seccomp_profile(seccomp); });
  }
  add([](Change spec) { spec->mutable_capabilities()->add_add("CAP_X"); });
  add([](Change spec) {
    (*spec->mutable_resources()->mutable_unified())["cgroup.procs"] = "1";
  });
  return specs;
}

TEST(OciSpecTest, RefusesWhatCrunWouldMisunderstand) {
  for (const agent::v1::ContainerSpec& spec : ImpossibleSpecs()) {
    EXPECT_EQ(BuildOciConfig(spec, User(), Environment()).status().code(),
              absl::StatusCode::kInvalidArgument)
        << spec.SerializeAsString();
  }
}

TEST(OciSpecTest, ExecKeepsEverythingButTheCommand) {
  agent::v1::ContainerSpec spec = Spec();
  spec.set_cwd("/srv");
  spec.set_no_new_privileges(true);
  const auto config = BuildOciConfig(spec, User(), Environment());
  ASSERT_TRUE(config.ok());
  json expected = json::parse(*config)["process"];
  expected["args"] = {"id", "-u"};
  const auto process = BuildExecProcess(*config, {"id", "-u"}, false);
  ASSERT_TRUE(process.ok()) << process.status();
  EXPECT_EQ(json::parse(*process), expected);
  const auto terminal = BuildExecProcess(*config, {"sh"}, true);
  EXPECT_THAT(json::parse(*terminal)["env"], Contains("TERM=xterm"));
  EXPECT_EQ(json::parse(*terminal)["terminal"], true);
}

TEST(OciSpecTest, ExecRefusesUnusableCommands) {
  const auto config = BuildOciConfig(Spec(), User(), Environment());
  EXPECT_EQ(BuildExecProcess(*config, {}, false).status().code(),
            absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(BuildExecProcess(*config, {"a\xc3"}, false).status().code(),
            absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(BuildExecProcess("{}", {"a"}, false).status().code(),
            absl::StatusCode::kInternal);
}

}  // namespace
}  // namespace podvisor
