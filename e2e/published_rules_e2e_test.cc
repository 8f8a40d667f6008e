// What is published about the annotations of a pod and about refusals, through
// crictl: each rule for block I/O and open files, each refusal with its text.

#include <algorithm>
#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "base/file.h"
#include "e2e/crictl_node.h"
#include "e2e/pod_cgroup.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace podvisor::e2e {
namespace {

using Json = nlohmann::json;
using testing::AnyOf;
using testing::HasSubstr;

constexpr char kCpu[] = "com.github.containers.virtcontainers.sandbox_cpu";
constexpr char kMem[] = "com.github.containers.virtcontainers.sandbox_mem";
constexpr char kBlkio[] = "com.github.containers.virtcontainers.blkio_cgroup";
constexpr char kFiles[] = "com.github.containers.virtcontainers.files_limit";
constexpr char kDisk[] = "/dev/loop0";

class PublishedRulesE2eTest : public testing::Test {
 protected:
  PublishedRulesE2eTest() : node_({}) {}

  Json Info(const std::string& pod) {
    return Json::parse(node_.Say({"inspectp", pod}))["info"];
  }
  static int64_t Setting(const std::string& path) {
    int64_t value = -1;
    return absl::SimpleAtoi(ReadFile(path).value_or(""), &value) ? value : -1;
  }

