#ifndef PODVISOR_CRI_CONVERT_POD_H_
#define PODVISOR_CRI_CONVERT_POD_H_

#include <map>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "google/protobuf/map.h"
#include "sandbox/record/pod_spec.h"
#include "third_party/cri_api/api.pb.h"

namespace podvisor {

// The handler of our RuntimeClass. "" selects it too; there is no other.
inline constexpr char kRuntimeHandler[] = "podvisor";

// What RunPodSandbox asks for, checked and as values. Pure.
//
// Errors:
//   InvalidArgument  the request is malformed, or asks for what no VM can do
//                    (a namespace of the host); the message names the field.
//   Unimplemented    a legal request for what Podvisor does not have; refused
//                    so that it is never ignored silently.
absl::StatusOr<PodSpec> ConvertPod(const runtime::v1::PodSandboxConfig& config,
                                   absl::string_view runtime_handler);

// The namespaces that a pod or container asks for. `field` names the message.
// Network and IPC can only be the pod's; the PID mode is returned, and a user
// namespace only checked (convert_ids.h).
absl::StatusOr<NamespaceMode> ConvertNamespaces(
    const runtime::v1::NamespaceOption& options, absl::string_view field);

// SELinux and AppArmor exist in no guest: anything that asks for them to be
// enforced is Unimplemented.
absl::Status CheckSelinux(const runtime::v1::SELinuxOption& options,
                          absl::string_view field);
absl::Status CheckApparmor(const runtime::v1::SecurityProfile& profile,
                           absl::string_view field);

// Labels or annotations, which are returned verbatim: at most 1 MiB together.
absl::StatusOr<std::map<std::string, std::string>> ConvertStrings(
    const google::protobuf::Map<std::string, std::string>& strings,
    absl::string_view field);

}  // namespace podvisor

#endif  // PODVISOR_CRI_CONVERT_POD_H_
