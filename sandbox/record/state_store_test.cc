#include "sandbox/record/state_store.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <memory>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/file.h"
#include "base/unique_fd.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "sandbox/record/root_lock.h"

namespace podvisor {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::IsEmpty;

std::string NewDirectory() {
  const std::string path = absl::StrCat(testing::TempDir(), "/", RandomHexId());
  EXPECT_TRUE(MakeDirectories(path).ok());
  return path;
}

PodRecord Pod(std::string message = "") {
  PodRecord pod;
  pod.id = PodId(RandomHexId());
  pod.state = SandboxState::kReady;
  pod.created_at = absl::FromUnixSeconds(1'700'000'000);
  pod.message = std::move(message);
  return pod;
}

ContainerRecord ContainerOf(const PodRecord& pod) {
  ContainerRecord container;
  container.id = ContainerId(RandomHexId());
  container.pod_id = pod.id;
  container.spec.name = "web";
  return container;
}

std::unique_ptr<StateStore> OpenStore(const std::string& directory) {
  auto store = StateStore::Open(directory);
  EXPECT_TRUE(store.ok()) << store.status();
  return store.ok() ? *std::move(store) : nullptr;
}

LoadedState Load(StateStore* store) {
  auto state = store->LoadAll();
  EXPECT_TRUE(state.ok()) << state.status();
  return state.ok() ? *std::move(state) : LoadedState();
}

absl::Status RunSql(const std::string& directory, const char* sql) {
  auto database = SqliteDatabase::Open(absl::StrCat(directory, "/state.db"));
  return database.ok() ? database->Execute(sql) : database.status();
}

TEST(StateStoreTest, ReturnsWhatWasPutAfterItIsOpenedAgain) {
  const std::string directory = NewDirectory();
  PodRecord pod = Pod();
  const ContainerRecord container = ContainerOf(pod);
  {
    auto store = OpenStore(directory);
    ASSERT_TRUE(store->PutPod(pod).ok());
    ASSERT_TRUE(store->PutContainer(container).ok());
    pod.state = SandboxState::kStopped;
    ASSERT_TRUE(store->PutPod(pod).ok());
  }

  const LoadedState state = Load(OpenStore(directory).get());

  EXPECT_THAT(state.pods, ElementsAre(pod));
  EXPECT_THAT(state.containers, ElementsAre(container));
  EXPECT_THAT(state.broken, IsEmpty());
  struct stat file {};
  ASSERT_EQ(stat(absl::StrCat(directory, "/state.db").c_str(), &file), 0);
  EXPECT_EQ(file.st_mode & 0777, 0600u);
}

TEST(StateStoreTest, APodGoesWithItsContainers) {
  auto store = OpenStore(NewDirectory());
  const PodRecord gone = Pod();
  const PodRecord kept = Pod();
  const ContainerRecord container = ContainerOf(kept);
  for (const PodRecord& pod : {gone, kept}) {
    ASSERT_TRUE(store->PutPod(pod).ok());
  }
  ASSERT_TRUE(store->PutContainer(ContainerOf(gone)).ok());
  ASSERT_TRUE(store->PutContainer(container).ok());

  EXPECT_TRUE(store->DeletePod(gone.id).ok());
  EXPECT_TRUE(store->DeletePod(gone.id).ok());

  LoadedState state = Load(store.get());
  EXPECT_THAT(state.pods, ElementsAre(kept));
  EXPECT_THAT(state.containers, ElementsAre(container));
  EXPECT_TRUE(store->DeleteContainer(container.id).ok());
  EXPECT_THAT(Load(store.get()).containers, IsEmpty());
}

TEST(StateStoreTest, AContainerDoesNotComeBackAfterItsPod) {
  auto store = OpenStore(NewDirectory());
  const PodRecord pod = Pod();
  const ContainerRecord container = ContainerOf(pod);
  ASSERT_TRUE(store->PutPod(pod).ok());
  ASSERT_TRUE(store->PutContainer(container).ok());
  ASSERT_TRUE(store->DeletePod(pod.id).ok());

  EXPECT_TRUE(absl::IsNotFound(store->PutContainer(container)));

  const LoadedState state = Load(store.get());
  EXPECT_THAT(state.containers, IsEmpty());
  EXPECT_THAT(state.broken, IsEmpty());
}

TEST(StateStoreTest, RefusesWhatItCouldNotNameAfterwards) {
  auto store = OpenStore(NewDirectory());
  PodRecord pod = Pod();
  pod.id = PodId("../../etc");

  EXPECT_TRUE(absl::IsInvalidArgument(store->PutPod(pod)));
}

TEST(StateStoreTest, ABrokenRowIsSkippedAndNamed) {
  const std::string directory = NewDirectory();
  const PodRecord whole = Pod();
  const PodRecord broken = Pod();
  const ContainerRecord orphan = ContainerOf(broken);
  {
    auto store = OpenStore(directory);
    ASSERT_TRUE(store->PutPod(whole).ok());
    ASSERT_TRUE(store->PutPod(broken).ok());
    ASSERT_TRUE(store->PutContainer(orphan).ok());
  }
  ASSERT_TRUE(RunSql(directory,
                     absl::StrCat("UPDATE record SET json = json || ' ' WHERE "
                                  "kind = 'pod' AND id = '",
                                  broken.id.value(), "'")
                         .c_str())
                  .ok());

  auto store = OpenStore(directory);
  LoadedState state = Load(store.get());

  EXPECT_THAT(state.pods, ElementsAre(whole));
  EXPECT_THAT(state.containers, IsEmpty());
  ASSERT_EQ(state.broken.size(), 2u);
  EXPECT_EQ(state.broken[0].kind, "pod");
  EXPECT_EQ(state.broken[0].id, broken.id.value());
  EXPECT_EQ(state.broken[1].id, orphan.id.value());
  EXPECT_TRUE(store->DeletePod(PodId(state.broken[0].id)).ok());
  EXPECT_THAT(Load(store.get()).broken, IsEmpty());
}

TEST(StateStoreTest, ANewerFileIsRefusedAndLeftAlone) {
  const std::string directory = NewDirectory();
  const PodRecord pod = Pod();
  ASSERT_TRUE(OpenStore(directory)->PutPod(pod).ok());
  // As a newer daemon would: crc32 of "version\0" "2\0" "\0" "\0".
  ASSERT_TRUE(
      RunSql(directory, "UPDATE version SET version = 2, crc = 1882565416")
          .ok());

  const auto store = StateStore::Open(directory);

  EXPECT_TRUE(absl::IsFailedPrecondition(store.status())) << store.status();
}

TEST(StateStoreTest, AFileThatIsNoDatabaseIsSetAside) {
  const std::string directory = NewDirectory();
  const std::string garbage(10'000, 'x');
  ASSERT_TRUE(
      WriteFileAtomically(absl::StrCat(directory, "/state.db"), garbage).ok());

  auto store = OpenStore(directory);

  const LoadedState state = Load(store.get());
  ASSERT_EQ(state.broken.size(), 1u);
  EXPECT_EQ(state.broken[0].kind, "database");
  EXPECT_EQ(*ReadFile(absl::StrCat(directory, "/state.db.broken")), garbage);
  EXPECT_TRUE(store->PutPod(Pod()).ok());
}

// Bytes all over the file; each time the rest must be there, and every record
// that is returned must be one that was stored.
TEST(StateStoreTest, AFlippedByteCostsOnlyRecordsThatAreReported) {
  const std::string directory = NewDirectory();
  std::vector<PodRecord> pods;
  {
    auto store = OpenStore(directory);
    for (int i = 0; i < 8; ++i) {
      pods.push_back(Pod(std::string(1000, static_cast<char>('a' + i))));
      ASSERT_TRUE(store->PutPod(pods.back()).ok());
    }
  }
  const std::string path = absl::StrCat(directory, "/state.db");
  const std::string original = *ReadFile(path);

  int tried = 0;
  int at_most_one_lost = 0;
  for (size_t i = 0; i < original.size(); i += 97) {
    std::string flipped = original;
    flipped[i] = static_cast<char>(flipped[i] ^ 0x55);
    ASSERT_TRUE(WriteFileAtomically(path, flipped).ok());
    unlink(absl::StrCat(path, "-wal").c_str());
    unlink(absl::StrCat(path, "-shm").c_str());

    auto store = StateStore::Open(directory);
    ASSERT_TRUE(store.ok()) << "byte " << i << ": " << store.status();
    const LoadedState state = Load(store->get());

    for (const PodRecord& pod : state.pods) EXPECT_THAT(pods, Contains(pod));
    if (state.pods.size() < pods.size()) {
      EXPECT_FALSE(state.broken.empty()) << "byte " << i;
    }
    ++tried;
    if (state.pods.size() + 1 >= pods.size()) ++at_most_one_lost;
  }
  // The others hit SQLite's own pages: a page goes as a whole.
  EXPECT_GT(at_most_one_lost, tried * 3 / 4);
}

TEST(StateStoreTest, EveryRecordThatWasPutOutlivesKill9) {
  const std::string directory = NewDirectory();
  std::vector<std::string> stored;
  for (int round = 0; round < 10; ++round) {
    int fds[2];
    ASSERT_EQ(pipe2(fds, O_CLOEXEC), 0);
    UniqueFd reader(fds[0]);
    UniqueFd writer(fds[1]);
    const pid_t child = fork();
    ASSERT_GE(child, 0);
    if (child == 0) {
      auto store = StateStore::Open(directory);
      while (store.ok()) {
        const PodRecord pod = Pod(std::string(5000, 'm'));
        if (!(*store)->PutPod(pod).ok()) break;
        if (!WriteAll(writer.get(), pod.id.value()).ok()) break;
      }
      _exit(1);
    }
    writer.Reset();
    // The child is somewhere in a later write when enough ids have come.
    std::string ids;
    char buffer[64];
    while (ids.size() < 64 * static_cast<size_t>(5 + 7 * round)) {
      const ssize_t n = read(reader.get(), buffer, sizeof(buffer));
      ASSERT_GT(n, 0);
      ids.append(buffer, static_cast<size_t>(n));
    }
    ASSERT_EQ(kill(child, SIGKILL), 0);
    ASSERT_EQ(waitpid(child, nullptr, 0), child);
    for (ssize_t n; (n = read(reader.get(), buffer, sizeof(buffer))) > 0;) {
      ids.append(buffer, static_cast<size_t>(n));
    }
    for (size_t i = 0; i + 64 <= ids.size(); i += 64) {
      stored.push_back(ids.substr(i, 64));
    }

    const LoadedState state = Load(OpenStore(directory).get());

    std::vector<std::string> found;
    for (const PodRecord& pod : state.pods) found.push_back(pod.id.value());
    EXPECT_THAT(state.broken, IsEmpty());
    // The last one may have been stored without having been reported.
    ASSERT_GE(found.size(), stored.size());
    EXPECT_LE(found.size(), stored.size() + 1);
    for (const std::string& id : stored) EXPECT_THAT(found, Contains(id));
    stored = found;
  }
}

TEST(StateStoreTest, AFullDiskRefusesNewPodsButLetsOldOnesGo) {
  const std::string directory = NewDirectory();
  if (mount("none", directory.c_str(), "tmpfs", 0, "size=8m") != 0) {
    GTEST_SKIP() << "NOT TESTED: mounting a tmpfs needs root";
  }
  std::vector<PodRecord> pods;
  absl::Status full;
  {
    auto store = OpenStore(directory);
    for (int i = 0; i < 1000 && full.ok(); ++i) {
      pods.push_back(Pod(std::string(100'000, 'm')));
      full = store->PutPod(pods.back());
    }
    EXPECT_TRUE(absl::IsResourceExhausted(full)) << full;
    pods.pop_back();

    EXPECT_TRUE(absl::IsResourceExhausted(store->PutPod(Pod())) ||
                store->PutPod(Pod()).ok());
    ASSERT_GT(pods.size(), 3u);
    pods[0].state = SandboxState::kStopped;
    EXPECT_TRUE(store->PutPod(pods[0]).ok());
    EXPECT_TRUE(store->DeletePod(pods[0].id).ok());
  }
  {
    auto store = OpenStore(directory);
    ASSERT_NE(store, nullptr);
    EXPECT_GE(Load(store.get()).pods.size(), pods.size() - 1);
    for (const PodRecord& pod : pods) {
      EXPECT_TRUE(store->DeletePod(pod.id).ok());
    }
    EXPECT_TRUE(store->PutPod(Pod()).ok());
  }
  EXPECT_EQ(umount2(directory.c_str(), MNT_DETACH), 0);
}

TEST(RootLockTest, ASecondDaemonOnTheSameRootIsRefused) {
  const std::string directory = NewDirectory();
  {
    const auto first = RootLock::Acquire(directory);
    ASSERT_TRUE(first.ok()) << first.status();

    const auto second = RootLock::Acquire(directory);

    EXPECT_TRUE(absl::IsFailedPrecondition(second.status()));
    EXPECT_NE(std::string(second.status().message())
                  .find(absl::StrCat("pid ", getpid())),
              std::string::npos);
  }
  EXPECT_TRUE(RootLock::Acquire(directory).ok());
}

}  // namespace
}  // namespace podvisor
