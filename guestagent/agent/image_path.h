#ifndef PODVISOR_GUESTAGENT_AGENT_IMAGE_PATH_H_
#define PODVISOR_GUESTAGENT_AGENT_IMAGE_PATH_H_

#include <string>

#include "absl/status/statusor.h"

namespace podvisor {

// The path, without symbolic links, of what `sub_path` names in the image that
// is mounted at `image_dir`. Images are hostile: a link in one leads nowhere
// but into it, as it would in a container whose root it is.
//
// Errors: NotFound (there is no such path), InvalidArgument (it is neither a
// directory nor a file), FailedPrecondition (the image is not mounted).
absl::StatusOr<std::string> PathInImage(const std::string& image_dir,
                                        const std::string& sub_path);

}  // namespace podvisor

#endif  // PODVISOR_GUESTAGENT_AGENT_IMAGE_PATH_H_
