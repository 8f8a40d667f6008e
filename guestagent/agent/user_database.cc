#include "guestagent/agent/user_database.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <optional>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "base/clean_text.h"
#include "base/errno_status.h"
#include "base/status_macros.h"
#include "base/unique_fd.h"

namespace podvisor {
namespace {

constexpr int64_t kMaxId = 0x7fffffff;
constexpr size_t kMaxGroups = 65536;  // NGROUPS_MAX
constexpr size_t kMaxHomeBytes = 4096;

struct PasswdEntry {
  std::string name;
  int64_t uid = 0;
  int64_t gid = 0;
  std::string home;
};

std::string Quote(absl::string_view text) {
  return absl::StrCat("\"", CleanText(text, 128), "\"");
}

absl::Status CheckId(int64_t id, absl::string_view what) {
  if (id >= 0 && id <= kMaxId) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat(what, " ", id, " is not between 0 and ", kMaxId));
}

// True for what is meant as a number, in range or not: digits with or without
// a sign.
bool LooksNumeric(absl::string_view text) {
  if (!text.empty() && (text[0] == '-' || text[0] == '+'))
    text.remove_prefix(1);
  return !text.empty() && std::all_of(text.begin(), text.end(), [](char c) {
    return c >= '0' && c <= '9';
  });
}

std::optional<int64_t> ParseId(absl::string_view text) {
  int64_t id = 0;
  if (text.empty() || text[0] == '-' || text[0] == '+' || !LooksNumeric(text) ||
      !absl::SimpleAtoi(text, &id) || id > kMaxId) {
    return std::nullopt;
  }
  return id;
}

std::optional<PasswdEntry> ParsePasswdLine(absl::string_view line) {
  const std::vector<absl::string_view> fields = absl::StrSplit(line, ':');
  if (fields.size() < 6 || fields[0].empty()) return std::nullopt;
  const std::optional<int64_t> uid = ParseId(fields[2]);
  const std::optional<int64_t> gid = ParseId(fields[3]);
  if (!uid || !gid) return std::nullopt;
  return PasswdEntry{std::string(fields[0]), *uid, *gid,
                     std::string(fields[5])};
}

template <typename Predicate>
std::optional<PasswdEntry> FindPasswd(absl::string_view passwd,
                                      Predicate matches) {
  for (absl::string_view line : absl::StrSplit(passwd, '\n')) {
    std::optional<PasswdEntry> entry = ParsePasswdLine(line);
    if (entry && matches(*entry)) return entry;
  }
  return std::nullopt;
}

absl::StatusOr<int64_t> ResolveGroup(absl::string_view text,
                                     absl::string_view group) {
  if (LooksNumeric(text)) {
    const std::optional<int64_t> gid = ParseId(text);
    if (gid) return *gid;
    return absl::InvalidArgumentError(
        absl::StrCat("group ", Quote(text), " is out of range"));
  }
  for (absl::string_view line : absl::StrSplit(group, '\n')) {
    const std::vector<absl::string_view> fields = absl::StrSplit(line, ':');
    if (fields.size() < 3 || fields[0].empty() || fields[0] != text) continue;
    const std::optional<int64_t> gid = ParseId(fields[2]);
    if (gid) return *gid;
  }
  return absl::InvalidArgumentError(
      absl::StrCat("no group ", Quote(text), " in the image's /etc/group"));
}

void AppendUnique(int64_t gid, std::vector<int64_t>* groups) {
  if (std::find(groups->begin(), groups->end(), gid) == groups->end()) {
    groups->push_back(gid);
  }
}

std::vector<int64_t> GroupsOfMember(absl::string_view name,
                                    absl::string_view group) {
  std::vector<int64_t> gids;
  for (absl::string_view line : absl::StrSplit(group, '\n')) {
    const std::vector<absl::string_view> fields = absl::StrSplit(line, ':');
    if (fields.size() < 4) continue;
    const std::optional<int64_t> gid = ParseId(fields[2]);
    if (!gid) continue;
    for (absl::string_view member : absl::StrSplit(fields[3], ',')) {
      if (member == name) {
        gids.push_back(*gid);
        break;
      }
    }
  }
  return gids;
}

// What is known of the user before groups are looked at.
struct Identity {
  int64_t uid = 0;
  std::optional<PasswdEntry> entry;
  std::string group;  // as in "name:group"; empty: not given
};

absl::StatusOr<Identity> Identify(const agent::v1::User& user,
                                  absl::string_view passwd) {
  Identity identity;
  absl::string_view name = user.username();
  const size_t colon = name.find(':');
  if (colon != absl::string_view::npos) {
    identity.group = std::string(name.substr(colon + 1));
    name = name.substr(0, colon);
    if (name.empty() && !user.has_uid()) {
      return absl::InvalidArgumentError("a group is given without a user");
    }
  }
  if (user.has_uid()) {
    RETURN_IF_ERROR(CheckId(user.uid(), "uid"));
    identity.uid = user.uid();
  } else if (LooksNumeric(name)) {
    const std::optional<int64_t> uid = ParseId(name);
    if (!uid) {
      return absl::InvalidArgumentError(
          absl::StrCat("user ", Quote(name), " is out of range"));
    }
    identity.uid = *uid;
  } else if (!name.empty()) {
    identity.entry = FindPasswd(passwd, [name](const PasswdEntry& entry) {
      return entry.name == name;
    });
    if (!identity.entry) {
      return absl::InvalidArgumentError(
          absl::StrCat("no user ", Quote(name), " in the image's /etc/passwd"));
    }
    identity.uid = identity.entry->uid;
    return identity;
  }
  identity.entry = FindPasswd(passwd, [&identity](const PasswdEntry& entry) {
    return entry.uid == identity.uid;
  });
  return identity;
}

absl::StatusOr<std::string> ReadBelow(int root, const char* path) {
  open_how how = {};
  how.flags = O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY;
  how.resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS;
  UniqueFd file(
      static_cast<int>(syscall(SYS_openat2, root, path, &how, sizeof(how))));
  if (!file.valid()) {
    if (errno == ENOENT || errno == ENOTDIR) return std::string();
    if (errno == ELOOP || errno == EXDEV || errno == ENXIO) {
      return absl::InvalidArgumentError(
          absl::StrCat("the image's /", path, " is not a regular file"));
    }
    return ErrnoStatus(errno, absl::StrCat("open the image's /", path));
  }
  struct stat info = {};
  if (fstat(file.get(), &info) != 0) {
    return ErrnoStatus(errno, absl::StrCat("stat the image's /", path));
  }
  if (!S_ISREG(info.st_mode)) {
    return absl::InvalidArgumentError(
        absl::StrCat("the image's /", path, " is not a regular file"));
  }
  if (info.st_size > static_cast<off_t>(kMaxUserDatabaseBytes)) {
    return absl::InvalidArgumentError(
        absl::StrCat("the image's /", path, " is longer than 1 MiB"));
  }
  std::string text(static_cast<size_t>(info.st_size), '\0');
  size_t filled = 0;
  while (filled < text.size()) {
    const ssize_t count =
        read(file.get(), text.data() + filled, text.size() - filled);
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) {
      return ErrnoStatus(errno, absl::StrCat("read the image's /", path));
    }
    if (count == 0) break;
    filled += static_cast<size_t>(count);
  }
  text.resize(filled);
  return text;
}

}  // namespace

