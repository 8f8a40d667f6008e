#include "sandbox/vm/boot_gate.h"

#include <memory>
#include <thread>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/clock.h"
#include "gtest/gtest.h"

namespace podvisor {
namespace {

void AwaitQueue(const BootGate& gate, int length) {
  while (gate.waiting() != length) std::this_thread::yield();
}

TEST(BootGateTest, AFullGateRefusesAtTheDeadline) {
  BootGate gate(2);
  const auto a = gate.Enter(absl::InfiniteFuture());
  const auto b = gate.Enter(absl::InfinitePast());

  const auto c = gate.Enter(absl::InfinitePast());

  EXPECT_TRUE(a.ok());
  EXPECT_TRUE(b.ok());
  EXPECT_TRUE(absl::IsDeadlineExceeded(c.status()));
  EXPECT_EQ(gate.waiting(), 0);
}

TEST(BootGateTest, APassThatEndsLetsTheNextIn) {
  BootGate gate(1);
  {
    const auto a = gate.Enter(absl::InfiniteFuture());
    ASSERT_TRUE(a.ok());
  }

  EXPECT_TRUE(gate.Enter(absl::InfinitePast()).ok());
}

TEST(BootGateTest, ZeroMeansOne) {
  BootGate gate(0);

  EXPECT_TRUE(gate.Enter(absl::InfinitePast()).ok());
}

TEST(BootGateTest, FirstComeFirstServed) {
  BootGate gate(1);
  absl::Mutex mutex;
  std::vector<int> order;
  std::vector<std::thread> threads;
  {
    const auto first = gate.Enter(absl::InfiniteFuture());
    for (int i = 0; i < 8; ++i) {
      threads.emplace_back([&, i] {
        const auto pass = gate.Enter(absl::InfiniteFuture());
        absl::MutexLock lock(&mutex);
        order.push_back(i);
      });
      AwaitQueue(gate, i + 1);
    }
  }
  for (std::thread& thread : threads) thread.join();

  EXPECT_EQ(order, (std::vector<int>{0, 1, 2, 3, 4, 5, 6, 7}));
}

TEST(BootGateTest, WhoGivesUpDoesNotBlockTheQueue) {
  BootGate gate(1);
  auto first =
      std::make_unique<BootGate::Pass>(*gate.Enter(absl::InfiniteFuture()));
  std::thread second([&] {
    EXPECT_FALSE(gate.Enter(absl::Now() + absl::Milliseconds(50)).ok());
  });
  AwaitQueue(gate, 1);
  bool entered = false;
  std::thread third([&] { entered = gate.Enter(absl::InfiniteFuture()).ok(); });

  second.join();
  first.reset();
  third.join();

  EXPECT_TRUE(entered);
}

}  // namespace
}  // namespace podvisor
