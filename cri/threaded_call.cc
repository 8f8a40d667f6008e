#include "cri/threaded_call.h"

#include <thread>
#include <utility>

namespace podvisor {
namespace {

// Owns itself until gRPC is done with it.
class ThreadedCall final : public grpc::ServerUnaryReactor {
 public:
  void Start(std::function<grpc::Status(std::stop_token)> work) {
    // Nobody joins it: what it does last may be what ends the call, on it.
    std::thread([this, work = std::move(work), gone = client_.get_token()] {
      Finish(work(gone));
    }).detach();
  }

  void OnCancel() override { client_.request_stop(); }
  void OnDone() override { delete this; }

 private:
  std::stop_source client_;
};

}  // namespace

grpc::ServerUnaryReactor* AnswerOnThread(
    std::function<grpc::Status(std::stop_token gone)> work) {
  auto* const call = new ThreadedCall;
  call->Start(std::move(work));
  return call;
}

}  // namespace podvisor
