#include "image/single_flight.h"

#include <utility>

#include "absl/status/status.h"
#include "absl/time/time.h"

namespace podvisor {
namespace {

constexpr absl::Duration kAskEvery = absl::Milliseconds(50);

}  // namespace

absl::StatusOr<std::string> SingleFlight::Run(const std::string& key,
                                              const Cancelled& cancelled,
                                              const Work& work) {
  auto flight = std::make_shared<Flight>();
  {
    absl::MutexLock lock(&mutex_);
    const auto found = flights_.find(key);
    if (found != flights_.end() && !found->second->abandoned) {
      flight = found->second;
      return Wait(*flight, cancelled);
    }
    flights_[key] = flight;
  }
  return Lead(key, flight, cancelled, work);
}

int SingleFlight::waiting() const {
  absl::MutexLock lock(&mutex_);
  return waiting_;
}

absl::StatusOr<std::string> SingleFlight::Wait(Flight& flight,
                                               const Cancelled& cancelled) {
  ++flight.wanted_by;
  ++waiting_;
  bool gave_up = false;
  while (!flight.done && !gave_up) {
    mutex_.AwaitWithTimeout(absl::Condition(&flight.done), kAskEvery);
    if (flight.done || !cancelled) continue;
    mutex_.Unlock();
    gave_up = cancelled();
    mutex_.Lock();
  }
  --waiting_;
  --flight.wanted_by;
  if (flight.done) return flight.result;
  return absl::CancelledError("the pull was cancelled");
}

absl::StatusOr<std::string> SingleFlight::Lead(
    const std::string& key, const std::shared_ptr<Flight>& flight,
    const Cancelled& cancelled, const Work& work) {
  bool left = false;
  absl::StatusOr<std::string> result = work([&] {
    const bool leaves = !left && cancelled && cancelled();
    absl::MutexLock lock(&mutex_);
    if (leaves) {
      left = true;
      --flight->wanted_by;
    }
    if (flight->wanted_by == 0) flight->abandoned = true;
    return flight->abandoned;
  });
  absl::MutexLock lock(&mutex_);
  flight->result = result;
  flight->done = true;
  const auto found = flights_.find(key);
  if (found != flights_.end() && found->second == flight) {
    flights_.erase(found);
  }
  return result;
}

}  // namespace podvisor
