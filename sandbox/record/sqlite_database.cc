#include "sandbox/record/sqlite_database.h"

#include <errno.h>
#include <fcntl.h>
#include <sqlite3.h>

#include "absl/strings/str_cat.h"
#include "base/errno_status.h"
#include "base/status_macros.h"
#include "base/unique_fd.h"

namespace podvisor {
namespace {

// No page of a valid file makes SQLite allocate more for one value.
constexpr int kMaxValueBytes = 16 << 20;

struct Finalize {
  void operator()(sqlite3_stmt* statement) const {
    sqlite3_finalize(statement);
  }
};
using Statement = std::unique_ptr<sqlite3_stmt, Finalize>;

bool IsDiskFull(int error_number) {
  return error_number == ENOSPC || error_number == EDQUOT;
}

absl::StatusCode CodeOf(int sqlite_code, int error_number) {
  switch (sqlite_code & 0xff) {
    case SQLITE_FULL:
      return absl::StatusCode::kResourceExhausted;
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
      return absl::StatusCode::kDataLoss;
    case SQLITE_IOERR:
    case SQLITE_CANTOPEN:
      return IsDiskFull(error_number) ? absl::StatusCode::kResourceExhausted
                                      : absl::StatusCode::kUnavailable;
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
    case SQLITE_READONLY:
      return absl::StatusCode::kUnavailable;
    case SQLITE_NOMEM:
      return absl::StatusCode::kResourceExhausted;
    default:
      return absl::StatusCode::kInternal;
  }
}

void Bind(sqlite3_stmt* statement, const SqliteRow& values) {
  for (size_t i = 0; i < values.size(); ++i) {
    const int index = static_cast<int>(i) + 1;
    const SqliteValue& value = values[i];
    if (value.kind == SqliteValue::Kind::kInteger) {
      sqlite3_bind_int64(statement, index, value.integer);
    } else {
      // STATIC: `values` outlives the statement.
      sqlite3_bind_text64(statement, index, value.text.data(),
                          value.text.size(), SQLITE_STATIC, SQLITE_UTF8);
    }
  }
}

SqliteRow ReadRow(sqlite3_stmt* statement) {
  SqliteRow row;
  const int count = sqlite3_column_count(statement);
  for (int i = 0; i < count; ++i) {
    if (sqlite3_column_type(statement, i) == SQLITE_INTEGER) {
      row.push_back(SqliteValue::Integer(sqlite3_column_int64(statement, i)));
      continue;
    }
    const auto* text =
        static_cast<const char*>(sqlite3_column_blob(statement, i));
    const int size = sqlite3_column_bytes(statement, i);
    row.push_back(SqliteValue::Text(
        text == nullptr ? absl::string_view()
                        : absl::string_view(text, static_cast<size_t>(size))));
  }
  return row;
}

}  // namespace

void SqliteDatabase::Close::operator()(sqlite3* db) const {
  sqlite3_close_v2(db);
}

absl::StatusOr<SqliteDatabase> SqliteDatabase::Open(const std::string& path) {
  // SQLite itself would make it 0644.
  const UniqueFd file(
      open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600));
  if (!file.valid()) return ErrnoStatus(errno, absl::StrCat("open ", path));
  sqlite3* db = nullptr;
  const int code =
      sqlite3_open_v2(path.c_str(), &db,
                      SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE |
                          SQLITE_OPEN_NOFOLLOW | SQLITE_OPEN_NOMUTEX,
                      nullptr);
  if (db == nullptr) return absl::ResourceExhaustedError("sqlite3_open");
  SqliteDatabase database(db);
  if (code != SQLITE_OK) {
    return database.LastError(absl::StrCat("open ", path));
  }
  sqlite3_limit(db, SQLITE_LIMIT_LENGTH, kMaxValueBytes);
  sqlite3_busy_timeout(db, 1000);
  RETURN_IF_ERROR(
      Annotate(database.Execute("PRAGMA journal_mode=WAL;"
                                "PRAGMA synchronous=NORMAL;"
                                // A damaged file is never a program.
                                "PRAGMA trusted_schema=OFF;"
                                "PRAGMA cell_size_check=ON;"),
               path));
  return database;
}

absl::Status SqliteDatabase::Execute(const char* sql) {
  if (sqlite3_exec(db_.get(), sql, nullptr, nullptr, nullptr) != SQLITE_OK) {
    return LastError("sqlite");
  }
  return absl::OkStatus();
}

absl::Status SqliteDatabase::Run(absl::string_view sql, const SqliteRow& values,
                                 const std::function<void(SqliteRow)>& on_row) {
  sqlite3_stmt* raw = nullptr;
  if (sqlite3_prepare_v2(db_.get(), sql.data(), static_cast<int>(sql.size()),
                         &raw, nullptr) != SQLITE_OK) {
    return LastError("sqlite");
  }
  const Statement statement(raw);
  Bind(statement.get(), values);
  int code = sqlite3_step(statement.get());
  for (; code == SQLITE_ROW; code = sqlite3_step(statement.get())) {
    if (on_row) on_row(ReadRow(statement.get()));
  }
  if (code != SQLITE_DONE) return LastError("sqlite");
  return absl::OkStatus();
}

absl::Status SqliteDatabase::Transact(
    const std::function<absl::Status()>& statements) {
  RETURN_IF_ERROR(Execute("BEGIN IMMEDIATE"));
  absl::Status status = statements();
  if (status.ok()) status = Execute("COMMIT");
  // A full disk may have rolled it back by itself.
  if (!status.ok() && sqlite3_get_autocommit(db_.get()) == 0) {
    (void)Execute("ROLLBACK");
  }
  return status;
}

absl::Status SqliteDatabase::LastError(absl::string_view what) const {
  return absl::Status(CodeOf(sqlite3_extended_errcode(db_.get()),
                             sqlite3_system_errno(db_.get())),
                      absl::StrCat(what, ": ", sqlite3_errmsg(db_.get())));
}

}  // namespace podvisor
