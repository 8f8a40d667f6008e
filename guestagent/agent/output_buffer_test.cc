#include "guestagent/agent/output_buffer.h"

#include <algorithm>
#include <random>
#include <string>

#include "gtest/gtest.h"

namespace podvisor {
namespace {

TEST(OutputBufferTest, BytesStayUntilAcknowledged) {
  OutputBuffer buffer(8);
  buffer.Append("abcdef");
  EXPECT_EQ(buffer.Room(), 2u);
  EXPECT_EQ(buffer.Read(0, 100), "abcdef");
  EXPECT_EQ(buffer.Read(2, 3), "cde");
  EXPECT_EQ(buffer.Read(6, 1), "");
  ASSERT_TRUE(buffer.Acknowledge(4).ok());
  EXPECT_EQ(buffer.begin(), 4u);
  EXPECT_EQ(buffer.end(), 6u);
  EXPECT_EQ(buffer.Room(), 6u);
  EXPECT_EQ(buffer.Read(4, 100), "ef");
}

TEST(OutputBufferTest, OldAcknowledgementsChangeNothing) {
  OutputBuffer buffer(8);
  buffer.Append("abcdef");
  ASSERT_TRUE(buffer.Acknowledge(4).ok());
  ASSERT_TRUE(buffer.Acknowledge(2).ok());
  EXPECT_EQ(buffer.begin(), 4u);
}

TEST(OutputBufferTest, NobodyCanAcknowledgeWhatIsNotThereYet) {
  OutputBuffer buffer(8);
  buffer.Append("ab");
  EXPECT_EQ(buffer.Acknowledge(3).code(), absl::StatusCode::kOutOfRange);
  EXPECT_EQ(buffer.Acknowledge(UINT64_MAX).code(),
            absl::StatusCode::kOutOfRange);
  EXPECT_EQ(buffer.Read(0, 100), "ab");
}

// A writer, and a host that reads pieces, acknowledges late, and loses its
// connection (and what it had not stored) now and then.
TEST(OutputBufferTest, RandomReconnectsLoseAndRepeatNothing) {
  for (uint32_t seed = 0; seed < 50; ++seed) {
    std::mt19937 random(seed);
    const auto below = [&random](size_t limit) { return random() % limit; };
    std::string source(300'000 + below(100'000), '\0');
    for (char& c : source) c = static_cast<char>(random());
    const size_t capacity = 1 + below(200'000);
    OutputBuffer buffer(capacity);
    size_t written = 0;
    std::string stored;     // safe with the host
    std::string in_flight;  // read by the host, lost with its connection
    for (int step = 0; stored.size() < source.size(); ++step) {
      ASSERT_LT(step, 1'000'000);
      const size_t piece = std::min(
          {buffer.Room(), source.size() - written, 1 + below(100'000)});
      buffer.Append(absl::string_view(source).substr(written, piece));
      written += piece;
      ASSERT_LE(buffer.end() - buffer.begin(), capacity);
      in_flight +=
          buffer.Read(stored.size() + in_flight.size(), 1 + below(65'536));
      switch (below(4)) {
        case 0:
          in_flight.clear();
          break;
        case 1: {
          const size_t keep = below(in_flight.size() + 1);
          stored += in_flight.substr(0, keep);
          in_flight.erase(0, keep);
          ASSERT_TRUE(buffer.Acknowledge(stored.size()).ok());
          break;
        }
        default:
          stored += in_flight;
          in_flight.clear();
          ASSERT_TRUE(buffer.Acknowledge(stored.size()).ok());
      }
    }
    EXPECT_TRUE(stored == source) << "seed " << seed;
    EXPECT_EQ(buffer.Room(), capacity);
  }
}

}  // namespace
}  // namespace podvisor
