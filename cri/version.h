#ifndef PODVISOR_CRI_VERSION_H_
#define PODVISOR_CRI_VERSION_H_

namespace podvisor {

// Of this release, as Version and the programs' --version say it.
inline constexpr char kVersion[] = "0.1.0";

}  // namespace podvisor

#endif  // PODVISOR_CRI_VERSION_H_
