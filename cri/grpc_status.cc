#include "cri/grpc_status.h"

#include <string>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "base/clean_text.h"
#include "image/image_store.h"

namespace podvisor {
namespace {

// Exhaustive on purpose: the numbers agree today, but a new Abseil code must
// be decided here, not cast.
grpc::StatusCode ToGrpcCode(absl::StatusCode code) {
  switch (code) {
    case absl::StatusCode::kOk:
      return grpc::StatusCode::OK;
    case absl::StatusCode::kCancelled:
      return grpc::StatusCode::CANCELLED;
    case absl::StatusCode::kInvalidArgument:
      return grpc::StatusCode::INVALID_ARGUMENT;
    case absl::StatusCode::kDeadlineExceeded:
      return grpc::StatusCode::DEADLINE_EXCEEDED;
    case absl::StatusCode::kNotFound:
      return grpc::StatusCode::NOT_FOUND;
    case absl::StatusCode::kAlreadyExists:
      return grpc::StatusCode::ALREADY_EXISTS;
    case absl::StatusCode::kPermissionDenied:
      return grpc::StatusCode::PERMISSION_DENIED;
    case absl::StatusCode::kResourceExhausted:
      return grpc::StatusCode::RESOURCE_EXHAUSTED;
    case absl::StatusCode::kFailedPrecondition:
      return grpc::StatusCode::FAILED_PRECONDITION;
    case absl::StatusCode::kAborted:
      return grpc::StatusCode::ABORTED;
    case absl::StatusCode::kOutOfRange:
      return grpc::StatusCode::OUT_OF_RANGE;
    case absl::StatusCode::kUnimplemented:
      return grpc::StatusCode::UNIMPLEMENTED;
    case absl::StatusCode::kUnavailable:
      return grpc::StatusCode::UNAVAILABLE;
    case absl::StatusCode::kDataLoss:
      return grpc::StatusCode::DATA_LOSS;
    case absl::StatusCode::kUnauthenticated:
      return grpc::StatusCode::UNAUTHENTICATED;
    case absl::StatusCode::kUnknown:
    case absl::StatusCode::kInternal:
    default:
      return grpc::StatusCode::INTERNAL;
  }
}

// CleanText speaks of text of any length; a status travels in HTTP/2 trailers,
// which clients limit to 8 KiB with all else in them.
constexpr size_t kMaxMessageBytes = 4096;

}  // namespace

grpc::Status ToGrpcStatus(const absl::Status& status) {
  if (status.ok()) return grpc::Status::OK;
  return grpc::Status(ToGrpcCode(status.code()),
                      CleanText(status.message(), kMaxMessageBytes));
}

grpc::Status ToGrpcCreateStatus(const absl::Status& status) {
  const size_t at = status.message().find(kImageVolumeMountFailed);
  if (at == absl::string_view::npos) return ToGrpcStatus(status);
  return ToGrpcStatus(absl::Status(status.code(), status.message().substr(at)));
}

grpc::Status ToGrpcPullStatus(const absl::Status& status) {
  absl::string_view known;
  if (absl::IsUnavailable(status)) known = "RegistryUnavailable";
  if (absl::IsFailedPrecondition(status) &&
      absl::StrContains(status.message(), kSignatureValidationFailed)) {
    known = kSignatureValidationFailed;
  }
  if (known.empty()) return ToGrpcStatus(status);
  return grpc::Status(
      grpc::StatusCode::UNKNOWN,
      CleanText(absl::StrCat(known, ": ", status.message()), kMaxMessageBytes));
}

}  // namespace podvisor
