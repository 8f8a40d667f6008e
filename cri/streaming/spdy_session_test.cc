#include "cri/streaming/spdy_session.h"

#include <random>
#include <string>
#include <variant>
#include <vector>

#include "absl/strings/match.h"
#include "cri/streaming/big_endian.h"
#include "gtest/gtest.h"

namespace podvisor {
namespace {

std::string Number(uint32_t value) {
  std::string bytes;
  AppendBigEndian32(value, &bytes);
  return bytes;
}

std::string Control(uint16_t type, const std::string& body, uint8_t flags = 0) {
  return Number(0x80030000u | type) +
         Number(uint32_t{flags} << 24 | static_cast<uint32_t>(body.size())) +
         body;
}

std::string Data(uint32_t stream, const std::string& data, uint8_t flags = 0) {
  return Number(stream) +
         Number(uint32_t{flags} << 24 | static_cast<uint32_t>(data.size())) +
         data;
}

// A client's end, as far as the tests need one.
class SpdySessionTest : public testing::Test {
 protected:
  std::string Opening(uint32_t stream, const SpdyHeaders& headers = {},
                      uint8_t flags = 0) {
    return Control(1,
                   Number(stream) + Number(0) + std::string(2, '\0') +
                       writer_.Write(headers),
                   flags);
  }

  std::vector<SpdyEvent> Events(const std::string& bytes) {
    std::vector<SpdyEvent> events;
    const absl::Status received = session_.Receive(bytes, &events);
    EXPECT_TRUE(received.ok()) << received;
    return events;
  }

