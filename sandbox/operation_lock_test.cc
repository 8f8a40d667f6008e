#include "sandbox/operation_lock.h"

#include <thread>

#include "absl/time/clock.h"
#include "gtest/gtest.h"

namespace podvisor {
namespace {

TEST(OperationLockTest, WhoDoesNotGetItInTimeIsToldWhoIsBusy) {
  OperationLock lock("pod 4f3a");
  if (!lock.LockUntil(absl::InfinitePast())) FAIL();
  const OperationHolder operation(&lock);

  // From another thread: the analysis knows that this one has it.
  std::thread([&] {
    if (!lock.LockUntil(absl::Now() + absl::Milliseconds(20))) return;
    ADD_FAILURE() << "two have it";
    lock.Unlock();
  }).join();

  EXPECT_TRUE(absl::IsDeadlineExceeded(lock.Busy()));
  EXPECT_EQ(lock.Busy().message(), "pod 4f3a is busy with another operation");
}

TEST(OperationLockTest, ADeadlineThatIsOverStillGetsAFreeLock) {
  OperationLock lock("pod");
  for (int round = 0; round < 2; ++round) {
    if (!lock.LockUntil(absl::InfinitePast())) FAIL();
    const OperationHolder operation(&lock);
  }
}

TEST(OperationLockTest, AWaiterGetsItWhenItIsGivenBack) {
  OperationLock lock("pod");
  if (!lock.LockUntil(absl::InfinitePast())) FAIL();
  std::thread waiter([&] {
    if (!lock.LockUntil(absl::Now() + absl::Seconds(60))) FAIL();
    lock.Unlock();
  });

  lock.Unlock();
  waiter.join();
}

}  // namespace
}  // namespace podvisor
