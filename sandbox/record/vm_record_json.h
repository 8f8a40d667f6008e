#ifndef PODVISOR_SANDBOX_RECORD_VM_RECORD_JSON_H_
#define PODVISOR_SANDBOX_RECORD_VM_RECORD_JSON_H_

#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "sandbox/record/vm_spec.h"

namespace podvisor {

// A VM's record as the text that PodRecord::vm_json keeps. Pure.
std::string EncodeVmRecord(const VmRecord& record);

// DataLoss for anything that EncodeVmRecord() did not write.
absl::StatusOr<VmRecord> DecodeVmRecord(absl::string_view json);

}  // namespace podvisor

#endif  // PODVISOR_SANDBOX_RECORD_VM_RECORD_JSON_H_
