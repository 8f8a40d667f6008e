#ifndef PODVISOR_GUESTAGENT_AGENT_CRUN_PROGRAM_H_
#define PODVISOR_GUESTAGENT_AGENT_CRUN_PROGRAM_H_

#include <string>
#include <utility>

#include "absl/status/statusor.h"
#include "base/unique_fd.h"

namespace podvisor {

// A copy of a program in memory that nothing can change any more.
//
// OCI runtimes refuse to run from anything else, so that no container can
// overwrite them through /proc/self/exe (CVE-2019-5736): they make such a copy
// and start themselves again from it. From the files of an initramfs crun
// 1.8.1 even starts three times. Given the copy, it starts once.
class SealedProgram {
 public:
  static absl::StatusOr<SealedProgram> Load(const std::string& file);

  // To be executed by a child of this process, as long as this object lives.
  std::string path() const;

 private:
  explicit SealedProgram(UniqueFd memory) : memory_(std::move(memory)) {}

  UniqueFd memory_;
};

}  // namespace podvisor

#endif  // PODVISOR_GUESTAGENT_AGENT_CRUN_PROGRAM_H_
