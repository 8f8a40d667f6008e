#include "sandbox/container_request.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace podvisor {
namespace {

using testing::ElementsAre;

agent::v1::ContainerSpec Request(const ContainerSpec& spec,
                                 const ImageConfig& image) {
  std::vector<std::string> names;
  for (size_t i = 0; i < spec.mounts.size(); ++i) {
    names.push_back("mount-" + std::to_string(i));
  }
  return MakeContainerRequest({spec, image, std::string(64, 'a'), names})
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

TEST(ContainerRequestTest, HostCpusetsStayOnTheHost) {
  ContainerSpec spec;
  spec.resources.cpuset_cpus = "2-3";

  EXPECT_EQ(Request(spec, Image()).resources().cpuset_cpus(), "");
  EXPECT_EQ(GuestResourcesOf(spec.resources, CpusetMode::kGuest).cpuset_cpus(),
            "2-3");
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

}  // namespace
}  // namespace podvisor
