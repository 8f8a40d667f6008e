#include "cri/request_counter.h"

#include <memory>
#include <vector>

#include "gmock/gmock.h"
#include "grpcpp/server.h"
#include "grpcpp/server_builder.h"
#include "gtest/gtest.h"
#include "third_party/cri_api/api.grpc.pb.h"

namespace podvisor {
namespace {

using testing::Pair;
using testing::UnorderedElementsAre;

// Takes three seconds for a Version and refuses a pull.
class SlowRuntime final : public runtime::v1::RuntimeService::Service {
 public:
  explicit SlowRuntime(FakeClock& clock) : clock_(clock) {}
  grpc::Status Version(grpc::ServerContext*, const runtime::v1::VersionRequest*,
                       runtime::v1::VersionResponse*) override {
    clock_.Advance(absl::Seconds(3));
    return grpc::Status::OK;
  }

 private:
  FakeClock& clock_;
};

class NoImages final : public runtime::v1::ImageService::Service {
 public:
  grpc::Status PullImage(grpc::ServerContext*,
                         const runtime::v1::PullImageRequest*,
                         runtime::v1::PullImageResponse*) override {
    return grpc::Status(grpc::StatusCode::NOT_FOUND, "none");
  }
};

class RequestCounterTest : public testing::Test {
 protected:
  RequestCounterTest() : slow_runtime_(clock_) {
    grpc::ServerBuilder builder;
    builder.RegisterService(&slow_runtime_);
    builder.RegisterService(&no_images_);
    std::vector<
        std::unique_ptr<grpc::experimental::ServerInterceptorFactoryInterface>>
        counters;
    counters.push_back(std::make_unique<RequestCounter>(&metrics_, &clock_));
    builder.experimental().SetInterceptorCreators(std::move(counters));
    server_ = builder.BuildAndStart();
    const auto channel = server_->InProcessChannel(grpc::ChannelArguments());
    runtime_ = runtime::v1::RuntimeService::NewStub(channel);
    images_ = runtime::v1::ImageService::NewStub(channel);
  }
  ~RequestCounterTest() override { server_->Shutdown(); }

  FakeClock clock_;
  PodMetrics metrics_;
  SlowRuntime slow_runtime_;
  NoImages no_images_;
  std::unique_ptr<grpc::Server> server_;
  std::unique_ptr<runtime::v1::RuntimeService::Stub> runtime_;
  std::unique_ptr<runtime::v1::ImageService::Stub> images_;
};

TEST_F(RequestCounterTest, CallsOfEveryServiceAreCountedByTheirCode) {
  for (int i = 0; i < 2; ++i) {
    grpc::ClientContext context;
    runtime::v1::VersionResponse version;
    ASSERT_TRUE(runtime_->Version(&context, {}, &version).ok());
  }
  grpc::ClientContext pull;
  runtime::v1::PullImageResponse pulled;
  EXPECT_FALSE(images_->PullImage(&pull, {}, &pulled).ok());

  EXPECT_THAT(
      metrics_.cri_requests().Values(),
      UnorderedElementsAre(Pair(LabelValues{"Version", "OK"}, 2),
                           Pair(LabelValues{"PullImage", "NOT_FOUND"}, 1)));
}

TEST_F(RequestCounterTest, CallsThatNobodyImplementsAreCountedToo) {
  grpc::ClientContext list;
  runtime::v1::ListImagesResponse images;
  EXPECT_FALSE(images_->ListImages(&list, {}, &images).ok());
  grpc::ClientContext context;
  const auto events = runtime_->GetContainerEvents(&context, {});
  EXPECT_EQ(events->Finish().error_code(), grpc::StatusCode::UNIMPLEMENTED);

  EXPECT_THAT(metrics_.cri_requests().Values(),
              UnorderedElementsAre(
                  Pair(LabelValues{"ListImages", "UNIMPLEMENTED"}, 1),
                  Pair(LabelValues{"GetContainerEvents", "UNIMPLEMENTED"}, 1)));
}

TEST_F(RequestCounterTest, TheTimeIsTheCallsOwn) {
  grpc::ClientContext context;
  runtime::v1::VersionResponse version;
  ASSERT_TRUE(runtime_->Version(&context, {}, &version).ok());

  EXPECT_EQ(
      metrics_.cri_request_seconds().Values().at(LabelValues{"Version"}).sum,
      3.0);
}

}  // namespace
}  // namespace podvisor
