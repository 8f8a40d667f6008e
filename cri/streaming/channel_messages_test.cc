#include "cri/streaming/channel_messages.h"

#include <optional>
#include <random>
#include <string>
#include <vector>

#include "absl/strings/escaping.h"
#include "gtest/gtest.h"

namespace podvisor {
namespace {

constexpr char kV5[] = "v5.channel.k8s.io";
constexpr char kV4[] = "v4.channel.k8s.io";
constexpr char kBase64[] = "v4.base64.channel.k8s.io";

// What one message means that arrives in pieces of `cut` bytes.
absl::StatusOr<ChannelInput> Read(ChannelReader* reader,
                                  const std::string& message,
                                  size_t cut = 1 << 20) {
  ChannelInput all;
  for (size_t at = 0; at == 0 || at < message.size(); at += cut) {
    const bool last = at + cut >= message.size();
    absl::StatusOr<std::optional<ChannelInput>> input =
        reader->Receive({message.substr(at, cut), last});
    if (!input.ok()) return input.status();
    if (!input->has_value()) continue;
    all.channel = (*input)->channel;
    all.data += (*input)->data;
    all.is_close = (*input)->is_close;
  }
  return all;
}

TEST(ChannelProtocolTest, FollowsFromItsName) {
  EXPECT_EQ(ChannelProtocolOf(kV5),
            (ChannelProtocol{false, true, ChannelVersion::kStatus}));
  EXPECT_EQ(ChannelProtocolOf(kV4),
            (ChannelProtocol{false, false, ChannelVersion::kStatus}));
  EXPECT_EQ(ChannelProtocolOf(kBase64),
            (ChannelProtocol{true, false, ChannelVersion::kStatus}));
  EXPECT_EQ(ChannelProtocolOf("base64.channel.k8s.io"),
            (ChannelProtocol{true, false, ChannelVersion::kPlainText}));
  for (const char* oldest : {"channel.k8s.io", ""}) {
    EXPECT_EQ(ChannelProtocolOf(oldest),
              (ChannelProtocol{false, false, ChannelVersion::kPlainText}));
  }
}

TEST(ChannelMessageTest, BeginsWithItsChannel) {
  const std::string data("a\0b", 3);

  EXPECT_EQ(ChannelMessage(ChannelProtocolOf(kV5), 1, data), "\x01" + data);
  EXPECT_EQ(ChannelMessage(ChannelProtocolOf(kV5), 3, ""), "\x03");
  EXPECT_EQ(ChannelMessage(ChannelProtocolOf(kBase64), 1, "foo\n"),
            "1Zm9vCg==");
  EXPECT_EQ(ChannelMessageType(ChannelProtocolOf(kV4)),
            WebSocketSession::Type::kBinary);
  EXPECT_EQ(ChannelMessageType(ChannelProtocolOf(kBase64)),
            WebSocketSession::Type::kText);
}

TEST(ChannelReaderTest, ReadsWhatIsWrittenHoweverItIsCut) {
  for (const char* name : {kV5, kV4, kBase64, ""}) {
    const ChannelProtocol protocol = ChannelProtocolOf(name);
    ChannelReader reader(protocol);
    for (size_t size = 1; size < 20; ++size) {
      for (size_t cut = 1; cut < 30; ++cut) {
        const ChannelInput sent = {static_cast<uint8_t>(size % 5),
                                   std::string(size, static_cast<char>(size)),
                                   false};
        const absl::StatusOr<ChannelInput> read = Read(
            &reader, ChannelMessage(protocol, sent.channel, sent.data), cut);
        ASSERT_TRUE(read.ok()) << name << read.status();
        EXPECT_EQ(*read, sent);
      }
    }
  }
}

TEST(ChannelReaderTest, AnEmptyMessageSaysNothing) {
  ChannelReader reader(ChannelProtocolOf(kV5));
  for (const char* empty : {"", "\x01"}) {
    EXPECT_FALSE(reader.Receive({empty, true}).value().has_value());
  }
}

TEST(ChannelReaderTest, OnlyV5ClosesAChannel) {
  const std::string close_stdin("\xff\0", 2);
  for (const size_t cut : {1, 2}) {
    ChannelReader v5(ChannelProtocolOf(kV5));
    EXPECT_EQ(Read(&v5, close_stdin, cut).value(), (ChannelInput{0, "", true}));
    EXPECT_EQ(Read(&v5, "\x02x").value(), (ChannelInput{2, "x", false}));
  }
  ChannelReader v4(ChannelProtocolOf(kV4));
  EXPECT_EQ(Read(&v4, close_stdin).value(),
            (ChannelInput{255, std::string(1, '\0'), false}));
}

TEST(ChannelReaderTest, ACloseOfNoneOrSeveralIsMalformed) {
  for (const std::string& bad :
       {std::string("\xff"), std::string("\xff\0\0", 3)}) {
    for (const size_t cut : {1, 3}) {
      ChannelReader reader(ChannelProtocolOf(kV5));
      EXPECT_TRUE(absl::IsDataLoss(Read(&reader, bad, cut).status()));
    }
  }
}

TEST(ChannelReaderTest, WhatIsNoBase64IsMalformed) {
  for (const char* bad : {"0Zm9", "0Zg==Zg==", "0Zg==Z",
                          "0Z===", "0Zm9v!b==", "0====", "0=Zm9"}) {
    for (const size_t cut : {1, 2, 3, 4, 5, 20}) {
      ChannelReader reader(ChannelProtocolOf(kBase64));
      EXPECT_TRUE(absl::IsDataLoss(Read(&reader, bad, cut).status()))
          << bad << " cut to " << cut;
    }
  }
}

// What a message means does not depend on its cuts, and none grows.
TEST(ChannelReaderTest, HostileMessagesAreReadAlikeHoweverTheyAreCut) {
  std::mt19937 random(7);
  for (int round = 0; round < 20'000; ++round) {
    const char* const name = round % 2 == 0 ? kV5 : kBase64;
    static constexpr char kLetters[] =
        "\xff\x00\x01"
        "0Zm9vCg==. \n";
    std::string message;
    for (size_t size = random() % 12; size > 0; --size) {
      message += kLetters[random() % (sizeof(kLetters) - 1)];
    }
    ChannelReader whole(ChannelProtocolOf(name));
    ChannelReader cut(ChannelProtocolOf(name));
    const absl::StatusOr<ChannelInput> at_once = Read(&whole, message);
    const absl::StatusOr<ChannelInput> in_pieces =
        Read(&cut, message, 1 + random() % 4);
    ASSERT_EQ(at_once.ok(), in_pieces.ok()) << absl::CHexEscape(message);
    if (!at_once.ok()) continue;
    ASSERT_EQ(*at_once, *in_pieces) << absl::CHexEscape(message);
    ASSERT_LE(at_once->data.size(), message.size());
  }
}

}  // namespace
}  // namespace podvisor
