#ifndef PODVISOR_SANDBOX_RECORD_SQLITE_DATABASE_H_
#define PODVISOR_SANDBOX_RECORD_SQLITE_DATABASE_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

struct sqlite3;

namespace podvisor {

// One value of a statement: given to it, or read from it.
struct SqliteValue {
  enum class Kind { kInteger, kText };

  Kind kind = Kind::kInteger;
  int64_t integer = 0;
  std::string text;

  static SqliteValue Integer(int64_t value) {
    return {Kind::kInteger, value, ""};
  }
  static SqliteValue Text(absl::string_view value) {
    return {Kind::kText, 0, std::string(value)};
  }
};

using SqliteRow = std::vector<SqliteValue>;

// A connection to one SQLite file, and the only user of the C interface.
//
// Not thread-safe. Errors of all methods:
//   ResourceExhausted  the disk is full.
//   DataLoss           the file is damaged, or not a database.
//   Unavailable        locked, or an input or output error.
//   Internal           everything else.
class SqliteDatabase {
 public:
  // Opens or makes the file, 0600, in WAL mode with synchronous=NORMAL: a
  // commit is in the page cache before it returns, so that it outlives this
  // process in any case; a power cut may lose the last commits but not damage
  // the file, and no VM outlives a power cut either.
  static absl::StatusOr<SqliteDatabase> Open(const std::string& path);

  SqliteDatabase(SqliteDatabase&&) = default;
  SqliteDatabase& operator=(SqliteDatabase&&) = default;

  // Runs statements that take and return nothing.
  absl::Status Execute(const char* sql);

  // Runs one statement with `values` for its ? marks; calls `on_row` for every
  // row of the result. On an error the rows before it have been given.
  absl::Status Run(absl::string_view sql, const SqliteRow& values,
                   const std::function<void(SqliteRow)>& on_row = nullptr);

  // Runs `statements` in one transaction: all of it, or nothing of it.
  absl::Status Transact(const std::function<absl::Status()>& statements);

 private:
  struct Close {
    void operator()(sqlite3* db) const;
  };

  explicit SqliteDatabase(sqlite3* db) : db_(db) {}
  absl::Status LastError(absl::string_view what) const;

  std::unique_ptr<sqlite3, Close> db_;
};

}  // namespace podvisor

#endif  // PODVISOR_SANDBOX_RECORD_SQLITE_DATABASE_H_
