#include "network/cni_config.h"

#include <stdlib.h>
#include <sys/stat.h>

#include "base/file.h"
#include "gtest/gtest.h"

namespace podvisor {
namespace {

constexpr char kList[] = R"({"cniVersion":"1.0.0","name":"pods","plugins":[
  {"type":"bridge","capabilities":{"ips":false}},
  {"type":"portmap","capabilities":{"portMappings":true},"snat":true}]})";

TEST(CniConfigTest, ReadsAListWithItsCapabilities) {
  const CniConfigList list = ParseCniConfig(kList).value();

  EXPECT_EQ(list.name, "pods");
  EXPECT_EQ(list.version, "1.0.0");
  ASSERT_EQ(list.plugins.size(), 2u);
  EXPECT_EQ(list.plugins[0].type, "bridge");
  EXPECT_TRUE(list.plugins[0].capabilities.empty());
  EXPECT_TRUE(list.plugins[1].capabilities.contains("portMappings"));
  EXPECT_EQ(ParseCniConfig(list.json).value(), list);
}

TEST(CniConfigTest, TakesASinglePluginAsAListOfOne) {
  const CniConfigList list =
      ParseCniConfig(R"({"cniVersion":"0.4.0","name":"n","type":"ptp"})")
          .value();

  ASSERT_EQ(list.plugins.size(), 1u);
  EXPECT_EQ(list.plugins[0].type, "ptp");
  EXPECT_EQ(list.name, "n");
}

TEST(CniConfigTest, RefusesWhatIsNoConfiguration) {
  for (
      const char* text : {
          "",
          "[]",
          "{}",
          R"({"name":"n","cniVersion":"1.0.0","plugins":[]})",
          R"({"name":"n","cniVersion":"1.0.0","plugins":{}})",
          R"({"name":"n","cniVersion":"1.0.0","plugins":[7]})",
          R"({"name":"n","cniVersion":"0.2.0","plugins":[{"type":"a"}]})",
          R"({"name":"n","cniVersion":"9.0.0","plugins":[{"type":"a"}]})",
          R"({"name":"n","plugins":[{"type":"a"}]})",
          R"({"name":"../n","cniVersion":"1.0.0","plugins":[{"type":"a"}]})",
          R"({"name":7,"cniVersion":"1.0.0","plugins":[{"type":"a"}]})",
          R"({"name":"n","cniVersion":"1.0.0","plugins":[{"type":"../sh"}]})",
          R"({"name":"n","cniVersion":"1.0.0","plugins":[{"type":"/bin/sh"}]})",
          R"({"name":"n","cniVersion":"1.0.0","plugins":[{"type":".."}]})",
          R"({"name":"n","cniVersion":"1.0.0","plugins":[{"type":""}]})",
          R"({"name":"n","cniVersion":"1.0.0","name":"m","type":"a"})",
      }) {
    EXPECT_FALSE(ParseCniConfig(text).ok()) << text;
  }
  EXPECT_FALSE(ParseCniConfig(std::string(2 << 20, '[')).ok());
}

TEST(CniConfigTest, ComparesVersions) {
  EXPECT_TRUE(CniVersionAtLeast("1.1.0", "1.1.0"));
  EXPECT_TRUE(CniVersionAtLeast("1.0.0", "0.4.0"));
  EXPECT_FALSE(CniVersionAtLeast("0.3.1", "0.4.0"));
  EXPECT_FALSE(CniVersionAtLeast("nonsense", "0.3.0"));
}

class CniDirectoryTest : public testing::Test {
 protected:
  CniDirectoryTest() {
    std::string pattern = "/tmp/podvisor-cni.XXXXXX";
    directory_ = mkdtemp(pattern.data());
  }
  ~CniDirectoryTest() override { (void)RemoveTree(directory_); }

  void Write(const std::string& name, const std::string& text) {
    ASSERT_TRUE(WriteFileAtomically(directory_ + "/" + name, text, 0755).ok());
  }

  std::string directory_;
};

TEST_F(CniDirectoryTest, TheFirstValidFileInTheOrderOfNamesIsUsed) {
  Write("00-readme.txt", "not looked at");
  Write("05-broken.conflist", "{");
  Write("20-second.conf",
        R"({"cniVersion":"1.0.0","name":"second","type":"ptp"})");
  Write("10-first.conflist", kList);

  EXPECT_EQ(LoadCniConfig(directory_)->name, "pods");
}

TEST_F(CniDirectoryTest, AChangeIsNoticedAtTheNextLook) {
  EXPECT_TRUE(absl::IsNotFound(LoadCniConfig(directory_).status()));
  Write("10.conflist", kList);
  EXPECT_EQ(LoadCniConfig(directory_)->name, "pods");
}

TEST_F(CniDirectoryTest, TheReasonNamesTheFileThatIsWrong) {
  Write("10.conflist", "{");

  const absl::Status status = LoadCniConfig(directory_).status();

  EXPECT_NE(status.message().find("10.conflist"), std::string::npos) << status;
  EXPECT_NE(
      LoadCniConfig(directory_ + "/absent").status().message().find("absent"),
      std::string::npos);
}

TEST_F(CniDirectoryTest, PluginsAreFoundInTheOrderOfTheDirectories) {
  Write("ptp", "#!/bin/sh\n");

  EXPECT_EQ(FindCniPlugin({"/nowhere", directory_}, "ptp").value(),
            directory_ + "/ptp");
  EXPECT_TRUE(absl::IsNotFound(FindCniPlugin({directory_}, "bridge").status()));
}

}  // namespace
}  // namespace podvisor
