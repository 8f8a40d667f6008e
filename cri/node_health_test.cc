#include "cri/node_health.h"

#include <signal.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/file.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace podvisor {
namespace {

using testing::HasSubstr;

class NodeHealthTest : public testing::Test {
 protected:
  void Pass(absl::Duration time) {
    clock_.Advance(time);
    timers_.RunDue();
  }

  FakeClock clock_;
  TimerQueue timers_{clock_, 0};
};

TEST_F(NodeHealthTest, TheFirstCheckThatFailsIsTheReason) {
  absl::Status second;
  const auto health =
      NodeHealth::Start({{"FirstBroken", [] { return absl::OkStatus(); }},
                         {"SecondBroken", [&] { return second; }},
                         {"ThirdBroken", [&] { return second; }}},
                        &timers_, &clock_);
  EXPECT_EQ(health->verdict().reason, "");

  second = absl::UnavailableError("why");
  EXPECT_EQ(health->verdict().reason, "");  // not yet looked at
  Pass(absl::Seconds(5));
  EXPECT_EQ(health->verdict().reason, "SecondBroken");
  EXPECT_EQ(health->verdict().message, "why");

  second = absl::OkStatus();
  Pass(absl::Seconds(5));
  EXPECT_EQ(health->verdict().reason, "");
}

TEST_F(NodeHealthTest, TimersThatStandStillAreAFault) {
  const auto health = NodeHealth::Start({}, &timers_, &clock_);

  clock_.Advance(absl::Seconds(61));  // and nobody runs the timers
  EXPECT_EQ(health->verdict().reason, "ChecksHang");
  EXPECT_THAT(health->verdict().message, HasSubstr("1m1s"));

  timers_.RunDue();
  EXPECT_EQ(health->verdict().reason, "");
}

TEST_F(NodeHealthTest, AWallClockThatIsSetBackHidesNoFault) {
  absl::Status status;
  const auto health = NodeHealth::Start({{"Broken", [&] { return status; }}},
                                        &timers_, &clock_);
  clock_.Step(absl::Hours(-1));

  status = absl::UnavailableError("why");
  Pass(absl::Seconds(5));
  EXPECT_EQ(health->verdict().reason, "Broken");
  clock_.Advance(absl::Seconds(61));
  EXPECT_EQ(health->verdict().reason, "ChecksHang");
}

TEST_F(NodeHealthTest, NothingRunsOnceItIsGone) {
  int runs = 0;
  auto health = NodeHealth::Start({{"X",
                                    [&] {
                                      ++runs;
                                      return absl::OkStatus();
                                    }}},
                                  &timers_, &clock_);
  health.reset();

  Pass(absl::Seconds(5));

  EXPECT_EQ(runs, 1);
}

class NodeChecksTest : public NodeHealthTest {
 protected:
  NodeChecksTest() : directory_(testing::TempDir() + "/node-checks") {
    EXPECT_TRUE(RemoveTree(directory_).ok());
    EXPECT_TRUE(MakeDirectories(directory_).ok());
    vm_.qemu = directory_ + "/qemu";
    vm_.kernel = directory_ + "/vmlinux";
    vm_.initrd = directory_ + "/initrd.img";
    for (const std::string& path : {vm_.qemu, vm_.kernel, vm_.initrd}) {
      EXPECT_TRUE(WriteFileAtomically(path, "x", 0755).ok());
    }
    store_ = StateStore::Open(directory_).value();
    health_ =
        NodeHealth::Start(NodeChecks(store_.get(), vm_), &timers_, &clock_);
  }
  NodeHealth::Verdict Next() {
    Pass(absl::Seconds(5));
    return health_->verdict();
  }

  const std::string directory_;
  VmSpec vm_;
  std::unique_ptr<StateStore> store_;
  std::shared_ptr<NodeHealth> health_;
};

TEST_F(NodeChecksTest, EachPartOfAVmThatIsMissingIsNamed) {
  EXPECT_EQ(Next().reason, "");
  for (const std::string& path : {vm_.qemu, vm_.kernel, vm_.initrd}) {
    ASSERT_EQ(rename(path.c_str(), (path + ".away").c_str()), 0);
    EXPECT_EQ(Next().reason, "HypervisorMissing");
    EXPECT_THAT(health_->verdict().message, HasSubstr(path));
    ASSERT_EQ(rename((path + ".away").c_str(), path.c_str()), 0);
    EXPECT_EQ(Next().reason, "");
  }
}

TEST_F(NodeChecksTest, AStoreThatTakesNoWritesIsAFault) {
  // A disk that refuses every write, as far as this process can tell.
  signal(SIGXFSZ, SIG_IGN);
  rlimit before = {};
  ASSERT_EQ(getrlimit(RLIMIT_FSIZE, &before), 0);
  const rlimit none = {0, before.rlim_max};
  ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &none), 0);

  const NodeHealth::Verdict broken = Next();

  ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &before), 0);
  EXPECT_EQ(broken.reason, "StateStoreBroken") << broken.message;
  EXPECT_EQ(Next().reason, "");
}

}  // namespace
}  // namespace podvisor
