#include "base/netlink.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>

#include <algorithm>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "base/clean_text.h"
#include "base/errno_status.h"
#include "base/status_macros.h"

namespace podvisor {
namespace {

constexpr size_t kReceiveBytes = 64 << 10;  // above what the kernel sends
constexpr int kPatienceSeconds = 5;

// From <linux/netlink.h>, whose NLA_ALIGN() is of int.
constexpr size_t Align(size_t size) { return (size + 3) & ~size_t{3}; }

// The kernel's verdict on a request.
absl::Status Verdict(absl::string_view payload, uint16_t flags,
                     absl::string_view what) {
  const int error = -AttributeValue<int>(payload);
  if (error == 0) return absl::OkStatus();
  std::string words;
  // The request's header follows, and with NETLINK_CAP_ACK nothing else of it.
  constexpr size_t kHead = sizeof(nlmsgerr);
  if ((flags & NLM_F_ACK_TLVS) != 0 && payload.size() > kHead) {
    const NetlinkReply reply = {0, payload};
    const NetlinkAttributes attributes = reply.Attributes(kHead);
    if (const auto text = attributes.find(NLMSGERR_ATTR_MSG);
        text != attributes.end()) {
      words = absl::StrCat(
          " (", CleanText(text->second.substr(0, text->second.find('\0')), 200),
          ")");
    }
  }
  return ErrnoStatus(error, absl::StrCat(what, words));
}

}  // namespace

NetlinkMessage::NetlinkMessage(uint16_t type, uint16_t flags) {
  nlmsghdr header = {};
  header.nlmsg_type = type;
  header.nlmsg_flags = flags | NLM_F_REQUEST;
  Append(header);
}

void NetlinkMessage::AppendBytes(const void* bytes, size_t size) {
  bytes_.append(static_cast<const char*>(bytes), size);
  bytes_.resize(Align(bytes_.size()));
}

void NetlinkMessage::Add(uint16_t attribute, absl::string_view bytes) {
  const nlattr head = {static_cast<uint16_t>(sizeof(nlattr) + bytes.size()),
                       attribute};
  AppendBytes(&head, sizeof(head));
  AppendBytes(bytes.data(), bytes.size());
}

void NetlinkMessage::AddText(uint16_t attribute, absl::string_view text) {
  std::string with_nul(text);
  with_nul.push_back('\0');
  Add(attribute, with_nul);
}

size_t NetlinkMessage::BeginNest(uint16_t attribute) {
  const size_t nest = bytes_.size();
  Add(attribute | NLA_F_NESTED, "");
  return nest;
}

void NetlinkMessage::EndNest(size_t nest) {
  const uint16_t size = static_cast<uint16_t>(bytes_.size() - nest);
  memcpy(&bytes_[nest], &size, sizeof(size));
}

std::string NetlinkMessage::Finish(uint32_t sequence) const {
  std::string bytes = bytes_;
  nlmsghdr header;
  memcpy(&header, bytes.data(), sizeof(header));
  header.nlmsg_len = static_cast<uint32_t>(bytes.size());
  header.nlmsg_seq = sequence;
  memcpy(bytes.data(), &header, sizeof(header));
  return bytes;
}

NetlinkAttributes NetlinkReply::Attributes(size_t header_bytes) const {
  NetlinkAttributes attributes;
  size_t at = Align(header_bytes);
  while (at + sizeof(nlattr) <= payload.size()) {
    const auto head = AttributeValue<nlattr>(payload.substr(at));
    if (head.nla_len < sizeof(nlattr) || head.nla_len > payload.size() - at) {
      break;
    }
    attributes[head.nla_type & NLA_TYPE_MASK] =
        payload.substr(at + sizeof(nlattr), head.nla_len - sizeof(nlattr));
    at += Align(head.nla_len);
  }
  return attributes;
}

absl::StatusOr<NetlinkSocket> NetlinkSocket::Open() {
  UniqueFd fd(socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE));
  if (!fd.valid()) return ErrnoStatus(errno, "netlink socket");
  const timeval patience = {kPatienceSeconds, 0};
  setsockopt(fd.get(), SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
  // Words with errors, without the request; a kernel without them still works.
  const int on = 1;
  setsockopt(fd.get(), SOL_NETLINK, NETLINK_CAP_ACK, &on, sizeof(on));
  setsockopt(fd.get(), SOL_NETLINK, NETLINK_EXT_ACK, &on, sizeof(on));
  return NetlinkSocket(std::move(fd));
}

absl::Status NetlinkSocket::Send(const NetlinkMessage& message,
                                 absl::string_view what) {
  const std::string bytes = message.Finish(++sequence_);
  const ssize_t sent = send(fd_.get(), bytes.data(), bytes.size(), 0);
  if (sent == static_cast<ssize_t>(bytes.size())) return absl::OkStatus();
  return ErrnoStatus(sent < 0 ? errno : EMSGSIZE, what);
}

absl::Status NetlinkSocket::Request(const NetlinkMessage& message,
                                    absl::string_view what) {
  return Dump(message, what,
              [](const NetlinkReply&) { return absl::OkStatus(); });
}

absl::Status NetlinkSocket::Dump(
    const NetlinkMessage& message, absl::string_view what,
    absl::FunctionRef<absl::Status(const NetlinkReply&)> visit) {
  RETURN_IF_ERROR(Send(message, what));
  std::vector<char> buffer(kReceiveBytes);
  absl::Status visited;
  while (true) {
    const ssize_t size =
        recv(fd_.get(), buffer.data(), buffer.size(), MSG_TRUNC);
    if (size < 0 && errno == EINTR) continue;
    if (size < 0) return ErrnoStatus(errno, what);
    if (static_cast<size_t>(size) > buffer.size()) {
      return absl::DataLossError(absl::StrCat(what, ": a reply was cut off"));
    }
    absl::string_view rest(buffer.data(), static_cast<size_t>(size));
    while (rest.size() >= sizeof(nlmsghdr)) {
      const auto header = AttributeValue<nlmsghdr>(rest);
      if (header.nlmsg_len < sizeof(nlmsghdr) ||
          header.nlmsg_len > rest.size()) {
        return absl::DataLossError(absl::StrCat(what, ": a broken reply"));
      }
      const absl::string_view payload =
          rest.substr(sizeof(nlmsghdr), header.nlmsg_len - sizeof(nlmsghdr));
      rest.remove_prefix(std::min(rest.size(), Align(header.nlmsg_len)));
      if (header.nlmsg_seq != sequence_) continue;  // of an earlier request
      if (header.nlmsg_type == NLMSG_DONE) return visited;
      if (header.nlmsg_type == NLMSG_ERROR) {
        RETURN_IF_ERROR(Verdict(payload, header.nlmsg_flags, what));
        return visited;
      }
      if (visited.ok()) visited = visit({header.nlmsg_type, payload});
    }
  }
}

}  // namespace podvisor
