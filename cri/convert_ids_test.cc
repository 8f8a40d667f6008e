#include "cri/convert_ids.h"

#include <string>

#include "absl/strings/match.h"
#include "gtest/gtest.h"

namespace podvisor {
namespace {

using runtime::v1::UserNamespace;

void Fill(uint32_t container_id, uint32_t host_id, uint32_t length,
          runtime::v1::IDMapping* mapping) {
  mapping->set_container_id(container_id);
  mapping->set_host_id(host_id);
  mapping->set_length(length);
}

UserNamespace Mapped(uint32_t host_id, uint32_t length) {
  UserNamespace userns;
  Fill(0, host_id, length, userns.add_uids());
  Fill(0, host_id, length, userns.add_gids());
  return userns;
}

std::string Refused(const UserNamespace& userns) {
  const auto ids = ConvertUserNamespace(userns, "userns");
  EXPECT_TRUE(absl::IsInvalidArgument(ids.status())) << ids.status();
  EXPECT_TRUE(absl::StartsWith(ids.status().message(), "userns"));
  return std::string(ids.status().message());
}

TEST(ConvertIdsTest, ThePodsMappingIsThatOfItsOneUidAndGidMapping) {
  const auto ids = ConvertUserNamespace(Mapped(1000, 100000), "userns");

  ASSERT_TRUE(ids.ok()) << ids.status();
  EXPECT_EQ(*ids, (IdMapping{1000, 100000}));
}

TEST(ConvertIdsTest, NodeIsNoUserNamespace) {
  UserNamespace node;
  node.set_mode(runtime::v1::NODE);
  EXPECT_EQ(*ConvertUserNamespace(node, "userns"), std::nullopt);

  UserNamespace mapped = Mapped(1000, 65536);
  mapped.set_mode(runtime::v1::NODE);
  EXPECT_TRUE(absl::StrContains(Refused(mapped), "has no mappings"));
}

TEST(ConvertIdsTest, WhatCannotBeIsRefusedByName) {
  UserNamespace userns = Mapped(1000, 65536);
  userns.set_mode(runtime::v1::CONTAINER);
  EXPECT_TRUE(absl::StrContains(Refused(userns), "is POD or NODE"));
  userns.set_mode(runtime::v1::TARGET);
  EXPECT_TRUE(absl::StrContains(Refused(userns), "is POD or NODE"));

  EXPECT_TRUE(absl::StrContains(Refused(UserNamespace()), "exactly one"));
  userns = Mapped(1000, 65536);
  Fill(65536, 200000, 65536, userns.add_uids());
  EXPECT_TRUE(absl::StrContains(Refused(userns), "exactly one"));

  userns = Mapped(1000, 65536);
  userns.mutable_gids(0)->set_container_id(1);
  EXPECT_TRUE(absl::StrContains(Refused(userns), "must contain"));
  EXPECT_TRUE(absl::StrContains(Refused(Mapped(1000, 0)), "must contain"));

  userns = Mapped(1000, 65536);
  userns.mutable_gids(0)->set_host_id(2000);
  EXPECT_TRUE(absl::StrContains(Refused(userns), "alike"));
  userns = Mapped(1000, 65536);
  userns.mutable_gids(0)->set_length(100);
  EXPECT_TRUE(absl::StrContains(Refused(userns), "alike"));

  EXPECT_TRUE(absl::StrContains(Refused(Mapped(0, 65536)), "root of the host"));
  EXPECT_TRUE(absl::StrContains(Refused(Mapped(4294900000, 100000)), "no ids"));
}

TEST(ConvertIdsTest, AMountMapsIdsOnlyWhereItSaysSo) {
  runtime::v1::Mount mount;
  EXPECT_EQ(*ConvertMountIds(mount, "m"), std::nullopt);

  Fill(0, 1000, 65536, mount.add_uidmappings());
  EXPECT_TRUE(absl::IsInvalidArgument(ConvertMountIds(mount, "m").status()));

  Fill(0, 1000, 65536, mount.add_gidmappings());
  EXPECT_EQ(**ConvertMountIds(mount, "m"), (IdMapping{1000, 65536}));
}

TEST(ConvertIdsTest, AContainersIdsAreItsPods) {
  const std::optional<IdMapping> pod = IdMapping{1000, 65536};
  runtime::v1::ContainerConfig config;
  ContainerSpec spec;
  spec.mounts.resize(2);
  spec.mounts[1].ids = pod;

  // It takes the pod's without a word.
  EXPECT_TRUE(CheckIdsOfPod(pod, config, spec).ok());
  EXPECT_TRUE(absl::IsInvalidArgument(
      CheckIdsOfPod(IdMapping{2000, 65536}, config, spec)));
  EXPECT_TRUE(
      absl::IsInvalidArgument(CheckIdsOfPod(std::nullopt, config, spec)));

  UserNamespace* userns = config.mutable_linux()
                              ->mutable_security_context()
                              ->mutable_namespace_options()
                              ->mutable_userns_options();
  *userns = Mapped(1000, 65536);
  EXPECT_TRUE(CheckIdsOfPod(pod, config, spec).ok());
  *userns = Mapped(1000, 65535);
  EXPECT_TRUE(absl::IsInvalidArgument(CheckIdsOfPod(pod, config, spec)));
  userns->Clear();
  userns->set_mode(runtime::v1::NODE);
  EXPECT_TRUE(absl::IsInvalidArgument(CheckIdsOfPod(pod, config, spec)));
  EXPECT_TRUE(CheckIdsOfPod(std::nullopt, config, ContainerSpec()).ok());
}

}  // namespace
}  // namespace podvisor
