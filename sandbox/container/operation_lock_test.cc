#include "sandbox/container/operation_lock.h"

#include <atomic>
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

TEST(OperationLockTest, ATurnThatWasAskedForComesBeforeThoseWhoWait) {
  OperationLock lock("pod", /*patience=*/absl::Seconds(60));
  if (!lock.LockUntil(absl::InfinitePast())) FAIL();
  std::atomic<bool> in_turn = false;
  std::thread waiter([&] {
    if (!lock.LockUntil(absl::Now() + absl::Seconds(60))) FAIL();
    EXPECT_TRUE(in_turn);
    lock.Unlock();
  });
  int told = 0;
  lock.AskForTurn([&] { ++told; });
  EXPECT_EQ(told, 0);

  lock.Unlock();

  EXPECT_EQ(told, 1);
  std::thread([&] {
    if (lock.LockUntil(absl::Now())) ADD_FAILURE() << "it is another's turn";
  }).join();
  if (!lock.TryLockInTurn()) FAIL();
  in_turn = true;
  lock.Unlock();
  waiter.join();
  EXPECT_EQ(told, 1) << "one turn for one request";
}

TEST(OperationLockTest, ATurnOfAFreeLockIsToldAtOnce) {
  OperationLock lock("pod", absl::Seconds(60));
  bool told = false;

  lock.AskForTurn([&] { told = true; });

  EXPECT_TRUE(told);
  if (!lock.TryLockInTurn()) FAIL();
  lock.Unlock();
  if (!lock.LockUntil(absl::InfinitePast())) FAIL();
  lock.Unlock();
}

TEST(OperationLockTest, ATurnThatNobodyTakesPassesToThoseWhoWait) {
  OperationLock lock("pod", absl::Milliseconds(20));
  if (!lock.LockUntil(absl::InfinitePast())) FAIL();
  std::thread waiter([&] {
    if (!lock.LockUntil(absl::Now() + absl::Seconds(60))) FAIL();
    lock.Unlock();
  });
  lock.AskForTurn([] {});

  lock.Unlock();

  waiter.join();
}

}  // namespace
}  // namespace podvisor
