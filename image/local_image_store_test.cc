#include "image/local_image_store.h"

#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <thread>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "base/file.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "image/content_digest.h"
#include "image/registry_fixture.h"

namespace podvisor {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

const RegistryAuth kNobody;

// What a tree is, one line for each name; hard links by their count.
constexpr char kList[] =
    " -mindepth 1 -printf '%P|%y|%m|%U:%G|%n|%l|' "
    "\\( -type f -printf '%s %Ts ' -exec sh -c 'sha256sum < \"$1\"' sh {} \\; "
    "-o -printf '\\n' \\)";

class LocalImageStoreTest : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    registry_ = new RegistryFixture(testing::TempDir() + "/registry");
  }
  static void TearDownTestSuite() {
    delete registry_;
    registry_ = nullptr;
  }

  LocalImageStoreTest() : root_(testing::TempDir() + "/store") {
    EXPECT_TRUE(registry_->status().ok()) << registry_->status();
    EXPECT_TRUE(RemoveTree(root_).ok());
    EXPECT_TRUE(MakeDirectories(root_).ok());
    const std::string host = registry_->host();
    options_.root_directory = root_ + "/images";
    options_.skopeo.registries_conf = root_ + "/registries.conf";
    options_.skopeo.policy = root_ + "/policy.json";
    WriteRegistriesConf(host);
    WritePolicy("insecureAcceptAnything");
    Open();
  }
  ~LocalImageStoreTest() override {
    store_.reset();
    EXPECT_TRUE(RemoveTree(root_).ok());
  }

  // Plain HTTP for the registry, and a mirror rule for another name.
  void WriteRegistriesConf(const std::string& host) {
    ASSERT_TRUE(WriteFileAtomically(
                    options_.skopeo.registries_conf,
                    absl::StrCat("[[registry]]\nlocation = \"", host,
                                 "\"\ninsecure = true\n"
                                 "[[registry]]\nlocation = \"mirrored.test\"\n"
                                 "[[registry.mirror]]\nlocation = \"",
                                 host, "\"\ninsecure = true\n"))
                    .ok());
  }
  void WritePolicy(const std::string& type) {
    ASSERT_TRUE(WriteFileAtomically(
                    options_.skopeo.policy,
                    absl::StrCat(R"({"default":[{"type":")", type, R"("}]})"))
                    .ok());
  }
  void Open() {
    store_.reset();
    auto store = LocalImageStore::Create(options_, &clock_);
    ASSERT_TRUE(store.ok()) << store.status();
    store_ = *std::move(store);
  }
  std::string Name(const std::string& rest) const {
    return absl::StrCat(registry_->host(), "/", rest);
  }
  absl::StatusOr<std::string> Pull(const std::string& reference) {
    return store_->Pull(reference, kNobody, {});
  }
  std::string Shell(const std::string& script) const {
    const absl::StatusOr<std::string> output = registry_->Shell(script);
    EXPECT_TRUE(output.ok()) << output.status();
    return output.value_or("");
  }
  std::string ServedDigest(const std::string& rest) const {
    return Sha256Digest(Shell(absl::StrCat(
        "skopeo inspect --raw --tls-verify=false docker://$HOST/", rest)));
  }
  // Names of everything in the store's directory.
  std::string Files() const {
    return Shell(absl::StrCat("find ", options_.root_directory,
                              " -mindepth 1 -printf '%P\\n' | sort"));
  }
  // The file of the registry that has the largest blob of the images.
  std::string LargestBlob() const {
    return Shell(
        "find registry -path '*/blobs/sha256/*' -name data -printf '%s %p\\n' "
        "| sort -n | tail -1 | cut -d' ' -f2 | tr -d '\\n'");
  }

  static RegistryFixture* registry_;
  SystemClock clock_;
  std::string root_;
  LocalImageStoreOptions options_;
  std::unique_ptr<LocalImageStore> store_;
};

RegistryFixture* LocalImageStoreTest::registry_ = nullptr;

