#ifndef PODVISOR_HOTPLUG_QEMU_VERSION_H_
#define PODVISOR_HOTPLUG_QEMU_VERSION_H_

#include <compare>

namespace podvisor {

struct QemuVersion {
  int major = 0;
  int minor = 0;
  int micro = 0;

  auto operator<=>(const QemuVersion&) const = default;
};

}  // namespace podvisor

#endif  // PODVISOR_HOTPLUG_QEMU_VERSION_H_
