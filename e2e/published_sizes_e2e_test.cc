// What is published about sizes, through crictl: a base of 1 vCPU and 1 GiB,
// what one container adds to it, and what is left when it is gone.

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "e2e/crictl_node.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace podvisor::e2e {
namespace {

using Json = nlohmann::json;

constexpr int64_t kGiB = int64_t{1} << 30;
constexpr char kAnnotation[] = "com.github.containers.virtcontainers.";

// Sizes in whole vCPUs and GiB; 0 of a container: it asks for nothing.
struct PublishedSize {
  const char* name;
  std::map<std::string, std::string> annotations = {};
  int64_t cpus = 0;
  int64_t memory_gib = 0;
  int64_t booted_cpus = 1;
  int64_t booted_gib = 1;
  int64_t grown_cpus = 1;
  int64_t grown_gib = 1;
  int64_t kept_gib = 1;  // when the container is gone
};

class PublishedSizesE2eTest : public testing::Test {
 protected:
  explicit PublishedSizesE2eTest(const std::string& memory_hotplug)
      : node_({"s/^default_memory.*/default_memory = 1024/",
               "s/^guest_overhead_memory.*/guest_overhead_memory = 0/",
               absl::StrCat("s/^shrink_delay.*/&\\nmemory_hotplug = \"",
                            memory_hotplug, "\"/")}) {}

  // All that is plugged is in use, so the difference to what was booted with is
  // what was added.
  void ExpectSize(const std::string& pod, int64_t cpus, int64_t gib) {
    const Json info = Json::parse(node_.Say({"inspectp", pod}))["info"];
    EXPECT_EQ(info["vcpus"]["plugged"], cpus);
    EXPECT_EQ(info["vcpus"]["online"], cpus);
    EXPECT_EQ(info["memoryBytes"]["plugged"], gib * kGiB);
    EXPECT_EQ(info["memoryBytes"]["online"], gib * kGiB);
  }

  void Run(const PublishedSize& row) {
    SCOPED_TRACE(row.name);
    const std::string pod_file = node_.PodFile(row.name, row.annotations);
    Json resources = Json::object();
    if (row.cpus > 0) {
      resources["cpu_period"] = 100'000;
      resources["cpu_quota"] = row.cpus * 100'000;
    }
    if (row.memory_gib > 0) {
      resources["memory_limit_in_bytes"] = row.memory_gib * kGiB;
    }
    const std::string pod = node_.Say({"runp", pod_file});
    ExpectSize(pod, row.booted_cpus, row.booted_gib);

    const std::string container =
        node_.Say({"create", pod, node_.ContainerFile(resources), pod_file});
    node_.Say({"start", container});
    ExpectSize(pod, row.grown_cpus, row.grown_gib);
    EXPECT_EQ(node_.Say({"exec", "-s", container, "nproc"}),
              absl::StrCat(row.grown_cpus));

    node_.Say({"rm", "-f", container});
    EXPECT_EQ(node_.node().AwaitPodInfo(pod, "/vcpus/online", row.booted_cpus),
              row.booted_cpus);
    EXPECT_EQ(node_.node().AwaitPodInfo(pod, "/memoryBytes/online",
                                        row.kept_gib * kGiB),
              row.kept_gib * kGiB);
    node_.Say({"rmp", "-f", pod});
  }

  CrictlNode node_;
};

class VirtioMemSizesE2eTest : public PublishedSizesE2eTest {
 protected:
  VirtioMemSizesE2eTest() : PublishedSizesE2eTest("virtio-mem") {}
};

class DimmSizesE2eTest : public PublishedSizesE2eTest {
 protected:
  DimmSizesE2eTest() : PublishedSizesE2eTest("pc-dimm") {}
};

TEST_F(VirtioMemSizesE2eTest, AreThoseOfTheTable) {
  const std::string cpu = absl::StrCat(kAnnotation, "sandbox_cpu");
  const std::string mem = absl::StrCat(kAnnotation, "sandbox_mem");
  const std::vector<PublishedSize> rows = {
      {.name = "nothing-asked"},
      {.name = "four-cpus", .cpus = 4, .grown_cpus = 4},
      {.name = "four-gib", .memory_gib = 4, .grown_gib = 4},
      {.name = "both",
       .cpus = 4,
       .memory_gib = 4,
       .grown_cpus = 4,
       .grown_gib = 4},
      {.name = "annotated-cpus",
       .annotations = {{cpu, "4"}},
       .booted_cpus = 4,
       .grown_cpus = 4},
      {.name = "annotated-memory",
       .annotations = {{mem, "4G"}},
       .booted_gib = 4,
       .grown_gib = 4,
       .kept_gib = 4},
  };
  for (const PublishedSize& row : rows) Run(row);
}

TEST_F(DimmSizesE2eTest, KeepTheMemoryThatOnceCame) {
  Run({.name = "four-gib",
       .cpus = 4,
       .memory_gib = 4,
       .grown_cpus = 4,
       .grown_gib = 4,
       .kept_gib = 4});
}

}  // namespace
}  // namespace podvisor::e2e