TEST_F(LocalImageStoreTest, ThePulledTreeIsTheOneThatUmociUnpacks) {
  for (const char* tag : {"1", "docker"}) {
    const absl::StatusOr<std::string> id = Pull(Name("team/app:") + tag);
    ASSERT_TRUE(id.ok()) << id.status();
    const absl::StatusOr<ImageRootFs> root = store_->RootFs(*id);
    ASSERT_TRUE(root.ok()) << root.status();

    const std::string ours = Shell(absl::StrCat(
        "rm -rf ours; mkdir ours; sqfs2tar ", root->path,
        " | tar -x -p --numeric-owner -C ours; find ours", kList, " | sort"));
    const std::string theirs =
        Shell(absl::StrCat("find unpacked/rootfs", kList, " | sort"));

    EXPECT_EQ(ours, theirs);
    EXPECT_THAT(ours, HasSubstr("usr/su|f|4755|7:8|"));
    EXPECT_THAT(ours, HasSubstr("opaque/deep/n|f|"));
    EXPECT_THAT(ours, Not(HasSubstr("opaque/deep/c")));
  }
}

TEST_F(LocalImageStoreTest, NamesAreWhatTheRegistryServes) {
  const std::string digest = ServedDigest("team/app:docker");
  const absl::StatusOr<std::string> id = Pull(Name("team/app:docker"));
  ASSERT_TRUE(id.ok()) << id.status();

  const absl::StatusOr<Image> image = store_->Get(*id);
  ASSERT_TRUE(image.ok());
  EXPECT_EQ(image->id, *id);
  EXPECT_THAT(image->repo_tags, ElementsAre(Name("team/app:docker")));
  EXPECT_THAT(image->repo_digests, ElementsAre(Name("team/app@") + digest));
  EXPECT_GT(image->size_bytes, 3'000'000);
  EXPECT_THAT(image->config.cmd, ElementsAre("run"));
  EXPECT_EQ(image->config.user, "7:8");
  EXPECT_EQ(Sha256Digest(image->config_json), *id);
  for (const std::string& reference :
       {Name("team/app:docker"), Name("team/app@") + digest, *id, id->substr(7),
        id->substr(7, 12)}) {
    EXPECT_EQ(*store_->Get(reference), *image) << reference;
  }
  EXPECT_THAT(store_->List(), ElementsAre(*image));
}

TEST_F(LocalImageStoreTest, APullByDigestListsExactlyThatDigest) {
  const std::string name =
      absl::StrCat(Name("team/app@"), ServedDigest("team/app:1"));
  const absl::StatusOr<std::string> id = Pull(name);
  ASSERT_TRUE(id.ok()) << id.status();

  EXPECT_THAT(store_->Get(name)->repo_tags, IsEmpty());
  EXPECT_THAT(store_->Get(name)->repo_digests, ElementsAre(name));
}

TEST_F(LocalImageStoreTest, AMultiArchTagListsTheDigestOfItsIndex) {
  const std::string digest = Shell("cat index.digest");
  const absl::StatusOr<std::string> id = Pull(Name("team/multi:1"));
  ASSERT_TRUE(id.ok()) << id.status();

  EXPECT_THAT(store_->Get(*id)->repo_digests,
              ElementsAre(Name("team/multi@") + digest));
  EXPECT_EQ(*Pull(Name("team/app:1")), *id);
  ASSERT_TRUE(store_->Remove(*id).ok());
  EXPECT_EQ(*Pull(Name("team/multi@") + digest), *id);
  EXPECT_THAT(store_->Get(*id)->repo_digests,
              ElementsAre(Name("team/multi@") + digest));
}

TEST_F(LocalImageStoreTest, AMirrorServesButTheNameStays) {
  const absl::StatusOr<std::string> id = Pull("mirrored.test/team/app:1");
  ASSERT_TRUE(id.ok()) << id.status();

  EXPECT_THAT(store_->Get(*id)->repo_tags,
              ElementsAre("mirrored.test/team/app:1"));
}

