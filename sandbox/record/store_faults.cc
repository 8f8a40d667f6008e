#include "sandbox/record/store_faults.h"

#include <climits>
#include <cstdlib>

namespace podvisor {
namespace {

// An upsert is an insert for the one trigger and may be an update for the
// other.
constexpr char kTriggers[] = R"(
CREATE TABLE fault(changes_left INTEGER NOT NULL) STRICT;
INSERT INTO fault VALUES(2147483647);
CREATE TRIGGER refuse_put BEFORE INSERT ON record
  WHEN (SELECT changes_left FROM fault) <= 0
  BEGIN SELECT RAISE(ABORT, 'the disk cannot be written'); END;
CREATE TRIGGER refuse_delete BEFORE DELETE ON record
  WHEN (SELECT changes_left FROM fault) <= 0
  BEGIN SELECT RAISE(ABORT, 'the disk cannot be written'); END;
CREATE TRIGGER count_insert AFTER INSERT ON record
  BEGIN UPDATE fault SET changes_left = changes_left - 1; END;
CREATE TRIGGER count_update AFTER UPDATE ON record
  BEGIN UPDATE fault SET changes_left = changes_left - 1; END;
CREATE TRIGGER count_delete AFTER DELETE ON record
  BEGIN UPDATE fault SET changes_left = changes_left - 1; END;
)";

}  // namespace

StoreFaults::StoreFaults(const std::string& root_dir)
    : database_(SqliteDatabase::Open(root_dir + "/state.db").value()) {
  database_.Execute(kTriggers).IgnoreError();  // there since the last time
}

void StoreFaults::FailAfter(int changes) {
  const absl::Status set = database_.Run("UPDATE fault SET changes_left = ?",
                                         {SqliteValue::Integer(changes)});
  if (!set.ok()) std::abort();
}

void StoreFaults::Heal() { FailAfter(INT_MAX); }

}  // namespace podvisor
