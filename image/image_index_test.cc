#include "image/image_index.h"

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace podvisor {
namespace {

using testing::Contains;
using testing::ElementsAre;
using testing::IsEmpty;

std::string Id(char digit) { return "sha256:" + std::string(64, digit); }

ImageRecord Record(const std::string& id) {
  ImageRecord record;
  record.image.id = id;
  record.image.size_bytes = 4096;
  return record;
}

void Add(ImageIndex& index, const std::string& id, const std::string& name,
         char digest = 'd') {
  index.Add(Record(id), *ParseImageReference(name), Id(digest));
}

TEST(ImageIndexTest, EveryKindOfReferenceFindsTheSameImage) {
  ImageIndex index;
  Add(index, Id('a'), "busybox");

  for (const std::string& reference :
       {std::string("busybox"), std::string("busybox:latest"),
        std::string("docker.io/library/busybox"), "busybox@" + Id('d'), Id('a'),
        std::string(64, 'a'), std::string("aaaaaaaaaaaa"),
        std::string("sha256:aaaa")}) {
    const auto found = index.Find(reference);
    ASSERT_TRUE(found.ok()) << reference << found.status();
    EXPECT_EQ((*found)->image.id, Id('a'));
  }
  EXPECT_TRUE(absl::IsNotFound(index.Find("busybox:1").status()));
  EXPECT_TRUE(absl::IsNotFound(index.Find(Id('b')).status()));
  EXPECT_TRUE(absl::IsInvalidArgument(index.Find("a b").status()));
}

TEST(ImageIndexTest, AnAmbiguousPrefixFindsNothing) {
  ImageIndex index;
  Add(index, "sha256:ab" + std::string(62, '1'), "one");
  Add(index, "sha256:ab" + std::string(62, '2'), "two");

  EXPECT_TRUE(absl::IsInvalidArgument(index.Find("ab").status()));
  EXPECT_TRUE(index.Find("ab1").ok());
}

TEST(ImageIndexTest, NamesWinOverIds) {
  ImageIndex index;
  Add(index, "sha256:cafe" + std::string(60, '0'), "other");
  Add(index, Id('b'), "cafe");

  EXPECT_EQ((*index.Find("cafe"))->image.id, Id('b'));
}

TEST(ImageIndexTest, NamesAddUpOnOneImage) {
  ImageIndex index;
  Add(index, Id('a'), "q.io/x:2");
  Add(index, Id('a'), "q.io/x:1");
  Add(index, Id('a'), "q.io/y:1");
  Add(index, Id('a'), "q.io/x:1");

  const Image& image = index.FindId(Id('a'))->image;
  EXPECT_THAT(image.repo_tags, ElementsAre("q.io/x:1", "q.io/x:2", "q.io/y:1"));
  EXPECT_THAT(image.repo_digests,
              ElementsAre("q.io/x@" + Id('d'), "q.io/y@" + Id('d')));
}

TEST(ImageIndexTest, EverNewManifestsOfOneImageDoNotAddUp) {
  ImageIndex index;
  const auto pull = [&](int manifest) {
    const std::string digest =
        absl::StrCat(Id('d').substr(0, 67), 1000 + manifest);
    const std::string name = "q.io/x@" + digest;
    index.Add(Record(Id('a')), *ParseImageReference(name), digest);
    return name;
  };
  for (int i = 0; i < 500; ++i) pull(i);
  Add(index, Id('a'), "q.io/x:1", 'a');
  for (int i = 500; i < 600; ++i) pull(i);
  const std::string newest = pull(600);

  const Image& image = index.FindId(Id('a'))->image;
  EXPECT_EQ(image.repo_digests.size(), 64u);
  EXPECT_THAT(image.repo_digests, Contains(newest));
  EXPECT_THAT(image.repo_digests, Contains("q.io/x@" + Id('a')));
}

TEST(ImageIndexTest, APullByDigestLeavesNoTag) {
  ImageIndex index;
  Add(index, Id('a'), "q.io/x@" + Id('d'));

  EXPECT_THAT(index.FindId(Id('a'))->image.repo_tags, IsEmpty());
  EXPECT_THAT(index.FindId(Id('a'))->image.repo_digests,
              ElementsAre("q.io/x@" + Id('d')));
}

TEST(ImageIndexTest, ATagMovesToTheImageThatHasItNow) {
  ImageIndex index;
  Add(index, Id('a'), "q.io/x:1", 'd');
  Add(index, Id('b'), "q.io/x:1", 'e');

  EXPECT_THAT(index.FindId(Id('a'))->image.repo_tags, IsEmpty());
  EXPECT_THAT(index.FindId(Id('a'))->image.repo_digests,
              ElementsAre("q.io/x@" + Id('d')));
  EXPECT_EQ((*index.Find("q.io/x:1"))->image.id, Id('b'));
}

TEST(ImageIndexTest, ComesBackFromItsText) {
  ImageIndex index;
  Add(index, Id('a'), "q.io/x:1");
  Add(index, Id('b'), "q.io/x@" + Id('e'));
  std::vector<std::string> problems;

  const auto parsed = ImageIndex::Parse(index.Serialize(), &problems);

  ASSERT_TRUE(parsed.ok()) << parsed.status();
  EXPECT_THAT(problems, IsEmpty());
  EXPECT_EQ(*parsed->FindId(Id('a')), *index.FindId(Id('a')));
  EXPECT_EQ(*parsed->FindId(Id('b')), *index.FindId(Id('b')));
}

TEST(ImageIndexTest, DamageIsRefusedOrLeftOut) {
  std::vector<std::string> problems;
  for (const char* text :
       {"", "{}", "[]", R"({"version":1})", R"({"version":"1","images":[]})"}) {
    EXPECT_TRUE(absl::IsDataLoss(ImageIndex::Parse(text, &problems).status()));
  }
  EXPECT_TRUE(absl::IsFailedPrecondition(
      ImageIndex::Parse(R"({"version":2,"images":[]})", &problems).status()));
  EXPECT_THAT(problems, IsEmpty());

  EXPECT_TRUE(
      ImageIndex::Parse(
          R"({"version":1,"images":[1,{"id":"../x"},{"repo_tags":["A B"]}]})",
          &problems)
          .ok());
  EXPECT_EQ(problems.size(), 3u);
}

TEST(ImageIndexTest, EveryPrefixAndFlippedByteIsHandled) {
  ImageIndex index;
  Add(index, Id('a'), "q.io/x:1");
  const std::string text = index.Serialize();
  std::vector<std::string> problems;
  for (size_t i = 0; i < text.size(); ++i) {
    (void)ImageIndex::Parse(text.substr(0, i), &problems);
    std::string flipped = text;
    flipped[i] ^= 0x21;
    (void)ImageIndex::Parse(flipped, &problems);
  }
}

}  // namespace
}  // namespace podvisor
