#include "image/oci_manifest.h"

#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "gtest/gtest.h"

namespace podvisor {
namespace {

const std::string kDigest = "sha256:" + std::string(64, 'a');
const Platform kAmd64;

std::string Descriptor(absl::string_view type, const std::string& more = "") {
  return absl::StrCat(R"({"mediaType":")", type, R"(","digest":")", kDigest,
                      R"(","size":7)", more, "}");
}

std::string Layer() {
  return Descriptor("application/vnd.oci.image.layer.v1.tar+gzip");
}

std::string Manifest(const std::string& layers) {
  return absl::StrCat(R"({"schemaVersion":2,"config":)",
                      Descriptor("application/vnd.oci.image.config.v1+json"),
                      R"(,"layers":[)", layers, "]}");
}

std::string Entry(const std::string& architecture,
                  const std::string& variant = "", char digit = 'a') {
  return absl::StrReplaceAll(
      Descriptor(
          "application/vnd.oci.image.manifest.v1+json",
          absl::StrCat(R"(,"platform":{"os":"linux","architecture":")",
                       architecture, R"(","variant":")", variant, R"("})")),
      {{kDigest, "sha256:" + std::string(64, digit)}});
}

std::string Index(const std::string& entries) {
  return absl::StrCat(R"({"schemaVersion":2,"manifests":[)", entries, "]}");
}

absl::StatusCode CodeOf(const std::string& bytes) {
  return ParseManifest(bytes, kAmd64).status().code();
}

TEST(ParseManifestTest, ReadsOciAndDockerManifests) {
  const auto oci = ParseManifest(Manifest(Layer() + "," + Layer()), kAmd64);
  ASSERT_TRUE(oci.ok()) << oci.status();
  EXPECT_EQ(std::get<ImageManifest>(*oci).layers.size(), 2u);
  EXPECT_EQ(std::get<ImageManifest>(*oci).config.digest, kDigest);

  const std::string docker = absl::StrReplaceAll(
      Manifest(Layer()),
      {{"application/vnd.oci.image.config.v1+json",
        "application/vnd.docker.container.image.v1+json"},
       {"application/vnd.oci.image.layer.v1.tar+gzip",
        "application/vnd.docker.image.rootfs.diff.tar.gzip"}});
  EXPECT_EQ(CodeOf(docker), absl::StatusCode::kOk);
}

TEST(ParseManifestTest, ChoosesThePlainestVariantOfThePlatform) {
  const auto parsed = ParseManifest(
      Index(absl::StrCat(
          Entry("arm64", "", '1'), ",", Entry("amd64", "v3", '2'), ",",
          Entry("amd64", "", '3'), ",", Entry("amd64", "", '4'))),
      kAmd64);

  ASSERT_TRUE(parsed.ok()) << parsed.status();
  EXPECT_EQ(std::get<IndexChoice>(*parsed).child.digest,
            "sha256:" + std::string(64, '3'));
}

TEST(ParseManifestTest, AnIndexWithoutThePlatformIsNotFound) {
  EXPECT_EQ(CodeOf(Index(Entry("arm64"))), absl::StatusCode::kNotFound);
  EXPECT_EQ(CodeOf(Index("")), absl::StatusCode::kNotFound);
}

