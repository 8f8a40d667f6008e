#include "image/skopeo_puller.h"

#include <sys/stat.h>
#include <unistd.h>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "base/file.h"
#include "base/process.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace podvisor {
namespace {

using testing::HasSubstr;
using testing::Not;

constexpr int64_t kEnough = 1 << 20;

struct Case {
  const char* message;
  absl::StatusCode code;
};

TEST(SkopeoErrorTest, TextsMeanTheCallersNextMove) {
  const Case cases[] = {
      {"reading manifest none in q.io/a: manifest unknown: manifest unknown",
       absl::StatusCode::kNotFound},
      {"reading manifest 1 in q.io/a: name unknown: repository name not known",
       absl::StatusCode::kNotFound},
      {"pinging container registry q.io: Get \\\"https://q.io/v2/\\\": dial "
       "tcp "
       "127.0.0.1:1: connect: connection refused",
       absl::StatusCode::kUnavailable},
      {"dial tcp: lookup q.io on 10.0.0.1:53: no such host",
       absl::StatusCode::kUnavailable},
      {"net/http: TLS handshake timeout", absl::StatusCode::kUnavailable},
      {"x509: certificate signed by unknown authority",
       absl::StatusCode::kUnavailable},
      {"invalid status code from registry 500 (Internal Server Error)",
       absl::StatusCode::kUnavailable},
      {"reading manifest 1 in q.io/a: unauthorized: authentication required",
       absl::StatusCode::kPermissionDenied},
      {"denied: requested access to the resource is denied",
       absl::StatusCode::kPermissionDenied},
      {"writing blob: write /d/dir-put-blob1: no space left on device",
       absl::StatusCode::kResourceExhausted},
      {"toomanyrequests: You have reached your pull rate limit",
       absl::StatusCode::kResourceExhausted},
      {"writing blob: happened during read: Digest did not match, expected "
       "sha256:a, got sha256:b",
       absl::StatusCode::kDataLoss},
      {"reading blob sha256:a: Error fetching blob: invalid status code from "
       "registry 404 (Not Found)",
       absl::StatusCode::kDataLoss},
      {"Error loading trust policy: open nopol: no such file or directory",
       absl::StatusCode::kFailedPrecondition},
      {"Source image rejected: A signature was required, but no signature "
       "exists",
       absl::StatusCode::kFailedPrecondition},
      {"(Mirrors also failed: [m.io/a:1: reading manifest 1 in m.io/a: "
       "manifest "
       "unknown: manifest unknown]): q.io/a:1: dial tcp: connection refused",
       absl::StatusCode::kUnavailable},
      {"something nobody has seen", absl::StatusCode::kUnavailable},
      {"", absl::StatusCode::kUnavailable},
  };
  for (const Case& c : cases) {
    const absl::Status status = SkopeoError(
        absl::StrCat("time=\"2026-11-22T11:10:31Z\" level=fatal msg=\"",
                     c.message, "\"\n"),
        "docker://q.io/a:1", RegistryAuth());
    EXPECT_EQ(status.code(), c.code) << status;
    EXPECT_THAT(std::string(status.message()), Not(HasSubstr("level=")));
  }
}

TEST(SkopeoErrorTest, WordsOfTheImagesNameMeanNothing) {
  const absl::Status status = SkopeoError(
      "level=fatal msg=\"reading manifest forbidden in q.io/acme/denied-page: "
      "manifest unknown: https://q.io/v2/acme/denied-page/manifests\"",
      "docker://q.io/acme/denied-page:forbidden", RegistryAuth());

  EXPECT_TRUE(absl::IsNotFound(status)) << status;
  EXPECT_THAT(std::string(status.message()), HasSubstr("acme/denied-page"));
  EXPECT_TRUE(absl::IsUnavailable(SkopeoError(
      "level=fatal msg=\"pinging container registry denied.example: Get "
      "https://denied.example/v2/: dial tcp: lookup denied.example: no such "
      "host\"",
      "docker://denied.example/p:1", RegistryAuth())));
  EXPECT_TRUE(absl::IsPermissionDenied(
      SkopeoError("level=fatal msg=\"invalid username/password: unauthorized\"",
                  "docker://q.io/p:1", RegistryAuth())));
}

TEST(SkopeoErrorTest, SecretsAndControlBytesDoNotSurvive) {
  RegistryAuth auth;
  auth.username = "bob";
  auth.password = "hunter22";
  auth.identity_token = "idtok";
  const absl::Status status = SkopeoError(
      absl::StrCat("level=fatal msg=\"Basic ",
                   absl::Base64Escape("bob:hunter22"),
                   " hunter22 idtok https://x:y@q.io/ \x1b[31m\n\""),
      "", auth);

  const std::string message(status.message());
  for (const char* secret : {"hunter22", "idtok", "x:y", "\x1b", "\n"}) {
    EXPECT_THAT(message, Not(HasSubstr(secret)));
  }
  EXPECT_THAT(message,
              Not(HasSubstr(absl::Base64Escape("bob:hunter22").c_str())));
}

TEST(SkopeoErrorTest, MessagesAreBounded) {
  EXPECT_LE(SkopeoError(std::string(1 << 20, 'x'), "", RegistryAuth())
                .message()
                .size(),
            1100u);
}

TEST(AuthFileTest, HoldsWhatContainersAuthJsonWants) {
  RegistryAuth auth;
  auth.username = "u";
  auth.password = "p\"";
  EXPECT_EQ(*AuthFile(auth, "q.io:5000"),
            R"({"auths":{"q.io:5000":{"auth":"dTpwIg=="}}})");
  auth = RegistryAuth();
  auth.identity_token = "t";
  EXPECT_THAT(*AuthFile(auth, "q.io"), HasSubstr(R"("identitytoken":"t")"));
  auth.registry_token = "bearer";
  EXPECT_TRUE(absl::IsInvalidArgument(AuthFile(auth, "q.io").status()));
}

// A skopeo that misbehaves.
class FakeSkopeoTest : public testing::Test {
 protected:
  FakeSkopeoTest() : directory_(testing::TempDir() + "/fake-skopeo") {
    EXPECT_TRUE(RemoveTree(directory_).ok());
    EXPECT_TRUE(MakeDirectories(directory_ + "/work").ok());
    context_.work_directory = directory_ + "/work";
    context_.deadline = absl::Now() + absl::Seconds(60);
  }
  ~FakeSkopeoTest() override { EXPECT_TRUE(RemoveTree(directory_).ok()); }

