#include "sandbox/parts/pending_link.h"

#include <utility>

namespace podvisor {

std::unique_ptr<PendingLink> PendingLink::Start(PodNetwork* network,
                                                PodNetworkRequest request,
                                                NetworkRecorder recorder,
                                                absl::Time deadline) {
  std::unique_ptr<PendingLink> pending(new PendingLink);
  pending->thread_ =
      std::thread([self = pending.get(), network, request = std::move(request),
                   recorder = std::move(recorder), deadline] {
        self->link_ = network->Add(
            request, recorder, [self] { return self->cancelled_.load(); },
            deadline);
      });
  return pending;
}

PendingLink::~PendingLink() {
  cancelled_ = true;
  if (thread_.joinable()) thread_.join();
}

absl::StatusOr<PodLink> PendingLink::Await() {
  thread_.join();
  return std::move(link_);
}

}  // namespace podvisor
