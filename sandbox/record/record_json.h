#ifndef PODVISOR_SANDBOX_RECORD_RECORD_JSON_H_
#define PODVISOR_SANDBOX_RECORD_RECORD_JSON_H_

#include <cstddef>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "sandbox/record/container_record.h"
#include "sandbox/record/pod_record.h"

namespace podvisor {

// A record as JSON text, the form in which it is stored. Pure.
//
// Readers take what a newer daemon added (unknown members are ignored) and
// what an older one did not write (missing members have their defaults), but
// never guess: a member of the wrong type or range is DataLoss, and so is text
// that is not one JSON object, is too long or is nested too deep.

// Above this no record is written or read: a client may fill a pod with
// annotations and environment, but not the disk.
inline constexpr size_t kMaxRecordBytes = 4 << 20;

// Errors: InvalidArgument for a record that is longer than kMaxRecordBytes, or
// has a string that is not UTF-8 (JSON could not give it back).
absl::StatusOr<std::string> EncodePodRecord(const PodRecord& record);
absl::StatusOr<std::string> EncodeContainerRecord(
    const ContainerRecord& record);

// Errors: DataLoss, naming the member.
absl::StatusOr<PodRecord> DecodePodRecord(absl::string_view json);
absl::StatusOr<ContainerRecord> DecodeContainerRecord(absl::string_view json);

}  // namespace podvisor

#endif  // PODVISOR_SANDBOX_RECORD_RECORD_JSON_H_
