#include "cri/streaming/spdy_headers.h"

#include <zlib.h>

#include <string>

#include "absl/strings/match.h"
#include "cri/streaming/big_endian.h"
#include "cri/streaming/spdy_dictionary.h"
#include "gtest/gtest.h"

namespace podvisor {
namespace {

// A block whose unpacked form is `text`, as a client's first.
std::string Packed(const std::string& text) {
  const std::string dictionary = SpdyDictionary();
  z_stream zlib = {};
  EXPECT_EQ(deflateInit(&zlib, Z_BEST_COMPRESSION), Z_OK);
  deflateSetDictionary(&zlib, reinterpret_cast<const Bytef*>(dictionary.data()),
                       static_cast<uInt>(dictionary.size()));
  std::string packed(text.size() + 1024, '\0');
  zlib.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(text.data()));
  zlib.avail_in = static_cast<uInt>(text.size());
  zlib.next_out = reinterpret_cast<Bytef*>(packed.data());
  zlib.avail_out = static_cast<uInt>(packed.size());
  EXPECT_EQ(deflate(&zlib, Z_SYNC_FLUSH), Z_OK);
  packed.resize(packed.size() - zlib.avail_out);
  deflateEnd(&zlib);
  return packed;
}

std::string Number(uint32_t value) {
  std::string bytes;
  AppendBigEndian32(value, &bytes);
  return bytes;
}

TEST(SpdyDictionaryTest, HasTheChecksumByWhichZlibKnowsTheOneOfSpdy3) {
  const std::string dictionary = SpdyDictionary();

  EXPECT_EQ(dictionary.size(), 1423u);
  EXPECT_EQ(adler32(adler32(0, nullptr, 0),
                    reinterpret_cast<const Bytef*>(dictionary.data()),
                    static_cast<uInt>(dictionary.size())),
            0xe3c6a7c2u);
}

TEST(SpdyHeadersTest, BlocksOfOneDirectionAreOneStream) {
  SpdyHeaderWriter writer;
  SpdyHeaderReader reader;
  const SpdyHeaders first = {{"streamtype", "stdin"}, {"requestid", "0"}};
  const SpdyHeaders second = {{"streamtype", std::string("a\0b", 3)}};

  const std::string one = writer.Write(first);
  const std::string two = writer.Write(second);
  const std::string again = writer.Write(first);

  EXPECT_EQ(reader.Read(one).value(), first);
  EXPECT_EQ(reader.Read(two).value(), second);
  EXPECT_EQ(reader.Read(again).value(), first);
  EXPECT_LT(again.size(), one.size()) << "what was said before is known";
}

TEST(SpdyHeadersTest, NoHeaderIsABlockToo) {
  SpdyHeaderWriter writer;
  SpdyHeaderReader reader;

  EXPECT_EQ(reader.Read(writer.Write({})).value(), SpdyHeaders());
}

TEST(SpdyHeadersTest, AHeaderIsFoundByItsName) {
  const SpdyHeaders headers = {{"port", "80"}, {"streamtype", "data"}};

  EXPECT_EQ(FindHeader(headers, "streamtype"), "data");
  EXPECT_EQ(FindHeader(headers, "requestid"), "");
}

TEST(SpdyHeadersTest, DamagedBlocksAreDataLoss) {
  const std::string name = Number(1) + "n";
  for (const std::string& text :
       {std::string(), std::string("abc"), Number(1), Number(1) + name,
        Number(1) + Number(0xffffffff), Number(1) + name + Number(2) + "v",
        Number(1) + Number(0) + Number(0), Number(0) + "more", Number(65)}) {
    SpdyHeaderReader reader;
    EXPECT_TRUE(absl::IsDataLoss(reader.Read(Packed(text)).status())) << text;
  }
  for (const std::string& block :
       {std::string("no zlib at all"), std::string(64, '\0'),
        Packed(Number(0)) + "trailing"}) {
    SpdyHeaderReader reader;
    EXPECT_TRUE(absl::IsDataLoss(reader.Read(block).status())) << block;
  }
}

TEST(SpdyHeadersTest, ASmallBlockThatUnpacksToMuchIsGivenUpEarly) {
  const std::string value(8 << 20, 'a');
  const std::string block =
      Packed(Number(1) + Number(1) + "n" + Number(value.size()) + value);
  ASSERT_LT(block.size(), 64u << 10);
  SpdyHeaderReader reader;

  const absl::Status status = reader.Read(block).status();

  EXPECT_TRUE(absl::IsDataLoss(status)) << status;
  EXPECT_TRUE(absl::StrContains(status.message(), "too large")) << status;
}

}  // namespace
}  // namespace podvisor
