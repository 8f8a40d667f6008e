#include "sandbox/parts/pod_output.h"

#include <unistd.h>

#include <memory>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/log.h"
#include "base/status_macros.h"

namespace podvisor {

PodOutput::PodOutput(const PodSpec* spec, const PodGuest* guest,
                     const PodContainers* containers, Clock* clock,
                     PodMetrics* metrics)
    : spec_(*spec),
      guest_(guest),
      containers_(containers),
      clock_(clock),
      metrics_(metrics) {}

std::string PodOutput::LogPathOf(const ContainerSpec& container) const {
  if (spec_.log_directory.empty() || container.log_path.empty()) return "";
  return absl::StrCat(spec_.log_directory, "/", container.log_path);
}

absl::Status PodOutput::Start(Container& container) {
  return Pump(container, spec_.log_directory.empty()
                             ? ""
                             : container.Snapshot().spec.log_path);
}

void PodOutput::Continue(Container& container) {
  const absl::Status pumping = Start(container);
  if (pumping.ok()) return;
  Log(LogLevel::kError,
      "the log of a container cannot be continued; its output is discarded",
      {{"container_id", container.id().value()}, {"error", pumping.message()}});
  const absl::Status draining = Pump(container, "");
  if (draining.ok()) return;
  Log(LogLevel::kError, "the output of a container has no reader",
      {{"container_id", container.id().value()},
       {"error", draining.message()}});
}

void PodOutput::End(Container& container) {
  if (const std::shared_ptr<LogPump> pump = container.pump()) {
    // Its stream has ended with the container; if not, it is left to itself.
    (void)pump->Stop(clock_->Now() + kLastOutputTime);
  }
  container.SetPump(nullptr);
  unlink(CursorPath(container).c_str());
}

void PodOutput::AbandonAll() {
  if (guest_->vm() == nullptr) return;
  guest_->vm()->vm().agent().Disconnect();
  for (const auto& container : containers_->All()) {
    const std::shared_ptr<LogPump> pump = container->pump();
    if (pump == nullptr) continue;
    const absl::Status written = pump->Abandon(clock_->Now() + kLastOutputTime);
    if (!written.ok()) {
      Log(LogLevel::kWarning, "the end of a container's output is late",
          {{"container_id", container->id().value()},
           {"error", written.message()}});
    }
  }
}

void PodOutput::DropAll() {
  for (const auto& container : containers_->All()) container->SetPump(nullptr);
}

absl::Status PodOutput::Pump(Container& container,
                             const std::string& log_path) {
  ContainerLogOptions options;
  options.log_directory = spec_.log_directory;
  options.log_path = log_path;
  options.cursor_path = CursorPath(container);
  options.container_id = container.id().value();
  ASSIGN_OR_RETURN(std::unique_ptr<ContainerLog> log,
                   ContainerLog::Open(options, clock_));
  const auto pump =
      std::make_shared<LogPump>(container.id(), &guest_->vm()->vm().agent(),
                                std::move(log), clock_, metrics_);
  pump->Start();
  container.SetPump(pump);
  return absl::OkStatus();
}

std::string PodOutput::CursorPath(const Container& container) const {
  // In the pod's own tmpfs: it is of no use without the VM, and goes with it.
  return absl::StrCat(guest_->vm()->directory(), "/", container.id().value(),
                      ".cursor");
}

}  // namespace podvisor
