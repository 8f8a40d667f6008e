#ifndef PODVISOR_GUESTAGENT_AGENT_CONTAINER_STATS_H_
#define PODVISOR_GUESTAGENT_AGENT_CONTAINER_STATS_H_

#include <sys/types.h>

#include <optional>
#include <string>
#include <vector>

#include "base/deadline.h"
#include "guestagent/agent.pb.h"
#include "guestagent/agent/cgroup_directory.h"

namespace podvisor {

// Reads a sample of the guest: small files of cgroups, /proc and /sys, each
// once, and no more of a container's processes than a bound. What cannot be
// read is left out.
//
// Thread-safe: holds paths only.
class StatsReader {
 public:
  struct Paths {
    std::string proc = "/proc";
    std::string block_devices = "/sys/dev/block";
    std::string huge_pages = "/sys/kernel/mm/hugepages";
  };
  explicit StatsReader(Paths paths);

  // All but the id, the time and the writable layer. `first_process`: of the
  // container; 0: none. Descriptors that are not counted by `looks_end`
  // are left out.
  void Read(const CgroupDirectory& cgroup, pid_t first_process,
            Deadline looks_end, agent::v1::ContainerStats* stats) const;

  // What the containers share: the file system that `scratch_dir` is in, the
  // interfaces, and the pressure in the cgroup that they are all in.
  // `network_process`: see Interfaces().
  void ReadPod(const CgroupDirectory& pod, const std::string& scratch_dir,
               pid_t network_process,
               agent::v1::GetStatsResponse* response) const;

  // Those of the network namespace of that process; 0: of the agent's.
  std::vector<agent::v1::GetStatsResponse::Interface> Interfaces(
      pid_t network_process) const;

  // The file system that `directory` is in; nullopt when it is on no device.
  std::optional<agent::v1::GetStatsResponse::FileSystem> FileSystemOf(
      const std::string& directory) const;

 private:
  // "vda"; empty when there is no such device.
  std::string DeviceName(uint32_t major_number, uint32_t minor_number) const;
  void ReadProcesses(const CgroupDirectory& cgroup, pid_t first_process,
                     Deadline looks_end,
                     agent::v1::ContainerStats* stats) const;
  void ReadDevices(const CgroupDirectory& cgroup,
                   agent::v1::ContainerStats* stats) const;

  const Paths paths_;
  const std::vector<std::string> huge_page_sizes_;  // "2MB"
};

}  // namespace podvisor

#endif  // PODVISOR_GUESTAGENT_AGENT_CONTAINER_STATS_H_
