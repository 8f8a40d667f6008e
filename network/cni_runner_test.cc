#include "network/cni_runner.h"

#include <stdlib.h>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "base/file.h"
#include "gtest/gtest.h"

namespace podvisor {
namespace {

// Plugins are scripts here, each with a fault that real ones show.
class CniRunnerTest : public testing::Test {
 protected:
  CniRunnerTest() {
    std::string pattern = "/tmp/podvisor-runner.XXXXXX";
    directory_ = mkdtemp(pattern.data());
  }
  ~CniRunnerTest() override { (void)RemoveTree(directory_); }

  // Each call leaves a line in "calls": command and name.
  void Plugin(const std::string& name, const std::string& script) {
    const std::string text =
        absl::StrCat("#!/bin/sh\necho \"$CNI_COMMAND ", name,
                     " $CNI_NETNS\" >>", directory_, "/calls\n", script, "\n");
    ASSERT_TRUE(WriteFileAtomically(directory_ + "/" + name, text, 0755).ok());
  }
  std::string Calls() { return ReadFile(directory_ + "/calls").value_or(""); }
  CniAttachment Attachment(const std::string& version,
                           const std::string& plugins) {
    PodNetworkRequest request;
    request.id = PodId(std::string(64, 'a'));
    return MakeAttachment(
               request,
               ParseCniConfig(absl::StrCat(R"({"name":"n","cniVersion":")",
                                           version, R"(","plugins":[)", plugins,
                                           "]}"))
                   .value(),
               "/n")
        .value();
  }
  absl::Status Add(const std::string& script, absl::Duration time) {
    Plugin("one", script);
    return CniRunner({directory_})
        .Add(Attachment("1.0.0", R"({"type":"one"})"), nullptr,
             absl::Now() + time)
        .status();
  }

