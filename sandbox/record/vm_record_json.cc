#include "sandbox/record/vm_record_json.h"

#include "base/status_macros.h"
#include "nlohmann/json.hpp"
#include "sandbox/record/json_fields.h"

namespace podvisor {
namespace {

nlohmann::json ToJson(const ProcessIdentity& process) {
  return {{"pid", process.pid}, {"start_ticks", process.start_ticks}};
}

void ReadProcess(JsonFields* fields, ProcessIdentity* process) {
  fields->Read("pid", &process->pid);
  fields->Read("start_ticks", &process->start_ticks);
}

}  // namespace

std::string EncodeVmRecord(const VmRecord& record) {
  nlohmann::json json = {
      {"qemu", ToJson(record.qemu)},
      {"agent_secret", record.agent_secret_hex},
      {"uid", record.uid},
      {"boot_vcpus", record.boot_vcpus},
      {"max_vcpus", record.max_vcpus},
      {"boot_memory_bytes", record.boot_memory_bytes},
      {"max_memory_bytes", record.max_memory_bytes},
      {"memory_device", static_cast<int>(record.memory_device)},
      {"vcpu_unplug", static_cast<int>(record.vcpu_unplug)},
      {"memory_slots", record.memory_slots},
      {"bridges", record.bridges},
      {"accelerator", static_cast<int>(record.accelerator)},
  };
  if (record.virtiofsd.has_value()) {
    json["virtiofsd"] = ToJson(*record.virtiofsd);
  }
  return json.dump();
}

absl::StatusOr<VmRecord> DecodeVmRecord(absl::string_view text) {
  ASSIGN_OR_RETURN(const nlohmann::json json, ParseJsonObject(text, 4096, 4));
  VmRecord record;
  JsonFields fields(json, "vm.");
  fields.ReadObject("qemu",
                    [&](JsonFields* qemu) { ReadProcess(qemu, &record.qemu); });
  fields.ReadObject("virtiofsd", [&](JsonFields* virtiofsd) {
    ReadProcess(virtiofsd, &record.virtiofsd.emplace());
  });
  fields.Read("agent_secret", &record.agent_secret_hex);
  fields.Read("uid", &record.uid);
  fields.Read("boot_vcpus", &record.boot_vcpus);
  fields.Read("max_vcpus", &record.max_vcpus);
  fields.Read("boot_memory_bytes", &record.boot_memory_bytes);
  fields.Read("max_memory_bytes", &record.max_memory_bytes);
  fields.ReadEnum("memory_device", MemoryDevice::kNone, MemoryDevice::kPcDimm,
                  &record.memory_device);
  fields.ReadEnum("vcpu_unplug", VcpuUnplug::kDevice, VcpuUnplug::kPark,
                  &record.vcpu_unplug);
  fields.Read("memory_slots", &record.memory_slots);
  fields.Read("bridges", &record.bridges);
  fields.ReadEnum("accelerator", Accelerator::kTcg, Accelerator::kKvm,
                  &record.accelerator);
  RETURN_IF_ERROR(fields.status());
  if (record.qemu.pid <= 0) return absl::DataLossError("vm.qemu has no pid");
  return record;
}

}  // namespace podvisor