  SpdyHeaderWriter writer_;
  SpdySession session_;
};

TEST_F(SpdySessionTest, AStreamIsOpenedAcceptedUsedAndClosed) {
  const SpdyHeaders headers = {{"streamtype", "stdin"}};

  EXPECT_EQ(Events(Opening(1, headers)),
            (std::vector<SpdyEvent>{SpdyOpened{1, headers}}));
  session_.Accept(1);
  SpdyHeaderWriter empty;
  EXPECT_EQ(session_.TakeOutput(), Control(2, Number(1) + empty.Write({})));

  EXPECT_EQ(Events(Data(1, "in") + Data(1, "", 1)),
            (std::vector<SpdyEvent>{SpdyReceived{1, "in"}, SpdyHalfClosed{1}}));
  session_.Send(1, "out");
  session_.CloseWrite(1);
  EXPECT_EQ(session_.TakeOutput(), Data(1, "out") + Data(1, "", 1));
  EXPECT_EQ(session_.open_streams(), 0u);
}

TEST_F(SpdySessionTest, HowTheBytesAreCutChangesNothingButTheData) {
  std::string bytes = Opening(1, {{"streamtype", "stdin"}});
  bytes += Data(1, "abc") + Control(6, Number(3)) + Data(1, "d", 1);
  bytes += Opening(3);
  bytes += Data(3, "", 1);
  const std::vector<SpdyEvent> whole = Events(bytes);
  ASSERT_EQ(whole.size(), 6u);

  SpdySession byte_by_byte;
  std::vector<SpdyEvent> events;
  for (const char byte : bytes) {
    ASSERT_TRUE(byte_by_byte.Receive(std::string(1, byte), &events).ok());
  }

  std::string data;
  std::vector<SpdyEvent> others;
  for (const SpdyEvent& event : events) {
    if (const auto* received = std::get_if<SpdyReceived>(&event)) {
      data += received->data;
    } else {
      others.push_back(event);
    }
  }
  EXPECT_EQ(data, "abcd");
  EXPECT_EQ(others,
            (std::vector<SpdyEvent>{whole[0], whole[3], whole[4], whole[5]}));
  EXPECT_EQ(byte_by_byte.TakeOutput(), session_.TakeOutput());
}

TEST_F(SpdySessionTest, PingsAreAnsweredAndAnswersAreNot) {
  Events(Control(6, Number(7)) + Control(6, Number(8)));

  EXPECT_EQ(session_.TakeOutput(), Control(6, Number(7)));
}

TEST_F(SpdySessionTest, WhatFlowControlAndSettingsSayIsIgnored) {
  EXPECT_TRUE(Events(Control(4, Number(0)) + Control(9, Number(1) + Number(9)) +
                     Control(11, "new"))
                  .empty());
  EXPECT_EQ(session_.TakeOutput(), "");
}

TEST_F(SpdySessionTest, AnAbortedStreamTakesNothingMore) {
  EXPECT_EQ(Events(Opening(1) + Control(3, Number(1) + Number(5)) +
                   Data(1, "late", 1)),
            (std::vector<SpdyEvent>{SpdyOpened{1, {}}, SpdyAborted{1}}));
  session_.Accept(1);
  session_.Send(1, "out");
  session_.CloseWrite(1);
  session_.Reset(1);

  EXPECT_EQ(session_.TakeOutput(), "");
}

TEST_F(SpdySessionTest, AStreamThatIsResetIsGoneAtOnce) {
  Events(Opening(1));

  session_.Reset(1);

  EXPECT_EQ(session_.TakeOutput(), Control(3, Number(1) + Number(5)));
  EXPECT_TRUE(Events(Data(1, "late")).empty());
}

TEST_F(SpdySessionTest, HeadersInBetweenDoNotDisturbLaterOnes) {
  Events(Opening(1, {{"a", "1"}}));
  Events(Control(8, Number(1) + writer_.Write({{"b", "2"}})));

  EXPECT_EQ(Events(Opening(3, {{"c", "3"}})),
            (std::vector<SpdyEvent>{SpdyOpened{3, {{"c", "3"}}}}));
}

TEST_F(SpdySessionTest, GoodbyesGoBothWays) {
  EXPECT_EQ(Events(Opening(5) + Control(7, Number(0) + Number(0))),
            (std::vector<SpdyEvent>{SpdyOpened{5, {}}, SpdyGoneAway()}));
  session_.GoAway();

  EXPECT_EQ(session_.TakeOutput(), Control(7, Number(5) + Number(0)));
}

TEST_F(SpdySessionTest, StreamsAboveTheMostAreRefusedAndTheConnectionGoesOn) {
  for (uint32_t i = 0; i < SpdySession::kMaxStreams; ++i) {
    ASSERT_EQ(Events(Opening(2 * i + 1)).size(), 1u);
  }
  session_.TakeOutput();
  const uint32_t next = 2 * SpdySession::kMaxStreams + 1;

  EXPECT_TRUE(Events(Opening(next)).empty());

  EXPECT_EQ(session_.TakeOutput(), Control(3, Number(next) + Number(5)));
  session_.Reset(1);
  EXPECT_EQ(Events(Opening(next + 2)).size(), 1u);
}

TEST_F(SpdySessionTest, WhatBreaksTheProtocolIsDataLoss) {
  for (const std::string& bytes :
       {Opening(2), Number(0x80020001) + Number(0), Control(2, Number(1)),
        Control(3, "short"), Control(6, ""), Control(8, "x"),
        Control(1, Number(1)), Control(1, std::string(10, '\1') + "no zlib"),
        Number(0x80030004) + Number(0x00ffffff)}) {
    SpdySession session;
    std::vector<SpdyEvent> events;
    EXPECT_TRUE(absl::IsDataLoss(session.Receive(bytes, &events)));
  }
}

TEST_F(SpdySessionTest, AStreamWithALowerNumberIsDataLoss) {
  Events(Opening(5));
  std::vector<SpdyEvent> events;

  EXPECT_TRUE(absl::IsDataLoss(session_.Receive(Opening(3), &events)));
}

TEST_F(SpdySessionTest, DataIsPassedOnWithoutWaitingForItsFrame) {
  Events(Opening(1));
  const std::string begin = Number(1) + Number(0x00ffffff);

  EXPECT_EQ(Events(begin + "first"),
            (std::vector<SpdyEvent>{SpdyReceived{1, "first"}}));
}

TEST_F(SpdySessionTest, MuchDataIsSentInSeveralFrames) {
  Events(Opening(1));

  session_.Send(1, std::string((64 << 10) + 1, 'x'));

  EXPECT_EQ(session_.TakeOutput(),
            Data(1, std::string(64 << 10, 'x')) + Data(1, "x"));
}

TEST_F(SpdySessionTest, RandomBytesNeverMakeMoreEventsThanThereAreBytes) {
  std::mt19937 random(20261125);
  const std::string valid = Opening(1, {{"streamtype", "error"}}) +
                            Data(1, "data") + Control(6, Number(1)) +
                            Control(3, Number(1) + Number(5));
  for (int round = 0; round < 20'000; ++round) {
    std::string bytes = valid;
    for (int i = 0; i < 3; ++i) {
      bytes[random() % bytes.size()] = static_cast<char>(random());
    }
    bytes.resize(random() % (bytes.size() + 1));
    SpdySession session;
    std::vector<SpdyEvent> events;

    (void)session.Receive(bytes, &events);

    ASSERT_LE(events.size(), bytes.size());
    ASSERT_LE(session.open_streams(), 2u);
  }
}

}  // namespace
}  // namespace podvisor
