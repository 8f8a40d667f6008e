// The kernel's side of shares: needs root, and skips loudly without.

#include "volume/pod_share.h"

#include <fcntl.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/time/clock.h"
#include "base/file.h"
#include "base/process.h"
#include "gtest/gtest.h"
#include "volume/pod_directory.h"
#include "volume/virtiofsd_world.h"

namespace podvisor {
namespace {

constexpr absl::Duration kPatience = absl::Seconds(20);

class PodShareTest : public testing::Test {
 protected:
  void SetUp() override {
    if (geteuid() != 0) GTEST_SKIP() << "NOT TESTED: mounts need root";
    ASSERT_TRUE(MakeDirectories(host_ + "/sub").ok());
    ASSERT_TRUE(WriteFileAtomically(host_ + "/file", "content", 0644).ok());
    auto directory = PodDirectory::Create(run_, id_);
    ASSERT_TRUE(directory.ok()) << directory.status();
    directory_.emplace(*std::move(directory));
    auto share = PodShare::Open(directory_->path(), {{run_}});
    ASSERT_TRUE(share.ok()) << share.status();
    share_.emplace(*std::move(share));
    if (access(VirtiofsdOptions().program.c_str(), X_OK) != 0) {
      GTEST_SKIP() << "NOT TESTED: there is no virtiofsd";
    }
    auto virtiofsd = share_->StartDaemon({});
    ASSERT_TRUE(virtiofsd.ok()) << virtiofsd.status();
    virtiofsd_ = *std::move(virtiofsd);
    const absl::Status answers =
        AwaitVirtiofsd(virtiofsd_.socket.get(), kPatience);
    ASSERT_TRUE(answers.ok()) << answers << VirtiofsdLog();
  }

  void TearDown() override {
    EndVirtiofsd();
    directory_.reset();
    EXPECT_FALSE(absl::StrContains(*ReadFile("/proc/self/mountinfo"), base_));
    EXPECT_TRUE(RemoveTree(base_).ok());
  }

  // It ends without its socket.
  void EndVirtiofsd() {
    if (!virtiofsd_.socket.valid()) return;
    virtiofsd_.socket.Reset();
    const auto ended = WaitProcess(virtiofsd_.process, absl::Now() + kPatience);
    EXPECT_TRUE(ended.ok()) << ended.status();
  }
  std::string VirtiofsdLog() {
    return ReadFile(absl::StrCat(directory_->path(), "/", kOutputDirectory,
                                 "/virtiofsd.log"))
        .value_or("no log");
  }

  static ShareMount Mount(const std::string& name, const std::string& path) {
    ShareMount mount;
    mount.name = name;
    mount.host_path = path;
    return mount;
  }
  absl::Status Add(const ShareMount& mount) {
    return share_->AddMount(virtiofsd_.process, mount).status();
  }
  // What is mounted in the share now, by name: top-level mounts of virtiofsd's
  // world.
  std::vector<std::string> Mounts() {
    const std::string table =
        ReadFile(absl::StrCat("/proc/", virtiofsd_.process.pid, "/mountinfo"))
            .value();
    std::vector<std::string> names;
    for (const absl::string_view line : absl::StrSplit(table, '\n')) {
      const std::vector<std::string> fields = absl::StrSplit(line, ' ');
      if (fields.size() <= 4 || fields[4] == "/") continue;
      if (fields[4].rfind('/') == 0) names.push_back(fields[4].substr(1));
    }
    std::sort(names.begin(), names.end());
    return names;
  }
  // The path of what a guest would see.
  std::string In(const std::string& name) {
    return absl::StrCat("/proc/", virtiofsd_.process.pid, "/root/", name);
  }

