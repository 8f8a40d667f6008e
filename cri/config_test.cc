#include "cri/config.h"

#include <fstream>
#include <string>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "base/file.h"
#include "cri/config_schema.h"
#include "gtest/gtest.h"

namespace podvisor {
namespace {

TEST(ConfigTest, EmptyFileIsTheDefaults) {
  const absl::StatusOr<Config> config = ParseConfig("", "f");

  ASSERT_TRUE(config.ok()) << config.status();
  EXPECT_EQ(*config, Config());
}

TEST(ConfigTest, DefaultsObeyTheirOwnRules) {
  Config config;

  for (const ConfigKey& key : ConfigKeys()) {
    const absl::Status status = CheckConfigValue(key, config);
    EXPECT_TRUE(status.ok()) << key.key << ": " << status;
  }
  EXPECT_TRUE(FindConflicts(config).empty());
}

TEST(ConfigTest, DeliveredFileIsTheDefaults) {
  const absl::StatusOr<std::string> file = ReadFile("deploy/podvisor.toml");
  ASSERT_TRUE(file.ok()) << file.status();
  const absl::StatusOr<Config> config = ParseConfig(*file, "podvisor.toml");

  ASSERT_TRUE(config.ok()) << config.status();
  EXPECT_EQ(*config, Config());
  EXPECT_EQ(*file, DefaultConfigFile())
      << "print it anew: podvisorctl config --default > deploy/podvisor.toml";
}

TEST(ConfigTest, EveryKeyReachesItsOwnField) {
  // Two keys that share a field would print alike after one is changed.
  for (const ConfigKey& key : ConfigKeys()) {
    Config changed;
    const ConfigField field = key.field(changed);
    if (const auto* text = std::get_if<std::string*>(&field)) **text += "x";
    if (const auto* number = std::get_if<int64_t*>(&field)) **number += 1;
    if (const auto* flag = std::get_if<bool*>(&field)) **flag = !**flag;
    if (const auto* time = std::get_if<absl::Duration*>(&field)) {
      **time += absl::Seconds(1);
    }
    if (const auto* list = std::get_if<std::vector<std::string>*>(&field)) {
      (*list)->push_back("/x");
    }

    int differing = 0;
    for (const ConfigKey& other : ConfigKeys()) {
      Config fresh;
      const ConfigField a = other.field(changed);
      const ConfigField b = other.field(fresh);
      std::visit(
          [&](auto* left) {
            differing += *left != *std::get<decltype(left)>(b);
          },
          a);
    }
    EXPECT_EQ(differing, 1) << key.key;
    EXPECT_FALSE(changed == Config()) << key.key;
  }
}

TEST(ConfigTest, EffectiveConfigParsesToTheSameValue) {
  Config config;
  config.server.socket = "/tmp/a \"b\"\\c.sock";
  config.qemu.shrink_delay = absl::Milliseconds(1500);
  config.qemu.default_vcpus = 3;
  config.qemu.presize = true;
  config.network.cni_bin_dirs = {"/a", "/b,c"};

  const std::string text = EffectiveConfigToml(config);
  const absl::StatusOr<Config> again = ParseConfig(text, "f");

  ASSERT_TRUE(again.ok()) << again.status();
  EXPECT_EQ(*again, config);
  EXPECT_EQ(EffectiveConfigToml(*again), text);
}

struct BadCase {
  const char* name;
  const char* toml;
  const char* message;  // a part of it
};

const BadCase kBadCases[] = {
    {"Syntax", "[server\n", "f:1:"},
    {"NotBuiltYet", "[hypervisor.qemu]\nfirmware = \"/f\"\n",
     "f:2:1: hypervisor.qemu.firmware: this version does not act on it yet"},
    {"OddSection", "\n[/server]\n", "f:2:2: this is not TOML"},
    {"NearMissOfKey", "[server]\nsokcet = \"/a\"\n",
     "f:2:1: server.sokcet: there is no such key; did you mean \"socket\"?"},
    {"DashesForUnderscores", "[server]\nroot-dir = \"/a\"\n",
     "did you mean \"root_dir\"?"},
    {"KeyOfAnotherSection", "[server]\nkernel = \"/a\"\n",
     "it belongs in [hypervisor.qemu]"},
    {"NothingLikeIt", "[image]\nzzzzzzzz = 1\n",
     "the keys here are registries_conf, policy"},
    {"UnknownSection", "[hypervisor.quemu]\n",
     "f:1:13: there is no section [hypervisor.quemu]; did you mean "
     "[hypervisor.qemu]?"},
    {"KeyOutsideOfSections", "socket = \"/a\"\n", "it belongs in [server]"},
    {"SectionAsValue", "server = 3\n", "it is a section: [server]"},
    {"StringForInteger", "[hypervisor.qemu]\ndefault_vcpus = \"4\"\n",
     "f:2:1: hypervisor.qemu.default_vcpus: is a string; an integer without "
     "quotes is right"},
    {"FractionForInteger", "[hypervisor.qemu]\ndefault_vcpus = 1.5\n",
     "is a number with a fraction"},
    {"IntegerForString", "[server]\nsocket = 1\n", "a string in quotes"},
    {"StringForBoolean", "[hypervisor.qemu]\npresize = \"yes\"\n",
     "true or false is right"},
    {"IntegerForDuration", "[hypervisor.qemu]\nshrink_delay = 5\n",
     "a duration in quotes, for example \"5s\", is right"},
    {"DurationWithoutUnit", "[hypervisor.qemu]\nshrink_delay = \"5\"\n",
     "\"5\" is not a duration"},
    {"NegativeDuration", "[hypervisor.qemu]\nshrink_delay = \"-1s\"\n",
     "0 to 1h is right"},
    {"StringForList", "[network]\ncni_bin_dirs = \"/a\"\n",
     "an array of strings is right"},
    {"MixedList", "[network]\ncni_bin_dirs = [\"/a\", 3]\n",
     "has an item that is an integer"},
    {"EmptyList", "[network]\ncni_bin_dirs = []\n", "give at least one"},
    {"RelativeInList", "[network]\ncni_bin_dirs = [\"bin\"]\n",
     "\"bin\" is relative"},
    {"NoVcpus", "[hypervisor.qemu]\ndefault_vcpus = 0\n",
     "0 is out of range; 1 to 240 is right"},
    {"TooManySlots", "[hypervisor.qemu]\nmemory_slots = 256\n", "1 to 255"},
    {"NegativeMemory", "[hypervisor.qemu]\ndefault_memory = -1\n",
     "is out of range"},
    {"UnknownChoice", "[hypervisor.qemu]\nmemory_hotplug = \"dimm\"\n",
     "it is one of \"virtio-mem\", \"pc-dimm\""},
    {"RelativePath", "[server]\nroot_dir = \"var/lib\"\n",
     "\"var/lib\" is relative; give an absolute path, for example "
     "\"/var/lib\""},
    {"DotDot", "[server]\nroot_dir = \"/var/../etc\"\n", "contains \"..\""},
    {"EmptyPath", "[server]\nrun_dir = \"\"\n", "is empty"},
    {"NulInPath", "[server]\nrun_dir = \"/a\\u0000b\"\n", "NUL"},
    {"NewlineInPath", "[server]\nrun_dir = \"/a\\nb\"\n", "control character"},
    {"NewlineInKernelParams", "[hypervisor.qemu]\nkernel_params = \"a\\nb\"\n",
     "printable"},
    {"AddressWithoutPort", "[server]\nmetrics_address = \"127.0.0.1\"\n",
     "write IP:PORT"},
    {"PortTooLarge", "[server]\nmetrics_address = \"127.0.0.1:65536\"\n",
     "port \"65536\""},
    {"NegativePort", "[server]\nmetrics_address = \"127.0.0.1:-1\"\n",
     "port \"-1\""},
    {"NameForAddress", "[server]\nmetrics_address = \"localhost:1\"\n",
     "is not an IP address"},
    {"StreamingOnTheNetwork", "[server]\nstreaming_address = \"0.0.0.0:0\"\n",
     "would be open to the network"},
    {"MetricsOnTheNetwork", "[server]\nmetrics_address = \"0.0.0.0:9539\"\n",
     "would be open to the network"},
    {"MaximumBelowDefault",
     "[hypervisor.qemu]\ndefault_vcpus = 4\ndefault_maxvcpus = 2\n",
     "f:3:1: hypervisor.qemu.default_maxvcpus: 2 is less than default_vcpus "
     "(4)"},
    {"OneDirectoryForBoth", "[server]\nroot_dir = \"/a\"\nrun_dir = \"/a\"\n",
     "is the same directory as root_dir"},
    {"Twice", "[server]\nsocket = \"/a\"\nsocket = \"/b\"\n", "f:3:"},
};

class BadConfigTest : public testing::TestWithParam<BadCase> {};

TEST_P(BadConfigTest, SaysWhereAndWhatWouldBeRight) {
  const absl::StatusOr<Config> config = ParseConfig(GetParam().toml, "f");

  ASSERT_TRUE(absl::IsInvalidArgument(config.status())) << config.status();
  EXPECT_TRUE(absl::StrContains(config.status().message(), GetParam().message))
      << config.status();
}

INSTANTIATE_TEST_SUITE_P(All, BadConfigTest, testing::ValuesIn(kBadCases),
                         [](const testing::TestParamInfo<BadCase>& info) {
                           return std::string(info.param.name);
                         });

TEST(ConfigTest, SocketPathEndsWhereTheKernelEndsIt) {
  const auto with_length = [](size_t length) {
    return absl::StrCat("[server]\nsocket = \"/", std::string(length - 1, 's'),
                        "\"\n");
  };

  EXPECT_TRUE(ParseConfig(with_length(107), "f").ok());
  const absl::Status status = ParseConfig(with_length(108), "f").status();
  EXPECT_TRUE(absl::StrContains(status.message(), "at most 107")) << status;
}

TEST(ConfigTest, AllMistakesAreToldAtOnce) {
  const absl::Status status =
      ParseConfig("[server]\nsocket = 1\nroot_dir = 2\n", "f").status();

  EXPECT_TRUE(absl::StrContains(status.message(), "f:2:1")) << status;
  EXPECT_TRUE(absl::StrContains(status.message(), "f:3:1")) << status;
}

TEST(ConfigTest, MistakesDoNotForgeLines) {
  const absl::Status status =
      ParseConfig("[server]\n\"a\\nf:9:9: b\" = 1\n", "f").status();

  EXPECT_FALSE(absl::StrContains(status.message(), "\n")) << status;
}

TEST(ConfigTest, Ipv6NeedsBrackets) {
  EXPECT_TRUE(
      ParseConfig("[server]\nstreaming_address = \"[::1]:0\"\n", "f").ok());
  EXPECT_FALSE(
      ParseConfig("[server]\nstreaming_address = \"::1:0\"\n", "f").ok());
}

TEST(ConfigTest, LoadNamesTheFile) {
  const std::string path = testing::TempDir() + "/podvisor-config-test.toml";
  std::ofstream(path) << "[server]\nlog_level = \"loud\"\n";

  const absl::Status status = LoadConfig(path).status();

  EXPECT_TRUE(absl::StrContains(status.message(), path + ":2:1")) << status;
  EXPECT_TRUE(absl::IsNotFound(LoadConfig(path + ".missing").status()));
}

TEST(ConfigTest, AnyBytesAreAnErrorOrAConfig) {
  const std::string seed =
      "[server]\nsocket = \"/a\"\n[hypervisor.qemu]\ndefault_vcpus = 2\n";
  for (size_t at = 0; at < seed.size(); ++at) {
    for (const char byte : {'\0', '"', '[', '\n', '\xff', '='}) {
      std::string mutated = seed;
      mutated[at] = byte;
      const absl::StatusOr<Config> config = ParseConfig(mutated, "f");
      EXPECT_TRUE(config.ok() || absl::IsInvalidArgument(config.status()));
    }
  }
}

}  // namespace
}  // namespace podvisor