TEST_F(LocalImageStoreTest, TagsAddUpAndOneRemovesAll) {
  const absl::StatusOr<std::string> id = Pull(Name("team/app:1"));
  ASSERT_TRUE(id.ok()) << id.status();
  EXPECT_EQ(*Pull(Name("team/app:same")), *id);
  EXPECT_EQ(*Pull(Name("elsewhere/app:1")), *id);
  EXPECT_NE(*Pull(Name("team/app:other")), *id);
  EXPECT_THAT(store_->Get(*id)->repo_tags,
              ElementsAre(Name("elsewhere/app:1"), Name("team/app:1"),
                          Name("team/app:same")));
  EXPECT_EQ(store_->List().size(), 2u);
  EXPECT_EQ(store_->FsUsage()->inodes_used, 4);

  ASSERT_TRUE(store_->Remove(Name("team/app:same")).ok());
  ASSERT_TRUE(store_->Remove(Name("team/app:same")).ok());

  EXPECT_TRUE(absl::IsNotFound(store_->Get(Name("elsewhere/app:1")).status()));
  EXPECT_EQ(store_->List().size(), 1u);
  ASSERT_TRUE(store_->Remove(Name("team/app:other")).ok());
  EXPECT_EQ(store_->FsUsage()->used_bytes, 0);
  EXPECT_EQ(Files(), "index.json\nlock\ntmp\n");
}

TEST_F(LocalImageStoreTest, ATagThatMovedIsPulledAgain) {
  Shell(
      "skopeo copy -q --dest-tls-verify=false oci:oci:app "
      "docker://$HOST/team/moving:1");
  const std::string first = *Pull(Name("team/moving:1"));
  Shell(
      "skopeo copy -q --dest-tls-verify=false oci:oci:other "
      "docker://$HOST/team/moving:1");
  const std::string second = *Pull(Name("team/moving:1"));

  EXPECT_NE(first, second);
  EXPECT_THAT(store_->Get(first)->repo_tags, IsEmpty());
  EXPECT_EQ(store_->Get(Name("team/moving:1"))->id, second);
}

TEST_F(LocalImageStoreTest, ImagesOutliveTheStore) {
  const std::string id = *Pull(Name("team/app:1"));
  const std::vector<Image> before = store_->List();
  const int64_t used = store_->FsUsage()->used_bytes;
  EXPECT_TRUE(absl::IsFailedPrecondition(
      LocalImageStore::Create(options_, &clock_).status()));
  Open();

  EXPECT_EQ(store_->List(), before);
  EXPECT_EQ(store_->FsUsage()->used_bytes, used);
  EXPECT_TRUE(store_->RootFs(id).ok());
}

TEST_F(LocalImageStoreTest, LeftoversOfAKilledDaemonAreSwept) {
  const std::string id = *Pull(Name("team/app:1"));
  const std::string before = Files();
  const std::string stray = std::string(64, 'e');
  Shell(absl::StrCat("cd ", options_.root_directory, "; mkdir -p tmp/x/y; ",
                     "touch tmp/x/y/z ", stray, ".squashfs ", stray,
                     ".config.json index.json.abc.tmp ", id.substr(7),
                     ".config.json.abc.tmp"));
  Open();

  EXPECT_EQ(Files(), before.substr(0, before.rfind("tmp\n")));
  EXPECT_TRUE(store_->Get(id).ok());
}

TEST_F(LocalImageStoreTest, DamagedImagesAreDroppedAtStart) {
  const std::string id = *Pull(Name("team/app:1"));
  const std::string other = *Pull(Name("team/app:other"));
  ASSERT_EQ(truncate(store_->RootFs(id)->path.c_str(), 4096), 0);
  EXPECT_TRUE(absl::IsDataLoss(store_->RootFs(id).status()));
  Open();

  EXPECT_TRUE(absl::IsNotFound(store_->Get(id).status()));
  EXPECT_TRUE(store_->Get(other).ok());
  ASSERT_TRUE(
      WriteFileAtomically(options_.root_directory + "/index.json", "{").ok());
  Open();
  EXPECT_THAT(store_->List(), IsEmpty());
  EXPECT_EQ(Files(), "index.json\nlock\n");
}

