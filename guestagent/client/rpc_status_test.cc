#include "guestagent/client/rpc_status.h"

#include <string>

#include "gtest/gtest.h"

namespace podvisor {
namespace {

TEST(RpcStatusTest, EveryCodeKeepsItsMeaning) {
  for (int code = 0; code <= 16; ++code) {
    absl::StatusCode expected = static_cast<absl::StatusCode>(code);
    if (code == grpc::StatusCode::CANCELLED) {
      expected = absl::StatusCode::kUnavailable;
    }
    if (code == grpc::StatusCode::UNKNOWN) {
      expected = absl::StatusCode::kInternal;
    }

    const absl::Status status =
        FromRpcStatus(grpc::Status(static_cast<grpc::StatusCode>(code), "m"));

    EXPECT_EQ(status.code(), expected) << code;
  }
}

TEST(RpcStatusTest, CodesOutsideTheTableAreInternal) {
  for (const int code : {-1, 17, 31}) {
    EXPECT_TRUE(absl::IsInternal(
        FromRpcStatus(grpc::Status(static_cast<grpc::StatusCode>(code), "m"))));
  }
}

TEST(RpcStatusTest, MessageOverTheLimitIsDataLoss) {
  const absl::Status status =
      FromRpcStatus(grpc::Status(grpc::StatusCode::RESOURCE_EXHAUSTED,
                                 "Received message larger than max (8 vs. 4)"));

  EXPECT_EQ(status.code(), absl::StatusCode::kDataLoss);
}

TEST(RpcStatusTest, MessagesAreBoundedAndOneLine) {
  const absl::Status status = FromRpcStatus(grpc::Status(
      grpc::StatusCode::NOT_FOUND, "a\nb\x1b[31m" + std::string(9999, 'x')));

  EXPECT_LE(status.message().size(), 1100u);
  EXPECT_EQ(status.message().find('\n'), absl::string_view::npos);
  EXPECT_EQ(status.message().find('\x1b'), absl::string_view::npos);
}

}  // namespace
}  // namespace podvisor