  SkopeoPuller Puller(const std::string& script) {
    SkopeoOptions options;
    options.skopeo = directory_ + "/skopeo";
    options.progress_timeout = progress_timeout_;
    EXPECT_TRUE(
        WriteFileAtomically(options.skopeo, "#!/bin/sh\n" + script, 0700).ok());
    return SkopeoPuller(options, &clock_);
  }

  std::string directory_;
  SystemClock clock_;
  PullContext context_;
  absl::Duration progress_timeout_ = absl::Seconds(60);
  const ImageReference reference_ = *ParseImageReference("q.io:5000/a:1");
};

TEST_F(FakeSkopeoTest, CredentialsAreInAFileAndNowhereElse) {
  context_.auth.username = "bob";
  context_.auth.password = "hunter22";

  const absl::StatusOr<std::string> seen =
      Puller(
          "echo \"$@\"; env; while [ $# -gt 0 ]; do [ \"$1\" = --authfile ] "
          "&& stat -c %a \"$2\" && cat \"$2\"; shift; done")
          .FetchManifest(reference_, context_);

  ASSERT_TRUE(seen.ok()) << seen.status();
  EXPECT_THAT(*seen, HasSubstr("600\n{\"auths\":{\"q.io:5000\":"));
  EXPECT_THAT(*seen, Not(HasSubstr("hunter22")));
  EXPECT_NE(access((context_.work_directory + "/auth.json").c_str(), F_OK), 0);
}

TEST_F(FakeSkopeoTest, NoManifestAndTooMuchManifestAreDataLoss) {
  EXPECT_TRUE(absl::IsDataLoss(
      Puller("exit 0").FetchManifest(reference_, context_).status()));
  EXPECT_TRUE(absl::IsDataLoss(Puller("head -c 5000000 /dev/zero")
                                   .FetchManifest(reference_, context_)
                                   .status()));
}

TEST_F(FakeSkopeoTest, BeingKilledIsUnavailable) {
  EXPECT_TRUE(absl::IsUnavailable(
      Puller("kill -9 $$").FetchManifest(reference_, context_).status()));
}

TEST_F(FakeSkopeoTest, CancellationKillsTheWholeGroup) {
  const std::string pid_file = directory_ + "/pid";
  const SkopeoPuller puller =
      Puller(absl::StrCat("sleep 1000 & echo $! >", pid_file, "; wait"));
  ProcessIdentity child;
  context_.cancelled = [&] {
    const absl::StatusOr<std::string> pid = ReadFile(pid_file);
    if (!pid.ok() || pid->empty()) return false;
    child = IdentifyProcess(atoi(pid->c_str())).value();
    return true;
  };

  const absl::Status status =
      puller.FetchImage(reference_, directory_ + "/image", kEnough, context_);

  EXPECT_TRUE(absl::IsCancelled(status)) << status;
  EXPECT_TRUE(WaitProcess(child, absl::Now() + absl::Seconds(20)).ok());
}

TEST_F(FakeSkopeoTest, ATransferWithoutProgressIsGivenUp) {
  progress_timeout_ = absl::Milliseconds(300);
  const SkopeoPuller puller = Puller("exec sleep 1000");

  const absl::Status status =
      puller.FetchImage(reference_, directory_ + "/image", kEnough, context_);

  EXPECT_TRUE(absl::IsUnavailable(status)) << status;
}

TEST_F(FakeSkopeoTest, MoreThanWasDeclaredIsCutOffAtOnce) {
  const SkopeoPuller puller = Puller(
      "for last; do :; done; mkdir ${last#dir:}\n"
      "head -c 1048577 /dev/zero > ${last#dir:}/blob; exec sleep 1000");

  const absl::Status status =
      puller.FetchImage(reference_, directory_ + "/image", kEnough, context_);

  EXPECT_TRUE(absl::IsResourceExhausted(status)) << status;
}

TEST_F(FakeSkopeoTest, TheDeadlineHolds) {
  context_.deadline = absl::Now() + absl::Milliseconds(300);

  EXPECT_TRUE(absl::IsDeadlineExceeded(
      Puller("exec sleep 1000").FetchManifest(reference_, context_).status()));
}

}  // namespace
}  // namespace podvisor
