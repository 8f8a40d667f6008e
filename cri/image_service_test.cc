#include "cri/image_service.h"

#include <grpcpp/grpcpp.h>
#include <stdlib.h>
#include <unistd.h>

#include <chrono>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/synchronization/mutex.h"
#include "absl/synchronization/notification.h"
#include "base/clock.h"
#include "gtest/gtest.h"

namespace podvisor {
namespace {

Image MakeImage(const std::string& id, const std::string& config_json = "{}") {
  Image image;
  image.id = id;
  image.config_json = config_json;
  return image;
}

// A store of the images that a test puts in. Pulling waits for `cancelled`
// when the reference is "slow". Thread-safe.
class FakeImageStore final : public ImageStore {
 public:
  absl::StatusOr<std::string> Pull(
      absl::string_view reference, const RegistryAuth& auth,
      const std::function<bool()>& cancelled) override {
    absl::MutexLock lock(&mutex_);
    auth_ = auth;
    if (reference == "slow") {
      pulling_.Notify();
      const absl::Time end = absl::Now() + absl::Seconds(30);
      while (!cancelled() && absl::Now() < end) std::this_thread::yield();
      was_cancelled_ = cancelled();
      return absl::CancelledError("pull was cancelled");
    }
    if (!pull_error_.ok()) return pull_error_;
    images_.push_back(MakeImage("sha256:11"));
    images_.back().repo_tags = {std::string(reference)};
    return images_.back().id;
  }

  absl::StatusOr<Image> Get(absl::string_view reference) const override {
    absl::MutexLock lock(&mutex_);
    for (const Image& image : images_) {
      if (image.id == reference) return image;
      for (const std::string& tag : image.repo_tags) {
        if (tag == reference) return image;
      }
    }
    return absl::NotFoundError("no such image");
  }

  std::vector<Image> List() const override {
    absl::MutexLock lock(&mutex_);
    return images_;
  }

  absl::Status Remove(absl::string_view) override {
    absl::MutexLock lock(&mutex_);
    images_.clear();
    return absl::OkStatus();
  }

  absl::StatusOr<ImageRootFs> RootFs(absl::string_view) override {
    return absl::NotFoundError("not used");
  }

  absl::StatusOr<ImageFsUsage> FsUsage() const override {
    return ImageFsUsage{"/images", 4096, 3};
  }

  void Add(Image image) {
    absl::MutexLock lock(&mutex_);
    images_.push_back(std::move(image));
  }
  void FailPulls(absl::Status status) {
    absl::MutexLock lock(&mutex_);
    pull_error_ = std::move(status);
  }
  RegistryAuth auth() const {
    absl::MutexLock lock(&mutex_);
    return auth_;
  }
  bool was_cancelled() const {
    absl::MutexLock lock(&mutex_);
    return was_cancelled_;
  }
  absl::Notification& pulling() { return pulling_; }

 private:
  absl::Notification pulling_;
  mutable absl::Mutex mutex_;
  std::vector<Image> images_ ABSL_GUARDED_BY(mutex_);
  absl::Status pull_error_ ABSL_GUARDED_BY(mutex_);
  RegistryAuth auth_ ABSL_GUARDED_BY(mutex_);
  bool was_cancelled_ ABSL_GUARDED_BY(mutex_) = false;
};

class ImageServiceTest : public testing::Test {
 protected:
  ImageServiceTest() {
    // Short, because a socket's path is.
    char directory[] = "/tmp/podvisor-image-XXXXXX";
    EXPECT_NE(mkdtemp(directory), nullptr);
    directory_ = directory;
    const std::string address = "unix:" + directory_ + "/s";
    grpc::ServerBuilder builder;
    builder.AddListeningPort(address, grpc::InsecureServerCredentials());
    builder.RegisterService(&service_);
    server_ = builder.BuildAndStart();
    stub_ = runtime::v1::ImageService::NewStub(
        grpc::CreateChannel(address, grpc::InsecureChannelCredentials()));
  }

  ~ImageServiceTest() override {
    server_->Shutdown(std::chrono::system_clock::now());
    server_.reset();
    unlink((directory_ + "/s").c_str());
    rmdir(directory_.c_str());
  }

  grpc::Status Pull(const std::string& reference,
                    runtime::v1::PullImageResponse* response) {
    runtime::v1::PullImageRequest request;
    request.mutable_image()->set_image(reference);
    grpc::ClientContext context;
    return stub_->PullImage(&context, request, response);
  }

