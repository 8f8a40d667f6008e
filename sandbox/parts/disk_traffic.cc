#include "sandbox/parts/disk_traffic.h"

namespace podvisor {

void DiskTraffic::Observe(const std::map<std::string, DiskBytes>& disks) {
  for (const auto& [name, now] : disks) {
    const auto known = last_.find(name);
    DiskBytes before = known == last_.end() ? DiskBytes() : known->second;
    // Another disk with the name of one that was unplugged.
    if (now.read < before.read || now.written < before.written) before = {};
    total_.read += now.read - before.read;
    total_.written += now.written - before.written;
  }
  last_ = disks;
}

}  // namespace podvisor
