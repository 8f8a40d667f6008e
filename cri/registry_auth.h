#ifndef PODVISOR_CRI_REGISTRY_AUTH_H_
#define PODVISOR_CRI_REGISTRY_AUTH_H_

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "image/image_store.h"
#include "third_party/cri_api/api.pb.h"

namespace podvisor {

// The credentials for pulling `reference`. Pure.
//
// `auth` is base64 of "user:password", used when no username is given.
// Credentials for another server than the reference's are left out: they are
// not for it to see. InvalidArgument for a malformed `auth`; no message ever
// repeats a secret.
absl::StatusOr<RegistryAuth> ConvertAuth(const runtime::v1::AuthConfig& auth,
                                         absl::string_view reference);

}  // namespace podvisor

#endif  // PODVISOR_CRI_REGISTRY_AUTH_H_
