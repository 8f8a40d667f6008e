#include "metrics/prometheus_exporter.h"

#include <prometheus/client_metric.h>
#include <prometheus/collectable.h>
#include <prometheus/metric_family.h>
#include <prometheus/text_serializer.h>

#include <limits>
#include <map>
#include <optional>
#include <utility>
#include <vector>

#include "base/clean_text.h"
#include "metrics/metric_names.h"

namespace podvisor {
namespace {

using prometheus::ClientMetric;
using prometheus::MetricFamily;
using prometheus::MetricType;

// The kubelet's longest names; also what keeps a series bounded.
constexpr size_t kMaxLabelBytes = 253;
constexpr size_t kShortIdDigits = 13;

MetricType TypeOf(MetricKind kind) {
  switch (kind) {
    case MetricKind::kCounter:
      return MetricType::Counter;
    case MetricKind::kGauge:
      return MetricType::Gauge;
    case MetricKind::kHistogram:
      return MetricType::Histogram;
  }
  return MetricType::Untyped;
}

void AddLabel(const char* name, absl::string_view value, ClientMetric* metric) {
  metric->label.push_back({name, CleanText(value, kMaxLabelBytes)});
}

void AddLabels(const MetricFamilyInfo& info, const LabelValues& values,
               ClientMetric* metric) {
  for (size_t i = 0; i < values.size() && i < info.labels.size(); ++i) {
    if (info.labels[i] == nullptr) break;
    AddLabel(info.labels[i], values[i], metric);
  }
}

// Collects samples family by family, in the order of kAllMetrics.
class Families {
 public:
  // `common` are the labels that the VM's series share.
  void Add(const MetricFamilyInfo& info,
           const std::vector<ClientMetric::Label>& common,
           const LabelValues& labels, double value) {
    ClientMetric metric;
    metric.label = common;
    AddLabels(info, labels, &metric);
    if (info.kind == MetricKind::kCounter) {
      metric.counter.value = value;
    } else {
      metric.gauge.value = value;
    }
    metrics_[&info].push_back(std::move(metric));
  }

  void AddCounters(const MetricFamilyInfo& info, const CounterSeries& series) {
    for (const auto& [labels, value] : series.Values()) {
      Add(info, {}, labels, static_cast<double>(value));
    }
  }

  void AddHistograms(const MetricFamilyInfo& info,
                     const HistogramSeries& series) {
    for (const auto& [labels, value] : series.Values()) {
      ClientMetric metric;
      AddLabels(info, labels, &metric);
      uint64_t count = 0;
      for (size_t i = 0; i < value.counts.size(); ++i) {
        count += value.counts[i];
        const double bound = i < series.bounds().size()
                                 ? series.bounds()[i]
                                 : std::numeric_limits<double>::infinity();
        metric.histogram.bucket.push_back({count, bound});
      }
      metric.histogram.sample_count = count;
      metric.histogram.sample_sum = value.sum;
      metrics_[&info].push_back(std::move(metric));
    }
  }

  std::vector<MetricFamily> Take() {
    std::vector<MetricFamily> families;
    for (const MetricFamilyInfo* info : kAllMetrics) {
      auto it = metrics_.find(info);
      if (it == metrics_.end()) continue;
      families.push_back(
          {info->name, info->help, TypeOf(info->kind), std::move(it->second)});
    }
    return families;
  }

 private:
  std::map<const MetricFamilyInfo*, std::vector<ClientMetric>> metrics_;
};

std::vector<ClientMetric::Label> IdentityOf(const VmSnapshot& vm) {
  ClientMetric metric;
  AddLabel("namespace", vm.name_space, &metric);
  AddLabel("pod", vm.pod, &metric);
  AddLabel("uid", vm.uid, &metric);
  AddLabel("sandbox_id", vm.id.value(), &metric);
  return metric.label;
}

// Adds the samples of one VM.
class VmSamples {
 public:
  VmSamples(const VmSnapshot& vm, VmLabels labels, Families* families)
      : vm_(vm), families_(families) {
    if (labels == VmLabels::kEverySeries) {
      common_ = IdentityOf(vm);
    } else {
      common_ = {{"sandbox_id", vm.id.value().substr(0, kShortIdDigits)}};
    }
  }

  void AddIdentity() {
    std::vector<ClientMetric::Label> identity = IdentityOf(vm_);
    identity.back() = common_.back();
    families_->Add(kVmInfo, identity,
                   {vm_.accelerator, vm_.kernel_release, vm_.agent_version}, 1);
    if (vm_.sampled_at.has_value()) {
      Add(kVmSampleTime, {},
          absl::ToDoubleSeconds(*vm_.sampled_at - absl::UnixEpoch()));
    }
  }

