#include "hotplug/qemu_inventory.h"

#include <string>

#include "gtest/gtest.h"

namespace podvisor {
namespace {

// QEMU 7.2, -smp 1,sockets=3,maxcpus=3, after a device_add of "cpu1".
constexpr char kSlots[] = R"([
  {"props":{"core-id":0,"thread-id":0,"node-id":0,"socket-id":10},
   "vcpus-count":1,"type":"max-x86_64-cpu"},
  {"props":{"core-id":0,"thread-id":0,"node-id":0,"socket-id":2},
   "vcpus-count":1,"qom-path":"/machine/peripheral/cpu1",
   "type":"max-x86_64-cpu"},
  {"props":{"core-id":0,"thread-id":0,"node-id":0,"socket-id":0},
   "vcpus-count":1,"qom-path":"/machine/unattached/device[0]",
   "type":"max-x86_64-cpu"}])";

constexpr char kMemory[] = R"([
  {"type":"dimm","data":{"id":"d0","size":1}},
  {"type":"virtio-mem","data":{"memdev":"/objects/vmem0","memaddr":4294967296,
   "block-size":2097152,"size":4194304,"node":0,"max-size":3221225472,
   "requested-size":134217728,"id":"vm0"}}])";

TEST(ParseVcpuSlotsTest, SortsByPlaceAndKnowsWhatCanBeRemoved) {
  const auto slots = ParseVcpuSlots(kSlots);

  ASSERT_TRUE(slots.ok()) << slots.status();
  ASSERT_EQ(slots->size(), 3u);
  EXPECT_TRUE((*slots)[0].plugged);
  EXPECT_EQ((*slots)[0].device_id, "");
  EXPECT_EQ((*slots)[1].device_id, "cpu1");
  EXPECT_FALSE((*slots)[2].plugged);
  EXPECT_EQ((*slots)[2].driver, "max-x86_64-cpu");
  EXPECT_NE((*slots)[2].props_json.find(R"("socket-id":10)"),
            std::string::npos);
}

TEST(ParseVcpuSlotsTest, NonsenseIsDataLoss) {
  for (const std::string text : {
           "",
           "{}",
           "[]",
           "null",
           "[1]",
           "[{}]",
           R"([{"type":"x"}])",
           R"([{"type":"x","props":[],"vcpus-count":1}])",
           R"([{"type":"x","props":{"a":"b"},"vcpus-count":1}])",
           R"([{"type":"x","props":{"a":{"b":1}},"vcpus-count":1}])",
           R"([{"type":"x","props":{},"vcpus-count":2}])",
           R"([{"type":7,"props":{},"vcpus-count":1}])",
           R"([{"type":"x","props":{},"vcpus-count":1,"qom-path":7}])",
       }) {
    EXPECT_TRUE(absl::IsDataLoss(ParseVcpuSlots(text).status())) << text;
  }
}

TEST(ParseVcpuSlotsTest, TooManySlotsAreDataLoss) {
  std::string text = "[";
  for (int i = 0; i < 4097; ++i) {
    text += i == 0 ? "" : ",";
    text += R"({"type":"x","props":{},"vcpus-count":1})";
  }
  EXPECT_TRUE(absl::IsDataLoss(ParseVcpuSlots(text + "]").status()));
}

TEST(ParseMemoryDeviceTest, FindsTheDeviceById) {
  const auto device = ParseMemoryDevice(kMemory, "vm0");

  ASSERT_TRUE(device.ok()) << device.status();
  const MemoryDeviceState expected = {.id = "vm0",
                                      .requested_bytes = 134217728,
                                      .plugged_bytes = 4194304,
                                      .max_bytes = 3221225472,
                                      .block_bytes = 2097152};
  EXPECT_EQ(*device, expected);
  EXPECT_EQ(*ParseMemoryDevice(kMemory, "d0"), std::nullopt);
  EXPECT_EQ(*ParseMemoryDevice("[]", "vm0"), std::nullopt);
}

TEST(ParseMemoryDeviceTest, NonsenseIsDataLoss) {
  const auto device = [](const std::string& size, const std::string& asked) {
    return R"([{"type":"virtio-mem","data":{"id":"vm0","max-size":100,)"
           R"("block-size":2,"size":)" +
           size + R"(,"requested-size":)" + asked + "}}]";
  };
  EXPECT_TRUE(ParseMemoryDevice(device("10", "100"), "vm0").ok());
  for (const std::string& text :
       {std::string("7"), std::string("[[]]"), device("101", "0"),
        device("0", "101"), device("-1", "0"), device("1.5", "0"),
        device("18446744073709551615", "0"), device("\"1\"", "0")}) {
    EXPECT_TRUE(absl::IsDataLoss(ParseMemoryDevice(text, "vm0").status()))
        << text;
  }
}

TEST(ParseDiskBytesTest, EachDiskHasWhatWentThroughIt) {
  // QEMU 7.2, cut to a few of its numbers.
  const auto disks = ParseDiskBytes(R"([
    {"device":"","qdev":"/machine/peripheral/b/virtio-backend",
     "node-name":"node-scratch","parent":{"node-name":"#block1","stats":{}},
     "stats":{"rd_bytes":4096,"wr_bytes":1048576,"failed_rd_operations":0}},
    {"device":"","node-name":"node-i0","stats":{"rd_bytes":7,"wr_bytes":0}}])");

  ASSERT_TRUE(disks.ok()) << disks.status();
  EXPECT_EQ(disks->size(), 2u);
  EXPECT_EQ(disks->at("node-scratch"), (DiskBytes{4096, 1048576}));
  EXPECT_EQ(disks->at("node-i0"), (DiskBytes{7, 0}));
  EXPECT_TRUE(ParseDiskBytes("[]")->empty());
}

TEST(ParseDiskBytesTest, NonsenseIsDataLoss) {
  for (const std::string text : {
           "",
           "{}",
           "[1]",
           "[{}]",
           R"([{"node-name":"a"}])",
           R"([{"node-name":"a","stats":1}])",
           R"([{"node-name":"a","stats":{"rd_bytes":1}}])",
           R"([{"node-name":"a","stats":{"rd_bytes":-1,"wr_bytes":1}}])",
           R"([{"node-name":"a","stats":{"rd_bytes":"1","wr_bytes":1}}])",
           R"([{"node-name":"","stats":{"rd_bytes":1,"wr_bytes":1}}])",
       }) {
    EXPECT_TRUE(absl::IsDataLoss(ParseDiskBytes(text).status())) << text;
  }
}

}  // namespace
}  // namespace podvisor
