#include "metrics/http_server.h"

#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/beast/core.hpp>
#include <boost/beast/http.hpp>
#include <charconv>
#include <chrono>
#include <optional>
#include <thread>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "metrics/gzip.h"

namespace podvisor {
namespace {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace http = boost::beast::http;
using asio::ip::tcp;
using boost::system::error_code;

// Smaller bodies are not worth a gzip header.
constexpr size_t kMinGzipBytes = 1024;

using Request = http::request<http::string_body>;
using Response = http::response<http::string_body>;

absl::StatusOr<tcp::endpoint> ParseEndpoint(absl::string_view address) {
  const absl::Status bad = absl::InvalidArgumentError(
      absl::StrCat("\"", address,
                   "\" is not a loopback address with a port, such as "
                   "127.0.0.1:9539 or [::1]:9539"));
  const size_t colon = address.rfind(':');
  if (colon == absl::string_view::npos) return bad;
  absl::string_view host = address.substr(0, colon);
  if (absl::StartsWith(host, "[") && absl::EndsWith(host, "]")) {
    host = host.substr(1, host.size() - 2);
  }
  const absl::string_view digits = address.substr(colon + 1);
  uint16_t port = 0;
  const auto [end, error] =
      std::from_chars(digits.data(), digits.data() + digits.size(), port);
  if (error != std::errc() || end != digits.data() + digits.size()) return bad;
  error_code code;
  const asio::ip::address ip = asio::ip::make_address(std::string(host), code);
  if (code || !ip.is_loopback()) return bad;
  return tcp::endpoint(ip, port);
}

std::string PathOf(const Request& request) {
  const std::string target(request.target().data(), request.target().size());
  return target.substr(0, target.find('?'));
}

bool TakesGzip(const Request& request) {
  const auto value = request[http::field::accept_encoding];
  return absl::StrContains(
      absl::AsciiStrToLower(absl::string_view(value.data(), value.size())),
      "gzip");
}

Response Answer(const Request& request, const HttpHandler& handler) {
  HttpResponse result;
  if (request.method() == http::verb::get ||
      request.method() == http::verb::head) {
    result = handler(PathOf(request));
  } else {
    result.status = 405;
    result.body = "only GET and HEAD\n";
  }
  Response response;
  response.result(static_cast<unsigned>(result.status));
  response.version(request.version());
  response.keep_alive(request.keep_alive());
  response.set(http::field::content_type, result.content_type);
  response.set(http::field::cache_control, "no-store");
  response.set("X-Content-Type-Options", "nosniff");
  if (TakesGzip(request) && result.body.size() >= kMinGzipBytes) {
    result.body = Gzip(result.body);
    response.set(http::field::content_encoding, "gzip");
    response.set(http::field::vary, "Accept-Encoding");
  }
  const size_t size = result.body.size();
  if (request.method() != http::verb::head) {
    response.body() = std::move(result.body);
  }
  response.content_length(size);
  return response;
}

class BeastServer;

// One connection; kept alive by the operation that it waits for.
class Connection : public std::enable_shared_from_this<Connection> {
 public:
  Connection(tcp::socket socket, BeastServer* server)
      : stream_(std::move(socket)), server_(server) {}
  ~Connection();

  void Read();

 private:
  void OnRead(error_code code);
  void OnWritten(error_code code);

  beast::tcp_stream stream_;
  BeastServer* const server_;
  beast::flat_buffer buffer_;
  std::optional<http::request_parser<http::string_body>> parser_;
  Response response_;
};

class BeastServer final : public HttpServer {
 public:
  BeastServer(const HttpServerOptions& options, HttpHandler handler)
      : options_(options), handler_(std::move(handler)), acceptor_(context_) {}

  // The context goes after the thread, and takes open connections with it.
  ~BeastServer() override {
    context_.stop();
    if (thread_.joinable()) thread_.join();
  }

  absl::Status Listen() {
    ASSIGN_OR_RETURN(const tcp::endpoint endpoint,
                     ParseEndpoint(options_.address));
    error_code code;
    acceptor_.open(endpoint.protocol(), code);
    if (!code) acceptor_.set_option(tcp::acceptor::reuse_address(true), code);
    if (!code) acceptor_.bind(endpoint, code);
    if (!code)
      acceptor_.listen(asio::socket_base::max_listen_connections, code);
    if (code) {
      return absl::UnavailableError(
          absl::StrCat("listen on ", options_.address, ": ", code.message()));
    }
    Accept();
    thread_ = std::jthread([this] { context_.run(); });
    return absl::OkStatus();
  }

  std::string address() const override {
    const tcp::endpoint endpoint = acceptor_.local_endpoint();
    const std::string host = endpoint.address().to_string();
    return absl::StrCat(
        endpoint.address().is_v6() ? absl::StrCat("[", host, "]") : host, ":",
        endpoint.port());
  }

  const HttpServerOptions& options() const { return options_; }
  const HttpHandler& handler() const { return handler_; }
  void ConnectionClosed() { --connections_; }

 private:
  void Accept() {
    acceptor_.async_accept([this](error_code code, tcp::socket socket) {
      if (code) return AcceptLater();
      if (connections_ < options_.max_connections) {
        ++connections_;
        std::make_shared<Connection>(std::move(socket), this)->Read();
      }
      Accept();
    });
  }

  // Out of descriptors, most likely: not again at once, and not never.
  void AcceptLater() {
    retry_.expires_after(std::chrono::milliseconds(200));
    retry_.async_wait([this](error_code code) {
      if (!code) Accept();
    });
  }

  const HttpServerOptions options_;
  const HttpHandler handler_;
  size_t connections_ = 0;  // only on the thread; outlives the context
  asio::io_context context_{1};
  tcp::acceptor acceptor_;
  asio::steady_timer retry_{context_};
  std::jthread thread_;
};

Connection::~Connection() { server_->ConnectionClosed(); }

void Connection::Read() {
  const HttpServerOptions& options = server_->options();
  parser_.emplace();
  parser_->header_limit(static_cast<uint32_t>(options.max_header_bytes));
  parser_->body_limit(options.max_body_bytes);
  stream_.expires_after(
      std::chrono::milliseconds(absl::ToInt64Milliseconds(options.timeout)));
  http::async_read(stream_, buffer_, *parser_,
                   [self = shared_from_this()](error_code code, size_t) {
                     self->OnRead(code);
                   });
}

void Connection::OnRead(error_code code) {
  // A client that is gone, too slow or no HTTP client: no answer helps it.
  if (code) return;
  response_ = Answer(parser_->get(), server_->handler());
  const HttpServerOptions& options = server_->options();
  stream_.expires_after(
      std::chrono::milliseconds(absl::ToInt64Milliseconds(options.timeout)));
  http::async_write(stream_, response_,
                    [self = shared_from_this()](error_code code, size_t) {
                      self->OnWritten(code);
                    });
}

void Connection::OnWritten(error_code code) {
  if (code) return;
  if (response_.need_eof()) {
    stream_.socket().shutdown(tcp::socket::shutdown_send, code);
    return;
  }
  Read();
}

}  // namespace

absl::StatusOr<std::unique_ptr<HttpServer>> HttpServer::Start(
    const HttpServerOptions& options, HttpHandler handler) {
  auto server = std::make_unique<BeastServer>(options, std::move(handler));
  RETURN_IF_ERROR(server->Listen());
  return server;
}

}  // namespace podvisor
