#include "cri/quantity.h"

#include <string>

#include "absl/numeric/int128.h"
#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"

namespace podvisor {
namespace {

constexpr int64_t kMax = int64_t{1} << 62;
constexpr size_t kMaxLength = 32;

absl::Status NotAQuantity(absl::string_view text) {
  return absl::InvalidArgumentError(absl::StrCat(
      "\"", absl::Utf8SafeCHexEscape(text.substr(0, 40)),
      "\" is not a quantity such as \"500m\", \"2\" or \"512Mi\""));
}

struct Suffix {
  absl::string_view text;
  int64_t numerator;
  int64_t denominator;
};

constexpr Suffix kSuffixes[] = {
    {"", 1, 1},
    {"m", 1, 1000},
    {"k", 1000, 1},
    {"M", 1000'000, 1},
    {"G", 1000'000'000, 1},
    {"T", 1000'000'000'000, 1},
    {"P", 1000'000'000'000'000, 1},
    {"E", 1000'000'000'000'000'000, 1},
    {"Ki", int64_t{1} << 10, 1},
    {"Mi", int64_t{1} << 20, 1},
    {"Gi", int64_t{1} << 30, 1},
    {"Ti", int64_t{1} << 40, 1},
    {"Pi", int64_t{1} << 50, 1},
    {"Ei", int64_t{1} << 60, 1},
};

// digits / 10^decimals
struct Decimal {
  absl::uint128 digits = 0;
  int decimals = 0;
};

// Takes the number off the front of `text`. False when there is none, or it
// has more than 18 digits.
bool TakeDecimal(absl::string_view& text, Decimal& number) {
  bool point = false;
  int count = 0;
  while (!text.empty() && (absl::ascii_isdigit(text.front()) ||
                           (text.front() == '.' && !point))) {
    if (text.front() == '.') {
      point = true;
    } else {
      if (++count > 18) return false;
      number.digits = number.digits * 10 + (text.front() - '0');
      number.decimals += point ? 1 : 0;
    }
    text.remove_prefix(1);
  }
  return count > 0;
}

bool TakeExponent(absl::string_view text, int& exponent) {
  // "E" alone is the suffix for 10^18.
  if (text.size() < 2 || (text.front() != 'e' && text.front() != 'E')) {
    return false;
  }
  return text != "Ei" && absl::SimpleAtoi(text.substr(1), &exponent) &&
         exponent >= -18 && exponent <= 18;
}

absl::StatusOr<int64_t> Parse(absl::string_view text, int64_t scale) {
  if (text.size() > kMaxLength) return NotAQuantity(text);
  absl::string_view rest = text;
  Decimal number;
  if (!TakeDecimal(rest, number)) return NotAQuantity(text);

  absl::uint128 numerator = number.digits * static_cast<uint64_t>(scale);
  absl::uint128 denominator = 1;
  int exponent = 0;
  if (TakeExponent(rest, exponent)) {
    number.decimals -= exponent;
  } else {
    const Suffix* found = nullptr;
    for (const Suffix& suffix : kSuffixes) {
      if (rest == suffix.text) found = &suffix;
    }
    if (found == nullptr) return NotAQuantity(text);
    // At most 10^18 * 1000 * 2^60: below 2^128.
    if (number.digits > 0 &&
        numerator > absl::Uint128Max() / found->numerator) {
      return NotAQuantity(text);
    }
    numerator *= found->numerator;
    denominator = found->denominator;
  }
  for (; number.decimals > 0; --number.decimals) denominator *= 10;
  for (; number.decimals < 0; ++number.decimals) {
    if (numerator > absl::Uint128Max() / 10) return NotAQuantity(text);
    numerator *= 10;
  }
  const absl::uint128 value =
      numerator / denominator + (numerator % denominator != 0 ? 1 : 0);
  if (value > absl::uint128(kMax)) return NotAQuantity(text);
  return static_cast<int64_t>(value);
}

}  // namespace

absl::StatusOr<int64_t> ParseCpuQuantity(absl::string_view text) {
  return Parse(text, 1000);
}

absl::StatusOr<int64_t> ParseByteQuantity(absl::string_view text) {
  return Parse(text, 1);
}

}  // namespace podvisor
