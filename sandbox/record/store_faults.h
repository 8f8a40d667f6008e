#ifndef PODVISOR_SANDBOX_RECORD_STORE_FAULTS_H_
#define PODVISOR_SANDBOX_RECORD_STORE_FAULTS_H_

#include <string>

#include "sandbox/record/sqlite_database.h"

namespace podvisor {

// Makes the changes of a StateStore fail, as a disk does that cannot be
// written: from outside, by triggers in the store's file. Not thread-safe.
class StoreFaults {
 public:
  // Of the store that is open in `root_dir`.
  explicit StoreFaults(const std::string& root_dir);

  // So many more changes are stored, and then none until Heal().
  void FailAfter(int changes);
  void Heal();

 private:
  SqliteDatabase database_;
};

}  // namespace podvisor

#endif  // PODVISOR_SANDBOX_RECORD_STORE_FAULTS_H_
