#include "cri/container_option.h"

#include "absl/strings/match.h"
#include "gtest/gtest.h"

namespace podvisor {
namespace {

TEST(ContainerOptionTest, LimitsAndRequestsAreQuantities) {
  const auto container =
      ParseContainerOption("cpus=1.5,memory=2Gi,cpu-request=250m");

  ASSERT_TRUE(container.ok()) << container.status();
  EXPECT_EQ(container->cpu_limit_millis, 1500);
  EXPECT_EQ(container->cpu_request_millis, 250);
  EXPECT_EQ(container->memory_limit_bytes, int64_t{2} << 30);
}

TEST(ContainerOptionTest, ARequestThatIsNotGivenIsTheLimit) {
  EXPECT_EQ(ParseContainerOption("cpus=2")->cpu_request_millis, 2000);
  EXPECT_EQ(ParseContainerOption("memory=1Gi")->cpu_request_millis, 0);
  EXPECT_EQ(ParseContainerOption("cpu-request=2")->cpu_limit_millis, 0);
}

TEST(ContainerOptionTest, MistakesAreNamed) {
  struct Case {
    const char* text;
    const char* message;
  };
  for (const Case& c : {
           Case{"", "is not cpus="},
           Case{"cpu=4", "\"cpu=4\" is not cpus="},
           Case{"cpus", "is not a quantity"},
           Case{"cpus=x", "is not a quantity"},
           Case{"cpus=-1", "is not a quantity"},
           Case{"memory=4G ", "is not a quantity"},
           Case{"cpus=1,cpus=2", "cpus is given twice"},
           Case{"cpus=1,cpu-request=2", "above the limit"},
       }) {
    const absl::Status status = ParseContainerOption(c.text).status();
    EXPECT_TRUE(absl::IsInvalidArgument(status)) << c.text;
    EXPECT_TRUE(absl::StrContains(status.message(), c.message)) << status;
  }
}

}  // namespace
}  // namespace podvisor
