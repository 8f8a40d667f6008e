#include "image/layer_merge.h"

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace podvisor {
namespace {

using testing::ElementsAre;

TarEntry Make(const std::string& path, TarType type,
              const std::string& link = "") {
  TarEntry entry;
  entry.path = path;
  entry.type = type;
  entry.link = link;
  entry.mode = 0644;
  return entry;
}
TarEntry File(const std::string& path) { return Make(path, TarType::kFile); }
TarEntry Dir(const std::string& path) {
  return Make(path, TarType::kDirectory);
}
TarEntry Link(const std::string& path, const std::string& to) {
  return Make(path, TarType::kSymlink, to);
}
TarEntry Hard(const std::string& path, const std::string& to) {
  return Make(path, TarType::kHardLink, to);
}

using Layers = std::vector<std::vector<TarEntry>>;

// "path LAYER", with "/" behind directories and "=name" behind hard links.
std::vector<std::string> Tree(const LayerMerge& merge) {
  std::vector<std::string> lines;
  EXPECT_TRUE(merge
                  .Visit([&lines](const MergedEntry& merged) {
                    if (merged.path == ".") return absl::OkStatus();
                    const bool dir = merged.entry->type == TarType::kDirectory;
                    lines.push_back(absl::StrCat(
                        merged.path, dir ? "/" : "",
                        merged.hard_link_to == nullptr
                            ? ""
                            : absl::StrCat("=", *merged.hard_link_to),
                        dir ? "" : absl::StrCat(" ", merged.layer)));
                    return absl::OkStatus();
                  })
                  .ok());
  return lines;
}

std::vector<std::string> Merge(const Layers& layers) {
  LayerMerge merge;
  for (const auto& layer : layers) {
    const absl::Status status = merge.AddLayer(layer);
    if (!status.ok()) return {std::string(status.message())};
  }
  return Tree(merge);
}

TEST(LayerMergeTest, TheTopMostLayerWins) {
  EXPECT_THAT(Merge({{Dir("d"), File("d/a"), File("b")}, {File("d/a")}}),
              ElementsAre("b 0", "d/", "d/a 1"));
}

TEST(LayerMergeTest, NamesAreNormalised) {
  EXPECT_THAT(Merge({{Dir("./"), File("/a"), File("./b//c"), Dir("d/./")}}),
              ElementsAre("a 0", "b/", "b/c 0", "d/"));
}

TEST(LayerMergeTest, WhiteoutsHideLowerLayersOnly) {
  EXPECT_THAT(Merge({{File("d/a"), File("d/b")}, {File("d/.wh.a")}}),
              ElementsAre("d/", "d/b 0"));
  EXPECT_THAT(Merge({{File("a")}, {File("a"), File(".wh.a")}}),
              ElementsAre("a 1"));
  EXPECT_THAT(Merge({{File("d/x/y")}, {File(".wh.d"), File("d/z")}}),
              ElementsAre("d/", "d/z 1"));
  EXPECT_THAT(Merge({{File(".wh.nothing"), File("no/such/.wh.dir")}}),
              ElementsAre());
  EXPECT_THAT(Merge({{File("a")}, {File(".wh.a")}, {File("a")}}),
              ElementsAre("a 2"));
}

TEST(LayerMergeTest, OpaqueDirectoriesHideWhatIsBelow) {
  EXPECT_THAT(Merge({{File("d/a"), File("d/e/f"), File("k")},
                     {File("d/b"), File("d/.wh..wh..opq")}}),
              ElementsAre("d/", "d/b 1", "k 0"));
  EXPECT_THAT(Merge({{File("a"), File("b/c")}, {File(".wh..wh..opq")}}),
              ElementsAre());
}

TEST(LayerMergeTest, AufsBookkeepingIsLeftOut) {
  EXPECT_THAT(Merge({{Dir(".wh..wh.plnk"), File(".wh..wh.plnk/12.34"),
                      File(".wh..wh.aufs"), File("a")}}),
              ElementsAre("a 0"));
}

TEST(LayerMergeTest, ReplacingChangesTheKindOfAThing) {
  EXPECT_THAT(Merge({{File("d/a")}, {File("d")}}), ElementsAre("d 1"));
  EXPECT_THAT(Merge({{File("d")}, {Dir("d"), File("d/a")}}),
              ElementsAre("d/", "d/a 1"));
  EXPECT_THAT(Merge({{File("u/a"), Link("d", "u")}, {Dir("d")}}),
              ElementsAre("d/", "u/", "u/a 0"));
}

TEST(LayerMergeTest, ADirectoryOverADirectoryKeepsItsChildren) {
  LayerMerge merge;
  ASSERT_TRUE(merge.AddLayer({Dir("d"), File("d/a")}).ok());
  TarEntry top = Dir("d");
  top.mode = 0700;
  ASSERT_TRUE(merge.AddLayer({top}).ok());

  EXPECT_THAT(Tree(merge), ElementsAre("d/", "d/a 0"));
  uint32_t mode = 0;
  ASSERT_TRUE(merge
                  .Visit([&](const MergedEntry& merged) {
                    if (merged.path == "d") mode = merged.entry->mode;
                    return absl::OkStatus();
                  })
                  .ok());
  EXPECT_EQ(mode, 0700u);
}

TEST(LayerMergeTest, SymbolicLinksInsideNamesAreFollowedWithinTheTree) {
  EXPECT_THAT(
      Merge({{Dir("usr/lib"), Link("lib", "usr/lib")}, {File("lib/x.so")}}),
      ElementsAre("lib 0", "usr/", "usr/lib/", "usr/lib/x.so 1"));
  EXPECT_THAT(Merge({{Link("out", "/../../../etc"), File("out/passwd")}}),
              ElementsAre("etc/", "etc/passwd 0", "out 0"));
  EXPECT_THAT(
      Merge({{File("usr/lib/a"), Link("lib", "usr/lib")}, {File("lib/.wh.a")}}),
      ElementsAre("lib 0", "usr/", "usr/lib/"));
}

TEST(LayerMergeTest, HardLinksOutliveTheirFirstName) {
  EXPECT_THAT(Merge({{File("a"), Hard("b", "a"), Hard("c", "/./a")}}),
              ElementsAre("a 0", "b=a 0", "c=a 0"));
  EXPECT_THAT(Merge({{File("a"), Hard("b", "a")}, {File(".wh.a")}}),
              ElementsAre("b 0"));
  EXPECT_THAT(Merge({{File("a"), Hard("b", "a")}, {File("a")}}),
              ElementsAre("a 1", "b 0"));
  EXPECT_THAT(Merge({{File("a")}, {Hard("b", "a")}}),
              ElementsAre("a 0", "b=a 0"));
  EXPECT_THAT(Merge({{Link("s", "x"), Hard("t", "s")}}),
              ElementsAre("s 0", "t=s 0"));
}

TEST(LayerMergeTest, InodesAreCountedAsTheyAreWritten) {
  LayerMerge merge;
  ASSERT_TRUE(
      merge.AddLayer({File("d/a"), Hard("d/b", "d/a"), File("e/f")}).ok());
  EXPECT_EQ(merge.InodeCount(), 5);  // root, d, a and b, e, f

  ASSERT_TRUE(merge.AddLayer({File(".wh.e"), File("d/.wh.a")}).ok());
  EXPECT_EQ(merge.InodeCount(), 3);
}

TEST(LayerMergeTest, OverlayWhiteoutDevicesAreLeftOut) {
  EXPECT_THAT(Merge({{Make("hidden", TarType::kCharDevice)}}), ElementsAre());
}

TEST(LayerMergeTest, RefusesHostileNames) {
  const Layers hostile[] = {
      {{File("../a")}},
      {{File("a/../../b")}},
      {{File("a/..")}},
      {{File(std::string("a\0b", 3))}},
      {{File(std::string(256, 'n'))}},
      {{File(std::string(5000, 'a'))}},
      {{File(".wh.")}},
      {{File("d/.wh..")}},
      {{File(".wh...")}},
      {{File("a"), File("a/b")}},
      {{File("./")}},
      {{Link("s", "")}},
      {{Link("s", std::string(5000, 'x'))}},
      {{Link("a", "b"), Link("b", "a"), File("a/x")}},
      {{Hard("h", "missing")}},
      {{Hard("h", "no/such")}},
      {{Hard("h", "../../etc/shadow")}},
      {{Dir("d"), Hard("h", "d")}},
      {{Hard("h", "/")}},
      {{Hard("h", "h")}},
  };
  for (const Layers& layers : hostile) {
    LayerMerge merge;
    EXPECT_TRUE(absl::IsDataLoss(merge.AddLayer(layers[0])))
        << layers[0].back().path.substr(0, 40);
  }
}

TEST(LayerMergeTest, PathsCannotGrowThroughLinksWithoutEnd) {
  std::vector<TarEntry> layer;
  std::string deep;
  for (int i = 0; i < 1000; ++i) absl::StrAppend(&deep, "d/");
  layer.push_back(Dir(deep));
  layer.push_back(Link("s", deep));
  layer.push_back(File("s/" + deep + "f"));
  LayerMerge merge;

  EXPECT_TRUE(absl::IsDataLoss(merge.AddLayer(layer)));
}

TEST(LayerMergeTest, InvolvedNamesRunOutOfWorkAndNotOfTime) {
  std::vector<TarEntry> layer;
  std::string loop;
  for (int i = 0; i < 1300; ++i) absl::StrAppend(&loop, "d/../");
  loop.resize(4000);
  layer.push_back(Dir("d"));
  layer.push_back(Link("s0", loop));
  for (int i = 1; i < 39; ++i) {
    layer.push_back(Link(absl::StrCat("s", i), loop));
  }
  std::string name;
  for (int i = 0; i < 39; ++i) absl::StrAppend(&name, "s", i, "/");
  for (int i = 0; i < 100000; ++i) {
    layer.push_back(File(absl::StrCat(name, "f", i)));
  }
  LayerMerge merge;

  EXPECT_FALSE(merge.AddLayer(layer).ok());
}

TEST(LayerMergeTest, AHundredThousandWhiteoutsOfOneDirectoryAreLinear) {
  std::vector<TarEntry> files;
  std::vector<TarEntry> whiteouts;
  for (int i = 0; i < 100000; ++i) {
    files.push_back(File(absl::StrCat("d/", i)));
    whiteouts.push_back(File(".wh.d"));
  }
  LayerMerge merge;
  ASSERT_TRUE(merge.AddLayer(files).ok());
  ASSERT_TRUE(merge.AddLayer(whiteouts).ok());

  EXPECT_EQ(merge.InodeCount(), 1);
}

}  // namespace
}  // namespace podvisor
