#ifndef PODVISOR_GUESTAGENT_AGENT_LZ4_BLOCK_H_
#define PODVISOR_GUESTAGENT_AGENT_LZ4_BLOCK_H_

#include <cstddef>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace podvisor {

// What one LZ4 block (lz4_Block_format.md: no frame around it) stands for, at
// most `max_bytes`. Pure. The input is hostile: DataLoss for what is no block
// or stands for more.
absl::StatusOr<std::string> DecodeLz4Block(absl::string_view block,
                                           size_t max_bytes);

}  // namespace podvisor

#endif  // PODVISOR_GUESTAGENT_AGENT_LZ4_BLOCK_H_
