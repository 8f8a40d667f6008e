#ifndef PODVISOR_METRICS_HTTP_SERVER_H_
#define PODVISOR_METRICS_HTTP_SERVER_H_

#include <cstddef>
#include <functional>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "absl/time/time.h"

namespace podvisor {

struct HttpResponse {
  int status = 200;
  std::string content_type = "text/plain; charset=utf-8";
  std::string body;
};

// Answers a GET for `path` (query cut off). Called on the server's one thread:
// must not wait for anything.
using HttpHandler = std::function<HttpResponse(const std::string& path)>;

struct HttpServerOptions {
  std::string address = "127.0.0.1:0";         // loopback only; port 0: any
  absl::Duration timeout = absl::Seconds(10);  // for a request, and a response
  size_t max_connections = 32;  // further ones are closed at once
  size_t max_header_bytes = 8 << 10;
  size_t max_body_bytes = 4 << 10;  // of a request
};

// A small HTTP/1.1 server for machines and people on this host: GET and HEAD,
// keep-alive, gzip for clients that take it. No authentication, therefore
// loopback only. One thread of its own, which the destructor joins: open
// connections are closed, and no wait depends on a client.
//
// Every request is untrusted: sizes, connections and times are bounded, and a
// request that breaks a rule costs its connection and nothing else.
class HttpServer {
 public:
  virtual ~HttpServer() = default;

  // "127.0.0.1:9539", with the port that was bound.
  virtual std::string address() const = 0;

  // InvalidArgument: not an address of the loopback interface with a port.
  // ResourceExhausted, Unavailable: cannot be bound.
  static absl::StatusOr<std::unique_ptr<HttpServer>> Start(
      const HttpServerOptions& options, HttpHandler handler);

 protected:
  HttpServer() = default;
};

}  // namespace podvisor

#endif  // PODVISOR_METRICS_HTTP_SERVER_H_
