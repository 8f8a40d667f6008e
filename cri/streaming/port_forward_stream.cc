#include "cri/streaming/port_forward_stream.h"

#include <algorithm>
#include <atomic>
#include <iterator>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "base/clean_text.h"
#include "base/status_macros.h"

namespace podvisor {
namespace {

using Kind = StreamPeer::Input::Kind;

constexpr size_t kMaxErrorBytes = 1024;

// Two streams of one request id, and the connection once both are there.
struct Forward {
  uint16_t port = 0;
  uint32_t error = 0;
  uint32_t data = 0;
  absl::Time pair_end;
  std::atomic<bool> aborted{false};        // by the client
  std::unique_ptr<ForwardedPort> dialled;  // from here on it is
};

class PortForwardStream {
 public:
  PortForwardStream(ByteStream* bytes, SpdyConnection* connection,
                    absl::Duration creation, const PortDialer& dial)
      : bytes_(bytes),
        connection_(connection),
        creation_(creation),
        dial_(dial) {}

  ~PortForwardStream() {
    // Those that write to the client are woken, then those that read.
    bytes_->Cancel();
    for (auto& [id, forward] : forwards_) {
      if (forward->dialled != nullptr) forward->dialled->HangUp();
    }
  }

  void Serve() {
    absl::Status status;
    while (status.ok()) {
      absl::StatusOr<std::vector<SpdyEvent>> events =
          connection_->Receive(NextPairEnd());
      // First, so that their places are free for new ones.
      Reap();
      if (absl::IsDeadlineExceeded(events.status()) && ResetLatePairs()) {
        continue;
      }
      status = events.status();
      for (size_t i = 0; status.ok() && i < events->size(); ++i) {
        status = Handle(std::move((*events)[i]));
      }
    }
  }

 private:
  using Forwards = std::map<std::string, std::unique_ptr<Forward>>;

  absl::Status Handle(SpdyEvent event) {
    if (const auto* opened = std::get_if<SpdyOpened>(&event)) {
      return Open(*opened);
    }
    if (auto* received = std::get_if<SpdyReceived>(&event)) {
      return Push(received->stream,
                  {.kind = Kind::kData, .data = std::move(received->data)});
    }
    if (const auto* closed = std::get_if<SpdyHalfClosed>(&event)) {
      return Push(closed->stream, {.kind = Kind::kEndOfData});
    }
    if (const auto* aborted = std::get_if<SpdyAborted>(&event)) {
      Abort(aborted->stream);
    }
    return absl::OkStatus();
  }

  // By the client. Half a pair is dropped whole: nobody would ever hang up on
  // what is dialled for it.
  void Abort(uint32_t stream) {
    for (auto it = forwards_.begin(); it != forwards_.end(); ++it) {
      Forward& forward = *it->second;
      if (forward.dialled == nullptr &&
          (forward.data == stream || forward.error == stream)) {
        const uint32_t other = forward.data + forward.error - stream;
        if (other != 0) connection_->Reset(other).IgnoreError();
        forwards_.erase(it);
        return;
      }
      if (forward.dialled != nullptr && forward.data == stream) {
        forward.aborted = true;
        forward.dialled->HangUp();
        return;
      }
    }
  }

  absl::Status Open(const SpdyOpened& opened) {
    const absl::string_view type = FindHeader(opened.headers, "streamtype");
    std::string id(FindHeader(opened.headers, "requestid"));
    const bool is_error = type == "error";
    // Old clients have no ids; their data stream follows its error stream.
    if (id.empty()) {
      id = absl::StrCat("#", is_error ? opened.stream : opened.stream - 2);
    }
    uint32_t port = 0;
    if ((!is_error && type != "data") ||
        !absl::SimpleAtoi(FindHeader(opened.headers, "port"), &port) ||
        port == 0 || port > UINT16_MAX) {
      return connection_->Reset(opened.stream);
    }
    auto found = forwards_.find(id);
    if (found == forwards_.end()) {
      if (forwards_.size() >= kMaxForwards) {
        return connection_->Reset(opened.stream);
      }
      found = forwards_.emplace(id, std::make_unique<Forward>()).first;
      found->second->pair_end = bytes_->Now() + creation_;
      found->second->port = static_cast<uint16_t>(port);
    }
    Forward& forward = *found->second;
    uint32_t& place = is_error ? forward.error : forward.data;
    if (place != 0 || forward.port != port) {
      return connection_->Reset(opened.stream);
    }
    place = opened.stream;
    RETURN_IF_ERROR(connection_->Accept(opened.stream));
    if (forward.error != 0 && forward.data != 0) Dial(&forward);
    return absl::OkStatus();
  }

