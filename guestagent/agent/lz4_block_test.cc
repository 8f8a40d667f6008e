#include "guestagent/agent/lz4_block.h"

#include <algorithm>
#include <cstdint>
#include <random>
#include <string>
#include <vector>

#include "gtest/gtest.h"

namespace podvisor {
namespace {

std::string Bytes(std::initializer_list<int> bytes) {
  return std::string(bytes.begin(), bytes.end());
}

struct Sample {
  std::string block;
  std::string text;  // what it stands for
};

// What of a length has no room in the four bits of a token.
void AppendRest(size_t length, std::string* block) {
  if (length < 15) return;
  for (length -= 15; length >= 255; length -= 255) block->push_back('\xff');
  block->push_back(static_cast<char>(length));
}

void AppendToken(size_t literals, size_t match, std::string* block) {
  block->push_back(static_cast<char>(std::min<size_t>(literals, 15) << 4 |
                                     std::min<size_t>(match, 15)));
}

Sample RandomSample(std::mt19937_64& random) {
  Sample sample;
  const auto add_literals = [&](size_t count) {
    AppendRest(count, &sample.block);
    for (size_t i = 0; i < count; ++i) {
      sample.block.push_back(static_cast<char>(random()));
      sample.text.push_back(sample.block.back());
    }
  };
  for (uint64_t left = random() % 6; left > 0; --left) {
    // A match has at least four bytes, and something to be a copy of.
    const size_t literals = 1 + random() % (random() % 4 == 0 ? 600 : 20);
    const size_t match = random() % (random() % 4 == 0 ? 600 : 20);
    AppendToken(literals, match, &sample.block);
    add_literals(literals);
    const size_t distance = 1 + random() % sample.text.size();
    sample.block.push_back(static_cast<char>(distance));
    sample.block.push_back(static_cast<char>(distance >> 8));
    AppendRest(match, &sample.block);
    for (size_t i = 0; i < match + 4; ++i) {
      sample.text.push_back(sample.text[sample.text.size() - distance]);
    }
  }
  const size_t last = random() % 40;
  AppendToken(last, 0, &sample.block);
  add_literals(last);
  return sample;
}

TEST(Lz4BlockTest, LiteralsAloneAreABlock) {
  EXPECT_EQ(*DecodeLz4Block(Bytes({0x30, 'a', 'b', 'c'}), 3), "abc");
  EXPECT_EQ(*DecodeLz4Block(Bytes({0x00}), 0), "");
}

TEST(Lz4BlockTest, AMatchMayReachIntoWhatItMakes) {
  // "ab", then 6 bytes from 2 back, then "c".
  EXPECT_EQ(
      *DecodeLz4Block(Bytes({0x22, 'a', 'b', 0x02, 0x00, 0x10, 'c'}), 100),
      "ababababc");
}

TEST(Lz4BlockTest, LongLengthsGoOnInFurtherBytes) {
  const std::string text(15 + 255 + 3, 'x');
  EXPECT_EQ(*DecodeLz4Block(Bytes({0xf0, 255, 3}) + text, 1000), text);
  // One literal and a match of 4 + 15 + 1.
  EXPECT_EQ(*DecodeLz4Block(Bytes({0x1f, 'y', 1, 0, 1, 0x00}), 1000),
            std::string(21, 'y'));
}

TEST(Lz4BlockTest, WhatIsNoBlockIsDataLoss) {
  const std::string blocks[] = {
      "",
      Bytes({0x30, 'a', 'b'}),              // literals missing
      Bytes({0xf0}),                        // length missing
      Bytes({0xf0, 255}),                   // ... its end
      Bytes({0x10, 'a', 0x01}),             // half a distance
      Bytes({0x10, 'a', 0x00, 0x00}),       // distance 0
      Bytes({0x10, 'a', 0x02, 0x00}),       // before the beginning
      Bytes({0x1f, 'a', 0x01, 0x00, 255}),  // match length without an end
      Bytes({0x10, 'a', 0x01, 0x00}),       // no last sequence
  };
  for (const std::string& block : blocks) {
    EXPECT_TRUE(absl::IsDataLoss(DecodeLz4Block(block, 100).status()));
  }
}

TEST(Lz4BlockTest, NothingStandsForMoreThanAllowed) {
  EXPECT_TRUE(absl::IsDataLoss(
      DecodeLz4Block(Bytes({0x30, 'a', 'b', 'c'}), 2).status()));
  EXPECT_TRUE(absl::IsDataLoss(
      DecodeLz4Block(Bytes({0x1f, 'y', 1, 0, 255, 255, 255, 0, 0x00}), 64)
          .status()));
}

TEST(Lz4BlockTest, EveryBlockStandsForWhatItWasMadeFrom) {
  for (uint64_t seed = 0; seed < 2000; ++seed) {
    SCOPED_TRACE(testing::Message() << "seed " << seed);
    std::mt19937_64 random(seed);
    const Sample sample = RandomSample(random);

    const absl::StatusOr<std::string> text =
        DecodeLz4Block(sample.block, sample.text.size());

    ASSERT_TRUE(text.ok()) << text.status();
    EXPECT_EQ(*text, sample.text);
  }
}

TEST(Lz4BlockTest, WhateverTheBytesAreItIsDataLossOrNoMoreThanAllowed) {
  for (uint64_t seed = 0; seed < 20000; ++seed) {
    SCOPED_TRACE(testing::Message() << "seed " << seed);
    std::mt19937_64 random(seed);
    const std::string block = RandomSample(random).block;
    // Of exactly this size, so that a sanitizer sees what is read behind it.
    std::vector<char> broken(block.begin(),
                             block.end() - random() % block.size());
    for (uint64_t left = random() % 8; left > 0; --left) {
      broken[random() % broken.size()] = static_cast<char>(random());
    }
    const size_t most = random() % 2000;

    const absl::StatusOr<std::string> text =
        DecodeLz4Block({broken.data(), broken.size()}, most);

    if (text.ok()) {
      EXPECT_LE(text->size(), most);
    } else {
      EXPECT_TRUE(absl::IsDataLoss(text.status())) << text.status();
    }
  }
}

}  // namespace
}  // namespace podvisor