  std::string directory_;
};

constexpr char kResult[] =
    R"(cat >/dev/null; echo '{"cniVersion":"1.0.0","ips":[{"address":"10.0.0.2/24"}]}')";
constexpr absl::Duration kLong = absl::Seconds(60);

TEST_F(CniRunnerTest, APluginGetsTheResultOfTheOneBefore) {
  Plugin("one", kResult);
  Plugin("two",
         absl::StrCat("grep -q '\"prevResult\".*10.0.0.2' || exit 3; ",
                      "echo '{\"ips\":[{\"address\":\"10.0.0.3/24\"}]}'"));

  const absl::StatusOr<CniResult> result =
      CniRunner({directory_})
          .Add(Attachment("1.0.0", R"({"type":"one"},{"type":"two"})"), nullptr,
               absl::Now() + kLong);

  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_EQ(result->ips[0], "10.0.0.3");
}

TEST_F(CniRunnerTest, APluginThatHangsIsKilledAtTheDeadline) {
  EXPECT_TRUE(absl::IsDeadlineExceeded(
      Add("exec tail -f /dev/null", absl::Milliseconds(300))));
}

TEST_F(CniRunnerTest, WhatAPluginLeavesRunningIsNotWaitedFor) {
  const absl::Time begin = absl::Now();
  const absl::Status added = Add(absl::StrCat("tail -f /dev/null & echo $! >",
                                              directory_, "/child; ", kResult),
                                 kLong);

  EXPECT_TRUE(added.ok()) << added;
  EXPECT_LT(absl::Now() - begin, kLong / 2);
  (void)system(absl::StrCat("kill $(cat ", directory_, "/child)").c_str());
}

TEST_F(CniRunnerTest, HugeOutputIsAnErrorAndNoMemory) {
  EXPECT_TRUE(absl::IsDataLoss(
      Add("cat >/dev/null; head -c 50000000 /dev/zero", kLong)));
}

TEST_F(CniRunnerTest, GarbageIsDataLoss) {
  EXPECT_TRUE(absl::IsDataLoss(Add("cat >/dev/null; echo ok", kLong)));
}

TEST_F(CniRunnerTest, AnErrorIsQuoted) {
  const absl::Status added =
      Add("cat >/dev/null; echo '{\"code\":7,\"msg\":\"bad subnet\"}'; exit 1",
          kLong);

  EXPECT_TRUE(absl::StrContains(added.message(), "bad subnet")) << added;
}

TEST_F(CniRunnerTest, ASuccessWithoutAResultIsDataLoss) {
  EXPECT_TRUE(absl::IsDataLoss(Add("cat >/dev/null", kLong)));
}

TEST_F(CniRunnerTest, AResultOfAPluginThatFailedIsNone) {
  EXPECT_FALSE(Add(absl::StrCat(kResult, "; exit 1"), kLong).ok());
}

TEST_F(CniRunnerTest, AMissingPluginIsNamed) {
  const absl::Status added =
      CniRunner({directory_})
          .Add(Attachment("1.0.0", R"({"type":"absent"})"), nullptr,
               absl::Now() + kLong)
          .status();

  EXPECT_TRUE(absl::IsNotFound(added));
  EXPECT_TRUE(absl::StrContains(added.message(), "\"absent\"")) << added;
}

TEST_F(CniRunnerTest, DelGoesBackwardsAndOnAfterAnError) {
  Plugin("one", "cat >/dev/null");
  Plugin("two", "cat >/dev/null; exit 1");

  const absl::Status deleted =
      CniRunner({directory_})
          .Del(Attachment("1.0.0", R"({"type":"one"},{"type":"two"})"),
               /*netns_exists=*/true, absl::Now() + kLong);

  EXPECT_FALSE(deleted.ok());
  EXPECT_EQ(Calls(), "DEL two /n\nDEL one /n\n");
}

TEST_F(CniRunnerTest, DelOfAPodWhoseNamespaceIsGoneNamesNone) {
  Plugin("one", "cat >/dev/null");

  EXPECT_TRUE(CniRunner({directory_})
                  .Del(Attachment("1.0.0", R"({"type":"one"})"),
                       /*netns_exists=*/false, absl::Now() + kLong)
                  .ok());
  EXPECT_EQ(Calls(), "DEL one \n");
}

TEST_F(CniRunnerTest, CheckAndStatusAreOnlyForVersionsThatHaveThem) {
  Plugin("one", "cat >/dev/null");
  const CniRunner runner({directory_});
  for (const char* version : {"0.3.1", "0.4.0", "1.0.0", "1.1.0"}) {
    CniAttachment attachment = Attachment(version, R"({"type":"one"})");
    attachment.result = R"({"ips":[]})";
    EXPECT_TRUE(runner.Check(attachment, absl::Now() + kLong).ok());
    EXPECT_TRUE(runner.Status(attachment.config, absl::Now() + kLong).ok());
  }

  EXPECT_EQ(Calls(), "CHECK one /n\nCHECK one /n\nCHECK one /n\nSTATUS one \n");
}

TEST_F(CniRunnerTest, GcNamesThePodsThatAreThereAndGoesOnAfterAnError) {
  Plugin("one", absl::StrCat("cat >", directory_, "/input; exit 1"));
  Plugin("two", "cat >/dev/null");
  const CniConfigList config =
      Attachment("1.1.0", R"({"type":"one","ipam":{}},{"type":"two"})").config;

  const absl::Status collected =
      CniRunner({directory_})
          .Gc(config,
              {PodId(std::string(64, 'b')), PodId(std::string(64, 'c'))},
              "/netns", absl::Now() + kLong);

  EXPECT_TRUE(absl::StrContains(collected.message(), "one")) << collected;
  EXPECT_EQ(Calls(), "GC one /netns/\nGC two /netns/\n");
  const std::string attachments =
      absl::StrCat(R"([{"containerID":")", std::string(64, 'b'),
                   R"(","ifname":"eth0"},{"containerID":")",
                   std::string(64, 'c'), R"(","ifname":"eth0"}])");
  EXPECT_EQ(ReadFile(directory_ + "/input").value_or(""),
            absl::StrCat(R"({"cni.dev/attachments":)", attachments,
                         R"(,"cni.dev/valid-attachments":)", attachments,
                         R"(,"cniVersion":"1.1.0","ipam":{},"name":"n",)",
                         R"("type":"one"})"));
}

TEST_F(CniRunnerTest, GcIsOnlyForVersionsThatHaveItAndListsThatAllowIt) {
  Plugin("one", "cat >/dev/null");
  const CniRunner runner({directory_});
  for (const char* version : {"0.3.1", "0.4.0", "1.0.0", "1.1.0"}) {
    CniConfigList config = Attachment(version, R"({"type":"one"})").config;
    EXPECT_TRUE(runner.Gc(config, {}, "/netns", absl::Now() + kLong).ok());
    config.disable_gc = true;
    EXPECT_TRUE(runner.Gc(config, {}, "/netns", absl::Now() + kLong).ok());
  }

  EXPECT_EQ(Calls(), "GC one /netns/\n");
}

TEST_F(CniRunnerTest, StatusTellsThatAPluginIsMissing) {
  EXPECT_FALSE(CniRunner({directory_})
                   .Status(Attachment("0.4.0", R"({"type":"absent"})").config,
                           absl::Now() + kLong)
                   .ok());
}

}  // namespace
}  // namespace podvisor