  void AddSizes() {
    Add(kVmVcpus, {"target"}, vm_.target_vcpus);
    Add(kVmVcpus, {"plugged"}, vm_.plugged_vcpus);
    Add(kVmVcpus, {"online"}, vm_.online_vcpus);
    Add(kVmVcpus, {"max"}, vm_.max_vcpus);
    Add(kVmMemory, {"base"}, vm_.base_memory_bytes);
    Add(kVmMemory, {"target"}, vm_.target_memory_bytes);
    Add(kVmMemory, {"plugged"}, vm_.plugged_memory_bytes);
    Add(kVmMemory, {"online"}, vm_.online_memory_bytes);
    Add(kVmMemory, {"max"}, vm_.max_memory_bytes);
    Add(kVmMemorySlots, {"used"}, vm_.memory_slots_used);
    Add(kVmMemorySlots, {"total"}, vm_.memory_slots_total);
    Add(kVmShortfall, {}, vm_.shortfall_bytes);
    Add(kVmClamped, {"cpu"}, vm_.cpu_clamped ? 1 : 0);
    Add(kVmClamped, {"memory"}, vm_.memory_clamped ? 1 : 0);
    Add(kVmAccountingExcess, {}, vm_.accounting_excess_bytes);
  }

  void AddResizes(const std::map<LabelValues, uint64_t>& resizes) {
    for (const auto& [labels, count] : resizes) {
      Add(kVmResizes, labels, count);
    }
  }

  void AddHostUse() {
    Add(kVmCpuSeconds, {"vcpu"}, vm_.vcpu_seconds);
    Add(kVmCpuSeconds, {"vmm"}, vm_.vmm_seconds);
    Add(kVmCpuSeconds, {"virtiofsd"}, vm_.virtiofsd_seconds);
    Add(kVmHostMemory, {"rss"}, vm_.host_rss_bytes);
    Add(kVmHostMemory, {"pss"}, vm_.host_pss_bytes);
    Add(kVmNetworkReceived, {}, vm_.network_received_bytes);
    Add(kVmNetworkSent, {}, vm_.network_sent_bytes);
    Add(kVmBlockRead, {}, vm_.block_read_bytes);
    Add(kVmBlockWritten, {}, vm_.block_written_bytes);
  }

  void AddGuestUse() {
    Add(kVmGuestMemory, {"available"}, vm_.guest_memory_available_bytes);
    AddPressure("cpu", vm_.cpu_pressure);
    AddPressure("memory", vm_.memory_pressure);
    AddPressure("io", vm_.io_pressure);
  }

 private:
  template <typename Number>
  void Add(const MetricFamilyInfo& info, const LabelValues& labels,
           Number value) {
    families_->Add(info, common_, labels, static_cast<double>(value));
  }

  // What was not measured has no series.
  template <typename Number>
  void Add(const MetricFamilyInfo& info, const LabelValues& labels,
           const std::optional<Number>& value) {
    if (value.has_value()) Add(info, labels, *value);
  }

  void AddPressure(const char* resource,
                   const std::optional<PressureTimes>& times) {
    if (!times.has_value()) return;
    Add(kVmPressure, {resource, "some"}, times->some_seconds);
    // Of a whole machine's CPUs "full" is always zero, see the kernel's
    // Documentation/accounting/psi.rst.
    if (absl::string_view(resource) == "cpu") return;
    Add(kVmPressure, {resource, "full"}, times->full_seconds);
  }

  const VmSnapshot& vm_;
  Families* const families_;
  std::vector<ClientMetric::Label> common_;
};

// prometheus-cpp's face of PodMetrics.
class PodMetricsCollectable final : public prometheus::Collectable {
 public:
  PodMetricsCollectable(const PodMetrics& metrics, VmLabels labels)
      : metrics_(metrics), labels_(labels) {}

  std::vector<MetricFamily> Collect() const override {
    Families families;
    const DaemonInfo info = metrics_.daemon_info();
    families.Add(kBuildInfo, {},
                 {info.version, info.accelerator, info.qemu_version}, 1);
    const std::vector<VmMetrics> vms = metrics_.Vms();
    families.Add(kVms, {}, {}, static_cast<double>(vms.size()));
    for (const VmMetrics& vm : vms) {
      VmSamples samples(vm.snapshot, labels_, &families);
      samples.AddIdentity();
      samples.AddSizes();
      samples.AddResizes(vm.resizes);
      samples.AddHostUse();
      samples.AddGuestUse();
    }
    families.AddHistograms(kVmResizeSeconds, metrics_.resize_seconds());
    families.AddHistograms(kVmBootSeconds, metrics_.boot_seconds());
    families.AddCounters(kVmExits, metrics_.vm_exits());
    families.AddCounters(kCriRequests, metrics_.cri_requests());
    families.AddHistograms(kCriRequestSeconds, metrics_.cri_request_seconds());
    families.AddCounters(kLogLinesDropped, metrics_.dropped_log_lines());
    families.AddCounters(kBrokenRecords, metrics_.broken_records());
    return families.Take();
  }

 private:
  const PodMetrics& metrics_;
  const VmLabels labels_;
};

}  // namespace

std::string RenderPrometheus(const PodMetrics& metrics, VmLabels labels) {
  const PodMetricsCollectable collectable(metrics, labels);
  return prometheus::TextSerializer().Serialize(collectable.Collect());
}

}  // namespace podvisor
