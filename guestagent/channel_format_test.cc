#include "guestagent/channel_format.h"

#include <string>

#include "gtest/gtest.h"

namespace podvisor {
namespace {

ChannelHello Hello(char secret, char nonce) {
  ChannelHello hello;
  hello.secret.fill(secret);
  hello.nonce.fill(nonce);
  return hello;
}

std::string Bytes(const ChannelHello& hello) {
  const auto bytes = EncodeChannelHello(hello);
  return std::string(bytes.begin(), bytes.end());
}

std::string Bytes(const ChannelAck& ack) {
  const auto bytes = EncodeChannelAck(ack);
  return std::string(bytes.begin(), bytes.end());
}

// The bytes on the wire, which a guest image of another version relies on.
TEST(ChannelFormatTest, LayoutIsTheDocumentedOne) {
  EXPECT_EQ(Bytes(Hello('s', 'n')),
            std::string("PVHELLO\x01", 8) + std::string(16, 's') +
                std::string(16, 'n') + std::string("\1\0\0\0\0\0\0\0", 8));
  ChannelAck ack;
  ack.nonce.fill('n');
  ack.flags = 0x04030201;
  EXPECT_EQ(Bytes(ack), std::string("PVACK\x01\0\0", 8) + std::string(16, 'n') +
                            std::string("\1\0\0\0\1\2\3\4", 8));
}

TEST(ChannelFormatTest, EncodedMessagesMatch) {
  ChannelHello hello = Hello('\xff', '\x80');
  hello.version = 0xfffffffe;
  EXPECT_EQ(MatchChannelHello(Bytes(hello) + "rest"), hello);

  ChannelAck ack;
  ack.nonce.fill('\x80');
  ack.flags = 0x80000001;
  EXPECT_EQ(MatchChannelAck(Bytes(ack) + "rest"), ack);
}

TEST(ChannelFormatTest, ShortOrDifferentBytesDoNotMatch) {
  const std::string hello = Bytes(Hello('s', 'n'));
  for (size_t size = 0; size < hello.size(); ++size) {
    EXPECT_FALSE(MatchChannelHello(hello.substr(0, size)).has_value());
    EXPECT_FALSE(MatchChannelAck(hello.substr(0, size)).has_value());
  }
  EXPECT_FALSE(MatchChannelHello("x" + hello).has_value());
}

TEST(ChannelFormatTest, HelloIsFoundBehindStaleBytesByItsSecretOnly) {
  const std::string forged = Bytes(Hello('f', 'n'));
  const std::string real = Bytes(Hello('s', 'n'));
  const std::string stream = "PVHELLO" + forged + "PVHELLO\x01" + real;

  EXPECT_EQ(FindChannelHello(stream, Hello('s', 'n').secret),
            stream.size() - real.size());
  EXPECT_EQ(FindChannelHello(stream, Hello('x', 'n').secret),
            absl::string_view::npos);
  EXPECT_EQ(FindChannelHello(stream.substr(0, stream.size() - 1),
                             Hello('s', 'n').secret),
            absl::string_view::npos);
}

}  // namespace
}  // namespace podvisor
