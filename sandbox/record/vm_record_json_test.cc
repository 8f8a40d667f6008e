#include "sandbox/record/vm_record_json.h"

#include "gtest/gtest.h"

namespace podvisor {
namespace {

VmRecord Example() {
  VmRecord record;
  record.qemu = {4711, 123456789012345};
  record.virtiofsd = ProcessIdentity{4712, 123456789012399};
  record.agent_secret_hex = "00112233445566778899aabbccddeeff";
  record.uid = 1'879'048'193;
  record.boot_vcpus = 1;
  record.max_vcpus = 8;
  record.boot_memory_bytes = int64_t{256} << 20;
  record.max_memory_bytes = int64_t{16} << 30;
  record.memory_device = MemoryDevice::kPcDimm;
  record.vcpu_unplug = VcpuUnplug::kDevice;
  record.memory_slots = 10;
  record.bridges = 2;
  record.accelerator = Accelerator::kKvm;
  return record;
}

TEST(VmRecordJsonTest, ReadsBackWhatItWrote) {
  EXPECT_EQ(DecodeVmRecord(EncodeVmRecord(Example())).value(), Example());
}

TEST(VmRecordJsonTest, AVmWithoutShareHasNoVirtiofsd) {
  VmRecord record = Example();
  record.virtiofsd.reset();

  EXPECT_EQ(DecodeVmRecord(EncodeVmRecord(record)).value(), record);
}

TEST(VmRecordJsonTest, RefusesWhatIsNoRecord) {
  for (const char* text :
       {"", "{", "[]", "{}", R"({"qemu":{"pid":"1"}})", R"({"qemu":{"pid":0}})",
        R"({"qemu":{"pid":1},"accelerator":9})"}) {
    EXPECT_TRUE(absl::IsDataLoss(DecodeVmRecord(text).status())) << text;
  }
}

}  // namespace
}  // namespace podvisor