absl::StatusOr<ResolvedUser> ResolveUser(const agent::v1::User& user,
                                         const UserDatabase& database) {
  ASSIGN_OR_RETURN(const Identity identity, Identify(user, database.passwd));
  ResolvedUser resolved;
  resolved.uid = identity.uid;
  resolved.home = "/";
  if (identity.entry) {
    resolved.gid = identity.entry->gid;
    const std::string& home = identity.entry->home;
    if (!home.empty() && home[0] == '/' && home.size() <= kMaxHomeBytes &&
        CleanText(home, kMaxHomeBytes) == home) {
      resolved.home = home;
    }
  }
  if (!identity.group.empty()) {
    ASSIGN_OR_RETURN(resolved.gid,
                     ResolveGroup(identity.group, database.group));
  }
  if (user.has_gid()) {
    RETURN_IF_ERROR(CheckId(user.gid(), "gid"));
    resolved.gid = user.gid();
  }
  resolved.groups.push_back(resolved.gid);
  if (identity.entry && !user.strict_groups()) {
    for (int64_t gid : GroupsOfMember(identity.entry->name, database.group)) {
      AppendUnique(gid, &resolved.groups);
    }
  }
  if (static_cast<size_t>(user.supplemental_groups_size()) > kMaxGroups) {
    return absl::InvalidArgumentError("too many supplemental groups");
  }
  for (int64_t gid : user.supplemental_groups()) {
    RETURN_IF_ERROR(CheckId(gid, "supplemental group"));
    AppendUnique(gid, &resolved.groups);
  }
  if (resolved.groups.size() > kMaxGroups) {
    return absl::InvalidArgumentError("the user is in too many groups");
  }
  return resolved;
}

absl::StatusOr<UserDatabase> ReadUserDatabase(const std::string& rootfs) {
  UniqueFd root(open(rootfs.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
  if (!root.valid()) return ErrnoStatus(errno, "open the root file system");
  UserDatabase database;
  ASSIGN_OR_RETURN(database.passwd, ReadBelow(root.get(), "etc/passwd"));
  ASSIGN_OR_RETURN(database.group, ReadBelow(root.get(), "etc/group"));
  return database;
}

}  // namespace podvisor