TEST(ParseManifestTest, RefusesHostileDocuments) {
  std::string many;
  for (int i = 0; i < 128; ++i) absl::StrAppend(&many, i ? "," : "", Layer());
  const std::string good = Manifest(Layer());
  const std::string hostile[] = {
      "",
      "null",
      "[]",
      "{}",
      "{\"schemaVersion\":2}",
      absl::StrReplaceAll(good,
                          {{"\"schemaVersion\":2", "\"schemaVersion\":1"}}),
      absl::StrReplaceAll(good,
                          {{"\"layers\":", "\"manifests\":[],\"layers\":"}}),
      absl::StrReplaceAll(Index(""),
                          {{"\"manifests\"", "\"config\":{},\"manifests\""}}),
      absl::StrReplaceAll(good,
                          {{"\"schemaVersion\":2",
                            "\"schemaVersion\":2,\"mediaType\":\"application/"
                            "vnd.oci.image.index.v1+json\""}}),
      absl::StrReplaceAll(good, {{"sha256:a", "sha256:/"}}),
      absl::StrReplaceAll(good, {{kDigest, "sha256:../../../../etc/passwd"}}),
      absl::StrReplaceAll(good, {{kDigest, "sha512:" + std::string(128, 'a')}}),
      absl::StrReplaceAll(good, {{"\"size\":7", "\"size\":-7"}}),
      absl::StrReplaceAll(good, {{"\"size\":7", "\"size\":1e400"}}),
      absl::StrReplaceAll(good, {{"\"size\":7", "\"size\":7.5"}}),
      absl::StrReplaceAll(good,
                          {{"\"size\":7", "\"size\":18446744073709551615"}}),
      absl::StrReplaceAll(good, {{"\"size\":7", "\"size\":7,\"size\":8"}}),
      absl::StrReplaceAll(
          good, {{"layer.v1.tar+gzip", "layer.v1.tar+gzip+encrypted"}}),
      absl::StrReplaceAll(good,
                          {{"vnd.oci.image.layer.v1.tar+gzip",
                            "vnd.docker.image.rootfs.foreign.diff.tar.gzip"}}),
      absl::StrReplaceAll(good, {{"vnd.oci.image.config.v1+json",
                                  "vnd.cncf.helm.config.v1+json"}}),
      Manifest(many),
      Manifest("1"),
      good.substr(0, good.size() - 1),
      good + "x",
      "{\"a\":\"\xff\"}",
      std::string(1 << 20, '['),
      absl::StrCat("{\"schemaVersion\":2,\"x\":", std::string(200000, '['),
                   std::string(200000, ']'), "}"),
      absl::StrCat(good, std::string(5 << 20, ' ')),
  };
  for (const std::string& bytes : hostile) {
    EXPECT_EQ(CodeOf(bytes), absl::StatusCode::kDataLoss)
        << bytes.substr(0, 300);
  }
}

TEST(ParseManifestTest, EveryPrefixOfAManifestIsRefused) {
  const std::string good = Manifest(Layer());
  for (size_t n = 0; n < good.size(); ++n) {
    EXPECT_EQ(CodeOf(good.substr(0, n)), absl::StatusCode::kDataLoss);
  }
}

TEST(ParseImageConfigTest, ReadsWhatContainersInherit) {
  const auto parsed = ParseImageConfig(
      absl::StrCat(R"({"architecture":"amd64","os":"linux","config":{
        "Env":["A=b"],"Entrypoint":["/x"],"Cmd":null,"User":"1:2",
        "WorkingDir":"/w","StopSignal":"SIGINT","Labels":{"k":"v"},
        "Volumes":{"/../../etc":{}}},
        "rootfs":{"type":"layers","diff_ids":[")",
                   kDigest, R"("]}})"),
      kAmd64);

  ASSERT_TRUE(parsed.ok()) << parsed.status();
  ImageConfig expected;
  expected.entrypoint = {"/x"};
  expected.env = {"A=b"};
  expected.user = "1:2";
  expected.working_dir = "/w";
  expected.stop_signal = "SIGINT";
  expected.labels = {{"k", "v"}};
  EXPECT_EQ(parsed->config, expected);
  EXPECT_EQ(parsed->diff_ids, std::vector<std::string>{kDigest});
}

TEST(ParseImageConfigTest, AnotherPlatformIsNotFound) {
  EXPECT_TRUE(absl::IsNotFound(
      ParseImageConfig(R"({"architecture":"arm64","os":"linux"})", kAmd64)
          .status()));
}

TEST(ParseImageConfigTest, RefusesWrongTypesAndNul) {
  const std::string rootfs = R"("rootfs":{"diff_ids":[]})";
  for (const std::string& bytes :
       {std::string("{}"), std::string(R"({"rootfs":[]})"),
        std::string(R"({"rootfs":{"diff_ids":["../x"]}})"),
        absl::StrCat("{", rootfs, R"(,"config":[]})"),
        absl::StrCat("{", rootfs, R"(,"config":{"Env":"A"}})"),
        absl::StrCat("{", rootfs, R"(,"config":{"Env":[1]}})"),
        absl::StrCat("{", rootfs, R"(,"config":{"Cmd":["a\u0000b"]}})"),
        absl::StrCat("{", rootfs, R"(,"config":{"Labels":{"a":1}}})"),
        absl::StrCat("{", rootfs, R"(,"config":{"User":7}})")}) {
    EXPECT_TRUE(absl::IsDataLoss(ParseImageConfig(bytes, kAmd64).status()))
        << bytes;
  }
}

}  // namespace
}  // namespace podvisor
