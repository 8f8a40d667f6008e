#include "cri/streaming/stream_tokens.h"

#include <utility>

#include "base/ids.h"

namespace podvisor {

absl::StatusOr<std::string> StreamTokens::Add(StreamRequest request) {
  const absl::Duration now = clock_->Elapsed();
  absl::MutexLock lock(&mutex_);
  DropExpired(now);
  if (pending_.size() >= kMaxPending) {
    return absl::ResourceExhaustedError(
        "too many streams wait for their clients; try again in a minute");
  }
  std::string token = RandomHexId();
  pending_[token] = {std::move(request), now + kLifetime};
  return token;
}

std::optional<StreamRequest> StreamTokens::Take(absl::string_view token) {
  const absl::Duration now = clock_->Elapsed();
  absl::MutexLock lock(&mutex_);
  DropExpired(now);
  const auto found = pending_.find(token);
  if (found == pending_.end()) return std::nullopt;
  StreamRequest request = std::move(found->second.request);
  pending_.erase(found);
  return request;
}

void StreamTokens::DropExpired(absl::Duration now) {
  std::erase_if(pending_,
                [now](const auto& entry) { return entry.second.until <= now; });
}

}  // namespace podvisor
