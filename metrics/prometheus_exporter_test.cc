#include "metrics/prometheus_exporter.h"

#include <set>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "base/process.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "metrics/gzip.h"
#include "metrics/metric_names.h"
#include "metrics/sample_vms.h"

namespace podvisor {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

// The bytes that one VM more costs.
template <typename Render>
size_t BytesPerVm(Render render) {
  PodMetrics few;
  PodMetrics many;
  FillSampleMetrics(100, &few);
  FillSampleMetrics(300, &many);
  return (render(many) - render(few)) / 200;
}

TEST(MetricNamesTest, NamesFollowTheRules) {
  std::set<std::string> names;
  for (const MetricFamilyInfo* info : kAllMetrics) {
    const std::string name = info->name;
    EXPECT_TRUE(names.insert(name).second) << name;
    EXPECT_TRUE(absl::StartsWith(name, "podvisor_")) << name;
    EXPECT_EQ(absl::EndsWith(name, "_total"),
              info->kind == MetricKind::kCounter)
        << name;
    if (*info->unit != '\0') {
      EXPECT_THAT(name, HasSubstr(absl::StrCat("_", info->unit)));
    }
    EXPECT_STRNE(info->help, "");
  }
}

TEST(PrometheusExporterTest, EveryFamilyIsExported) {
  PodMetrics metrics;
  FillSampleMetrics(1, &metrics);

  const std::string text = RenderPrometheus(metrics);

  for (const MetricFamilyInfo* info : kAllMetrics) {
    EXPECT_THAT(text, HasSubstr(absl::StrCat("# TYPE ", info->name, " ")));
  }
}

TEST(PrometheusExporterTest, AVmIsShownAsAskedPluggedAndOnline) {
  PodMetrics metrics;
  FillSampleMetrics(1, &metrics);
  const std::string who = absl::StrCat(
      "{namespace=\"default\",pod=\"web-7d4b9c6f5-x0\",uid=\"", SampleVm(0).uid,
      "\",sandbox_id=\"", SampleVm(0).id.value(), "\"");

  const std::string text = RenderPrometheus(metrics);

  for (const char* line : {
           "podvisor_vm_vcpus@,state=\"target\"} 3\n",
           "podvisor_vm_vcpus@,state=\"online\"} 2\n",
           "podvisor_vm_memory_bytes@,state=\"max\"} 17179869184\n",
           "podvisor_vm_memory_slots@,state=\"total\"} 10\n",
           "podvisor_vm_shortfall_bytes@} 134217728\n",
           "podvisor_vm_clamped@,resource=\"memory\"} 1\n",
           "podvisor_vm_accounting_excess_bytes@} 67108864\n",
           "podvisor_vm_resize_total@,resource=\"memory\",direction="
           "\"shrink\",result=\"partial\"} 1\n",
           "podvisor_vm_cpu_seconds_total@,thread=\"vcpu\"} 1234.567",
       }) {
    const std::vector<std::string> parts = absl::StrSplit(line, '@');
    EXPECT_THAT(text, HasSubstr(absl::StrCat(parts[0], who, parts[1])));
  }
  EXPECT_THAT(text, HasSubstr("podvisor_vm_boot_seconds_bucket{phase="
                              "\"total\",le=\"1.5\"} 1\n"));
  EXPECT_THAT(text, HasSubstr("podvisor_cri_request_seconds_count{method="
                              "\"PullImage\"} 1\n"));
}

// A figure of its own for each state, so that none can stand for another.
TEST(PrometheusExporterTest, EveryStateOfASizeHasItsOwnFigure) {
  PodMetrics metrics;
  VmSnapshot vm;
  vm.id = PodId("00");
  vm.target_vcpus = 11;
  vm.plugged_vcpus = 12;
  vm.online_vcpus = 13;
  vm.max_vcpus = 14;
  vm.base_memory_bytes = 21;
  vm.target_memory_bytes = 22;
  vm.plugged_memory_bytes = 23;
  vm.online_memory_bytes = 24;
  vm.max_memory_bytes = 25;
  vm.memory_slots_used = 31;
  vm.memory_slots_total = 32;
  vm.shortfall_bytes = 41;
  vm.cpu_clamped = true;
  metrics.SetVm(vm);

  std::set<std::string> sizes;
  for (absl::string_view line :
       absl::StrSplit(RenderPrometheus(metrics), '\n')) {
    const size_t labels = line.find('{');
    if (labels == line.npos) continue;
    const absl::string_view name = line.substr(0, labels);
    if (name != "podvisor_vm_vcpus" && name != "podvisor_vm_memory_bytes" &&
        name != "podvisor_vm_memory_slots" &&
        name != "podvisor_vm_shortfall_bytes" &&
        name != "podvisor_vm_clamped") {
      continue;
    }
    // Without the labels that say whose it is.
    const size_t own = line.find("sandbox_id=\"00\"") + 15;
    sizes.insert(absl::StrCat(name, line.substr(own)));
  }

  EXPECT_THAT(sizes, ::testing::UnorderedElementsAre(
                         "podvisor_vm_vcpus,state=\"target\"} 11",
                         "podvisor_vm_vcpus,state=\"plugged\"} 12",
                         "podvisor_vm_vcpus,state=\"online\"} 13",
                         "podvisor_vm_vcpus,state=\"max\"} 14",
                         "podvisor_vm_memory_bytes,state=\"base\"} 21",
                         "podvisor_vm_memory_bytes,state=\"target\"} 22",
                         "podvisor_vm_memory_bytes,state=\"plugged\"} 23",
                         "podvisor_vm_memory_bytes,state=\"online\"} 24",
                         "podvisor_vm_memory_bytes,state=\"max\"} 25",
                         "podvisor_vm_memory_slots,state=\"used\"} 31",
                         "podvisor_vm_memory_slots,state=\"total\"} 32",
                         "podvisor_vm_shortfall_bytes} 41",
                         "podvisor_vm_clamped,resource=\"cpu\"} 1",
                         "podvisor_vm_clamped,resource=\"memory\"} 0"));
}

TEST(PrometheusExporterTest, WhatWasNotMeasuredHasNoSeries) {
  PodMetrics metrics;
  VmSnapshot vm;
  vm.id = PodId("00");
  metrics.SetVm(vm);

  const std::string text = RenderPrometheus(metrics);

  EXPECT_THAT(text, HasSubstr("state=\"target\""));
  EXPECT_THAT(text, Not(HasSubstr("state=\"online\"")));
  EXPECT_THAT(text, Not(HasSubstr("podvisor_vm_host_memory_bytes")));
  EXPECT_THAT(text, Not(HasSubstr("podvisor_vm_accounting_excess_bytes")));
  EXPECT_THAT(text, Not(HasSubstr("podvisor_vm_sample_timestamp_seconds{")));
}

TEST(PrometheusExporterTest, AVmThatIsGoneHasNoSeries) {
  PodMetrics metrics;
  FillSampleMetrics(2, &metrics);

  metrics.RemoveVm(SampleVm(0).id);

  const std::string text = RenderPrometheus(metrics);
  EXPECT_THAT(text, Not(HasSubstr(SampleVm(0).id.value())));
  EXPECT_THAT(text, HasSubstr(SampleVm(1).id.value()));
  EXPECT_THAT(text, HasSubstr("podvisor_vms 1\n"));
}

TEST(PrometheusExporterTest, HostileNamesStayInTheirLabels) {
  PodMetrics metrics;
  VmSnapshot vm = SampleVm(0);
  vm.pod = "a\"} 1\nforged_total 7\n\\" + std::string(10'000, 'x');
  metrics.SetVm(vm);

  const std::string text = RenderPrometheus(metrics);

  EXPECT_THAT(text, Not(HasSubstr("\nforged_total")));
  for (absl::string_view line : absl::StrSplit(text, '\n')) {
    EXPECT_LT(line.size(), 1000u);
  }
}

TEST(PrometheusExporterTest, AVmCostsAtMostTheBytesThatWerePromised) {
  const size_t full = BytesPerVm([](const PodMetrics& metrics) {
    return RenderPrometheus(metrics).size();
  });
  const size_t wire = BytesPerVm([](const PodMetrics& metrics) {
    return Gzip(RenderPrometheus(metrics)).size();
  });
  const size_t compact = BytesPerVm([](const PodMetrics& metrics) {
    return RenderPrometheus(metrics, VmLabels::kInfoOnly).size();
  });

  RecordProperty("full_bytes", static_cast<int>(full));
  RecordProperty("wire_bytes", static_cast<int>(wire));
  RecordProperty("compact_bytes", static_cast<int>(compact));
  std::cout << "bytes a VM: " << full << ", gzip " << wire << ", compact "
            << compact << "\n";
  EXPECT_LE(full, 8u << 10);
  EXPECT_LE(wire, 2u << 10);
  EXPECT_LE(compact, 3u << 10);
}

TEST(PrometheusExporterTest, PromtoolFindsNothingToComplainAbout) {
  PodMetrics metrics;
  FillSampleMetrics(2, &metrics);
  for (VmLabels labels : {VmLabels::kEverySeries, VmLabels::kInfoOnly}) {
    CommandOptions command;
    command.argv = {"promtool", "check", "metrics"};
    command.stdin_data = RenderPrometheus(metrics, labels);

    const auto result = RunCommand(command);

    if (absl::IsNotFound(result.status())) {
      GTEST_SKIP() << "NOT TESTED: promtool (package prometheus) is missing";
    }
    ASSERT_TRUE(result.ok()) << result.status();
    EXPECT_EQ(result->exit_code, 0) << result->stderr_data;
    EXPECT_EQ(result->stderr_data + result->stdout_data, "");
  }
}

}  // namespace
}  // namespace podvisor
