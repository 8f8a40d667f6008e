#include "guestagent/client/ack_scanner.h"

#include <algorithm>
#include <string>

#include "gtest/gtest.h"

namespace podvisor {
namespace {

ChannelNonce Nonce(char fill) {
  ChannelNonce nonce;
  nonce.fill(fill);
  return nonce;
}

std::string AckBytes(char fill) {
  const auto bytes = EncodeChannelAck({.nonce = Nonce(fill)});
  return std::string(bytes.begin(), bytes.end());
}

TEST(AckScannerTest, TakesExactlyThroughTheAckHoweverTheStreamIsCut) {
  // An old ACK, a torn one and its own magic in the stale bytes.
  const std::string magic(kChannelAckMagic.begin(), kChannelAckMagic.end());
  const std::string stale =
      "stale" + AckBytes('o') + AckBytes('n').substr(0, 20) + magic + "PVACK";
  const std::string stream = stale + AckBytes('n') + "PRI * HTTP/2.0";
  for (size_t piece = 1; piece <= stream.size(); ++piece) {
    AckScanner scanner(Nonce('n'));
    size_t at = 0;
    while (!scanner.found() && at < stream.size()) {
      at += scanner.Scan(absl::string_view(stream).substr(
          at, std::min(piece, stream.size() - at)));
    }

    ASSERT_TRUE(scanner.found()) << piece;
    EXPECT_EQ(stream.substr(at), "PRI * HTTP/2.0") << piece;
    EXPECT_EQ(scanner.discarded(), stale.size()) << piece;
    EXPECT_EQ(scanner.ack().version, kChannelVersion);
  }
}

TEST(AckScannerTest, AckOfAnotherNonceIsDiscarded) {
  AckScanner scanner(Nonce('n'));

  EXPECT_EQ(scanner.Scan(AckBytes('o')), kChannelAckSize);

  EXPECT_FALSE(scanner.found());
}

TEST(AckScannerTest, AckOfAnotherVersionIsFound) {
  const auto bytes = EncodeChannelAck({.nonce = Nonce('n'), .version = 2});
  AckScanner scanner(Nonce('n'));

  scanner.Scan(absl::string_view(bytes.data(), bytes.size()));

  ASSERT_TRUE(scanner.found());
  EXPECT_EQ(scanner.ack().version, 2u);
}

TEST(AckScannerTest, StaleBytesAreNotKept) {
  AckScanner scanner(Nonce('n'));
  const std::string piece(64 << 10, 'P');

  for (int i = 0; i < 32; ++i) EXPECT_EQ(scanner.Scan(piece), piece.size());

  EXPECT_GE(scanner.discarded(), 32 * piece.size() - kChannelAckSize);
}

}  // namespace
}  // namespace podvisor
