// The mounts of a pod's directory: needs root, and skips loudly without.

#include "volume/pod_directory.h"

#include <sched.h>
#include <sys/mount.h>
#include <unistd.h>

#include <optional>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "base/file.h"
#include "gtest/gtest.h"

namespace podvisor {
namespace {

// A host whose /run is a shared mount, and what a pod with that as a
// HostToContainer volume sees of it: a recursive bind that is a slave.
class PodDirectoryTest : public testing::Test {
 protected:
  void SetUp() override {
    if (geteuid() != 0) GTEST_SKIP() << "NOT TESTED: mounts need root";
    // A namespace of this process's own, which takes all mounts along.
    ASSERT_EQ(unshare(CLONE_NEWNS), 0);
    ASSERT_EQ(mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr), 0);
    ASSERT_TRUE(MakeDirectories(run_).ok());
    ASSERT_TRUE(MakeDirectories(seen_).ok());
    ASSERT_EQ(mount("run", run_.c_str(), "tmpfs", 0, "mode=0755"), 0);
    ASSERT_EQ(mount(nullptr, run_.c_str(), nullptr, MS_SHARED, nullptr), 0);
  }
  void TearDown() override {
    if (geteuid() != 0) return;
    (void)umount2(seen_.c_str(), MNT_DETACH);
    EXPECT_EQ(umount2(run_.c_str(), MNT_DETACH), 0);
    EXPECT_TRUE(RemoveTree(base_).ok());
  }

  void GiveRunToAPod() {
    ASSERT_EQ(
        mount(run_.c_str(), seen_.c_str(), nullptr, MS_BIND | MS_REC, nullptr),
        0);
    ASSERT_EQ(
        mount(nullptr, seen_.c_str(), nullptr, MS_SLAVE | MS_REC, nullptr), 0);
  }
  PodDirectory Create() {
    absl::StatusOr<PodDirectory> directory =
        PodDirectory::Create(run_ + "/podvisor", id_);
    EXPECT_TRUE(directory.ok()) << directory.status();
    return *std::move(directory);
  }
  // Where the pod with the volume would find the other one's directory.
  std::string Seen(const std::string& name) {
    return absl::StrCat(seen_, "/podvisor/pods/", id_.value(), "/", name);
  }
  bool IsMounted(const std::string& where) {
    return absl::StrContains(*ReadFile("/proc/self/mountinfo"), where);
  }

  const std::string base_ = absl::StrCat(testing::TempDir(), "/pod_directory");
  const std::string run_ = base_ + "/run";
  const std::string seen_ = base_ + "/seen";
  const PodId id_{std::string(64, 'a')};
};

TEST_F(PodDirectoryTest, NoPodThatSharesTheHostsRunSeesWhatALaterOneHasThere) {
  GiveRunToAPod();

  const PodDirectory directory = Create();
  ASSERT_TRUE(
      WriteFileAtomically(directory.path() + "/secret", "text", 0600).ok());

  EXPECT_NE(access(Seen("secret").c_str(), F_OK), 0);
  EXPECT_NE(access(Seen(kOutputDirectory).c_str(), F_OK), 0);
}

TEST_F(PodDirectoryTest, NoPodThatSharesTheHostsRunSeesWhatAnEarlierOneHas) {
  const PodDirectory directory = Create();
  ASSERT_TRUE(
      WriteFileAtomically(directory.path() + "/secret", "text", 0600).ok());

  GiveRunToAPod();

  EXPECT_NE(access(Seen("secret").c_str(), F_OK), 0);
}

TEST_F(PodDirectoryTest, NothingIsMountedAfterTheLastOneWasRemoved) {
  GiveRunToAPod();
  std::optional<PodDirectory> directory = Create();
  ASSERT_TRUE(IsMounted(id_.value()));

  EXPECT_TRUE(directory->Remove().ok());

  EXPECT_FALSE(IsMounted(id_.value()));
}

}  // namespace
}  // namespace podvisor
