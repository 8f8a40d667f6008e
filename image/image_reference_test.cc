#include "image/image_reference.h"

#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"

namespace podvisor {
namespace {

const std::string kHex(64, 'a');

struct Case {
  std::string text;
  std::string name;
};

class AcceptedReferenceTest : public testing::TestWithParam<Case> {};

TEST_P(AcceptedReferenceTest, IsCompletedAndParsesBackToItself) {
  const absl::StatusOr<ImageReference> parsed =
      ParseImageReference(GetParam().text);

  ASSERT_TRUE(parsed.ok()) << parsed.status();
  EXPECT_EQ(parsed->Name(), GetParam().name);
  EXPECT_EQ(*ParseImageReference(parsed->Name()), *parsed);
}

INSTANTIATE_TEST_SUITE_P(
    Table, AcceptedReferenceTest,
    testing::Values(
        Case{"busybox", "docker.io/library/busybox:latest"},
        Case{"busybox:1.36", "docker.io/library/busybox:1.36"},
        Case{"docker.io/busybox", "docker.io/library/busybox:latest"},
        Case{"index.docker.io/library/busybox",
             "docker.io/library/busybox:latest"},
        Case{"someone/thing", "docker.io/someone/thing:latest"},
        Case{"registry.example/pause:3.9", "registry.example/pause:3.9"},
        Case{"localhost/a", "localhost/a:latest"},
        Case{"localhost:5000/a/b_c/d__e/f--g.h:V_1.0-x",
             "localhost:5000/a/b_c/d__e/f--g.h:V_1.0-x"},
        Case{"127.0.0.1:5000/a", "127.0.0.1:5000/a:latest"},
        Case{"Registry/a", "Registry/a:latest"},
        Case{"a@sha256:" + kHex, "docker.io/library/a@sha256:" + kHex},
        Case{"q.io/a:1@sha256:" + kHex, "q.io/a@sha256:" + kHex}));

TEST(ImageReferenceTest, RefusesWhatNoRegistryCanHave) {
  const std::string refused[] = {
      "",
      " ",
      "/",
      "a//b",
      "a/",
      "/a",
      "-a",
      "a-",
      "a..b",
      "a___b",
      "Busybox",
      "a:",
      "a:-b",
      "a:" + std::string(129, 't'),
      "a:b:c",
      "a@",
      "a@sha256:abc",
      "a@sha256:" + std::string(64, 'A'),
      "a@sha512:" + kHex,
      "a@sha256:" + kHex + "@sha256:" + kHex,
      "../etc/passwd",
      "a/../b",
      "q.io/../b",
      "q.io:0/a",
      "q.io:65536/a",
      "q.io:x/a",
      "q..io/a",
      "-q.io/a",
      "q.io/",
      "http://q.io/a",
      "a\nb",
      std::string("a\0b", 3),
      "a b",
      "caf\xc3\xa9",
      "--flag",
      kHex,
      "sha256:" + kHex,
      std::string(256, 'a'),
      std::string(65536, 'a'),
  };
  for (const std::string& text : refused) {
    const absl::StatusOr<ImageReference> parsed = ParseImageReference(text);
    // "sha256:<hex>" has the form of a name with a tag; it finds no image, and
    // ids are looked up first.
    if (text == "sha256:" + kHex) continue;
    EXPECT_EQ(parsed.status().code(), absl::StatusCode::kInvalidArgument)
        << text.substr(0, 100);
    EXPECT_LT(parsed.status().message().size(), 300u);
    EXPECT_EQ(parsed.status().message().find('\n'), absl::string_view::npos);
  }
}

TEST(ImageReferenceTest, TakesApartRegistryAndRepository) {
  const ImageReference reference = *ParseImageReference("q.io:5000/a/b:t");

  EXPECT_EQ(reference.repository, "q.io:5000/a/b");
  EXPECT_EQ(reference.tag, "t");
}

TEST(ImageIdDigitsTest, AcceptsWholeAndTruncatedIds) {
  EXPECT_EQ(ImageIdDigits("sha256:" + kHex), kHex);
  EXPECT_EQ(ImageIdDigits(kHex), kHex);
  EXPECT_EQ(ImageIdDigits("cafe"), "cafe");
  EXPECT_EQ(ImageIdDigits("CAFE"), std::nullopt);
  EXPECT_EQ(ImageIdDigits("busybox"), std::nullopt);
  EXPECT_EQ(ImageIdDigits("sha256:"), std::nullopt);
  EXPECT_EQ(ImageIdDigits(kHex + "a"), std::nullopt);
}

}  // namespace
}  // namespace podvisor
