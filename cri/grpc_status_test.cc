#include "cri/grpc_status.h"

#include <string>

#include "absl/strings/match.h"
#include "gtest/gtest.h"

namespace podvisor {
namespace {

TEST(GrpcStatusTest, EveryCodeKeepsItsMeaning) {
  // The two families number their codes alike; 1 to 16 are all there are.
  for (int code = 1; code <= 16; ++code) {
    if (code == static_cast<int>(absl::StatusCode::kUnknown)) continue;
    const absl::Status status(static_cast<absl::StatusCode>(code), "why");

    const grpc::Status result = ToGrpcStatus(status);

    EXPECT_EQ(static_cast<int>(result.error_code()), code);
    EXPECT_EQ(result.error_message(), "why");
  }
}

TEST(GrpcStatusTest, OkIsOk) {
  EXPECT_TRUE(ToGrpcStatus(absl::OkStatus()).ok());
  EXPECT_TRUE(ToGrpcPullStatus(absl::OkStatus()).ok());
}

TEST(GrpcStatusTest, UnknownNeverLeaves) {
  EXPECT_EQ(ToGrpcStatus(absl::UnknownError("x")).error_code(),
            grpc::StatusCode::INTERNAL);
  EXPECT_EQ(ToGrpcStatus(absl::Status(static_cast<absl::StatusCode>(99), "x"))
                .error_code(),
            grpc::StatusCode::INTERNAL);
  EXPECT_EQ(ToGrpcPullStatus(absl::UnknownError("x")).error_code(),
            grpc::StatusCode::INTERNAL);
}

TEST(GrpcStatusTest, MessageIsOneBoundedLine) {
  const std::string hostile =
      "a\nb\x1b[31m" + std::string(1, '\0') + std::string(100'000, 'x');

  const std::string message =
      ToGrpcStatus(absl::InternalError(hostile)).error_message();

  EXPECT_LE(message.size(), 4096u);
  for (const char c : message) {
    EXPECT_GE(static_cast<unsigned char>(c), 0x20);
  }
}

TEST(GrpcStatusTest, PullNamesTheFailuresThatKubeletKnows) {
  const grpc::Status unavailable =
      ToGrpcPullStatus(absl::UnavailableError("registry did not answer"));
  const grpc::Status signature = ToGrpcPullStatus(absl::FailedPreconditionError(
      "pull a/b:1: SignatureValidationFailed: no"));

  EXPECT_EQ(unavailable.error_code(), grpc::StatusCode::UNKNOWN);
  EXPECT_EQ(unavailable.error_message(),
            "RegistryUnavailable: registry did not answer");
  EXPECT_EQ(signature.error_code(), grpc::StatusCode::UNKNOWN);
  EXPECT_TRUE(
      absl::StartsWith(signature.error_message(), "SignatureValidationFailed"));
}

TEST(GrpcStatusTest, WhatIsWrongWithAnImageVolumeIsSaidFirst) {
  const absl::Status failed =
      absl::NotFoundError("agent: ImageVolumeMountFailed: no such path");
  const grpc::Status created = ToGrpcCreateStatus(failed);

  EXPECT_EQ(created.error_code(), grpc::StatusCode::NOT_FOUND);
  EXPECT_EQ(created.error_message(), "ImageVolumeMountFailed: no such path");
  EXPECT_EQ(ToGrpcStatus(failed).error_message(), failed.message());
}

TEST(GrpcStatusTest, OtherPullFailuresKeepTheirCode) {
  EXPECT_EQ(ToGrpcPullStatus(absl::NotFoundError("x")).error_code(),
            grpc::StatusCode::NOT_FOUND);
  EXPECT_EQ(ToGrpcPullStatus(absl::PermissionDeniedError("x")).error_code(),
            grpc::StatusCode::PERMISSION_DENIED);
}

}  // namespace
}  // namespace podvisor
