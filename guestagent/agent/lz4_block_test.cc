#include "guestagent/agent/lz4_block.h"

#include <string>

#include "gtest/gtest.h"

namespace podvisor {
namespace {

std::string Bytes(std::initializer_list<int> bytes) {
  return std::string(bytes.begin(), bytes.end());
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

}  // namespace
}  // namespace podvisor