TEST_F(LocalImageStoreTest, APullRepairsADamagedImage) {
  const std::string id = *Pull(Name("team/app:1"));
  ASSERT_EQ(truncate(store_->RootFs(id)->path.c_str(), 4096), 0);

  EXPECT_EQ(*Pull(Name("team/app:1")), id);
  EXPECT_TRUE(store_->RootFs(id).ok());
}

TEST_F(LocalImageStoreTest, APinKeepsTheFileOfARemovedImage) {
  const std::string id = *Pull(Name("team/app:1"));
  absl::StatusOr<ImageRootFs> root = store_->RootFs(id);
  ASSERT_TRUE(root.ok());
  ASSERT_TRUE(store_->Remove(id).ok());
  EXPECT_THAT(store_->List(), IsEmpty());
  EXPECT_EQ(access(root->path.c_str(), F_OK), 0);

  root->pin.reset();
  EXPECT_NE(access(root->path.c_str(), F_OK), 0);
}

TEST_F(LocalImageStoreTest, AnUnchangedImageIsNotTransferredAgain) {
  const std::string id = *Pull(Name("team/app:1"));
  const std::string blob = registry_->directory() + "/" + LargestBlob();
  ASSERT_EQ(rename(blob.c_str(), (blob + ".away").c_str()), 0);
  const absl::StatusOr<std::string> again = Pull(Name("team/app:1"));
  // A changed policy has to be asked, and that takes the image.
  WritePolicy("reject");
  const absl::StatusOr<std::string> rejected = Pull(Name("team/app:1"));
  ASSERT_EQ(rename((blob + ".away").c_str(), blob.c_str()), 0);

  EXPECT_EQ(*again, id);
  EXPECT_TRUE(absl::IsFailedPrecondition(rejected.status()))
      << rejected.status();
  EXPECT_TRUE(absl::StrContains(rejected.status().message(),
                                kSignatureValidationFailed))
      << rejected.status();
}

TEST_F(LocalImageStoreTest, WhatTheRegistryGetsWrongIsAnError) {
  EXPECT_TRUE(absl::IsNotFound(Pull(Name("team/app:none")).status()));
  EXPECT_TRUE(absl::IsNotFound(Pull(Name("no/such:1")).status()));
  EXPECT_TRUE(absl::IsInvalidArgument(Pull("A B").status()));
  const std::string blob = registry_->directory() + "/" + LargestBlob();
  const std::string good = *ReadFile(blob, 64 << 20);
  for (const std::string& bad :
       {good.substr(0, 1000), good + "x",
        std::string(good).replace(1000, 4, "BAAD"), std::string()}) {
    ASSERT_TRUE(WriteFileAtomically(blob, bad, 0644).ok());
    const absl::Status status = Pull(Name("team/app:1")).status();
    EXPECT_TRUE(absl::IsDataLoss(status) || absl::IsUnavailable(status))
        << status;
  }
  EXPECT_THAT(store_->List(), IsEmpty());
  EXPECT_EQ(Files(), "index.json\nlock\ntmp\n");
  ASSERT_TRUE(WriteFileAtomically(blob, good, 0644).ok());
  EXPECT_TRUE(Pull(Name("team/app:1")).ok());
}

TEST_F(LocalImageStoreTest, AnImageThatDeclaresTooMuchIsNotEvenDownloaded) {
  options_.budget.tar_bytes = 1000;
  Open();

  const absl::Status status = Pull(Name("team/app:1")).status();

  EXPECT_TRUE(absl::IsResourceExhausted(status)) << status;
  EXPECT_THAT(std::string(status.message()), HasSubstr("before it unfolds"));
  EXPECT_EQ(Files(), "index.json\nlock\ntmp\n");
}

