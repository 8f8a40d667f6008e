#include "guestagent/agent/kernel_modules.h"

#include <string>
#include <vector>

#include "gtest/gtest.h"

namespace podvisor {
namespace {

constexpr char kList[] =
    "boot ring\nboot core ring\nlater crc\nlater fs crc\nlater disk ring "
    "core\ndemand llc\ndemand bridge llc\n";

class KernelModulesTest : public testing::Test {
 protected:
  KernelModules Modules() {
    return KernelModules(*ParseModuleList(kList), [this](const std::string& m) {
      if (m == broken_) return absl::InternalError(m);
      loaded_.push_back(m);
      return absl::OkStatus();
    });
  }

  std::string broken_;
  std::vector<std::string> loaded_;
};

TEST_F(KernelModulesTest, BootLoadsOnlyWhatBootNeedsInOrder) {
  KernelModules modules = Modules();

  ASSERT_TRUE(modules.LoadBootModules().ok());

  EXPECT_EQ(loaded_, (std::vector<std::string>{"ring", "core"}));
}

TEST_F(KernelModulesTest, DependenciesComeFirstAndEachModuleOnce) {
  KernelModules modules = Modules();

  ASSERT_TRUE(modules.Load("fs").ok());
  ASSERT_TRUE(modules.Load("fs").ok());
  ASSERT_TRUE(modules.LoadAll().ok());

  EXPECT_EQ(loaded_,
            (std::vector<std::string>{"crc", "fs", "ring", "core", "disk"}));
}

TEST_F(KernelModulesTest, ModuleThatTheImageDoesNotHaveIsBuiltIn) {
  KernelModules modules = Modules();

  EXPECT_TRUE(modules.Load("ext4").ok());
  EXPECT_TRUE(loaded_.empty());
}

TEST_F(KernelModulesTest, WhatWaitsForADemandIsLoadedByNothingElse) {
  KernelModules modules = Modules();
  ASSERT_TRUE(modules.LoadBootModules().ok());
  ASSERT_TRUE(modules.LoadAll().ok());
  EXPECT_EQ(loaded_,
            (std::vector<std::string>{"ring", "core", "crc", "fs", "disk"}));
  loaded_.clear();

  ASSERT_TRUE(modules.Load("bridge").ok());

  EXPECT_EQ(loaded_, (std::vector<std::string>{"llc", "bridge"}));
}

TEST(ModuleToProbe, IsTheFirstWordThatIsNoOption) {
  EXPECT_EQ(*ModuleToProbe({"-q", "--", "br-netfilter"}), "br_netfilter");
  EXPECT_EQ(*ModuleToProbe({"bridge"}), "bridge");
  EXPECT_TRUE(absl::IsInvalidArgument(ModuleToProbe({"-q", "--"}).status()));
  EXPECT_TRUE(absl::IsInvalidArgument(ModuleToProbe({}).status()));
}

TEST_F(KernelModulesTest, FailureIsReportedAndTriedAgain) {
  KernelModules modules = Modules();
  broken_ = "crc";
  EXPECT_FALSE(modules.Load("fs").ok());
  EXPECT_TRUE(loaded_.empty());

  broken_.clear();

  EXPECT_TRUE(modules.Load("fs").ok());
}

TEST_F(KernelModulesTest, ListThatIsOutOfOrderOrOutOfFormIsDataLoss) {
  for (const char* text :
       {"boot", "sometimes x", "boot a b\nboot b", "boot a\nlater a"}) {
    EXPECT_TRUE(absl::IsDataLoss(ParseModuleList(text).status())) << text;
  }
}

}  // namespace
}  // namespace podvisor
