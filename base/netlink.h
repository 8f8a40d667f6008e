#ifndef PODVISOR_BASE_NETLINK_H_
#define PODVISOR_BASE_NETLINK_H_

#include <linux/netlink.h>
#include <linux/rtnetlink.h>

#include <cstdint>
#include <map>
#include <string>
#include <type_traits>
#include <utility>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "base/unique_fd.h"

namespace podvisor {

// One rtnetlink(7) request as it is put together: the header, then one
// structure of the family (ifinfomsg, ...), then attributes.
class NetlinkMessage {
 public:
  // NLM_F_REQUEST is always set.
  NetlinkMessage(uint16_t type, uint16_t flags);

  template <typename Struct>
  void Append(const Struct& value) {
    static_assert(std::is_trivially_copyable_v<Struct>);
    AppendBytes(&value, sizeof(value));
  }
  void Add(uint16_t attribute, absl::string_view bytes);
  void AddText(uint16_t attribute, absl::string_view text);  // with its NUL
  template <typename Struct>
  void AddValue(uint16_t attribute, const Struct& value) {
    static_assert(std::is_trivially_copyable_v<Struct>);
    Add(attribute, absl::string_view(reinterpret_cast<const char*>(&value),
                                     sizeof(value)));
  }
  // What is added between these two is inside of the attribute.
  size_t BeginNest(uint16_t attribute);
  void EndNest(size_t nest);

  // Ready to be sent.
  std::string Finish(uint32_t sequence) const;

 private:
  void AppendBytes(const void* bytes, size_t size);

  std::string bytes_;
};

// The attributes of one message, by type; of one that comes twice, the last.
// Views into the message.
using NetlinkAttributes = std::map<uint16_t, absl::string_view>;

// What follows the nlmsghdr in a reply.
struct NetlinkReply {
  uint16_t type = 0;
  absl::string_view payload;

  // The family's structure. DataLoss for a reply that is too short.
  template <typename Struct>
  absl::StatusOr<Struct> Header() const {
    if (payload.size() < sizeof(Struct)) {
      return absl::DataLossError("netlink: a short reply");
    }
    Struct value;
    __builtin_memcpy(&value, payload.data(), sizeof(value));
    return value;
  }
  NetlinkAttributes Attributes(size_t header_bytes) const;
};

// A value of an attribute; 0 where it is too short.
template <typename Struct>
Struct AttributeValue(absl::string_view bytes) {
  Struct value = {};
  if (bytes.size() >= sizeof(value)) {
    __builtin_memcpy(&value, bytes.data(), sizeof(value));
  }
  return value;
}

// A socket to the kernel's routing tables. It stays in the network namespace
// in which it was opened. The kernel answers within the call, so nothing here
// waits; a socket that does not answer is given up after five seconds.
//
// Errors: ErrnoStatus() of what the kernel says, with its own words where it
// has some.
//
// For one thread.
class NetlinkSocket {
 public:
  static absl::StatusOr<NetlinkSocket> Open();

  // Sends one request and waits until it has been carried out.
  absl::Status Request(const NetlinkMessage& message, absl::string_view what);
  // Sends one and hands each reply to `visit` until the dump ends or `visit`
  // fails, whose error is returned.
  absl::Status Dump(const NetlinkMessage& message, absl::string_view what,
                    absl::FunctionRef<absl::Status(const NetlinkReply&)> visit);

 private:
  explicit NetlinkSocket(UniqueFd fd) : fd_(std::move(fd)) {}

  absl::Status Send(const NetlinkMessage& message, absl::string_view what);

  UniqueFd fd_;
  uint32_t sequence_ = 0;
};

}  // namespace podvisor

#endif  // PODVISOR_BASE_NETLINK_H_