TEST_F(LocalImageStoreTest, ABlobWithoutEndIsCutOffWhereItsSizeWasDeclared) {
  const std::string blob = registry_->directory() + "/" + LargestBlob();
  ASSERT_EQ(rename(blob.c_str(), (blob + ".away").c_str()), 0);
  // As far as the disk is concerned, 8 GiB of nothing.
  Shell("truncate -s 8G " + blob);

  const absl::Status status = Pull(Name("team/app:1")).status();

  ASSERT_EQ(rename((blob + ".away").c_str(), blob.c_str()), 0);
  EXPECT_TRUE(absl::IsResourceExhausted(status)) << status;
  EXPECT_THAT(std::string(status.message()), HasSubstr("declares"));
}

TEST_F(LocalImageStoreTest, ARegistryThatIsDownIsUnavailable) {
  const std::string name = Name("team/app:1");
  registry_->Stop();
  const absl::Status status = Pull(name).status();
  ASSERT_TRUE(registry_->Start().ok());

  EXPECT_TRUE(absl::IsUnavailable(status)) << status;
}

TEST_F(LocalImageStoreTest, CancellationEndsAPullSoonAndWithoutTrace) {
  const absl::Time begin = absl::Now();
  int asked = 0;
  const absl::Status status =
      store_->Pull(Name("team/app:1"), kNobody, [&] { return ++asked > 3; })
          .status();

  EXPECT_TRUE(absl::IsCancelled(status)) << status;
  EXPECT_LT(absl::Now() - begin, absl::Seconds(10));
  EXPECT_THAT(store_->List(), IsEmpty());
  EXPECT_EQ(Files(), "index.json\nlock\ntmp\n");
}

TEST_F(LocalImageStoreTest, ManyPullsRemovalsAndReadersAgree) {
  std::vector<std::jthread> threads;
  std::atomic<int> broken = 0;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([&, i] {
      for (int round = 0; round < 3; ++round) {
        const std::string name =
            Name(i % 2 == 0 ? "team/app:1" : "team/app:same");
        broken += !Pull(name).ok();
        const absl::StatusOr<ImageRootFs> root = store_->RootFs(name);
        // Either whole or not there, never half.
        if (root.ok()) {
          broken += access(root->path.c_str(), F_OK) != 0;
        } else {
          broken += !absl::IsNotFound(root.status());
        }
        broken += !store_->Remove(name).ok();
      }
    });
  }
  threads.clear();

  EXPECT_EQ(broken, 0);
  EXPECT_THAT(store_->List(), IsEmpty());
  EXPECT_EQ(Files(), "index.json\nlock\ntmp\n");
}

TEST_F(LocalImageStoreTest, AFullDiskFailsThePullAndNothingElse) {
  const std::string disk = root_ + "/disk";
  ASSERT_TRUE(MakeDirectories(disk).ok());
  if (mount("tmpfs", disk.c_str(), "tmpfs", 0, "size=16m") != 0) {
    GTEST_SKIP() << "this test has to mount a tmpfs";
  }
  options_.root_directory = disk + "/images";
  Open();
  const absl::StatusOr<std::string> kept = Pull(Name("team/app:1"));
  EXPECT_TRUE(kept.ok()) << kept.status();
  Shell(absl::StrCat("head -c 64M /dev/zero > ", disk,
                     "/full; truncate -s -1M ", disk, "/full; true"));
  const absl::Status status = Pull(Name("team/app:other")).status();
  const std::vector<Image> images = store_->List();
  const std::string files = Files();
  const bool usable = store_->RootFs(kept.value_or("")).ok();
  store_.reset();
  EXPECT_EQ(umount(disk.c_str()), 0);

  EXPECT_TRUE(absl::IsResourceExhausted(status)) << status;
  EXPECT_EQ(images.size(), 1u);
  EXPECT_TRUE(usable);
  EXPECT_THAT(files, testing::EndsWith("lock\ntmp\n"));
}

}  // namespace
}  // namespace podvisor
