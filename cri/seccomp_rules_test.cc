#include "cri/seccomp_rules.h"

#include <set>

#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"
#include "nlohmann/json.hpp"

namespace podvisor {
namespace {

using nlohmann::json;

std::string Profile(const std::string& rules) {
  return absl::StrCat(
      R"({"defaultAction":"SCMP_ACT_ERRNO","defaultErrnoRet":38,
          "defaultErrno":"ENOSYS","archMap":[
          {"architecture":"SCMP_ARCH_AARCH64","subArchitectures":["a"]},
          {"architecture":"SCMP_ARCH_X86_64",
           "subArchitectures":["SCMP_ARCH_X86","SCMP_ARCH_X32"]}],
          "syscalls":[)",
      rules, "]}");
}

json Convert(const std::string& rules,
             const std::set<std::string>& granted = {}) {
  const auto converted =
      ToOciSeccomp(Profile(rules), [&](absl::string_view name) {
        return granted.count(std::string(name)) > 0;
      });
  EXPECT_TRUE(converted.ok()) << converted.status();
  return json::parse(converted.value_or("null"));
}

TEST(SeccompRulesTest, TheFrameIsForThisMachine) {
  EXPECT_EQ(Convert(""), json::parse(R"({
      "defaultAction":"SCMP_ACT_ERRNO","defaultErrnoRet":38,
      "architectures":["SCMP_ARCH_X86_64","SCMP_ARCH_X86","SCMP_ARCH_X32"],
      "syscalls":[]})"));
}

TEST(SeccompRulesTest, ARuleLosesItsConditionsAndKeepsTheRest) {
  EXPECT_EQ(Convert(R"({"names":["a","b"],"action":"SCMP_ACT_ERRNO",
                "args":[{"index":0,"value":16,"valueTwo":0,
                         "op":"SCMP_CMP_EQ"}],
                "comment":"x","includes":{},"excludes":{},
                "errnoRet":22,"errno":"EINVAL"})")["syscalls"],
            json::parse(R"([{"names":["a","b"],"action":"SCMP_ACT_ERRNO",
                "args":[{"index":0,"value":16,"valueTwo":0,
                         "op":"SCMP_CMP_EQ"}],"errnoRet":22}])"));
  EXPECT_EQ(Convert(R"({"names":["a"],"action":"SCMP_ACT_ALLOW",
                "args":null,"includes":null})")["syscalls"],
            json::parse(R"([{"names":["a"],"action":"SCMP_ACT_ALLOW"}])"));
}

struct Case {
  const char* conditions;
  std::set<std::string> granted;
  bool stays;
};

TEST(SeccompRulesTest, ConditionsDecideWhetherARuleStays) {
  const Case kCases[] = {
      {R"("includes":{"arches":["amd64","x32"]})", {}, true},
      {R"("includes":{"arches":["s390x"]})", {}, false},
      {R"("excludes":{"arches":["amd64"]})", {}, false},
      {R"("excludes":{"arches":["s390x"]})", {}, true},
      {R"("includes":{"caps":["CAP_A"]})", {}, false},
      {R"("includes":{"caps":["CAP_A"]})", {"CAP_A"}, true},
      {R"("includes":{"caps":["CAP_A","CAP_B"]})", {"CAP_A"}, false},
      {R"("includes":{"caps":["CAP_A","CAP_B"]})", {"CAP_A", "CAP_B"}, true},
      {R"("excludes":{"caps":["CAP_A"]})", {}, true},
      {R"("excludes":{"caps":["CAP_A","CAP_B"]})", {"CAP_B"}, false},
      {R"("includes":{"arches":["s390x"],"caps":["CAP_A"]})", {"CAP_A"}, false},
      {R"("includes":{"caps":["CAP_A"]},"excludes":{"caps":["CAP_B"]})",
       {"CAP_A", "CAP_B"},
       false},
      {R"("includes":{"minKernel":"4.8"})", {}, true},
      {R"("includes":{"minKernel":"6.1"})", {}, true},
      {R"("includes":{"minKernel":"6.2"})", {}, false},
      {R"("excludes":{"minKernel":"4.8"})", {}, false},
  };
  for (const Case& c : kCases) {
    const json converted =
        Convert(absl::StrCat(R"({"names":["a"],"action":"SCMP_ACT_ALLOW",)",
                             c.conditions, "}"),
                c.granted);
    EXPECT_EQ(converted["syscalls"].size(), c.stays ? 1u : 0u) << c.conditions;
  }
}

TEST(SeccompRulesTest, NothingThatIsNotUnderstoodIsDroppedInSilence) {
  std::string many = R"({"names":["a"],"action":"A"})";
  for (int i = 0; i < 1024; ++i) many += R"(,{"names":["a"],"action":"A"})";
  for (const std::string& text : {
           std::string(),
           std::string("[]"),
           std::string("{}"),
           std::string(R"({"defaultAction":"A","syscalls":[]})"),
           std::string(R"({"defaultAction":1,"syscalls":[]})"),
           Profile("1"),
           Profile(R"({"name":"a","action":"A"})"),
           Profile(R"({"names":["a"]})"),
           Profile(R"({"names":[1],"action":"A"})"),
           Profile(R"({"names":["a"],"action":"A","errno":"EPERM"})"),
           Profile(R"({"names":["a"],"action":"A","includes":[]})"),
           Profile(R"({"names":["a"],"action":"A","includes":{"x":1}})"),
           Profile(R"({"names":["a"],"action":"A","includes":{"caps":1}})"),
           Profile(
               R"({"names":["a"],"action":"A","includes":{"minKernel":"6"}})"),
           Profile(many),
       }) {
    EXPECT_TRUE(absl::IsInvalidArgument(
        ToOciSeccomp(text, [](auto) { return false; }).status()))
        << text.substr(0, 200);
  }
}

}  // namespace
}  // namespace podvisor
