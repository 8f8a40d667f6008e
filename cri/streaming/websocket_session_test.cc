#include "cri/streaming/websocket_session.h"

#include <random>
#include <string>
#include <variant>
#include <vector>

#include "cri/streaming/websocket_client_frame.h"
#include "gtest/gtest.h"

namespace podvisor {
namespace {

using Events = std::vector<WebSocketEvent>;
using Type = WebSocketSession::Type;

std::string Frame(uint8_t first, absl::string_view payload,
                  absl::string_view mask = "mask") {
  return WebSocketClientFrame(first, payload, mask);
}

Events EventsOf(WebSocketSession* session, absl::string_view bytes) {
  Events events;
  const absl::Status received = session->Receive(bytes, &events);
  EXPECT_TRUE(received.ok()) << received;
  return events;
}

// Pieces of messages put together, so that cuts do not matter.
Events Joined(const Events& events) {
  Events joined;
  for (const WebSocketEvent& event : events) {
    const auto* piece = std::get_if<WebSocketReceived>(&event);
    auto* last = joined.empty()
                     ? nullptr
                     : std::get_if<WebSocketReceived>(&joined.back());
    if (piece != nullptr && last != nullptr && !last->ends_message) {
      last->data += piece->data;
      last->ends_message = piece->ends_message;
    } else {
      joined.push_back(event);
    }
  }
  return joined;
}

// What is sent when the server closes.
std::string CloseOf(uint16_t code) {
  return {'\x88', '\x02', static_cast<char>(code >> 8),
          static_cast<char>(code & 0xff)};
}

TEST(WebSocketSessionTest, AMessageArrivesUnmasked) {
  WebSocketSession session;

  EXPECT_EQ(
      EventsOf(&session, Frame(kBinaryFrame, "hello", "\x01\x02\x03\x04")),
      (Events{WebSocketReceived{"hello", true}}));
  EXPECT_EQ(EventsOf(&session, Frame(kTextFrame, "")),
            (Events{WebSocketReceived{"", true}}));
  EXPECT_EQ(session.TakeOutput(), "");
}

// RFC 6455 5.7, the example of a masked text.
TEST(WebSocketSessionTest, ReadsTheExampleOfTheStandard) {
  WebSocketSession session;

  EXPECT_EQ(EventsOf(&session, "\x81\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58"),
            (Events{WebSocketReceived{"Hello", true}}));
}

TEST(WebSocketSessionTest, LengthsOfEveryFormArrive) {
  for (const size_t size : {0, 1, 125, 126, 127, 65535, 65536, 70000}) {
    WebSocketSession session;
    const std::string data(size, 'x');

    EXPECT_EQ(EventsOf(&session, Frame(kBinaryFrame, data)),
              (Events{WebSocketReceived{data, true}}))
        << size;
  }
}

TEST(WebSocketSessionTest, HowTheBytesAreCutChangesNothing) {
  const std::string bytes =
      Frame(0x02, "frag", "abcd") + Frame(kPingFrame, "p", "efgh") +
      Frame(0x00, "", "abcd") + Frame(0x80, "ment", "ijkl") +
      Frame(kBinaryFrame, std::string(300, 'x'), "mnop") +
      Frame(kCloseFrame, "\x03\xe8", "qrst");
  const Events expected = {WebSocketReceived{"fragment", true},
                           WebSocketReceived{std::string(300, 'x'), true},
                           WebSocketClosed{}};
  for (size_t cut = 1; cut < bytes.size(); ++cut) {
    WebSocketSession session;
    Events events;
    for (size_t at = 0; at < bytes.size(); at += cut) {
      ASSERT_TRUE(session.Receive(bytes.substr(at, cut), &events).ok());
    }
    EXPECT_EQ(Joined(events), expected) << cut;
    EXPECT_EQ(session.TakeOutput(), "\x8a\x01p" + CloseOf(1000)) << cut;
  }
}

TEST(WebSocketSessionTest, AnswersPingsWithWhatTheyCarryAndIgnoresPongs) {
  WebSocketSession session;

  EXPECT_TRUE(
      EventsOf(&session, Frame(kPingFrame, "beat") + Frame(kPongFrame, "x"))
          .empty());
  EXPECT_EQ(session.TakeOutput(),
            "\x8a\x04"
            "beat");
}

TEST(WebSocketSessionTest, SendsUnmaskedFramesWithTheShortestLength) {
  const std::string long_one(126, 'a');
  const std::string longer(65536, 'b');
  WebSocketSession session;
  session.Send(Type::kBinary, "\x01out");
  session.Send(Type::kText, long_one);
  session.Send(Type::kBinary, longer);
  session.Pong();

  using namespace std::string_literals;
  EXPECT_EQ(session.TakeOutput(),
            "\x82\x04\x01out"s + "\x81\x7e\x00\x7e"s + long_one +
                "\x82\x7f\x00\x00\x00\x00\x00\x01\x00\x00"s + longer +
                "\x8a\x00"s);
}

TEST(WebSocketSessionTest, EchoesTheClientsCloseOnceAndHearsNothingAfterIt) {
  WebSocketSession session;

  EXPECT_EQ(EventsOf(&session, Frame(kCloseFrame, "\x03\xe9why") +
                                   Frame(kBinaryFrame, "late") + "junk"),
            (Events{WebSocketClosed{}}));
  EXPECT_EQ(session.TakeOutput(), CloseOf(1001));
  session.Send(Type::kBinary, "late");
  session.Close(WebSocketCloseCode::kNormal);
  EXPECT_EQ(session.TakeOutput(), "");
}

TEST(WebSocketSessionTest, ACloseWithoutACodeIsAnsweredWithoutOne) {
  WebSocketSession session;

  EXPECT_EQ(EventsOf(&session, Frame(kCloseFrame, "")),
            (Events{WebSocketClosed{}}));
  EXPECT_EQ(session.TakeOutput(), std::string("\x88\x00", 2));
}

TEST(WebSocketSessionTest, SaysNothingAfterItsOwnClose) {
  WebSocketSession session;
  session.Close(WebSocketCloseCode::kNormal);
  EXPECT_EQ(session.TakeOutput(), CloseOf(1000));

  session.Send(Type::kBinary, "late");
  EXPECT_EQ(EventsOf(&session,
                     Frame(kPingFrame, "") + Frame(kCloseFrame, "\x03\xe8")),
            (Events{WebSocketClosed{}}));
  EXPECT_EQ(session.TakeOutput(), "");
}

struct Refused {
  const char* what;
  std::string bytes;
  uint16_t code;
};

TEST(WebSocketSessionTest, WhatBreaksTheProtocolIsClosedWithItsCode) {
  using namespace std::string_literals;
  const std::string huge = "\x82\xff\x00\x00\x00\x00\x02\x00\x00\x01mask"s;
  for (const Refused& refused : std::vector<Refused>{
           {"no mask", "\x82\x02hi"s, 1002},
           {"a reserved bit", Frame(0xc2, "x"), 1002},
           {"a reserved bit of a control frame", Frame(0x99, ""), 1002},
           {"an unknown data frame", Frame(0x83, "x"), 1002},
           {"an unknown control frame", Frame(0x8b, "x"), 1002},
           {"a ping in fragments", Frame(0x09, "x"), 1002},
           {"a ping that is too large",
            Frame(kPingFrame, std::string(126, 'x')), 1002},
           {"a continuation of nothing", Frame(0x80, "x"), 1002},
           {"a message within a message",
            Frame(0x02, "x") + Frame(kBinaryFrame, "x"), 1002},
           {"a continuation of what has ended",
            Frame(0x02, "x") + Frame(0x80, "x") + Frame(0x80, "x"), 1002},
           {"16 bits for a short length", "\x82\xfe\x00\x7dmask"s, 1002},
           {"64 bits for 16", "\x82\xff\x00\x00\x00\x00\x00\x00\xff\xffmask"s,
            1002},
           {"a length with its highest bit",
            "\x82\xff\x80\x00\x00\x00\x00\x00\x00\x00mask"s, 1009},
           {"a frame that is too large", huge, 1009},
           {"a close of one byte", Frame(kCloseFrame, "x"), 1002},
           {"a close with a code that nobody sends",
            Frame(kCloseFrame, "\x03\xed"), 1002},
           {"a close with a code below all", Frame(kCloseFrame, "\x03\xe7"),
            1002},
       }) {
    WebSocketSession session;
    Events events;
    EXPECT_TRUE(absl::IsDataLoss(session.Receive(refused.bytes, &events)))
        << refused.what;
    EXPECT_EQ(session.TakeOutput(), CloseOf(refused.code)) << refused.what;
    for (const WebSocketEvent& event : events) {
      EXPECT_FALSE(std::holds_alternative<WebSocketClosed>(event));
    }
    // And hears nothing more.
    EXPECT_TRUE(EventsOf(&session, Frame(kBinaryFrame, "x")).empty());
  }
}

TEST(WebSocketSessionTest, TheLargestFrameArrivesInPiecesAsItIsSent) {
  WebSocketSession session;
  EXPECT_TRUE(
      EventsOf(
          &session,
          std::string("\x82\xff\x00\x00\x00\x00\x02\x00\x00\x00\0\0\0\0", 14))
          .empty());
  const std::string piece(1 << 20, 'x');
  for (int i = 1; i <= 32; ++i) {
    EXPECT_EQ(EventsOf(&session, piece),
              (Events{WebSocketReceived{piece, i == 32}}));
  }
}

// Never a crash, an endless loop, or more data than came in; and what was said
// before a fault does not depend on how it was cut.
TEST(WebSocketSessionTest, HostileBytesAreBoundedHoweverTheyAreCut) {
  std::mt19937 random(20);
  const auto below = [&](size_t bound) { return random() % bound; };
  for (int round = 0; round < 20'000; ++round) {
    std::string bytes;
    for (size_t frames = below(6); frames > 0; --frames) {
      static constexpr uint8_t kFirst[] = {0x00, 0x01, 0x02, 0x80, 0x81,
                                           0x82, 0x88, 0x89, 0x8a, 0x8f};
      bytes += Frame(kFirst[below(std::size(kFirst))],
                     std::string(below(140), static_cast<char>(below(256))),
                     "\x5a\x01\xff\x13");
    }
    for (size_t flips = below(3); flips > 0 && !bytes.empty(); --flips) {
      bytes[below(bytes.size())] ^= static_cast<char>(1 << below(8));
    }
    WebSocketSession whole;
    Events at_once;
    const absl::Status status = whole.Receive(bytes, &at_once);
    WebSocketSession cut;
    Events piecewise;
    absl::Status cut_status;
    for (size_t at = 0; at < bytes.size() && cut_status.ok();) {
      const size_t size = 1 + below(9);
      cut_status = cut.Receive(bytes.substr(at, size), &piecewise);
      at += size;
    }
    ASSERT_EQ(status, cut_status);
    ASSERT_EQ(Joined(at_once), Joined(piecewise));
    const std::string output = whole.TakeOutput();
    ASSERT_EQ(output, cut.TakeOutput());
    ASSERT_LE(output.size(), bytes.size());
    size_t data = 0;
    for (const WebSocketEvent& event : at_once) {
      if (const auto* piece = std::get_if<WebSocketReceived>(&event)) {
        data += piece->data.size();
      }
    }
    ASSERT_LE(data, bytes.size());
  }
}

}  // namespace
}  // namespace podvisor
