#ifndef PODVISOR_SANDBOX_PARTS_DISK_TRAFFIC_H_
#define PODVISOR_SANDBOX_PARTS_DISK_TRAFFIC_H_

#include <map>
#include <string>

#include "hotplug/qemu_inventory.h"

namespace podvisor {

// What has gone through all disks of a VM. They come and go with the images of
// its containers, and QEMU counts for those only that are plugged: this keeps
// the sum from falling. After a restart of the daemon it begins anew with what
// the plugged ones have. A value; pure.
class DiskTraffic {
 public:
  // Takes in what QEMU says now, by the disk's name.
  void Observe(const std::map<std::string, DiskBytes>& disks);

  const DiskBytes& total() const { return total_; }

 private:
  std::map<std::string, DiskBytes> last_;
  DiskBytes total_;
};

}  // namespace podvisor

#endif  // PODVISOR_SANDBOX_PARTS_DISK_TRAFFIC_H_
