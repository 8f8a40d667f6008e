#include "guestagent/agent/crun_program.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>

#include "absl/strings/str_cat.h"
#include "base/errno_status.h"
#include "base/file.h"
#include "base/status_macros.h"

namespace podvisor {
namespace {

// Exactly these are what crun looks for.
constexpr int kSeals = F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE;

}  // namespace

absl::StatusOr<SealedProgram> SealedProgram::Load(const std::string& file) {
  ASSIGN_OR_RETURN(const std::string text, ReadFile(file));
  UniqueFd memory(memfd_create("crun", MFD_CLOEXEC | MFD_ALLOW_SEALING));
  if (!memory.valid()) return ErrnoStatus(errno, "memfd_create");
  RETURN_IF_ERROR(WriteAll(memory.get(), text));
  if (fcntl(memory.get(), F_ADD_SEALS, kSeals) != 0) {
    return ErrnoStatus(errno, "seal a program");
  }
  // The descriptor that wrote it would make every execve fail with ETXTBSY.
  UniqueFd read_only(open(absl::StrCat("/proc/self/fd/", memory.get()).c_str(),
                          O_RDONLY | O_CLOEXEC));
  if (!read_only.valid()) return ErrnoStatus(errno, "reopen a program");
  return SealedProgram(std::move(read_only));
}

std::string SealedProgram::path() const {
  return absl::StrCat("/proc/self/fd/", memory_.get());
}

}  // namespace podvisor
