#include "base/started_process.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "base/log.h"

namespace podvisor {
namespace {

// Of its own: the time of the call that started it is usually over.
constexpr absl::Duration kKillTime = absl::Seconds(10);

}  // namespace

StartedProcess::StartedProcess(const ProcessIdentity& process, std::string name,
                               Clock* clock)
    : process_(process), name_(std::move(name)), clock_(clock) {}

StartedProcess::~StartedProcess() { End(); }

void StartedProcess::End() {
  if (kept_) return;
  kept_ = true;
  const absl::Status killed = KillGroup(process_, clock_->Now() + kKillTime);
  if (killed.ok()) return;
  Log(LogLevel::kError, "a process that is not wanted stays behind",
      {{"process", name_},
       {"pid", absl::StrCat(process_.pid)},
       {"error", killed.message()}});
}

}  // namespace podvisor
