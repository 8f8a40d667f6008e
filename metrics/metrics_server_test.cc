#include "metrics/metrics_server.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include <string>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "base/file.h"
#include "base/unique_fd.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "metrics/sample_vms.h"

namespace podvisor {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;

UniqueFd Connect(const std::string& address) {
  const std::vector<std::string> parts = absl::StrSplit(address, ':');
  sockaddr_in to = {};
  to.sin_family = AF_INET;
  int port = 0;
  EXPECT_TRUE(absl::SimpleAtoi(parts.at(1), &port));
  to.sin_port = htons(static_cast<uint16_t>(port));
  inet_pton(AF_INET, parts.at(0).c_str(), &to.sin_addr);
  UniqueFd fd(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  const timeval limit = {20, 0};
  setsockopt(fd.get(), SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
  EXPECT_EQ(connect(fd.get(), reinterpret_cast<sockaddr*>(&to), sizeof(to)), 0);
  return fd;
}

// Everything until the server closes.
std::string ReadToEnd(int fd) {
  std::string all;
  char buffer[65536];
  for (ssize_t n; (n = read(fd, buffer, sizeof(buffer))) > 0;) {
    all.append(buffer, static_cast<size_t>(n));
  }
  return all;
}

std::string Talk(const std::string& address, absl::string_view request) {
  const UniqueFd fd = Connect(address);
  EXPECT_TRUE(WriteAll(fd.get(), request).ok());
  return ReadToEnd(fd.get());
}

std::string Get(const std::string& address, absl::string_view path,
                absl::string_view headers = "") {
  return Talk(address, absl::StrCat("GET ", path, " HTTP/1.1\r\nHost: x\r\n",
                                    headers, "Connection: close\r\n\r\n"));
}

class MetricsServerTest : public testing::Test {
 protected:
  MetricsServerTest() {
    FillSampleMetrics(2, &metrics_);
    auto server = StartMetricsServer(
        {.address = "127.0.0.1:0"}, &metrics_, [this] { return health_; },
        &clock_);
    EXPECT_TRUE(server.ok()) << server.status();
    server_ = *std::move(server);
  }

  PodMetrics metrics_;
  absl::Status health_;
  FakeClock clock_;
  std::unique_ptr<HttpServer> server_;
};

TEST_F(MetricsServerTest, ServesWhatPrometheusScrapes) {
  const std::string reply = Get(server_->address(), "/metrics?x=1");

  EXPECT_THAT(reply, StartsWith("HTTP/1.1 200 OK\r\n"));
  EXPECT_THAT(reply, HasSubstr("text/plain; version=0.0.4"));
  EXPECT_THAT(reply, HasSubstr(RenderPrometheus(metrics_)));
}

TEST_F(MetricsServerTest, CompressesForWhoTakesIt) {
  const std::string plain = Get(server_->address(), "/metrics");
  const std::string packed =
      Get(server_->address(), "/metrics", "Accept-Encoding: gzip\r\n");

  EXPECT_THAT(packed, HasSubstr("Content-Encoding: gzip\r\n"));
  EXPECT_LT(packed.size() * 4, plain.size());
}

TEST_F(MetricsServerTest, HealthIsAStatusCode) {
  EXPECT_THAT(Get(server_->address(), "/healthz"),
              StartsWith("HTTP/1.1 200 OK\r\n"));

  health_ = absl::UnavailableError("state database: disk\nfull");

  const std::string reply = Get(server_->address(), "/healthz");
  EXPECT_THAT(reply, StartsWith("HTTP/1.1 503 "));
  EXPECT_THAT(reply, HasSubstr("state database: disk"));
}

TEST_F(MetricsServerTest, ThePageForPeopleEscapesWhatOthersChose) {
  VmSnapshot vm = SampleVm(0);
  vm.pod = "<script>alert('x')</script>";
  metrics_.SetVm(vm);

  const std::string reply = Get(server_->address(), "/");

  EXPECT_THAT(reply, StartsWith("HTTP/1.1 200 OK\r\n"));
  EXPECT_THAT(reply, HasSubstr("&lt;script&gt;"));
  EXPECT_THAT(reply, Not(HasSubstr("<script>")));
  EXPECT_THAT(reply, HasSubstr("2 VMs"));
}

TEST_F(MetricsServerTest, OneConnectionCarriesManyRequests) {
  const std::string reply =
      Talk(server_->address(),
           "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"
           "HEAD /metrics HTTP/1.1\r\nHost: x\r\n\r\n"
           "GET /nowhere HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");

  EXPECT_THAT(reply, StartsWith("HTTP/1.1 200 OK\r\n"));
  EXPECT_THAT(reply, HasSubstr("HTTP/1.1 404 "));
  EXPECT_THAT(reply, Not(HasSubstr("podvisor_vm_vcpus")));
}

TEST_F(MetricsServerTest, OnlyGetAndHeadAreAnswered) {
  EXPECT_THAT(Talk(server_->address(),
                   "DELETE / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"),
              StartsWith("HTTP/1.1 405 "));
}

TEST_F(MetricsServerTest, RequestsThatBreakTheRulesCostTheirConnectionOnly) {
  const std::string address = server_->address();
  EXPECT_EQ(Talk(address, "\x16\x03\x01 not http at all\r\n\r\n"), "");
  EXPECT_EQ(Talk(address,
                 absl::StrCat("GET / HTTP/1.1\r\nX: ", std::string(7000, 'x'),
                              std::string(7000, 'y'), "\r\n\r\n")),
            "");
  EXPECT_EQ(Talk(address,
                 "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 999999999\r\n"
                 "\r\n"),
            "");

  EXPECT_THAT(Get(address, "/healthz"), StartsWith("HTTP/1.1 200 OK\r\n"));
}

TEST(HttpServerTest, TooManyConnectionsAreClosedAtOnce) {
  HttpServerOptions options;
  options.max_connections = 2;
  auto server = HttpServer::Start(
      options, [](const std::string&) { return HttpResponse{}; });
  ASSERT_TRUE(server.ok()) << server.status();
  const UniqueFd first = Connect((*server)->address());
  const UniqueFd second = Connect((*server)->address());

  EXPECT_EQ(ReadToEnd(Connect((*server)->address()).get()), "");
}

TEST(HttpServerTest, ASilentClientIsClosed) {
  HttpServerOptions options;
  options.timeout = absl::Milliseconds(50);
  auto server = HttpServer::Start(
      options, [](const std::string&) { return HttpResponse{}; });
  ASSERT_TRUE(server.ok()) << server.status();

  EXPECT_EQ(ReadToEnd(Connect((*server)->address()).get()), "");
}

TEST(HttpServerTest, StopsWithOpenConnections) {
  auto server =
      HttpServer::Start({}, [](const std::string&) { return HttpResponse{}; });
  ASSERT_TRUE(server.ok()) << server.status();
  const UniqueFd idle = Connect((*server)->address());
  const UniqueFd half = Connect((*server)->address());
  ASSERT_TRUE(WriteAll(half.get(), "GET / HT").ok());

  server->reset();

  EXPECT_EQ(ReadToEnd(idle.get()), "");
}

TEST(HttpServerTest, OnlyLoopbackAddressesAreTaken) {
  for (const char* address :
       {"", "127.0.0.1", "0.0.0.0:0", "[::]:0", "192.0.2.1:0", "127.0.0.1:x",
        "127.0.0.1:65536", "127.0.0.1:-1", "localhost:0", ":0"}) {
    HttpServerOptions options;
    options.address = address;
    EXPECT_TRUE(
        absl::IsInvalidArgument(HttpServer::Start(options, nullptr).status()))
        << address;
  }
}

TEST(HttpServerTest, APortInUseIsUnavailable) {
  auto first =
      HttpServer::Start({}, [](const std::string&) { return HttpResponse{}; });
  ASSERT_TRUE(first.ok()) << first.status();
  HttpServerOptions options;
  options.address = (*first)->address();

  EXPECT_TRUE(
      absl::IsUnavailable(HttpServer::Start(options, nullptr).status()));
}

}  // namespace
}  // namespace podvisor
