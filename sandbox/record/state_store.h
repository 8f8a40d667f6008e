#ifndef PODVISOR_SANDBOX_RECORD_STATE_STORE_H_
#define PODVISOR_SANDBOX_RECORD_STATE_STORE_H_

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/synchronization/mutex.h"
#include "base/ids.h"
#include "sandbox/record/container_record.h"
#include "sandbox/record/disk_reserve.h"
#include "sandbox/record/pod_record.h"
#include "sandbox/record/sqlite_database.h"

namespace podvisor {

// A row that could not be read. Its host objects are still to be swept, by the
// id; the row stays until it is deleted by that id.
struct BrokenRow {
  std::string kind;  // "pod", "container", or "database" for the whole file
  std::string id;    // as found; not a valid id perhaps. Empty for the file
  std::string reason;
};

struct LoadedState {
  std::vector<PodRecord> pods;
  std::vector<ContainerRecord> containers;  // of these pods
  std::vector<BrokenRow> broken;
};

// The daemon's memory: the records of all pods and containers, in
// root_dir/state.db. What Put and Delete have returned OK for survives kill -9
// at any instruction (see SqliteDatabase::Open about power cuts).
//
// Every row carries a checksum. A row whose bytes do not match it, or do not
// make a record, is reported and skipped; a file that SQLite itself cannot read
// is set aside as state.db.broken after its readable rows have been saved.
//
// Thread-safe: one connection, calls are serialized. A change takes about 0.1
// ms, and as long as the disk needs when it is the one that checkpoints the
// WAL. Hold RootLock for as long as this lives.
//
// Errors of all changes:
//   InvalidArgument    the record is too big, or has a bad id or string.
//   ResourceExhausted  the disk is full. Only for new records: a reserve is
//                      kept for changing and deleting those that exist.
//   Unavailable        the disk does not answer; nothing has changed.
//   DataLoss           the file has been damaged since it was opened.
class StateStore {
 public:
  // FailedPrecondition: the file was written by a newer podvisord.
  static absl::StatusOr<std::unique_ptr<StateStore>> Open(
      const std::string& root_dir);

  StateStore(const StateStore&) = delete;
  StateStore& operator=(const StateStore&) = delete;

  // Inserts or replaces.
  absl::Status PutPod(const PodRecord& record) ABSL_LOCKS_EXCLUDED(mutex_);
  absl::Status PutContainer(const ContainerRecord& record)
      ABSL_LOCKS_EXCLUDED(mutex_);

  // OK for an unknown id. A pod goes with its containers, in one step.
  absl::Status DeletePod(const PodId& id) ABSL_LOCKS_EXCLUDED(mutex_);
  absl::Status DeleteContainer(const ContainerId& id)
      ABSL_LOCKS_EXCLUDED(mutex_);

  // Whether the store takes writes: writes something that nobody reads. Errors
  // as above.
  absl::Status Probe() ABSL_LOCKS_EXCLUDED(mutex_);

  // Everything, in order of creation.
  absl::StatusOr<LoadedState> LoadAll() ABSL_LOCKS_EXCLUDED(mutex_);

 private:
  StateStore(std::string path, SqliteDatabase database, DiskReserve reserve,
             std::vector<BrokenRow> broken)
      : path_(std::move(path)),
        database_(std::move(database)),
        reserve_(std::move(reserve)),
        broken_(std::move(broken)) {}

  absl::Status Put(absl::string_view kind, const std::string& id,
                   const std::string& pod_id, const std::string& json)
      ABSL_LOCKS_EXCLUDED(mutex_);
  absl::Status Delete(absl::string_view where, const SqliteRow& values)
      ABSL_LOCKS_EXCLUDED(mutex_);

  const std::string path_;
  absl::Mutex mutex_;
  SqliteDatabase database_ ABSL_GUARDED_BY(mutex_);
  DiskReserve reserve_ ABSL_GUARDED_BY(mutex_);
  int probes_ ABSL_GUARDED_BY(mutex_) = 0;
  // What was found when the file was opened.
  const std::vector<BrokenRow> broken_;
};

}  // namespace podvisor

#endif  // PODVISOR_SANDBOX_RECORD_STATE_STORE_H_