  void Dial(Forward* forward) {
    forward->dialled = std::make_unique<ForwardedPort>(
        forward->port, dial_, ClientEnd::kSaid,
        [this, forward](bool, absl::string_view data) {
          return data.empty() ? connection_->CloseWrite(forward->data)
                              : connection_->Send(forward->data, data);
        },
        [this, forward](const absl::Status& status) {
          Tell(*forward, status);
        });
  }

  void Tell(const Forward& forward, const absl::Status& end) {
    if (end.ok()) {
      connection_->CloseWrite(forward.data).IgnoreError();
    } else if (!forward.aborted) {
      // Not for a client that wants no more: it may have heard all.
      connection_->Send(forward.error, CleanText(end.message(), kMaxErrorBytes))
          .IgnoreError();
    }
    connection_->CloseWrite(forward.error).IgnoreError();
    // Whoever still sends has nobody who listens.
    if (!end.ok()) connection_->Reset(forward.data).IgnoreError();
  }

  // Only a connection whose pair is complete takes input: a client may send
  // once it was answered, but what is sent earlier is not kept without bound.
  absl::Status Push(uint32_t stream, const StreamPeer::Input& input) {
    Forward* const forward = FindByData(stream);
    if (forward == nullptr) return absl::OkStatus();
    if (forward->dialled == nullptr) {
      return absl::FailedPreconditionError("data before its error stream");
    }
    ASSIGN_OR_RETURN(const bool pushed, forward->dialled->Push(input, *bytes_));
    return pushed ? absl::OkStatus() : connection_->Reset(stream);
  }

  Forward* FindByData(uint32_t stream) {
    for (auto& [id, forward] : forwards_) {
      if (forward->data == stream) return forward.get();
    }
    return nullptr;
  }

  absl::Time NextPairEnd() const {
    absl::Time end = absl::InfiniteFuture();
    for (const auto& [id, forward] : forwards_) {
      if (forward->dialled == nullptr) end = std::min(end, forward->pair_end);
    }
    return end;
  }

  // True if there was one.
  bool ResetLatePairs() {
    bool any = false;
    const absl::Time now = bytes_->Now();
    for (auto it = forwards_.begin(); it != forwards_.end();) {
      const Forward& forward = *it->second;
      if (forward.dialled != nullptr || now < forward.pair_end) {
        ++it;
        continue;
      }
      any = true;
      const uint32_t stream = forward.error != 0 ? forward.error : forward.data;
      connection_->Reset(stream).IgnoreError();
      it = forwards_.erase(it);
    }
    return any;
  }

  void Reap() {
    for (auto it = forwards_.begin(); it != forwards_.end();) {
      const auto& dialled = it->second->dialled;
      it = dialled != nullptr && dialled->is_done() ? forwards_.erase(it)
                                                    : std::next(it);
    }
  }

  ByteStream* const bytes_;
  SpdyConnection* const connection_;
  const absl::Duration creation_;
  const PortDialer& dial_;
  Forwards forwards_;  // by request id; of the reading thread
};

}  // namespace

void ServePortForward(ByteStream* bytes, SpdyConnection* connection,
                      absl::Duration creation, const PortDialer& dial) {
  PortForwardStream(bytes, connection, creation, dial).Serve();
}

}  // namespace podvisor
