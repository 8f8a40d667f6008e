#include "guestagent/agent/oci_capabilities.h"

#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace podvisor {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::SizeIs;

agent::v1::Capabilities Caps(std::vector<std::string> add,
                             std::vector<std::string> drop,
                             std::vector<std::string> ambient = {}) {
  agent::v1::Capabilities caps;
  for (auto& name : add) caps.add_add(name);
  for (auto& name : drop) caps.add_drop(name);
  for (auto& name : ambient) caps.add_add_ambient(name);
  return caps;
}

TEST(OciCapabilitiesTest, DefaultsAreTheUsualFourteen) {
  const auto sets = PlanCapabilities({}, false);
  ASSERT_TRUE(sets.ok());
  EXPECT_THAT(sets->bounding, SizeIs(14));
  EXPECT_THAT(sets->bounding, Contains("CAP_NET_BIND_SERVICE"));
  EXPECT_THAT(sets->bounding, Not(Contains("CAP_SYS_ADMIN")));
  EXPECT_THAT(sets->ambient, IsEmpty());
}

TEST(OciCapabilitiesTest, AllMeansEveryCapabilityOfTheKernel) {
  EXPECT_THAT(PlanCapabilities(Caps({"ALL"}, {}), false)->bounding, SizeIs(41));
  EXPECT_THAT(PlanCapabilities(Caps({"all"}, {"KILL"}), false)->bounding,
              SizeIs(40));
  EXPECT_THAT(PlanCapabilities({}, true)->bounding, SizeIs(41));
}

TEST(OciCapabilitiesTest, DropAllLeavesWhatIsAdded) {
  EXPECT_THAT(PlanCapabilities(Caps({}, {"ALL"}), false)->bounding, IsEmpty());
  EXPECT_THAT(PlanCapabilities(Caps({"net_admin", "CAP_CHOWN"}, {"ALL"}), false)
                  ->bounding,
              ElementsAre("CAP_CHOWN", "CAP_NET_ADMIN"));
}

TEST(OciCapabilitiesTest, DropWinsOverAdd) {
  const auto sets =
      PlanCapabilities(Caps({"SYS_TIME"}, {"SYS_TIME", "CHOWN"}), false);
  EXPECT_THAT(sets->bounding, SizeIs(13));
  EXPECT_THAT(sets->bounding, Not(Contains("CAP_SYS_TIME")));
}

TEST(OciCapabilitiesTest, AmbientIsInEverySet) {
  const auto sets =
      PlanCapabilities(Caps({}, {"ALL"}, {"CAP_NET_BIND_SERVICE"}), false);
  EXPECT_THAT(sets->bounding, ElementsAre("CAP_NET_BIND_SERVICE"));
  EXPECT_THAT(sets->ambient, ElementsAre("CAP_NET_BIND_SERVICE"));
}

TEST(OciCapabilitiesTest, RefusesUnknownNames) {
  for (const char* name :
       {"CAP_ROOT", "", "CAP_", "CAP_CAP_CHOWN", "CHOWN\n"}) {
    EXPECT_EQ(PlanCapabilities(Caps({name}, {}), false).status().code(),
              absl::StatusCode::kInvalidArgument)
        << name;
    EXPECT_EQ(PlanCapabilities(Caps({}, {name}), true).status().code(),
              absl::StatusCode::kInvalidArgument)
        << name;
  }
}

}  // namespace
}  // namespace podvisor
