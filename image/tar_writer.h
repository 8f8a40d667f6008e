#ifndef PODVISOR_IMAGE_TAR_WRITER_H_
#define PODVISOR_IMAGE_TAR_WRITER_H_

#include <cstdint>
#include <string>

#include "absl/strings/string_view.h"
#include "image/tar_entry.h"

namespace podvisor {

// The header of one entry, with a pax header in front where ustar's fields are
// too small or there are extended attributes. `entry.path` and `entry.link`
// are written as they are. Pure; TarReader reads it back to the same entry.
std::string TarHeader(const TarEntry& entry);

// Bytes of zeros that follow a file's data.
int64_t TarPadding(int64_t size);

// The two zero blocks that end an archive.
std::string TarTrailer();

}  // namespace podvisor

#endif  // PODVISOR_IMAGE_TAR_WRITER_H_
