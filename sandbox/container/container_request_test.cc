#include "sandbox/container/container_request.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace podvisor {
namespace {

using testing::ElementsAre;
using testing::Pair;
using testing::UnorderedElementsAre;

agent::v1::ContainerSpec Request(const ContainerSpec& spec,
                                 const ImageConfig& image) {
  std::vector<PlacedMount> placed;
  for (size_t i = 0; i < spec.mounts.size(); ++i) {
    placed.push_back({"mount-" + std::to_string(i)});
  }
  return MakeContainerRequest({spec, image, std::string(64, 'a'), placed})
      .value();
}

ImageConfig Image() {
  ImageConfig image;
  image.entrypoint = {"/entry"};
  image.cmd = {"default"};
  image.env = {"PATH=/bin", "A=image"};
  image.user = "nobody:users";
  return image;
}

TEST(ContainerRequestTest,
     CommandAndArgumentsReplaceTheImagesAsKubernetesSays) {
  ContainerSpec spec;
  EXPECT_THAT(Request(spec, Image()).args(), ElementsAre("/entry", "default"));
  spec.args = {"mine"};
  EXPECT_THAT(Request(spec, Image()).args(), ElementsAre("/entry", "mine"));
  spec.command = {"/own"};
  EXPECT_THAT(Request(spec, Image()).args(), ElementsAre("/own", "mine"));
  spec.args.clear();
  EXPECT_THAT(Request(spec, Image()).args(), ElementsAre("/own"));
}

TEST(ContainerRequestTest, NothingToRunIsAnInvalidArgument) {
  const ContainerSpec spec;
  const ImageConfig image;

  EXPECT_TRUE(absl::IsInvalidArgument(
      MakeContainerRequest({spec, image, "", {}}).status()));
}

TEST(ContainerRequestTest, TheContainersEnvironmentComesAfterTheImages) {
  ContainerSpec spec;
  spec.env = {"A=mine"};

  EXPECT_THAT(Request(spec, Image()).env(),
              ElementsAre("PATH=/bin", "A=image", "A=mine"));
}

TEST(ContainerRequestTest, AnExplicitUserWinsOverTheImages) {
  ContainerSpec spec;
  EXPECT_EQ(Request(spec, Image()).user().username(), "nobody:users");
  spec.security.run_as_username = "web";
  EXPECT_EQ(Request(spec, Image()).user().username(), "web");
  spec.security.run_as_user = 0;  // root is a choice, not "unset"
  EXPECT_TRUE(Request(spec, Image()).user().has_uid());
  EXPECT_EQ(Request(spec, Image()).user().username(), "");
}

TEST(ContainerRequestTest, MountsNameTheirPlaceInTheShareAndNoHostPath) {
  ContainerSpec spec;
  spec.mounts = {{"/etc/hosts", "/host/secret/hosts", true}};

  const agent::v1::ContainerSpec request = Request(spec, Image());

  ASSERT_EQ(request.mounts_size(), 1);
  EXPECT_EQ(request.mounts(0).source(), "mount-0");
  EXPECT_EQ(request.mounts(0).destination(), "/etc/hosts");
  EXPECT_TRUE(request.mounts(0).read_only());
  EXPECT_EQ(request.SerializeAsString().find("secret"), std::string::npos);
}

TEST(ContainerRequestTest, DevicesAndOptionsOfMountsAreHandedOn) {
  ContainerSpec spec;
  spec.mounts = {{"/data", "/host/data"}};
  spec.mounts[0].options = {"noexec", "nosuid"};
  spec.devices = {{"/dev/fuse", "/dev/fuse", "rw"}};

  const agent::v1::ContainerSpec request = Request(spec, Image());

  ASSERT_EQ(request.mounts_size(), 2);
  EXPECT_EQ(request.mounts(0).options(1), "nosuid");
  EXPECT_EQ(request.mounts(1).kind(), agent::v1::Mount::DEVICE);
  EXPECT_EQ(request.mounts(1).source(), "/dev/fuse");
  EXPECT_EQ(request.mounts(1).destination(), "/dev/fuse");
  EXPECT_EQ(request.mounts(1).access(), "rw");
}

TEST(ContainerRequestTest, ImageVolumesStandBetweenTheHostsMounts) {
  ContainerSpec spec;
  spec.mounts.resize(3);
  for (int i : {0, 2}) spec.mounts[i] = {"/data", "/host/data"};
  spec.mounts[1].container_path = "/volume";
  spec.mounts[1].image = "files:1";
  spec.mounts[1].image_id = "sha256:" + std::string(64, 'c');
  spec.mounts[1].image_sub_path = "sub";

  const agent::v1::ContainerSpec request =
      MakeContainerRequest(
          {spec, Image(), std::string(64, 'a'), {{"first"}, {"second"}}})
          .value();

  ASSERT_EQ(request.mounts_size(), 3);
  EXPECT_EQ(request.mounts(0).source(), "first");
  EXPECT_EQ(request.mounts(1).kind(), agent::v1::Mount::IMAGE);
  EXPECT_EQ(request.mounts(1).source(), std::string(64, 'c'));
  EXPECT_EQ(request.mounts(1).sub_path(), "sub");
  EXPECT_EQ(request.mounts(1).destination(), "/volume");
  EXPECT_EQ(request.mounts(2).source(), "second");
}

TEST(ContainerRequestTest, OnlyWhatHasMountsBelowIsLeftToTheHostsReadOnly) {
  struct Case {
    bool read_only;
    bool recursive;
    bool has_mounts_below;
    bool read_only_in_guest;
  };
  for (const Case& c : std::vector<Case>{{false, false, false, false},
                                         {false, false, true, false},
                                         {true, false, false, true},
                                         {true, false, true, false},
                                         {true, true, false, true},
                                         {true, true, true, true}}) {
    ContainerSpec spec;
    spec.command = {"/own"};
    spec.mounts = {{"/data", "/host/data", c.read_only, c.recursive}};

    const agent::v1::ContainerSpec request =
        MakeContainerRequest({spec,
                              ImageConfig(),
                              std::string(64, 'a'),
                              {{"m", c.has_mounts_below}}})
            .value();

    const agent::v1::Mount& mount = request.mounts(0);
    EXPECT_EQ(mount.read_only() || mount.recursive_read_only(),
              c.read_only_in_guest);
  }
}

TEST(ContainerRequestTest, HostCpusetsStayOnTheHost) {
  ContainerSpec spec;
  spec.resources.cpuset_cpus = "2-3";

  EXPECT_EQ(Request(spec, Image()).resources().cpuset_cpus(), "");
  EXPECT_EQ(GuestResourcesOf(spec.resources, CpusetMode::kGuest).cpuset_cpus(),
            "2-3");
}

TEST(GuestResourcesTest, OneMemoryLimitGoesTheWayThatMakesRoomFirst) {
  struct Case {
    int64_t limit;
    std::string memory_max;
    int64_t in_guest;
  };
  for (const Case& c : std::vector<Case>{{0, "", 0},
                                         {4096, "", 4096},
                                         {0, "8192", 8192},
                                         {0, "max", -1},
                                         {4096, "8192", 4096}}) {
    ContainerResources resources;
    resources.memory_limit_bytes = c.limit;
    if (!c.memory_max.empty()) resources.unified["memory.max"] = c.memory_max;

    const agent::v1::LinuxResources guest =
        GuestResourcesOf(resources, CpusetMode::kPin);

    EXPECT_EQ(guest.memory_limit_bytes(), c.in_guest);
    EXPECT_TRUE(guest.unified().empty());
  }
}

TEST(GuestResourcesTest, SwapIsCountedByItselfThere) {
  struct Case {
    int64_t memory, memory_and_swap;
    std::string in_guest;
  };
  for (const Case& c : std::vector<Case>{{4096, 0, ""},
                                         {4096, 4096, "0"},
                                         {4096, 6144, "2048"},
                                         {8192, 4096, "0"},
                                         {4096, -1, "max"}}) {
    ContainerResources resources;
    resources.memory_limit_bytes = c.memory;
    resources.memory_swap_limit_bytes = c.memory_and_swap;

    const agent::v1::LinuxResources guest =
        GuestResourcesOf(resources, CpusetMode::kPin);

    const auto found = guest.unified().find("memory.swap.max");
    EXPECT_EQ(found == guest.unified().end() ? "" : found->second, c.in_guest);
  }
  ContainerResources both;
  both.memory_swap_limit_bytes = -1;
  both.unified["memory.swap.max"] = "7";
  EXPECT_EQ(
      GuestResourcesOf(both, CpusetMode::kPin).unified().at("memory.swap.max"),
      "7");
}

TEST(GuestResourcesTest, HugePagesAreLimitedByTouchAndByReservation) {
  ContainerResources resources;
  resources.hugepage_limits = {{"2MB", 4 << 20}, {"1GB", 0}};
  resources.unified["memory.high"] = "5";

  const agent::v1::LinuxResources guest =
      GuestResourcesOf(resources, CpusetMode::kPin);

  EXPECT_THAT(guest.unified(),
              UnorderedElementsAre(Pair("hugetlb.2MB.max", "4194304"),
                                   Pair("hugetlb.2MB.rsvd.max", "4194304"),
                                   Pair("hugetlb.1GB.max", "0"),
                                   Pair("hugetlb.1GB.rsvd.max", "0"),
                                   Pair("memory.high", "5")));
}

TEST(MergeResourcesTest, AnUpdateCannotChangeWhatAProcessGetsAtItsStart) {
  ContainerResources current;
  current.oom_score_adj = 900;
  ContainerResources update;
  update.oom_score_adj = 500;

  EXPECT_EQ(MergeResources(current, update).oom_score_adj, 900);
}

TEST(MergeResourcesTest, ZeroMeansUnchanged) {
  ContainerResources current;
  current.cpu_quota = 400'000;
  current.cpu_period = 100'000;
  current.memory_limit_bytes = 1 << 30;
  current.unified = {{"memory.high", "1"}};
  ContainerResources update;
  update.cpu_quota = 200'000;
  update.unified = {{"memory.low", "2"}};

  const ContainerResources merged = MergeResources(current, update);

  EXPECT_EQ(merged.cpu_quota, 200'000);
  EXPECT_EQ(merged.cpu_period, 100'000);
  EXPECT_EQ(merged.memory_limit_bytes, 1 << 30);
  EXPECT_EQ(merged.unified.size(), 2u);
}

TEST(CommonResourcesTest, WhatTheyDifferInIsNotGiven) {
  ContainerResources one;
  one.cpu_quota = 100'000;
  one.cpu_period = 100'000;
  one.cpu_shares = 512;
  one.memory_limit_bytes = 1 << 30;
  one.cpuset_cpus = "0-1";
  one.hugepage_limits = {{"2MB", 1 << 21}, {"1GB", 0}};
  one.unified = {{"memory.high", "1"}, {"memory.low", "2"}};
  EXPECT_EQ(CommonResources(one, one), one);
  ContainerResources other = one;
  other.cpu_period = 50'000;
  other.memory_limit_bytes = 1 << 29;
  other.cpuset_cpus.clear();
  other.hugepage_limits["2MB"] = 0;
  other.unified = {{"memory.low", "2"}, {"memory.min", "3"}};

  ContainerResources common;
  common.cpu_shares = 512;
  common.hugepage_limits = {{"1GB", 0}};
  common.unified = {{"memory.low", "2"}};
  EXPECT_EQ(CommonResources(one, other), common);
  EXPECT_EQ(CommonResources(other, one), common);
}

TEST(ContainerRequestTest, ExplicitResourcesSayAlsoWhereThereIsNoLimit) {
  ContainerResources has;
  has.cpu_quota = 50'000;
  has.unified["memory.high"] = "1000";
  ContainerResources tried;
  tried.unified = {
      {"memory.high", "2000"}, {"memory.max", "3000"}, {"memory.min", "4"}};
  tried.hugepage_limits = {{"2MB", 1 << 21}};

  const agent::v1::LinuxResources guest =
      ExplicitResourcesOf(has, CpusetMode::kPin, tried);

  EXPECT_EQ(guest.cpu_quota_micros(), 50'000);
  EXPECT_EQ(guest.cpu_period_micros(), 100'000);
  EXPECT_EQ(guest.memory_limit_bytes(), -1);
  EXPECT_EQ(guest.unified().at("memory.high"), "1000");
  EXPECT_FALSE(guest.unified().contains("memory.max"));  // said as a limit
  EXPECT_EQ(guest.unified().at("memory.min"), "0");
  EXPECT_EQ(guest.unified().at("hugetlb.2MB.max"), "0");
  EXPECT_EQ(ExplicitResourcesOf({}, CpusetMode::kPin).cpu_quota_micros(), -1);
}

}  // namespace
}  // namespace podvisor
