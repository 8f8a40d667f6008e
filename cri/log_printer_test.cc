#include "cri/log_printer.h"

#include <sstream>
#include <string>

#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"

namespace podvisor {
namespace {

constexpr char kOut[] = "2026-11-22T10:53:00.123456789Z stdout ";
constexpr char kErr[] = "2026-11-22T10:53:00.123456789Z stderr ";

class LogPrinterTest : public testing::Test {
 protected:
  // What is printed when the log arrives in chunks of this size.
  void PrintAll(const std::string& log, size_t chunk, bool terminal = false) {
    out_.str("");
    err_.str("");
    LogPrinter printer({&out_, terminal}, {&err_, terminal});
    for (size_t i = 0; i < log.size(); i += chunk) {
      printer.Add(absl::string_view(log).substr(i, chunk));
    }
    printer.Finish();
  }

  std::ostringstream out_;
  std::ostringstream err_;
};

TEST_F(LogPrinterTest, MessagesGoToTheirStreamsHoweverTheyArrive) {
  const std::string log =
      absl::StrCat(kOut, "P one \n", kErr, "F oops\n", kOut, "F line\n", kOut,
                   "F \n", kOut, "P no newline\n");
  for (const size_t chunk : {1, 7, 10'000}) {
    PrintAll(log, chunk);

    EXPECT_EQ(out_.str(), "one line\n\nno newline") << chunk;
    EXPECT_EQ(err_.str(), "oops\n") << chunk;
  }
}

TEST_F(LogPrinterTest, ATerminalGetsNoControlCharactersAndAPipeGetsTheBytes) {
  const std::string log = absl::StrCat(kOut, "F a\x1b[2Jb\x07\xff\n");

  PrintAll(log, 100, /*terminal=*/true);
  EXPECT_EQ(out_.str(), "a [2Jb ?\n");
  PrintAll(log, 100);
  EXPECT_EQ(out_.str(), "a\x1b[2Jb\x07\xff\n");
}

TEST_F(LogPrinterTest, WhatIsNotInTheFormatIsShownAsItIs) {
  PrintAll("garbage\nmore", 3);

  EXPECT_EQ(out_.str(), "garbage\nmore\n");
}

TEST_F(LogPrinterTest, ALineWithoutAnEndIsPrintedAsItComes) {
  const std::string endless(1 << 20, 'x');

  PrintAll(endless, 1000);

  EXPECT_EQ(out_.str().substr(0, endless.size()), endless);
}

}  // namespace
}  // namespace podvisor