  CrictlNode node_;
};

TEST_F(PublishedRulesE2eTest, OpenFilesOfTheVmm) {
  const int64_t share =
      std::min(std::max<int64_t>(Setting("/proc/sys/fs/file-max") / 400, 1024),
               Setting("/proc/sys/fs/nr_open"));
  const std::vector<std::pair<std::string, int64_t>> rows = {
      {"", 1024}, {"5", 1024}, {"5000", 5000}, {"0", share}};
  for (const auto& [value, limit] : rows) {
    std::map<std::string, std::string> annotations;
    if (!value.empty()) annotations[kFiles] = value;

    const std::string pod =
        node_.Say({"runp", node_.PodFile("files" + value, annotations)});

    EXPECT_EQ(OpenFilesLimit(Info(pod)["pid"].get<int64_t>()), limit) << value;
    node_.Say({"rmp", "-f", pod});
  }
}

TEST_F(PublishedRulesE2eTest, BlockIoOfTheVmm) {
  if (!ReadFile("/sys/block/loop0/dev").ok()) {
    GTEST_SKIP() << "NOT TESTED: no " << kDisk;
  }
  const Json blkio = {
      {"blkiocgroup",
       {{{"path", kDisk},
         {"limits",
          {{{"type", "throttle_read_bps"}, {"value", 400'000'000}},
           {{"type", "throttle_write_bps"}, {"value", 300'000'000}},
           {{"type", "throttle_read_iops"}, {"value", 7000}},
           {{"type", "throttle_write_iops"}, {"value", 6000}}}}},
        {{"limits", {{{"type", "blkio_weight"}, {"value", 78}}}}}}}};

  const std::string pod =
      node_.Say({"runp", node_.PodFile("blkio", {{kBlkio, blkio.dump()}})});

  const std::string cgroup = Info(pod)["cgroupPath"];
  const auto is = [](const std::string& v1, const std::string& v2) {
    return AnyOf(v1, HasSubstr(v2));
  };
  const auto file = [&](const std::string& v1) {
    return CgroupFile(cgroup, {"blkio.throttle." + v1 + "_device", "io.max"});
  };
  EXPECT_THAT(file("read_bps"), is("7:0 400000000", "rbps=400000000"));
  EXPECT_THAT(file("write_bps"), is("7:0 300000000", "wbps=300000000"));
  EXPECT_THAT(file("read_iops"), is("7:0 7000", "riops=7000"));
  EXPECT_THAT(file("write_iops"), is("7:0 6000", "wiops=6000"));
  EXPECT_THAT(CgroupFile(cgroup, {"blkio.weight", "blkio.bfq.weight",
                                  "io.weight", "io.bfq.weight"}),
              AnyOf("78", "default 687", "default 78"));
  node_.Say({"rmp", "-f", pod});
}

TEST_F(PublishedRulesE2eTest, RefusedPods) {
  const auto blkio = [](const Json& rule) {
    return Json({{"blkiocgroup", {rule}}}).dump();
  };
  const auto limit = [](const std::string& type, int64_t value) {
    return Json::array({{{"type", type}, {"value", value}}});
  };
  const struct {
    std::string annotation;
    std::string value;
    std::string text;
  } rows[] = {
      {kCpu, "0.4", "sandbox_cpu"},
      {kCpu, "", "sandbox_cpu"},
      {kCpu, "-1", "sandbox_cpu"},
      {kCpu, "1e9", "sandbox_cpu"},
      {kCpu, "9", "base of 9 vCPUs is above the maximum of 8"},
      {kMem, "4G ", "sandbox_mem"},
      {kMem, "-4G", "sandbox_mem"},
      {kMem, "16G", "base of 17179869184 bytes is above the maximum of"},
      {kFiles, "-1", "files_limit = \"-1\": must be a number of files"},
      {kFiles, "99999999999", "files_limit: 99999999999 is above fs.nr_open"},
      {kBlkio, "{", "blkio_cgroup: is not valid JSON"},
      {kBlkio,
       blkio({{"path", "/dev/no-such-disk"},
              {"limits", limit("throttle_read_bps", 400)}}),
       "/dev/no-such-disk: No such file or directory"},
      {kBlkio,
       blkio({{"path", "/dev/null"},
              {"limits", limit("throttle_read_bps", 400)}}),
       "/dev/null is not a block device"},
      {kBlkio, blkio({{"limits", limit("throttle_read_bps", 400)}}),
       "throttle_read_bps needs a \"path\""},
      {kBlkio, blkio({{"limits", limit("blkio_weight", 9)}}),
       "must be a whole number from 10 to 1000 for blkio_weight"},
      {kBlkio, blkio({{"limits", limit("weight", 78)}}),
       "limits[0].type: must be one of"},
  };
  for (const auto& row : rows) {
    const CommandResult result = node_.Crictl(
        {"runp", node_.PodFile("refused", {{row.annotation, row.value}})});

    EXPECT_NE(result.exit_code, 0) << row.value;
    EXPECT_THAT(result.stderr_data, HasSubstr("InvalidArgument")) << row.value;
    // crictl quotes the text.
    EXPECT_THAT(absl::StrReplaceAll(result.stderr_data, {{"\\\"", "\""}}),
                HasSubstr(row.text))
        << row.value;
  }
  EXPECT_EQ(node_.node().Leftovers(), "");
}

TEST_F(PublishedRulesE2eTest, RefusedContainers) {
  const std::string pod_file = node_.PodFile("pod", {});
  const std::string pod = node_.Say({"runp", pod_file});
  const std::vector<std::pair<Json, std::string>> rows = {
      {{{"cpu_quota", 999}}, "cpu_quota"},
      {{{"cpu_period", 999}}, "cpu_period"},
      {{{"cpu_shares", INT64_MAX}}, "cpu_shares"},
      {{{"memory_limit_in_bytes", -2}}, "memory_limit_in_bytes"},
      {{{"cpuset_mems", "1"}}, "cpuset_mems"},
      {{{"cpuset_cpus", "0-1-2"}}, "cpuset_cpus"},
      {{{"cpuset_cpus", "4000"}}, "4000"},
  };
  for (const auto& [resources, text] : rows) {
    const CommandResult result =
        node_.Crictl({"create", pod, node_.ContainerFile(resources), pod_file});

    EXPECT_NE(result.exit_code, 0) << resources;
    EXPECT_THAT(result.stderr_data, HasSubstr("InvalidArgument")) << resources;
    EXPECT_THAT(result.stderr_data, HasSubstr(text)) << resources;
  }
  for (const char* annotation : {kCpu, kMem, kBlkio, kFiles}) {
    const CommandResult result = node_.Crictl(
        {"create", pod,
         node_.ContainerFile(Json::object(), {{annotation, "1"}}), pod_file});

    EXPECT_NE(result.exit_code, 0) << annotation;
    EXPECT_THAT(result.stderr_data, HasSubstr("not on a container"))
        << annotation;
  }
  EXPECT_EQ(Info(pod)["vcpus"]["online"], 1);
  node_.Say({"rmp", "-f", pod});
}

}  // namespace
}  // namespace podvisor::e2e
