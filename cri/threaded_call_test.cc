#include "cri/threaded_call.h"

#include <chrono>
#include <functional>
#include <memory>
#include <stop_token>
#include <thread>

#include "absl/synchronization/notification.h"
#include "grpcpp/client_context.h"
#include "grpcpp/server.h"
#include "grpcpp/server_builder.h"
#include "gtest/gtest.h"
#include "third_party/cri_api/api.grpc.pb.h"

namespace podvisor {
namespace {

using runtime::v1::ExecSyncRequest;
using runtime::v1::ExecSyncResponse;
using Work = std::function<grpc::Status(std::stop_token, ExecSyncResponse*)>;

// One call of it is threaded, the others are the blocking API's.
class OneThreadedCall final
    : public runtime::v1::RuntimeService::WithCallbackMethod_ExecSync<
          runtime::v1::RuntimeService::Service> {
 public:
  explicit OneThreadedCall(Work work) : work_(std::move(work)) {}

  grpc::ServerUnaryReactor* ExecSync(grpc::CallbackServerContext*,
                                     const ExecSyncRequest*,
                                     ExecSyncResponse* response) override {
    return AnswerOnThread([this, response](std::stop_token gone) {
      return work_(std::move(gone), response);
    });
  }
  grpc::Status Version(grpc::ServerContext*, const runtime::v1::VersionRequest*,
                       runtime::v1::VersionResponse*) override {
    return grpc::Status::OK;
  }

 private:
  const Work work_;
};

class ThreadedCallTest : public testing::Test {
 protected:
  void Serve(Work work) {
    service_ = std::make_unique<OneThreadedCall>(std::move(work));
    grpc::ServerBuilder builder;
    builder.RegisterService(service_.get());
    server_ = builder.BuildAndStart();
    stub_ = runtime::v1::RuntimeService::NewStub(server_->InProcessChannel({}));
  }
  // Work that ends with its token alone.
  void ServeUntilGone() {
    Serve([this](std::stop_token gone, ExecSyncResponse*) {
      absl::Notification told;
      const std::stop_callback tell(gone, [&told] { told.Notify(); });
      begun_.Notify();
      told.WaitForNotification();
      return grpc::Status(grpc::StatusCode::CANCELLED, "told");
    });
  }
  grpc::Status Call(ExecSyncResponse* response) {
    return stub_->ExecSync(&context_, {}, response);
  }

  absl::Notification begun_;
  std::unique_ptr<OneThreadedCall> service_;
  std::unique_ptr<grpc::Server> server_;
  std::unique_ptr<runtime::v1::RuntimeService::Stub> stub_;
  grpc::ClientContext context_;
};

TEST_F(ThreadedCallTest, TheAnswerIsThatOfTheWork) {
  Serve([](std::stop_token, ExecSyncResponse* response) {
    response->set_exit_code(42);
    return grpc::Status::OK;
  });
  ExecSyncResponse response;

  ASSERT_TRUE(Call(&response).ok());

  EXPECT_EQ(response.exit_code(), 42);
}

TEST_F(ThreadedCallTest, AnErrorOfTheWorkArrives) {
  Serve([](std::stop_token, ExecSyncResponse*) {
    return grpc::Status(grpc::StatusCode::NOT_FOUND, "no container");
  });
  ExecSyncResponse response;

  const grpc::Status status = Call(&response);

  EXPECT_EQ(status.error_code(), grpc::StatusCode::NOT_FOUND);
  EXPECT_EQ(status.error_message(), "no container");
}

TEST_F(ThreadedCallTest, WorkIsToldThatItsClientHasLeft) {
  ServeUntilGone();
  ExecSyncResponse response;
  std::jthread client([&] { Call(&response); });
  begun_.WaitForNotification();

  // Meanwhile others are served.
  grpc::ClientContext other;
  runtime::v1::VersionResponse version;
  EXPECT_TRUE(stub_->Version(&other, {}, &version).ok());
  context_.TryCancel();
  client.join();

  // Waits for the work.
  server_->Shutdown();
}

TEST_F(ThreadedCallTest, WorkIsToldThatTheTimeOfItsClientIsOver) {
  ServeUntilGone();
  context_.set_deadline(std::chrono::system_clock::now() +
                        std::chrono::milliseconds(100));
  ExecSyncResponse response;

  const grpc::Status status = Call(&response);

  EXPECT_EQ(status.error_code(), grpc::StatusCode::DEADLINE_EXCEEDED);
  server_->Shutdown();
}

TEST_F(ThreadedCallTest, WorkIsToldThatTheServerEnds) {
  ServeUntilGone();
  ExecSyncResponse response;
  grpc::Status status;
  std::jthread client([&] { status = Call(&response); });
  begun_.WaitForNotification();

  server_->Shutdown(std::chrono::system_clock::now());

  client.join();
  EXPECT_FALSE(status.ok());
}

}  // namespace
}  // namespace podvisor
