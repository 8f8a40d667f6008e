#include "cri/ctl_logs.h"

#include <stdio.h>
#include <unistd.h>

#include <sstream>

#include "cri/fake_cri_client.h"
#include "cri/fake_pause.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace podvisor {
namespace {

using ::testing::HasSubstr;

class CtlLogsTest : public testing::Test {
 protected:
  void SetUp() override {
    unlink(path_.c_str());
    AddContainer("c1", "main", 1, runtime::v1::CONTAINER_RUNNING);
    Write("first");
  }

  void AddContainer(const std::string& id, const std::string& name,
                    int64_t created_at, runtime::v1::ContainerState state) {
    runtime::v1::Container& container = client_.containers.emplace_back();
    container.set_id(id);
    container.mutable_metadata()->set_name(name);
    container.set_created_at(created_at);
    client_.statuses[id].set_log_path(path_);
    client_.statuses[id].set_state(state);
  }
  void Write(const std::string& line) {
    FILE* const file = fopen(path_.c_str(), "a");
    ASSERT_NE(file, nullptr);
    fprintf(file, "2026-11-22T10:53:00.123456789Z stdout F %s\n", line.c_str());
    fclose(file);
  }
  absl::Status Logs(const std::string& container, Pause* pause = nullptr) {
    return PrintLogs(client_, {"web", container, {&out_}, {&out_}}, pause);
  }

  const std::string path_ = testing::TempDir() + "/ctl_logs.log";
  FakeClock clock_;
  FakeCriClient client_;
  std::ostringstream out_;
};

TEST_F(CtlLogsTest, TheOnlyContainerNeedsNoName) {
  ASSERT_TRUE(Logs("").ok());
  EXPECT_EQ(out_.str(), "first\n");
}

TEST_F(CtlLogsTest, OfSeveralAttemptsItIsTheLatest) {
  AddContainer("c0", "main", 0, runtime::v1::CONTAINER_EXITED);
  client_.statuses["c0"].set_log_path("/nowhere");

  EXPECT_TRUE(Logs("main").ok());
  EXPECT_TRUE(absl::IsNotFound(Logs("c0")));
}

TEST_F(CtlLogsTest, WhatIsMeantMustBeClear) {
  EXPECT_TRUE(absl::IsNotFound(Logs("other")));
  AddContainer("c2", "side", 2, runtime::v1::CONTAINER_RUNNING);

  const absl::Status several = Logs("");

  EXPECT_TRUE(absl::IsInvalidArgument(several));
  EXPECT_THAT(std::string(several.message()), HasSubstr("main, side"));
  client_.statuses["c2"].set_log_path("");
  EXPECT_TRUE(absl::IsFailedPrecondition(Logs("side")));
}

TEST_F(CtlLogsTest, FollowingEndsWithTheContainerAndItsLastLine) {
  FakePause pause(&clock_, {[&] { Write("second"); },
                            [&] {
                              Write("last");
                              client_.statuses["c1"].set_state(
                                  runtime::v1::CONTAINER_EXITED);
                            },
                            [&] { Write("after the end"); }});

  ASSERT_TRUE(Logs("", &pause).ok());

  EXPECT_EQ(out_.str(), "first\nsecond\nlast\n");
}

TEST_F(CtlLogsTest, FollowingWaitsForTheFileAndOutlivesTheDaemon) {
  unlink(path_.c_str());
  FakePause pause(&clock_, {[] {}, [&] { Write("begin"); },
                            [&] {
                              client_.status_error =
                                  absl::UnavailableError("away");
                              Write("while it is away");
                            }});

  ASSERT_TRUE(Logs("", &pause).ok());

  EXPECT_EQ(out_.str(), "begin\nwhile it is away\n");
}

TEST_F(CtlLogsTest, AnOutputThatTakesNoMoreEndsIt) {
  int looks = 0;
  const auto close = [&] {
    ++looks;
    out_.setstate(std::ios::badbit);
  };
  FakePause pause(&clock_, {close, close, close});

  EXPECT_TRUE(Logs("", &pause).ok());
  EXPECT_EQ(looks, 1);
}

}  // namespace
}  // namespace podvisor