  runtime::v1::ImageStatusResponse Status(const std::string& reference,
                                          bool verbose = false) {
    runtime::v1::ImageStatusRequest request;
    request.mutable_image()->set_image(reference);
    request.set_verbose(verbose);
    runtime::v1::ImageStatusResponse response;
    grpc::ClientContext context;
    const grpc::Status status =
        stub_->ImageStatus(&context, request, &response);
    EXPECT_TRUE(status.ok()) << status.error_message();
    return response;
  }

  std::string directory_;
  FakeImageStore store_;
  SystemClock clock_;
  const ScratchDisks scratch_{"/no-such-directory", 1 << 20};
  ImageService service_{store_, scratch_, "/var/lib/podvisor", clock_};
  std::unique_ptr<grpc::Server> server_;
  std::unique_ptr<runtime::v1::ImageService::Stub> stub_;
};

TEST_F(ImageServiceTest, PulledImageIsListedUnderTheIdThatPullGave) {
  runtime::v1::PullImageResponse pulled;
  ASSERT_TRUE(Pull("busybox", &pulled).ok());
  runtime::v1::ListImagesResponse list;
  grpc::ClientContext context;
  ASSERT_TRUE(stub_->ListImages(&context, {}, &list).ok());

  EXPECT_EQ(pulled.image_ref(), "sha256:11");
  ASSERT_EQ(list.images_size(), 1);
  EXPECT_EQ(list.images(0).id(), pulled.image_ref());
  EXPECT_EQ(Status("busybox").image().id(), pulled.image_ref());
}

TEST_F(ImageServiceTest, AbsentImageIsNoError) {
  EXPECT_FALSE(Status("nothing").has_image());

  runtime::v1::ListImagesRequest request;
  request.mutable_filter()->mutable_image()->set_image("nothing");
  runtime::v1::ListImagesResponse list;
  grpc::ClientContext context;
  EXPECT_TRUE(stub_->ListImages(&context, request, &list).ok());
  EXPECT_EQ(list.images_size(), 0);
}

TEST_F(ImageServiceTest, UserIsANumberOrAName) {
  struct Case {
    const char* user;
    int64_t uid;  // -1: a name
    const char* name;
  };
  for (const Case& c :
       {Case{"", 0, ""}, Case{"1000", 1000, ""}, Case{"1000:50", 1000, ""},
        Case{"www:www", -1, "www"}, Case{":5", 0, ""},
        Case{"4294967296", -1, "4294967296"}}) {
    Image image = MakeImage(std::string("sha256:") + c.user);
    image.config.user = c.user;
    store_.Add(image);

    const runtime::v1::Image status = Status(image.id).image();

    EXPECT_EQ(status.has_uid(), c.uid >= 0) << c.user;
    EXPECT_EQ(status.uid().value(), c.uid < 0 ? 0 : c.uid) << c.user;
    EXPECT_EQ(status.username(), c.name) << c.user;
  }
}

TEST_F(ImageServiceTest, VerboseStatusHasTheConfigurationAsItIs) {
  store_.Add(MakeImage("sha256:good", "{\"os\": \"linux\"}"));
  store_.Add(MakeImage("sha256:bad", "{"));
  store_.Add(MakeImage("sha256:deep",
                       std::string(200'000, '[') + std::string(200'000, ']')));

  EXPECT_EQ(Status("sha256:good", true).info().at("info"),
            "{\"imageSpec\":{\"os\": \"linux\"}}");
  EXPECT_EQ(Status("sha256:bad", true).info().at("info"),
            "{\"imageSpec\":null}");
  EXPECT_EQ(Status("sha256:deep", true).info().count("info"), 1u);
  EXPECT_TRUE(Status("sha256:good").info().empty());
}

TEST_F(ImageServiceTest, PullEndsWhenTheClientsDeadlineDoes) {
  runtime::v1::PullImageRequest request;
  request.mutable_image()->set_image("slow");
  runtime::v1::PullImageResponse response;
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() +
                       std::chrono::milliseconds(50));

  const grpc::Status status = stub_->PullImage(&context, request, &response);
  server_->Shutdown();  // waits for the handler

  EXPECT_EQ(status.error_code(), grpc::StatusCode::DEADLINE_EXCEEDED);
  EXPECT_TRUE(store_.was_cancelled() || !store_.pulling().HasBeenNotified());
}

TEST_F(ImageServiceTest, PullFailuresSpeakKubeletsLanguage) {
  runtime::v1::PullImageResponse response;
  store_.FailPulls(absl::UnavailableError("connection refused"));
  const grpc::Status unavailable = Pull("busybox", &response);
  store_.FailPulls(absl::NotFoundError("manifest unknown"));
  const grpc::Status missing = Pull("busybox", &response);

  EXPECT_EQ(unavailable.error_code(), grpc::StatusCode::UNKNOWN);
  EXPECT_EQ(unavailable.error_message(),
            "RegistryUnavailable: connection refused");
  EXPECT_EQ(missing.error_code(), grpc::StatusCode::NOT_FOUND);
}

TEST_F(ImageServiceTest, BadReferencesAreRefused) {
  runtime::v1::PullImageResponse response;
  for (const std::string& reference :
       {std::string(), std::string("a\nb"), std::string(2000, 'a')}) {
    EXPECT_EQ(Pull(reference, &response).error_code(),
              grpc::StatusCode::INVALID_ARGUMENT);
  }
}

TEST_F(ImageServiceTest, UnknownRuntimeHandlerIsRefused) {
  runtime::v1::PullImageRequest request;
  request.mutable_image()->set_image("busybox");
  request.mutable_image()->set_runtime_handler("other");
  runtime::v1::PullImageResponse response;
  grpc::ClientContext context;

  EXPECT_EQ(stub_->PullImage(&context, request, &response).error_code(),
            grpc::StatusCode::INVALID_ARGUMENT);
}

TEST_F(ImageServiceTest, CredentialsReachTheStore) {
  runtime::v1::PullImageRequest request;
  request.mutable_image()->set_image("busybox");
  request.mutable_auth()->set_username("me");
  request.mutable_auth()->set_password("secret");
  runtime::v1::PullImageResponse response;
  grpc::ClientContext context;
  ASSERT_TRUE(stub_->PullImage(&context, request, &response).ok());

  EXPECT_EQ(store_.auth().username, "me");
  EXPECT_EQ(store_.auth().password, "secret");
}

TEST_F(ImageServiceTest, RemoveIsIdempotent) {
  for (int i = 0; i < 2; ++i) {
    runtime::v1::RemoveImageRequest request;
    request.mutable_image()->set_image("busybox");
    runtime::v1::RemoveImageResponse response;
    grpc::ClientContext context;
    EXPECT_TRUE(stub_->RemoveImage(&context, request, &response).ok());
  }
}

TEST_F(ImageServiceTest, FileSystemIsReportedForImagesAndContainers) {
  runtime::v1::ImageFsInfoResponse response;
  grpc::ClientContext context;
  ASSERT_TRUE(stub_->ImageFsInfo(&context, {}, &response).ok());

  ASSERT_EQ(response.image_filesystems_size(), 1);
  EXPECT_EQ(response.image_filesystems(0).fs_id().mountpoint(), "/images");
  EXPECT_EQ(response.image_filesystems(0).used_bytes().value(), 4096u);
  EXPECT_GT(response.image_filesystems(0).timestamp(), 0);
  // No pod has written anything.
  ASSERT_EQ(response.container_filesystems_size(), 1);
  EXPECT_EQ(response.container_filesystems(0).fs_id().mountpoint(),
            "/var/lib/podvisor");
  EXPECT_EQ(response.container_filesystems(0).used_bytes().value(), 0u);
}

TEST_F(ImageServiceTest, AStreamHasEveryImageOnce) {
  for (int i = 0; i < 20; ++i) {
    Image image;
    image.id = absl::StrCat("sha256:", i);
    store_.Add(image);
  }
  grpc::ClientContext context;
  const auto stream = stub_->StreamImages(&context, {});

  std::vector<std::string> ids;
  runtime::v1::StreamImagesResponse response;
  while (stream->Read(&response)) {
    for (const auto& image : response.images()) ids.push_back(image.id());
  }

  EXPECT_TRUE(stream->Finish().ok());
  ASSERT_EQ(ids.size(), 20u);
  EXPECT_EQ(ids.front(), "sha256:0");
  EXPECT_EQ(ids.back(), "sha256:19");
}

}  // namespace
}  // namespace podvisor
