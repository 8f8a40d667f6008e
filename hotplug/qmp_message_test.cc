#include "hotplug/qmp_message.h"

#include <random>
#include <string>
#include <variant>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace podvisor {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

template <typename T>
T Parsed(const std::string& line) {
  const auto message = ParseQmpMessage(line);
  EXPECT_TRUE(message.ok()) << line << ": " << message.status();
  if (!message.ok() || !std::holds_alternative<T>(*message)) {
    ADD_FAILURE() << "another kind of message: " << line;
    return T();
  }
  return std::get<T>(*message);
}

TEST(ParseQmpMessageTest, ReadsWhatQemuSends) {
  EXPECT_EQ(Parsed<QmpGreeting>(
                R"({"QMP": {"version": {"qemu": {"micro": 22, "minor": 2,)"
                R"( "major": 7}, "package": "Debian"}, "capabilities": []}})")
                .version,
            (QemuVersion{7, 2, 22}));

  const auto reply = Parsed<QmpReply>(R"({"return": {"a": [1]}, "id": 7})");
  EXPECT_EQ(reply.id, 7u);
  EXPECT_EQ(reply.return_json, R"({"a":[1]})");

  const auto rejection = Parsed<QmpRejection>(
      R"({"id": 7, "error": {"class": "GenericError", "desc": "no"}})");
  EXPECT_EQ(rejection.id, 7u);
  EXPECT_EQ(rejection.error_class, "GenericError");
  EXPECT_EQ(rejection.description, "no");

  EXPECT_EQ(Parsed<QmpRejection>(R"({"error": {"desc": "bad JSON"}})").id,
            std::nullopt);
}

TEST(ParseQmpMessageTest, FindsTheDeviceOfAnEvent) {
  EXPECT_EQ(Parsed<QmpEvent>(R"({"event":"DEVICE_DELETED","timestamp":{},)"
                             R"("data":{"device":"cpu3","path":"/m/cpu3"}})")
                .device,
            "cpu3");
  EXPECT_EQ(Parsed<QmpEvent>(R"({"event":"MEMORY_DEVICE_SIZE_CHANGE",)"
                             R"("data":{"id":"vm0","size":1}})")
                .device,
            "vm0");
  EXPECT_EQ(Parsed<QmpEvent>(R"({"event":"ACPI_DEVICE_OST","data":{"info":)"
                             R"({"device":"cpu3","source":3,"status":1}}})")
                .device,
            "cpu3");
  const auto inner = Parsed<QmpEvent>(
      R"({"event":"DEVICE_DELETED","data":{"path":"/m/d/virtio-backend"}})");
  EXPECT_EQ(inner.device, "");
  EXPECT_EQ(Parsed<QmpEvent>(R"({"event":"STOP"})").data_json, "{}");
}

TEST(ParseQmpMessageTest, AnythingElseIsDataLoss) {
  for (const std::string& line : {
           std::string(),
           std::string("{"),
           std::string("null"),
           std::string("[]"),
           std::string("{}"),
           std::string("\xff\xfe"),
           std::string(R"({"return": {}})"),
           std::string(R"({"return": {}, "id": "7"})"),
           std::string(R"({"return": {}, "id": -1})"),
           std::string(R"({"return": {}, "id": 1.5})"),
           std::string(R"({"event": 7})"),
           std::string(R"({"event": ")") + std::string(200, 'x') + R"("})",
           std::string(R"({"QMP": {}})"),
           std::string(R"({"QMP": {"version": {"qemu": {"major": -7}}}})"),
           R"({"return": ")" + std::string(kMaxQmpLineBytes, 'x') +
               R"(", "id": 1})",
           R"({"id": 1, "return": )" + std::string(500'000, '[') +
               std::string(500'000, ']') + "}",
       }) {
    EXPECT_TRUE(absl::IsDataLoss(ParseQmpMessage(line).status()))
        << line.substr(0, 80);
  }
}

TEST(ParseQmpMessageTest, BracketsInStringsAreNotNesting) {
  const std::string line =
      R"({"id":1,"return":"\")" + std::string(99, '[') + R"(\\"})";
  EXPECT_TRUE(ParseQmpMessage(line).ok());
}

TEST(ParseQmpMessageTest, TextsAreMadeFitForLogs) {
  const auto rejection = Parsed<QmpRejection>(
      R"({"id":1,"error":{"class":"GenericError","desc":"a\nb\u001b[2J)" +
      std::string(5000, 'x') + R"("}})");

  EXPECT_LE(rejection.description.size(), 1024u);
  EXPECT_THAT(rejection.description, Not(HasSubstr("\n")));
  EXPECT_THAT(rejection.description, Not(HasSubstr("\x1b")));
}

TEST(ParseQmpMessageTest, MangledMessagesDoNoHarm) {
  const std::string good =
      R"({"id":1,"error":{"class":"GenericError","desc":"\u00e9"}})";
  const uint64_t seed = std::random_device{}();
  SCOPED_TRACE(testing::Message() << "seed " << seed);
  std::mt19937_64 random(seed);
  for (int i = 0; i < 100'000; ++i) {
    std::string line = good;
    for (uint64_t n = random() % 4; n-- > 0;) {
      line[random() % line.size()] = static_cast<char>(random());
    }
    line.resize(random() % (line.size() + 1));
    const auto message = ParseQmpMessage(line);
    ASSERT_TRUE(message.ok() || absl::IsDataLoss(message.status()));
  }
}

TEST(RenderQmpCommandTest, IsOneLine) {
  EXPECT_EQ(*RenderQmpCommand(3, "query-status", ""),
            "{\"execute\":\"query-status\",\"id\":3}\n");
  EXPECT_EQ(*RenderQmpCommand(4, "device_del", "{\n\"id\": \"a\\nb\"}"),
            "{\"arguments\":{\"id\":\"a\\nb\"},\"execute\":\"device_del\","
            "\"id\":4}\n");
}

TEST(RenderQmpCommandTest, ArgumentsCannotEscapeTheirObject) {
  for (const char* arguments :
       {"[]", "7", "{", "{} {}", "{}}", R"({"a":1},"execute":"quit")"}) {
    EXPECT_TRUE(absl::IsInvalidArgument(
        RenderQmpCommand(1, "stop", arguments).status()))
        << arguments;
  }
}

TEST(RejectionStatusTest, CodesTellTheNextMove) {
  const auto code = [](const std::string& error_class) {
    return RejectionStatus("c", {std::nullopt, error_class, "text"}).code();
  };
  EXPECT_EQ(code("DeviceNotFound"), absl::StatusCode::kNotFound);
  EXPECT_EQ(code("CommandNotFound"), absl::StatusCode::kUnimplemented);
  EXPECT_EQ(code("GenericError"), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(code(""), absl::StatusCode::kInvalidArgument);
}

}  // namespace
}  // namespace podvisor
