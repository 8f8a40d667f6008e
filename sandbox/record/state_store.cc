#include "sandbox/record/state_store.h"

#include <errno.h>
#include <stdio.h>
#include <unistd.h>
#include <zlib.h>

#include <set>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "base/errno_status.h"
#include "base/file.h"
#include "base/log.h"
#include "base/status_macros.h"
#include "sandbox/record/record_json.h"

namespace podvisor {
namespace {

// Raised when a daemon of this version cannot be replaced by the one before.
constexpr int64_t kSchemaVersion = 1;

// Enough to change every record of a full node once.
constexpr int64_t kReserveBytes = 1 << 20;

// `crc` is Checksum() of the other columns.
constexpr char kVersionSchema[] =
    "CREATE TABLE IF NOT EXISTS version("
    "  version INTEGER NOT NULL,"
    "  crc INTEGER NOT NULL) STRICT";

constexpr char kRecordSchema[] =
    "CREATE TABLE IF NOT EXISTS record("
    "  seq INTEGER PRIMARY KEY AUTOINCREMENT,"
    "  kind TEXT NOT NULL,"
    "  id TEXT NOT NULL,"
    "  pod_id TEXT NOT NULL,"
    "  json TEXT NOT NULL,"
    "  crc INTEGER NOT NULL,"
    "  UNIQUE(kind, id)) STRICT";

constexpr char kPut[] =
    "INSERT INTO record(kind, id, pod_id, json, crc) VALUES(?, ?, ?, ?, ?) "
    "ON CONFLICT(kind, id) DO UPDATE SET pod_id = excluded.pod_id, "
    "json = excluded.json, crc = excluded.crc";
// The same, but for a container whose pod has no record: whoever still works on
// one must not bring it back. Returns a row where it was put.
constexpr char kPutOfLivingPod[] =
    "INSERT INTO record(kind, id, pod_id, json, crc) "
    "SELECT ?1, ?2, ?3, ?4, ?5 WHERE ?1 = 'pod' OR "
    "EXISTS(SELECT 1 FROM record WHERE kind = 'pod' AND id = ?3) "
    "ON CONFLICT(kind, id) DO UPDATE SET pod_id = excluded.pod_id, "
    "json = excluded.json, crc = excluded.crc RETURNING 1";

struct Row {
  std::string kind;
  std::string id;
  std::string pod_id;
  std::string json;
  int64_t crc = 0;
};

int64_t Checksum(absl::string_view kind, absl::string_view id,
                 absl::string_view pod_id, absl::string_view json) {
  uLong crc = crc32(0, nullptr, 0);
  for (absl::string_view part : {kind, id, pod_id, json}) {
    crc =
        crc32_z(crc, reinterpret_cast<const Bytef*>(part.data()), part.size());
    crc = crc32_z(crc, reinterpret_cast<const Bytef*>("\0"), 1);
  }
  return static_cast<int64_t>(crc);
}

// Zero for a new file.
absl::StatusOr<int64_t> ReadVersion(SqliteDatabase* database) {
  int64_t version = 0;
  bool intact = true;
  RETURN_IF_ERROR(
      database->Run("SELECT version, crc FROM version", {}, [&](SqliteRow row) {
        intact = intact && version == 0 &&
                 row[1].integer ==
                     Checksum("version", absl::StrCat(row[0].integer), "", "");
        version = row[0].integer;
      }));
  // Else one flipped bit would pass for a newer daemon's file.
  if (!intact) return absl::DataLossError("the schema version is damaged");
  return version;
}

// All rows that can be read, and why there are no more. `order` is "" or
// "DESC".
absl::Status ReadRows(SqliteDatabase* database, absl::string_view order,
                      std::vector<Row>* rows) {
  return database->Run(
      absl::StrCat("SELECT kind, id, pod_id, json, crc FROM record NOT INDEXED "
                   "ORDER BY seq ",
                   order),
      {}, [rows](SqliteRow row) {
        rows->push_back({std::move(row[0].text), std::move(row[1].text),
                         std::move(row[2].text), std::move(row[3].text),
                         row[4].integer});
      });
}

bool IsIntact(const Row& row) {
  return row.crc == Checksum(row.kind, row.id, row.pod_id, row.json);
}

// OK when every page and the index are in order.
absl::Status CheckIntegrity(SqliteDatabase* database) {
  std::string verdict;
  RETURN_IF_ERROR(database->Run("PRAGMA integrity_check(1)", {},
                                [&](SqliteRow row) { verdict = row[0].text; }));
  if (verdict == "ok") return absl::OkStatus();
  return absl::DataLossError(verdict);
}

absl::Status PrepareSchema(SqliteDatabase* database) {
  RETURN_IF_ERROR(database->Execute(kVersionSchema));
  ASSIGN_OR_RETURN(const int64_t version, ReadVersion(database));
  if (version > kSchemaVersion) {
    return absl::FailedPreconditionError(absl::StrCat(
        "written by a newer podvisord (schema ", version, ", this one knows ",
        kSchemaVersion, "); install that version again"));
  }
  RETURN_IF_ERROR(database->Execute(kRecordSchema));
  if (version > 0) return absl::OkStatus();
  return database->Run("INSERT INTO version(version, crc) VALUES(?, ?)",
                       {SqliteValue::Integer(kSchemaVersion),
                        SqliteValue::Integer(Checksum(
                            "version", absl::StrCat(kSchemaVersion), "", ""))});
}

absl::Status SetAside(const std::string& path) {
  const std::string aside = absl::StrCat(path, ".broken");
  if (rename(path.c_str(), aside.c_str()) != 0 && errno != ENOENT) {
    return ErrnoStatus(errno, absl::StrCat("rename ", path));
  }
  // They belong to the damaged file; a new one must not replay them.
  unlink(absl::StrCat(path, "-wal").c_str());
  unlink(absl::StrCat(path, "-shm").c_str());
  return absl::OkStatus();
}

absl::StatusOr<SqliteDatabase> OpenChecked(const std::string& path) {
  ASSIGN_OR_RETURN(SqliteDatabase database, SqliteDatabase::Open(path));
  RETURN_IF_ERROR(PrepareSchema(&database));
  RETURN_IF_ERROR(CheckIntegrity(&database));
  return database;
}

// From both ends, because reading stops at a damaged page.
std::vector<Row> SalvageRows(const std::string& path) {
  std::vector<Row> rows;
  absl::StatusOr<SqliteDatabase> database = SqliteDatabase::Open(path);
  if (!database.ok() || ReadRows(&*database, "", &rows).ok()) return rows;
  std::vector<Row> last;
  (void)ReadRows(&*database, "DESC", &last);
  rows.insert(rows.end(), last.rbegin(), last.rend());
  return rows;
}

// Replaces a damaged file by a new one with the rows that are still readable.
absl::StatusOr<SqliteDatabase> Rebuild(const std::string& path,
                                       const absl::Status& damage,
                                       std::vector<BrokenRow>* broken) {
  const std::vector<Row> rows = SalvageRows(path);
  RETURN_IF_ERROR(SetAside(path));
  ASSIGN_OR_RETURN(SqliteDatabase database, OpenChecked(path));
  std::set<std::string> kept;
  RETURN_IF_ERROR(database.Transact([&] {
    for (const Row& row : rows) {
      if (!IsIntact(row)) continue;
      RETURN_IF_ERROR(database.Run(
          kPut, {SqliteValue::Text(row.kind), SqliteValue::Text(row.id),
                 SqliteValue::Text(row.pod_id), SqliteValue::Text(row.json),
                 SqliteValue::Integer(row.crc)}));
      kept.insert(absl::StrCat(row.kind, row.id));
    }
    return absl::OkStatus();
  }));
  const std::string reason =
      absl::StrCat(damage.message(), "; set aside as ", path, ".broken, ",
                   kept.size(), " records saved");
  Log(LogLevel::kError, "state database is damaged", {{"reason", reason}});
  broken->push_back({"database", "", reason});
  return database;
}

// Adds the record that `row` holds to `state`, or says why it holds none.
absl::Status Accept(const Row& row, LoadedState* state) {
  if (!IsIntact(row)) return absl::DataLossError("checksum does not match");
  if (row.kind == "pod") {
    ASSIGN_OR_RETURN(PodRecord record, DecodePodRecord(row.json));
    if (record.id.value() != row.id) {
      return absl::DataLossError("the record is of another pod");
    }
    state->pods.push_back(std::move(record));
    return absl::OkStatus();
  }
  if (row.kind != "container") return absl::DataLossError("unknown kind");
  ASSIGN_OR_RETURN(ContainerRecord record, DecodeContainerRecord(row.json));
  if (record.id.value() != row.id || record.pod_id.value() != row.pod_id) {
    return absl::DataLossError("the record is of another container");
  }
  state->containers.push_back(std::move(record));
  return absl::OkStatus();
}

// A container cannot outlive its pod's VM, nor be reached without its record.
void DropOrphans(LoadedState* state) {
  std::set<std::string> pods;
  for (const PodRecord& pod : state->pods) pods.insert(pod.id.value());
  std::vector<ContainerRecord> kept;
  for (ContainerRecord& record : state->containers) {
    if (pods.count(record.pod_id.value()) > 0) {
      kept.push_back(std::move(record));
    } else {
      state->broken.push_back(
          {"container", record.id.value(), "its pod has no record"});
    }
  }
  state->containers = std::move(kept);
}

}  // namespace

absl::StatusOr<std::unique_ptr<StateStore>> StateStore::Open(
    const std::string& root_dir) {
  RETURN_IF_ERROR(MakeDirectories(root_dir));
  const std::string path = absl::StrCat(root_dir, "/state.db");
  std::vector<BrokenRow> broken;
  DiskReserve reserve(absl::StrCat(root_dir, "/reserve"), kReserveBytes);
  absl::StatusOr<SqliteDatabase> database = OpenChecked(path);
  // A daemon must come up on a full disk, or nothing would ever free it.
  if (absl::IsResourceExhausted(database.status()) && reserve.Spend()) {
    database = OpenChecked(path);
  }
  // Internal too: damage in the schema shows as errors of any kind in our
  // statements, which are constant.
  if (absl::IsDataLoss(database.status()) ||
      absl::IsInternal(database.status())) {
    const absl::Status damage = database.status();
    database = Rebuild(path, damage, &broken);
  }
  if (!database.ok()) return Annotate(database.status(), path);
  if (!reserve.Fill()) {
    Log(LogLevel::kWarning, "no room for the reserve of the state database",
        {{"root_dir", root_dir}});
  }
  return std::unique_ptr<StateStore>(new StateStore(
      path, *std::move(database), std::move(reserve), std::move(broken)));
}

absl::Status StateStore::PutPod(const PodRecord& record) {
  ASSIGN_OR_RETURN(const std::string json, EncodePodRecord(record));
  return Put("pod", record.id.value(), record.id.value(), json);
}

absl::Status StateStore::PutContainer(const ContainerRecord& record) {
  ASSIGN_OR_RETURN(const std::string json, EncodeContainerRecord(record));
  return Put("container", record.id.value(), record.pod_id.value(), json);
}

absl::Status StateStore::DeletePod(const PodId& id) {
  return Delete("pod_id = ? OR (kind = 'pod' AND id = ?)",
                {SqliteValue::Text(id.value()), SqliteValue::Text(id.value())});
}

absl::Status StateStore::DeleteContainer(const ContainerId& id) {
  return Delete("kind = 'container' AND id = ?",
                {SqliteValue::Text(id.value())});
}

absl::Status StateStore::Probe() {
  absl::MutexLock lock(&mutex_);
  // A number in the file's header that means nothing to us. A new one each
  // time: SQLite leaves out a write that would change nothing.
  probes_ = (probes_ + 1) % 1'000'000;
  return Annotate(
      database_.Execute(absl::StrCat("PRAGMA user_version=", probes_).c_str()),
      path_);
}

absl::StatusOr<LoadedState> StateStore::LoadAll() {
  std::vector<Row> rows;
  {
    absl::MutexLock lock(&mutex_);
    RETURN_IF_ERROR(Annotate(ReadRows(&database_, "", &rows), path_));
  }
  LoadedState state;
  state.broken = broken_;
  for (const Row& row : rows) {
    const absl::Status status = Accept(row, &state);
    if (!status.ok()) {
      state.broken.push_back({row.kind, row.id, std::string(status.message())});
    }
  }
  DropOrphans(&state);
  return state;
}

absl::Status StateStore::Put(absl::string_view kind, const std::string& id,
                             const std::string& pod_id,
                             const std::string& json) {
  if (!IsHexId(id) || !IsHexId(pod_id)) {
    return absl::InvalidArgumentError("a record needs ids of 64 hex digits");
  }
  const SqliteRow values = {
      SqliteValue::Text(kind), SqliteValue::Text(id), SqliteValue::Text(pod_id),
      SqliteValue::Text(json),
      SqliteValue::Integer(Checksum(kind, id, pod_id, json))};
  bool put = false;
  const auto run = [&] {
    return database_.Run(kPutOfLivingPod, values,
                         [&put](const SqliteRow&) { put = true; });
  };
  absl::MutexLock lock(&mutex_);
  absl::Status status = run();
  if (absl::IsResourceExhausted(status)) {
    bool exists = false;
    RETURN_IF_ERROR(database_.Run(
        "SELECT 1 FROM record WHERE kind = ? AND id = ?",
        {values[0], values[1]}, [&exists](SqliteRow) { exists = true; }));
    if (exists && reserve_.Spend()) status = run();
  }
  if (status.ok() && !put) {
    return absl::NotFoundError("the pod has been removed");
  }
  return Annotate(status, path_);
}

absl::Status StateStore::Delete(absl::string_view where,
                                const SqliteRow& values) {
  const std::string sql = absl::StrCat("DELETE FROM record WHERE ", where);
  absl::MutexLock lock(&mutex_);
  absl::Status status = database_.Run(sql, values);
  if (absl::IsResourceExhausted(status) && reserve_.Spend()) {
    status = database_.Run(sql, values);
  }
  // Removing things is what frees a disk: a good moment to save up again.
  if (status.ok()) (void)reserve_.Fill();
  return Annotate(status, path_);
}

}  // namespace podvisor
