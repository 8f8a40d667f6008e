#include "cri/ctl_vms.h"

#include <sstream>
#include <string>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "cri/fake_cri_client.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace podvisor {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

TEST(CtlVmsTest, SizesAreAskedPluggedOnline) {
  FakeCriClient client;
  client.info =
      R"({"state":"ready","vcpus":{"target":4,"plugged":4,"online":3},)"
      R"("memoryBytes":{"target":4294967296,"plugged":2147483648,"online":1}})";

  const std::string table = VmTable(client).value();

  EXPECT_THAT(table, HasSubstr("0123456789ab  shop/web"));
  EXPECT_THAT(table, HasSubstr("4/4/3"));
  EXPECT_THAT(table, HasSubstr("4096/2048/0"));
}

TEST(CtlVmsTest, OddInfoIsAQuestionMark) {
  FakeCriClient client;
  for (const char* info : {"", "{", "[]", "{\"vcpus\":3}",
                           "{\"vcpus\":{\"target\":\"x\"},\"state\":5}"}) {
    client.info = info;
    EXPECT_THAT(VmTable(client).value(), HasSubstr("?")) << info;
  }
  client.status_error = absl::UnavailableError("gone");
  EXPECT_THAT(VmTable(client).value(), HasSubstr("gone"));
}

TEST(CtlVmsTest, WhatIsNotAsItShouldBeIsNoted) {
  FakeCriClient client;
  client.info =
      R"({"vcpus":{"clamped":true},"memoryBytes":{"shortfall":268435456,)"
      R"("clamped":false},"lastError":"guest online: \u001b[2J too slow"})";

  EXPECT_THAT(VmTable(client).value(),
              HasSubstr("vCPUs cut to the maximum; 256 MiB to be given back; "
                        "guest online:  [2J too slow"));
}

TEST(CtlVmsTest, WhatThePodsOwnLimitTakesFromItsContainersIsNoted) {
  FakeCriClient client;
  client.info =
      R"({"vcpus":{"cutByPodMilli":500},"memoryBytes":{"cutByPod":1}})";

  EXPECT_THAT(VmTable(client).value(),
              HasSubstr("vCPUs cut to the pod's own limit; memory cut to the "
                        "pod's own limit"));
}

TEST(CtlConsoleTest, LastLinesWithoutControlCharacters) {
  const std::string path = testing::TempDir() + "/console.log";
  FILE* file = fopen(path.c_str(), "w");
  fputs("one\r\ntwo\r\nthr\x1b[2Jee\r\n", file);
  fclose(file);
  FakeCriClient client;
  client.info = absl::StrCat("{\"consolePath\":\"", path, "\"}");
  std::ostringstream out;

  std::ostringstream notes;

  const absl::Status status = PrintConsole(client, "web", 2, out, notes);

  ASSERT_TRUE(status.ok()) << status;
  EXPECT_TRUE(absl::StartsWith(out.str(), "two\nthr")) << out.str();
  EXPECT_FALSE(absl::StrContains(out.str(), "\x1b"));
  EXPECT_EQ(notes.str(), "");
  EXPECT_TRUE(PrintConsole(client, "shop/web", 2, out, notes).ok());
  EXPECT_TRUE(absl::IsNotFound(PrintConsole(client, "nope", 2, out, notes)));
}

TEST(CtlConsoleTest, ThatAGuestIsSilentAndWhyIsSaidBesideTheOutput) {
  const std::string path = testing::TempDir() + "/silent.log";
  fclose(fopen(path.c_str(), "w"));
  FakeCriClient client;
  client.info = absl::StrCat("{\"consolePath\":\"", path, "\"}");
  std::ostringstream out;
  std::ostringstream notes;

  const absl::Status status = PrintConsole(client, "web", 2, out, notes);

  ASSERT_TRUE(status.ok()) << status;
  EXPECT_EQ(out.str(), "");
  EXPECT_THAT(notes.str(),
              AllOf(HasSubstr("has written nothing"),
                    HasSubstr("as one that is well does"),
                    HasSubstr("loglevel=7"), HasSubstr("podvisorctl logs")));
}

TEST(CtlConsoleTest, AVmThatIsGoneIsSaidToBeSo) {
  FakeCriClient client;
  client.info = absl::StrCat("{\"consolePath\":\"", testing::TempDir(),
                             "/no-such.log\"}");
  std::ostringstream out;
  std::ostringstream notes;

  const absl::Status status = PrintConsole(client, "web", 2, out, notes);

  EXPECT_TRUE(absl::IsFailedPrecondition(status)) << status;
  EXPECT_THAT(std::string(status.message()), HasSubstr("its VM is gone"));
}

}  // namespace
}  // namespace podvisor
