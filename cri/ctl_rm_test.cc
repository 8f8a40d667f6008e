#include "cri/ctl_rm.h"

#include <unistd.h>

#include <sstream>
#include <string>

#include "absl/strings/str_cat.h"
#include "base/file.h"
#include "cri/fake_cri_client.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace podvisor {
namespace {

using ::testing::HasSubstr;

constexpr char kUidOfRun[] = "0123456789abcdef0123456789abcdef";

class CtlRmTest : public testing::Test {
 protected:
  // What was logged of a pod with this uid.
  std::string MakeLog(const std::string& uid) {
    const std::string directory = PodLogDirectory(root_, uid);
    EXPECT_TRUE(MakeDirectories(directory, 0755).ok());
    EXPECT_TRUE(WriteFileAtomically(directory + "/main.log", "x\n").ok());
    return directory + "/main.log";
  }
  absl::Status Remove(const std::string& pod) {
    return RemovePodAndLogs(client_, pod, root_, out_);
  }

  const std::string root_ = testing::TempDir() + "/ctl-rm";
  FakeCriClient client_;
  std::ostringstream out_;
};

TEST_F(CtlRmTest, APodOfRunGoesWithItsLogsAndNoOther) {
  const std::string log = MakeLog(kUidOfRun);
  const std::string other = MakeLog("fedcba9876543210fedcba9876543210");
  client_.pods[0].mutable_metadata()->set_uid(kUidOfRun);

  const absl::Status removed = Remove("web");

  ASSERT_TRUE(removed.ok()) << removed;
  EXPECT_EQ(client_.removed, client_.pods[0].id());
  EXPECT_THAT(out_.str(), HasSubstr(client_.pods[0].id()));
  EXPECT_NE(access(log.c_str(), F_OK), 0);
  EXPECT_EQ(access(other.c_str(), F_OK), 0);
}

TEST_F(CtlRmTest, AUidThatIsNotOfRunNamesNoDirectory) {
  const std::string log = MakeLog("kept");
  for (const char* uid : {"kept", "../logs/kept", "..", "",
                          "1f0e6a3c-5b7d-4c1e-9d2a-0123456789ab"}) {
    client_.pods[0].mutable_metadata()->set_uid(uid);
    EXPECT_TRUE(Remove("web").ok()) << uid;
    EXPECT_EQ(access(log.c_str(), F_OK), 0) << uid;
  }
}

TEST_F(CtlRmTest, ThePodThatCannotBeRemovedKeepsItsLogs) {
  const std::string log = MakeLog(kUidOfRun);
  client_.pods[0].mutable_metadata()->set_uid(kUidOfRun);
  client_.remove_error = absl::UnavailableError("the state store");

  EXPECT_TRUE(absl::IsUnavailable(Remove("web")));
  EXPECT_TRUE(absl::IsNotFound(Remove("other")));
  EXPECT_EQ(access(log.c_str(), F_OK), 0);
}

}  // namespace
}  // namespace podvisor
