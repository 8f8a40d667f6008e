#include "sandbox/size/cpuset.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace podvisor {
namespace {

using testing::HasSubstr;

const CpuList kHost = {0, 1, 2, 3, 8};

ContainerResources Named(const std::string& cpus) {
  ContainerResources resources;
  resources.cpuset_cpus = cpus;
  return resources;
}

TEST(CpusetTest, WhatAContainerNamesMustBeThere) {
  struct Case {
    CpusetMode mode;
    const char* cpus;
    const char* refusal;  // a part of it; empty: none
  };
  for (const Case& c : {
           Case{CpusetMode::kPin, "", ""},
           Case{CpusetMode::kPin, "0-3", ""},
           Case{CpusetMode::kPin, "8,2", ""},
           Case{CpusetMode::kPin, "4", "CPU 4 is not one of the host's, 0-3,8"},
           Case{CpusetMode::kPin, "0-8", "CPU 4"},
           Case{CpusetMode::kPin, "8191", "CPU 8191"},
           Case{CpusetMode::kPin, "x", "not a list"},
           Case{CpusetMode::kGuest, "", ""},
           Case{CpusetMode::kGuest, "0,1", ""},
           Case{CpusetMode::kGuest, "2",
                "CPU 2 is not one of the VM's 2; the highest is 1"},
           Case{CpusetMode::kGuest, "0-3", "the highest is 1"},
           Case{CpusetMode::kGuest, "-", "not a list"},
       }) {
    const absl::Status status =
        CheckCpuset(c.mode, Named(c.cpus), kHost, /*vcpus=*/2);

    EXPECT_EQ(status.ok(), *c.refusal == '\0') << c.cpus << ": " << status;
    EXPECT_THAT(std::string(status.message()), HasSubstr(c.refusal));
    EXPECT_TRUE(status.ok() || absl::IsInvalidArgument(status)) << status;
  }
}

TEST(CpusetTest, ThePodIsPinnedToTheUnionOfItsContainers) {
  struct Case {
    std::vector<ContainerResources> containers;
    CpuList pinned;
  };
  const Case kCases[] = {
      {{}, {}},
      {{Named("")}, {}},
      {{Named("2-3")}, {2, 3}},
      {{Named("2-3"), Named(""), Named("0,3")}, {0, 2, 3}},
  };
  for (const Case& c : kCases) {
    EXPECT_EQ(PinnedCpus(CpusetMode::kPin, c.containers).value(), c.pinned);
    EXPECT_EQ(PinnedCpus(CpusetMode::kGuest, c.containers).value(), CpuList());
  }
  EXPECT_TRUE(absl::IsInvalidArgument(
      PinnedCpus(CpusetMode::kPin, {Named("1-")}).status()));
}

}  // namespace
}  // namespace podvisor
