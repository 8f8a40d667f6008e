#include "cri/blkio_annotation.h"

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace podvisor {
namespace {

using testing::HasSubstr;

using Limits = std::vector<BlockIoLimit>;

std::string List(const std::string& items) {
  return absl::StrCat(R"({"blkiocgroup":[)", items, "]}");
}
std::string Device(const std::string& limits) {
  return List(absl::StrCat(R"({"path":"/dev/sda","limits":[)", limits, "]}"));
}
std::string Limit(const std::string& type, const std::string& value) {
  return absl::StrCat(R"({"type":")", type, R"(","value":)", value, "}");
}

TEST(BlkioAnnotationTest, ThePublishedExampleIsRead) {
  EXPECT_EQ(
      ParseBlkioAnnotation(
          R"({"blkiocgroup":[{"path":"/dev/sda","limits":[{"type":)"
          R"("throttle_read_bps","value":400},{"type":"throttle_write_bps",)"
          R"("value":400},{"type":"throttle_read_iops","value":700},{"type":)"
          R"("throttle_write_iops","value":699}]},{"limits":[{"type":)"
          R"("blkio_weight","value":78},{"type":"blkio_leaf_weight",)"
          R"("value":78}]}]})")
          .value(),
      (Limits{{BlockIoType::kReadBytes, "/dev/sda", 400},
              {BlockIoType::kWriteBytes, "/dev/sda", 400},
              {BlockIoType::kReadOperations, "/dev/sda", 700},
              {BlockIoType::kWriteOperations, "/dev/sda", 699},
              {BlockIoType::kWeight, "", 78},
              {BlockIoType::kLeafWeight, "", 78}}));
}

TEST(BlkioAnnotationTest, TheEndsOfTheRangesAreIn) {
  for (const auto& [type, value] :
       {std::pair("throttle_read_bps", "1"),
        std::pair("throttle_read_bps", "9223372036854775807"),
        std::pair("throttle_write_iops", "4294967295"),
        std::pair("blkio_weight", "10"), std::pair("blkio_weight", "1000")}) {
    EXPECT_TRUE(ParseBlkioAnnotation(Device(Limit(type, value))).ok())
        << type << " " << value;
  }
}

TEST(BlkioAnnotationTest, WhatIsWrongIsNamedWithItsPlace) {
  const std::string weight = Limit("blkio_weight", "78");
  const std::string read = Limit("throttle_read_bps", "400");
  const std::pair<std::string, std::string> kBad[] = {
      // Not the JSON that it should be.
      {"", "is not valid JSON"},
      {"{", "is not valid JSON"},
      {List("") + "x", "is not valid JSON"},
      {"[]", "the value: is not an object"},
      {"7", "the value: is not an object"},
      {std::string(70'000, ' '), "is longer than 65536 bytes"},
      {std::string(60'000, '['), "is nested too deep"},
      {Device(R"({"type":[],"value":1})"), "is nested too deep"},
      // Keys.
      {"{}", "\"blkiocgroup\" is missing"},
      {R"({"blkiocgroup":[],"more":1})", "\"more\" is not known"},
      {R"({"blkiocgroup":[],"blkiocgroup":[]})",
       "has the key \"blkiocgroup\" twice"},
      {List(R"({"path":"/dev/sda"})"), "blkiocgroup[0]: \"limits\" is missing"},
      {List(R"({"limits":[],"Path":"/dev/sda"})"),
       "blkiocgroup[0]: \"Path\" is not known"},
      {List(R"({"limits":[)" + weight + R"(],"limits":[]})"),
       "has the key \"limits\" twice"},
      {Device(R"({"value":400})"),
       "blkiocgroup[0].limits[0]: \"type\" is missing"},
      {Device(R"({"type":"blkio_weight"})"),
       "blkiocgroup[0].limits[0]: \"value\" is missing"},
      {Device(weight + R"(,{"type":"blkio_weight","value":1,"value":2})"),
       "has the key \"value\" twice"},
      // Lists.
      {R"({"blkiocgroup":{}})", "blkiocgroup: is not a list"},
      {List(""), "blkiocgroup: is empty"},
      {List("7"), "blkiocgroup[0]: is not an object"},
      {Device(""), "blkiocgroup[0].limits: is empty"},
      {List(R"({"limits":null})"), "blkiocgroup[0].limits: is not a list"},
      {Device("null"), "blkiocgroup[0].limits[0]: is not an object"},
      // Types and values.
      {Device(Limit("throttle", "1")),
       "blkiocgroup[0].limits[0].type: must be one of throttle_read_bps, "},
      {Device(R"({"type":7,"value":1})"), ".type: must be one of "},
      {Device(Limit("throttle_read_bps", "0")),
       "blkiocgroup[0].limits[0].value: must be a whole number from 1 to "
       "9223372036854775807 for throttle_read_bps"},
      {Device(Limit("throttle_read_bps", "9223372036854775808")),
       ".value: must be"},
      {Device(Limit("throttle_read_bps", "99999999999999999999")),
       ".value: must be"},
      {Device(Limit("throttle_write_bps", "-1")), ".value: must be"},
      {Device(Limit("throttle_write_bps", "1.0")), ".value: must be"},
      {Device(Limit("throttle_write_bps", "1e3")), ".value: must be"},
      {Device(Limit("throttle_write_bps", "\"1\"")), ".value: must be"},
      {Device(Limit("throttle_read_iops", "4294967296")),
       "from 1 to 4294967295 for throttle_read_iops"},
      {Device(read + "," + Limit("blkio_weight", "9")),
       "blkiocgroup[0].limits[1].value: must be a whole number from 10 to 1000 "
       "for blkio_weight"},
      {Device(Limit("blkio_leaf_weight", "1001")), "from 10 to 1000"},
      // Devices.
      {List(R"({"limits":[)" + read + "]}"),
       "blkiocgroup[0].limits[0]: throttle_read_bps needs a \"path\""},
      {List(R"({"path":7,"limits":[)" + read + "]}"),
       "blkiocgroup[0].path: is not a string"},
      {List(R"({"path":"","limits":[)" + read + "]}"),
       "blkiocgroup[0].path: is empty"},
      {List(R"({"path":"sda","limits":[)" + read + "]}"),
       "blkiocgroup[0].path: \"sda\" is not an absolute path"},
      {List(R"({"path":"/dev/../etc","limits":[)" + read + "]}"),
       "contains \"..\""},
      {List(R"({"path":"/dev/\u0000","limits":[)" + read + "]}"), "NUL"},
      {List(R"({"path":"/mnt/sda","limits":[)" + read + "]}"),
       "blkiocgroup[0].path: is not below /dev"},
      // Contradictions.
      {Device(read + "," + read),
       "blkiocgroup[0].limits[1]: throttle_read_bps is given twice"},
      {List(R"({"limits":[)" + weight + R"(]},{"limits":[)" + weight + "]}"),
       "blkiocgroup[1].limits[0]: blkio_weight is given twice"},
  };
  for (const auto& [text, message] : kBad) {
    const absl::Status status = ParseBlkioAnnotation(text).status();
    EXPECT_TRUE(absl::IsInvalidArgument(status)) << text.substr(0, 200);
    EXPECT_THAT(std::string(status.message()), HasSubstr(message))
        << text.substr(0, 200);
  }
}

TEST(BlkioAnnotationTest, MoreDevicesThanAnyHostNeedsAreRefused) {
  std::string devices;
  for (int i = 0; i < 65; ++i) {
    absl::StrAppend(&devices, i == 0 ? "" : ",", R"({"path":"/dev/d)", i,
                    R"(","limits":[{"type":"blkio_weight","value":78}]})");
  }

  EXPECT_EQ(ParseBlkioAnnotation(List(devices)).status(),
            absl::InvalidArgumentError(
                "blkiocgroup: has 65 items; at most 64 are allowed"));
}

}  // namespace
}  // namespace podvisor
