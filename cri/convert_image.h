#ifndef PODVISOR_CRI_CONVERT_IMAGE_H_
#define PODVISOR_CRI_CONVERT_IMAGE_H_

#include <string>

#include "absl/strings/string_view.h"
#include "image/image_store.h"
#include "third_party/cri_api/api.pb.h"

namespace podvisor {

// An image to CRI's message. Exactly one of uid and username is filled, from
// the configuration's User: kubelet checks runAsNonRoot with it. Pure.
runtime::v1::Image ToCriImage(const Image& image);

// The value of the key "info" of a verbose ImageStatus:
// {"imageSpec": <the OCI configuration as it is>}. `config_json` comes from the
// registry; text that is not JSON becomes null.
std::string ImageInfoJson(const Image& image);

}  // namespace podvisor

#endif  // PODVISOR_CRI_CONVERT_IMAGE_H_
