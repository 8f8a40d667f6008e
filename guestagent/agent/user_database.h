#ifndef PODVISOR_GUESTAGENT_AGENT_USER_DATABASE_H_
#define PODVISOR_GUESTAGENT_AGENT_USER_DATABASE_H_

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "guestagent/agent.pb.h"

namespace podvisor {

// Longest /etc/passwd or /etc/group that is read (CVE-2026-47262).
inline constexpr size_t kMaxUserDatabaseBytes = 1 << 20;

// Text of an image's own databases. Hostile.
struct UserDatabase {
  std::string passwd;
  std::string group;
};

struct ResolvedUser {
  int64_t uid = 0;
  int64_t gid = 0;
  // The supplementary groups of the process: the primary group first
  // (CVE-2022-2989), then those of /etc/group unless strict, then those asked.
  std::vector<int64_t> groups;
  std::string home;  // "/" when unknown; always an absolute path

  bool operator==(const ResolvedUser&) const = default;
};

// Decides who a container's process is. Pure.
//
// Ids are 0..2^31-1. A number is never looked up as a name, also one that is
// too large (CVE-2024-40635, CVE-2026-46680); a number without an entry is
// fine and has group 0. Lines that make no sense are passed over.
//
// Errors: InvalidArgument, for an id out of range and for a name without an
// entry.
absl::StatusOr<ResolvedUser> ResolveUser(const agent::v1::User& user,
                                         const UserDatabase& database);

// Reads both databases below `rootfs`, never leaving it by a symbolic link.
// A missing file is an empty one. InvalidArgument when one is too long or not
// a regular file.
absl::StatusOr<UserDatabase> ReadUserDatabase(const std::string& rootfs);

}  // namespace podvisor

#endif  // PODVISOR_GUESTAGENT_AGENT_USER_DATABASE_H_
