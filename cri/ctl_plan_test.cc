#include "cri/ctl_plan.h"

#include <sstream>
#include <string>
#include <vector>

#include "absl/strings/str_split.h"
#include "cri/fake_cri_client.h"
#include "cri/resize_dry_run.h"
#include "cri/sizing_json.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace podvisor {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

constexpr int64_t kMiB = int64_t{1} << 20;

PodSettings Settings() {
  PodSettings settings;
  settings.limits.max_vcpus = 8;
  settings.limits.boot_memory_bytes = 1024 * kMiB;
  settings.limits.max_memory_bytes = 9216 * kMiB;
  settings.sizing.base_milli_cpu = 1000;
  settings.sizing.base_memory_bytes = 1024 * kMiB;
  return settings;
}

PodManifest OneContainer(int64_t milli_cpu, int64_t memory_bytes) {
  PodManifest manifest;
  manifest.name = "web";
  ManifestContainer& container = manifest.containers.emplace_back();
  container.name = "main";
  container.image = "x";
  container.cpu_limit_millis = milli_cpu;
  container.cpu_request_millis = milli_cpu;
  container.memory_limit_bytes = memory_bytes;
  return manifest;
}

TEST(CtlPlanTest, ANewPodIsPlannedInWords) {
  const PodManifest manifest = OneContainer(4000, 2048 * kMiB);
  const auto pod = PlanNewPod(Settings(), manifest);
  ASSERT_TRUE(pod.ok()) << pod.status();
  std::ostringstream out;

  ASSERT_TRUE(PrintPlan(*pod, manifest, out).ok());

  EXPECT_THAT(
      out.str(),
      AllOf(
          HasSubstr("a new VM: boots with 1 vCPUs, 1024 MiB"),
          HasSubstr(
              "container main\n"
              "  demand of the pod: 4000m CPU, 2048 MiB\n"
              "  target of the VM:  4 vCPUs, 2048 MiB\n"
              "  1. request 1024 MiB of hot-plugged memory\n"
              "  2. plug vCPUs to 4\n"
              "  3. bring vCPUs online to 4\n"
              "  4. wait until the guest has 1024 MiB of hot-plugged memory\n"),
          Not(HasSubstr("later"))));
}

TEST(CtlPlanTest, AnnotationsOfTheManifestCountAndAreChecked) {
  PodManifest manifest = OneContainer(2000, 0);
  manifest.annotations["com.github.containers.virtcontainers.sandbox_cpu"] =
      "4";
  const auto pod = PlanNewPod(Settings(), manifest);
  ASSERT_TRUE(pod.ok()) << pod.status();
  std::ostringstream out;
  ASSERT_TRUE(PrintPlan(*pod, manifest, out).ok());
  EXPECT_THAT(out.str(), AllOf(HasSubstr("boots with 4 vCPUs"),
                               HasSubstr("nothing to do")));

  manifest.annotations.begin()->second = "0.1";
  EXPECT_TRUE(
      absl::IsInvalidArgument(PlanNewPod(Settings(), manifest).status()));
}

TEST(CtlPlanTest, AWarningIsSaidOnce) {
  PodManifest manifest = OneContainer(8000, 0);
  ManifestContainer& second = manifest.containers.emplace_back();
  second.name = "second";
  second.image = "x";
  PodSpec spec;
  spec.resources.emplace();
  spec.resources->memory_limit_bytes = 2048 * kMiB;
  spec.overhead.emplace();
  spec.overhead->memory_limit_bytes = 16 * kMiB;
  const PlannedPod pod{.title = "",
                       .sizing = BootedVm(Settings(), spec).value()};
  std::ostringstream out;

  ASSERT_TRUE(PrintPlan(pod, manifest, out).ok());

  const std::vector<std::string> parts = absl::StrSplit(out.str(), "WARNING: ");
  EXPECT_EQ(parts.size(), 2u) << out.str();
}