  const std::string base_ = absl::StrCat(testing::TempDir(), "/pod_share");
  const std::string run_ = base_ + "/run";
  const std::string host_ = base_ + "/host";
  const PodId id_{std::string(64, 'a')};
  std::optional<PodDirectory> directory_;
  std::optional<PodShare> share_;
  VirtiofsdHandle virtiofsd_;
};

TEST_F(PodShareTest, AFileAndADirectoryAppear) {
  ASSERT_TRUE(Add(Mount("d", host_)).ok());
  ASSERT_TRUE(Add(Mount("f", host_ + "/file")).ok());

  EXPECT_EQ(*ReadFile(In("d/file")), "content");
  EXPECT_EQ(*ReadFile(In("f")), "content");
  EXPECT_EQ(Mounts(), (std::vector<std::string>{"d", "f"}));
}

TEST_F(PodShareTest, TheHostsTableOfMountsHasNoBinds) {
  const std::string before = *ReadFile("/proc/self/mountinfo");

  ASSERT_TRUE(Add(Mount("d", host_)).ok());

  EXPECT_EQ(*ReadFile("/proc/self/mountinfo"), before);
}

TEST_F(PodShareTest, NoDirectoryOfTheHostIsBusyForABind) {
  const std::string sub = host_ + "/sub";
  ASSERT_EQ(mount("t", sub.c_str(), "tmpfs", 0, "size=64k"), 0);
  ASSERT_TRUE(Add(Mount("d", host_)).ok());
  const UniqueFd held(open(In("d/sub").c_str(), O_PATH | O_CLOEXEC));
  ASSERT_TRUE(held.valid());

  ASSERT_EQ(umount2(sub.c_str(), 0), 0);

  EXPECT_EQ(rmdir(sub.c_str()), 0) << strerror(errno);
  EXPECT_NE(access(In("d/sub").c_str(), F_OK), 0);
}

TEST_F(PodShareTest, MountsBelowAreTold) {
  const auto has_below = [&](const ShareMount& mount) {
    const auto placed = share_->AddMount(virtiofsd_.process, mount);
    EXPECT_TRUE(placed.ok()) << placed.status();
    return placed->has_mounts_below;
  };
  EXPECT_FALSE(has_below(Mount("none", host_)));
  ShareMount later = Mount("later", host_);
  later.slave = true;
  EXPECT_TRUE(has_below(later));

  ASSERT_EQ(mount("t", (host_ + "/sub").c_str(), "tmpfs", 0, "size=64k"), 0);
  EXPECT_TRUE(has_below(Mount("one", host_)));
  EXPECT_FALSE(has_below(Mount("on", host_ + "/file")));
  ShareMount alone = Mount("alone", host_);
  alone.recursive = false;
  EXPECT_FALSE(has_below(alone));

  ASSERT_EQ(umount2((host_ + "/sub").c_str(), MNT_DETACH), 0);
}

TEST_F(PodShareTest, BindsAreNosuidAndNodev) {
  ASSERT_TRUE(Add(Mount("d", host_)).ok());

  struct statvfs info;
  ASSERT_EQ(statvfs(In("d").c_str(), &info), 0);

  EXPECT_TRUE(info.f_flag & ST_NOSUID);
  EXPECT_TRUE(info.f_flag & ST_NODEV);
  EXPECT_FALSE(info.f_flag & ST_RDONLY);
}

TEST_F(PodShareTest, ReadOnlyAloneLeavesMountsBelowAsTheyAre) {
  ASSERT_EQ(mount("t", (host_ + "/sub").c_str(), "tmpfs", 0, "size=64k"), 0);
  ShareMount mount = Mount("d", host_);
  mount.read_only = true;
  ASSERT_TRUE(Add(mount).ok());

  EXPECT_FALSE(WriteFileAtomically(In("d/x"), "").ok());
  EXPECT_TRUE(WriteFileAtomically(In("d/sub/x"), "").ok());

  ASSERT_EQ(umount2((host_ + "/sub").c_str(), MNT_DETACH), 0);
}

TEST_F(PodShareTest, RecursiveReadOnlyIsReadOnlyAllTheWayDown) {
  ASSERT_EQ(mount("t", (host_ + "/sub").c_str(), "tmpfs", 0, "size=64k"), 0);
  ShareMount mount = Mount("d", host_);
  mount.read_only = true;
  mount.recursive_read_only = true;
  ASSERT_TRUE(Add(mount).ok());

  EXPECT_FALSE(WriteFileAtomically(In("d/x"), "").ok());
  EXPECT_FALSE(WriteFileAtomically(In("d/sub/x"), "").ok());
  EXPECT_TRUE(WriteFileAtomically(host_ + "/sub/x", "").ok());

  ASSERT_EQ(umount2((host_ + "/sub").c_str(), MNT_DETACH), 0);
}

TEST_F(PodShareTest, MappedIdsAreThoseOfTheUserNamespaceAndStayTheHosts) {
  ShareMount mount = Mount("d", host_);
  mount.ids = IdMapping{4711, 65536};
  const absl::Status added = Add(mount);
  if (absl::IsFailedPrecondition(added)) {
    GTEST_SKIP() << "NOT TESTED: " << added;
  }
  ASSERT_TRUE(added.ok()) << added;

  struct stat seen = {}, made = {};
  ASSERT_EQ(stat(In("d/file").c_str(), &seen), 0);
  EXPECT_EQ(seen.st_uid, 4711u);
  EXPECT_EQ(seen.st_gid, 4711u);
  // What the namespace's user 5 makes is user 5's on the host.
  ASSERT_EQ(chmod(host_.c_str(), 0777), 0);
  const UniqueFd directory(open(In("d").c_str(), O_PATH | O_CLOEXEC));
  ASSERT_EQ(setegid(4716), 0);
  ASSERT_EQ(seteuid(4716), 0);
  const UniqueFd file(openat(directory.get(), "new",
                             O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0600));
  ASSERT_EQ(seteuid(0), 0);
  ASSERT_EQ(setegid(0), 0);
  ASSERT_TRUE(file.valid());
  ASSERT_EQ(stat((host_ + "/new").c_str(), &made), 0);
  EXPECT_EQ(made.st_uid, 5u);
  EXPECT_EQ(made.st_gid, 5u);
}

TEST_F(PodShareTest, AFileSystemThatCannotMapIdsIsAClearError) {
  ShareMount mount = Mount("d", "/proc");
  mount.ids = IdMapping{4711, 65536};

  const absl::Status added = Add(mount);

  EXPECT_TRUE(absl::IsFailedPrecondition(added)) << added;
  EXPECT_TRUE(absl::StrContains(added.message(), "host path /proc cannot"));
  EXPECT_TRUE(Mounts().empty());
}

TEST_F(PodShareTest, NotRecursiveLeavesMountsBelowOut) {
  ASSERT_EQ(mount("t", (host_ + "/sub").c_str(), "tmpfs", 0, "size=64k"), 0);
  ASSERT_TRUE(WriteFileAtomically(host_ + "/sub/x", "").ok());
  ShareMount mount = Mount("d", host_);
  mount.recursive = false;
  ASSERT_TRUE(Add(mount).ok());

  EXPECT_NE(access(In("d/sub/x").c_str(), F_OK), 0);

  ASSERT_EQ(umount2((host_ + "/sub").c_str(), MNT_DETACH), 0);
}

TEST_F(PodShareTest, SlaveMountsFollowTheHostAndPrivateOnesDoNot) {
  ASSERT_EQ(mount(host_.c_str(), host_.c_str(), nullptr, MS_BIND, nullptr), 0);
  ASSERT_EQ(mount(nullptr, host_.c_str(), nullptr, MS_SHARED, nullptr), 0);
  ShareMount slave = Mount("slave", host_);
  slave.slave = true;
  ASSERT_TRUE(Add(slave).ok());
  ASSERT_TRUE(Add(Mount("private", host_)).ok());

  ASSERT_EQ(mount("t", (host_ + "/sub").c_str(), "tmpfs", 0, "size=64k"), 0);
  ASSERT_TRUE(WriteFileAtomically(host_ + "/sub/x", "").ok());

  EXPECT_EQ(access(In("slave/sub/x").c_str(), F_OK), 0);
  EXPECT_NE(access(In("private/sub/x").c_str(), F_OK), 0);

  ASSERT_EQ(umount2((host_ + "/sub").c_str(), MNT_DETACH), 0);
  ASSERT_EQ(umount2(host_.c_str(), MNT_DETACH), 0);
}

TEST_F(PodShareTest, NothingTheGuestDoesReachesTheMountPoints) {
  ASSERT_TRUE(Add(Mount("d", host_)).ok());

  EXPECT_NE(mkdir(In("evil").c_str(), 0755), 0);
  EXPECT_EQ(errno, EROFS);
  EXPECT_NE(symlink("/etc", In("evil").c_str()), 0);
}

TEST_F(PodShareTest, SymbolicLinksAreFollowedOnTheHost) {
  ASSERT_EQ(symlink((host_ + "/sub").c_str(), (host_ + "/link").c_str()), 0);
  ASSERT_TRUE(WriteFileAtomically(host_ + "/sub/x", "through").ok());

  ASSERT_TRUE(Add(Mount("d", host_ + "/link")).ok());

  EXPECT_EQ(*ReadFile(In("d/x")), "through");
}

TEST_F(PodShareTest, WhatCannotBeSharedIsRefused) {
  ASSERT_EQ(mkfifo((host_ + "/fifo").c_str(), 0600), 0);
  ASSERT_EQ(symlink(run_.c_str(), (host_ + "/ours").c_str()), 0);
  const std::pair<const char*, std::string> invalid[] = {
      {"relative", "etc"},
      {"empty", ""},
      {"device", "/dev/null"},
      {"fifo", host_ + "/fifo"},
      {"ours", run_},
      {"inside", run_ + "/pods"},
      {"directory", directory_->path()},
      {"disguised", host_ + "/ours"},
      {"dots", host_ + "/../run/pods"},
  };
  for (const auto& [name, path] : invalid) {
    EXPECT_TRUE(absl::IsInvalidArgument(Add(Mount(name, path)))) << path;
  }
  EXPECT_TRUE(absl::IsNotFound(Add(Mount("missing", host_ + "/missing"))));
  EXPECT_EQ(Mounts(), std::vector<std::string>());
}

TEST_F(PodShareTest, ADirectoryAboveOursHasOursLeftOut) {
  ASSERT_TRUE(Add(Mount("d", base_)).ok());

  EXPECT_EQ(*ReadFile(In("d/host/file")), "content");
  EXPECT_NE(access(In("d/run/pods/" + id_.value() + "/share").c_str(), F_OK),
            0);
}

TEST_F(PodShareTest, NamesAreNamesOnly) {
  for (const char* name : {"", ".", "..", "a/b", "A", "a b", "a\n"}) {
    EXPECT_TRUE(absl::IsInvalidArgument(Add(Mount(name, host_))));
    EXPECT_TRUE(absl::IsInvalidArgument(share_->RemoveMount(name)));
  }
}

TEST_F(PodShareTest, ANameIsTakenUntilItIsRemoved) {
  ASSERT_TRUE(Add(Mount("d", host_)).ok());
  EXPECT_TRUE(absl::IsAlreadyExists(Add(Mount("d", host_))));

  EXPECT_TRUE(share_->RemoveMount("d").ok());
  EXPECT_TRUE(share_->RemoveMount("d").ok());

  EXPECT_EQ(Mounts(), std::vector<std::string>());
  EXPECT_TRUE(Add(Mount("d", host_ + "/file")).ok());
  EXPECT_EQ(*ReadFile(host_ + "/file"), "content");
}

TEST_F(PodShareTest, ABusyMountCanBeRemoved) {
  ASSERT_TRUE(Add(Mount("d", host_)).ok());
  const int held = open(In("d/file").c_str(), O_RDONLY);
  ASSERT_GE(held, 0);

  EXPECT_TRUE(share_->RemoveMount("d").ok());

  EXPECT_TRUE(Mounts().empty());
  struct stat found = {};
  EXPECT_EQ(fstat(held, &found), 0);
  EXPECT_GT(found.st_nlink, 0u) << "what was mounted is gone";
  close(held);
}

TEST_F(PodShareTest, ANewDaemonFindsTheShareAsItWas) {
  ASSERT_TRUE(Add(Mount("d", host_)).ok());

  auto again = PodShare::Open(directory_->path(), {{run_}});

  ASSERT_TRUE(again.ok()) << again.status();
  EXPECT_EQ(Mounts(), std::vector<std::string>{"d"});
  EXPECT_TRUE(again->AddMount(virtiofsd_.process, Mount("e", host_)).ok());
  EXPECT_TRUE(again->RemoveMount("d").ok());
  EXPECT_EQ(Mounts(), std::vector<std::string>{"e"});
}

TEST_F(PodShareTest, RemovingThePodsDirectoryUndoesEverything) {
  ASSERT_TRUE(Add(Mount("d", host_)).ok());
  ASSERT_TRUE(Add(Mount("f", host_ + "/file")).ok());

  ASSERT_TRUE(directory_->Remove().ok());

  EXPECT_FALSE(absl::StrContains(*ReadFile("/proc/self/mountinfo"), base_));
  EXPECT_EQ(*ReadFile(host_ + "/file"), "content");
}

TEST_F(PodShareTest, VirtiofsdRunsUntilItsSocketIsClosed) {
  EXPECT_TRUE(IsAlive(virtiofsd_.process));
  EXPECT_TRUE(absl::IsDeadlineExceeded(
      WaitProcess(virtiofsd_.process, absl::Now() + absl::Milliseconds(300))
          .status()))
      << VirtiofsdLog();

  EndVirtiofsd();

  EXPECT_FALSE(IsAlive(virtiofsd_.process));
}

TEST_F(PodShareTest, AVirtiofsdThatHasEndedTakesNoMounts) {
  EndVirtiofsd();

  EXPECT_TRUE(absl::IsUnavailable(Add(Mount("d", host_))));

  EXPECT_NE(access((directory_->path() + "/share/d").c_str(), F_OK), 0);
}

TEST_F(PodShareTest, NothingIsMountedForAProcessThatServesSomethingElse) {
  // As virtiofsd before it has made its namespace: it is on the host.
  const auto own = IdentifyProcess(getpid());
  ASSERT_TRUE(own.ok());

  const auto added = share_->AddMount(*own, Mount("d", host_));

  EXPECT_TRUE(absl::IsUnavailable(added.status())) << added.status();
}

TEST(AwaitVirtiofsdTest, OneThatEndsOrKeepsSilentIsNoReasonToWaitOn) {
  int ends[2];
  ASSERT_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
  UniqueFd ours(ends[0]), its(ends[1]);

  EXPECT_TRUE(absl::IsDeadlineExceeded(
      AwaitVirtiofsd(ours.get(), absl::Milliseconds(50))));
  its.Reset();
  EXPECT_TRUE(absl::IsUnavailable(AwaitVirtiofsd(ours.get(), kPatience)));
}

TEST_F(PodShareTest, AGuestThatFloodsItsConsoleLeavesRoomForTheRest) {
  const std::string& pod = directory_->path();
  const UniqueFd console(
      open(absl::StrCat(pod, "/", kOutputDirectory, "/console.log").c_str(),
           O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
  ASSERT_TRUE(console.valid());
  EXPECT_TRUE(absl::IsResourceExhausted(
      WriteAll(console.get(), std::string(16 << 20, 'x'))));

  // A page, as a log cursor is.
  EXPECT_TRUE(
      WriteFileAtomically(pod + "/cursor", std::string(4096, 'c')).ok());
}

TEST_F(PodShareTest, SweepingRemovesAllButTheLiving) {
  const PodId other(std::string(64, 'b'));
  auto left = PodDirectory::Create(run_, other);
  ASSERT_TRUE(left.ok());
  left->Release();
  ASSERT_TRUE(MakeDirectories(run_ + "/pods/rubbish/x").ok());

  std::vector<PodId> ended;
  ASSERT_TRUE(SweepPodDirectories(run_, {id_}, [&](const PodId& id) {
                ended.push_back(id);
                return absl::OkStatus();
              }).ok());

  EXPECT_EQ(ended, std::vector<PodId>{other});
  EXPECT_TRUE(PodDirectory::Open(run_, id_).ok());
  EXPECT_TRUE(absl::IsNotFound(PodDirectory::Open(run_, other).status()));
  EXPECT_NE(access((run_ + "/pods/rubbish").c_str(), F_OK), 0);
}

TEST_F(PodShareTest, TheDirectoryOfAPodThatDoesNotEndStaysAsItsMark) {
  const PodId lives(std::string(64, 'b'));
  const PodId ends(std::string(64, 'c'));
  for (const PodId& id : {lives, ends}) {
    auto left = PodDirectory::Create(run_, id);
    ASSERT_TRUE(left.ok());
    left->Release();
  }
  bool can_be_ended = false;
  const auto end = [&](const PodId& id) {
    return id == ends || can_be_ended
               ? absl::OkStatus()
               : absl::DeadlineExceededError("it is still running");
  };

  EXPECT_TRUE(absl::IsDeadlineExceeded(SweepPodDirectories(run_, {id_}, end)));
  EXPECT_TRUE(PodDirectory::Open(run_, lives).ok());
  EXPECT_TRUE(absl::IsNotFound(PodDirectory::Open(run_, ends).status()));

  can_be_ended = true;
  EXPECT_TRUE(SweepPodDirectories(run_, {id_}, end).ok());
  EXPECT_TRUE(absl::IsNotFound(PodDirectory::Open(run_, lives).status()));
}

TEST_F(PodShareTest, CreatingAPodsDirectoryReplacesALeftover) {
  ASSERT_TRUE(Add(Mount("d", host_)).ok());
  directory_->Release();

  auto fresh = PodDirectory::Create(run_, id_);

  ASSERT_TRUE(fresh.ok()) << fresh.status();
  EXPECT_NE(access((fresh->path() + "/share").c_str(), F_OK), 0);
  EXPECT_EQ(*ReadFile(host_ + "/file"), "content");
}

}  // namespace
}  // namespace podvisor
