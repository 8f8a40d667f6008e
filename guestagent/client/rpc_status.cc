#include "guestagent/client/rpc_status.h"

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "base/clean_text.h"

namespace podvisor {
namespace {

constexpr size_t kMaxMessageBytes = 1024;

absl::StatusCode CodeOf(const grpc::Status& status) {
  switch (status.error_code()) {
    case grpc::StatusCode::CANCELLED:
      return absl::StatusCode::kUnavailable;
    case grpc::StatusCode::RESOURCE_EXHAUSTED:
      // gRPC's own words; a peer that forges them harms only itself.
      return absl::StrContains(status.error_message(), "larger than max")
                 ? absl::StatusCode::kDataLoss
                 : absl::StatusCode::kResourceExhausted;
    case grpc::StatusCode::UNKNOWN:
      return absl::StatusCode::kInternal;
    default:
      break;
  }
  const int code = static_cast<int>(status.error_code());
  if (code < 0 || code > static_cast<int>(grpc::StatusCode::UNAUTHENTICATED)) {
    return absl::StatusCode::kInternal;
  }
  return static_cast<absl::StatusCode>(code);
}

}  // namespace

absl::Status FromRpcStatus(const grpc::Status& status) {
  if (status.ok()) return absl::OkStatus();
  return absl::Status(CodeOf(status),
                      absl::StrCat("agent: ", CleanText(status.error_message(),
                                                        kMaxMessageBytes)));
}

}  // namespace podvisor
