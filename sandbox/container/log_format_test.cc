#include "sandbox/container/log_format.h"

#include <algorithm>
#include <random>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace podvisor {
namespace {

using ::testing::ElementsAre;

constexpr char kTime[] = "2026-11-22T10:53:00.000000000Z";

std::vector<std::string> LinesOf(const std::string& text) {
  std::vector<std::string> lines;
  for (size_t at = 0; at < text.size();) {
    const size_t end = text.find('\n', at);
    EXPECT_NE(end, std::string::npos);
    lines.push_back(text.substr(at, end - at));
    at = end + 1;
  }
  return lines;
}

// The stream that the lines are made of.
std::string ContentOf(const std::string& text) {
  std::string content;
  for (const std::string& line : LinesOf(text)) {
    const auto parsed = ParseLogLine(line);
    EXPECT_TRUE(parsed.has_value());
    if (!parsed) continue;
    EXPECT_LE(parsed->content.size(), kMaxLogContentBytes);
    absl::StrAppend(&content, parsed->content, parsed->full ? "\n" : "");
  }
  return content;
}

std::string SplitAtOnce(const std::string& data) {
  std::string lines;
  LogLineSplitter splitter(LogStream::kStdout);
  splitter.Add(data, kTime, &lines);
  splitter.Finish(kTime, &lines);
  return lines;
}

std::string RandomData(std::mt19937* random) {
  static constexpr char kBytes[] = {'a', '\n', '\0', '\xff', ' ', '\r'};
  std::string data;
  for (int n = static_cast<int>((*random)() % 8); n > 0; --n) {
    const size_t lengths[] = {0,
                              1,
                              7,
                              kMaxLogContentBytes - 1,
                              kMaxLogContentBytes,
                              kMaxLogContentBytes + 1,
                              3 * kMaxLogContentBytes};
    data.append(lengths[(*random)() % 7], kBytes[(*random)() % 6]);
    if ((*random)() % 2) data += '\n';
  }
  return data;
}

TEST(LogFormatTest, TimesAreRfc3339WithNineDigits) {
  EXPECT_EQ(FormatLogTime(absl::FromUnixNanos(1'700'000'000'000'000'001)),
            "2023-11-14T22:13:20.000000001Z");
}

TEST(LogFormatTest, ALineIsTimeStreamTagAndContent) {
  std::string lines;
  LogLineSplitter splitter(LogStream::kStderr);

  splitter.Add("one\n\nhalf", kTime, &lines);
  EXPECT_EQ(splitter.held_bytes(), 4u);
  splitter.Finish(kTime, &lines);

  EXPECT_THAT(LinesOf(lines),
              ElementsAre(absl::StrCat(kTime, " stderr F one"),
                          absl::StrCat(kTime, " stderr F "),
                          absl::StrCat(kTime, " stderr P half")));
}

TEST(LogFormatTest, ALineOfExactlyTheLimitIsOnePieceAndAByteMoreIsTwo) {
  const std::string limit(kMaxLogContentBytes, 'x');

  EXPECT_THAT(LinesOf(SplitAtOnce(limit + "\n")),
              ElementsAre(absl::StrCat(kTime, " stdout F ", limit)));
  EXPECT_THAT(LinesOf(SplitAtOnce(limit + "y\n")),
              ElementsAre(absl::StrCat(kTime, " stdout P ", limit),
                          absl::StrCat(kTime, " stdout F y")));
}

TEST(LogFormatTest, TheContentsTogetherAreTheInput) {
  std::mt19937 random(1);
  for (int i = 0; i < 300; ++i) {
    const std::string data = RandomData(&random);
    EXPECT_EQ(ContentOf(SplitAtOnce(data)), data);
  }
}

TEST(LogFormatTest, TheLinesDoNotDependOnTheChunks) {
  std::mt19937 random(2);
  for (int i = 0; i < 300; ++i) {
    const std::string data = RandomData(&random);
    std::string lines;
    LogLineSplitter splitter(LogStream::kStdout);
    for (size_t at = 0; at < data.size();) {
      const size_t size = 1 + random() % (random() % 2 ? 3 : 40'000);
      splitter.Add(absl::string_view(data).substr(at, size), kTime, &lines);
      EXPECT_LE(splitter.held_bytes(), kMaxLogContentBytes);
      at += size;
    }
    splitter.Finish(kTime, &lines);

    EXPECT_EQ(lines, SplitAtOnce(data));
  }
}

TEST(LogFormatTest, AnEmptySplitterContinuesWhereLinesWereWritten) {
  std::mt19937 random(3);
  for (int i = 0; i < 300; ++i) {
    const std::string data = RandomData(&random);
    std::string lines;
    size_t written = 0;
    // Every splitter is lost right after it has seen something.
    while (written < data.size()) {
      LogLineSplitter splitter(LogStream::kStdout);
      const size_t size = 1 + random() % 70'000;
      const absl::string_view chunk =
          absl::string_view(data).substr(written, size);
      splitter.Add(chunk, kTime, &lines);
      if (written + size >= data.size()) splitter.Finish(kTime, &lines);
      written += chunk.size() - splitter.held_bytes();
    }

    EXPECT_EQ(lines, SplitAtOnce(data));
  }
}

TEST(LogFormatTest, WhatIsNotALineIsNotParsed) {
  for (const char* line :
       {"", "x", "2026-11-22T10:53:00Z", "2026-11-22T10:53:00Z stdout",
        "2026-11-22T10:53:00Z stdout F", "2026-11-22T10:53:00Z stdin F x",
        "2026-11-22T10:53:00Z stdout X x", "yesterday-at-the-moon stdout F x",
        "infinite-future stdout F x", " stdout F x"}) {
    EXPECT_FALSE(ParseLogLine(line).has_value()) << line;
  }
  const auto line = ParseLogLine("2026-11-22T10:53:00.5+01:00 stderr P a b");
  ASSERT_TRUE(line.has_value());
  EXPECT_EQ(line->content, "a b");
}

}  // namespace
}  // namespace podvisor