TEST(CtlPlanTest, ClampsAndRefusalsAreSaid) {
  PodSettings settings = Settings();
  settings.limits.memory_device = MemoryDevice::kNone;
  settings.limits.max_memory_bytes = settings.limits.boot_memory_bytes;
  PodManifest manifest = OneContainer(64'000, 0);
  manifest.containers.push_back(OneContainer(0, 2048 * kMiB).containers[0]);
  manifest.containers[1].name = "large";
  std::ostringstream out;

  const absl::Status planned =
      PrintPlan(PlanNewPod(settings, manifest).value(), manifest, out);

  EXPECT_THAT(std::string(planned.message()),
              HasSubstr("1 of these would be refused"));
  EXPECT_THAT(out.str(),
              AllOf(HasSubstr("target of the VM:  1 vCPUs, 1024 MiB\n"),
                    HasSubstr("WARNING: vCPUs cut to the maximum: 1 of 64\n"),
                    HasSubstr("container large\n  REFUSED: INVALID_ARGUMENT: "
                              "a container of 2147483648 bytes")));
}

TEST(CtlPlanTest, ACutToTheMaximumIsAWarningAlsoWhereNothingIsToBeDone) {
  PodSettings settings = Settings();
  settings.limits.boot_vcpus = settings.limits.max_vcpus;
  settings.limits.boot_memory_bytes = settings.limits.max_memory_bytes;
  PodManifest manifest = OneContainer(16'000, 20'480 * kMiB);
  manifest.containers.push_back(manifest.containers[0]);
  manifest.containers[1].cpu_limit_millis = 0;
  manifest.containers[1].cpu_request_millis = 0;
  manifest.containers[1].memory_limit_bytes = 0;
  const auto pod = PlanNewPod(settings, manifest);
  ASSERT_TRUE(pod.ok()) << pod.status();
  std::ostringstream out;

  ASSERT_TRUE(PrintPlan(*pod, manifest, out).ok());

  const std::string cut =
      "  WARNING: vCPUs cut to the maximum: 8 of 16\n"
      "  WARNING: memory cut to the maximum: 9216 MiB of 20480 MiB\n";
  EXPECT_THAT(out.str(), HasSubstr("  nothing to do for this target\n" + cut));
  // The second container asks for nothing: the warning would be the same.
  const std::vector<std::string> parts = absl::StrSplit(out.str(), cut);
  EXPECT_EQ(parts.size(), 2u) << out.str();
}

TEST(CtlPlanTest, ARunningPodIsPlannedFromWhatTheDaemonSees) {
  ObservedSizing sizing;
  sizing.sizing.limits = Settings().limits;
  sizing.sizing.rules = Settings().sizing;
  ContainerResources present;
  present.cpu_quota = 200'000;
  sizing.sizing.containers = {present};
  sizing.observed = {
      .vcpus_plugged = 4, .vcpus_removable = 3, .vcpus_online = 3};
  FakeCriClient client;
  nlohmann::json info = {{"observedAt", "2026-11-24T10:00:00+00:00"}};
  info["sizing"] = SizingToJson(sizing);
  client.info = info.dump();
  const auto pod = PlanRunningPod(client, "web");
  ASSERT_TRUE(pod.ok()) << pod.status();

  std::ostringstream with;
  ASSERT_TRUE(PrintPlan(*pod, OneContainer(2000, 0), with).ok());
  std::ostringstream without;
  ASSERT_TRUE(PrintPlan(*pod, PodManifest(), without).ok());

  EXPECT_THAT(with.str(), AllOf(HasSubstr("3 of 4 vCPUs online"),
                                HasSubstr("demand of the pod: 4000m CPU"),
                                HasSubstr("1. bring vCPUs online to 4\n")));
  EXPECT_THAT(without.str(), HasSubstr("1. take vCPUs offline to 2\n"));
}

TEST(CtlPlanTest, ResourcesOfThePodThatCapItsContainersAreSaid) {
  const PodManifest manifest = OneContainer(2000, 0);
  PlannedPod pod = PlanNewPod(Settings(), manifest).value();
  PodManifest twice = manifest;
  twice.containers.push_back(twice.containers[0]);
  std::ostringstream out;

  ASSERT_TRUE(PrintPlan(pod, twice, out).ok());

  EXPECT_THAT(out.str(),
              AllOf(HasSubstr("demand of the pod: 2000m CPU, 0 MiB\n"),
                    HasSubstr("WARNING: cut to the pod's own limit from "
                              "4000m CPU, 0 MiB\n")));
}

TEST(CtlPlanTest, APodWithoutAVmOrFromAnotherVersionIsAnError) {
  FakeCriClient client;
  client.info = R"({"state":"stopped"})";
  EXPECT_TRUE(
      absl::IsFailedPrecondition(PlanRunningPod(client, "web").status()));
  client.info = R"({"sizing":{"rules":{"sizing":"new"}}})";
  EXPECT_TRUE(absl::IsDataLoss(PlanRunningPod(client, "web").status()));
  EXPECT_TRUE(absl::IsNotFound(PlanRunningPod(client, "other").status()));
}

}  // namespace
}  // namespace podvisor
