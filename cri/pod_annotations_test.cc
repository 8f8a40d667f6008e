#include "cri/pod_annotations.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace podvisor {
namespace {

using testing::AllOf;
using testing::HasSubstr;

constexpr char kCpu[] = "com.github.containers.virtcontainers.sandbox_cpu";
constexpr char kMem[] = "com.github.containers.virtcontainers.sandbox_mem";
constexpr char kBlkio[] = "com.github.containers.virtcontainers.blkio_cgroup";
constexpr char kFiles[] = "com.github.containers.virtcontainers.files_limit";
constexpr char kKataVcpus[] =
    "io.katacontainers.config.hypervisor.default_vcpus";
constexpr char kKataMemory[] =
    "io.katacontainers.config.hypervisor.default_memory";
constexpr char kKataMaxVcpus[] =
    "io.katacontainers.config.hypervisor.default_max_vcpus";
constexpr int64_t kMiB = int64_t{1} << 20;

TEST(PodAnnotationsTest, CpusAreDecimalsOfMilliCpu) {
  for (const auto& [text, milli] :
       {std::pair("0.5", 500), std::pair("1", 1000), std::pair("1.25", 1250),
        std::pair("4", 4000), std::pair("2.001", 2001),
        std::pair("240", 240'000)}) {
    EXPECT_EQ(ParseSizeAnnotations({{kCpu, text}})->base_milli_cpu, milli)
        << text;
  }
}

TEST(PodAnnotationsTest, MemoryHasUnitsThatArePowersOfTwo) {
  for (const auto& [text, bytes] :
       {std::pair("4G", 4096 * kMiB), std::pair("4Gi", 4096 * kMiB),
        std::pair("512Mi", 512 * kMiB), std::pair("131072K", 128 * kMiB),
        std::pair("268435456", 256 * kMiB),
        std::pair("256G", int64_t{256} << 30)}) {
    EXPECT_EQ(ParseSizeAnnotations({{kMem, text}})->base_memory_bytes, bytes)
        << text;
  }
}

TEST(PodAnnotationsTest, KatasNamesMeanTheSame) {
  const auto size = ParseSizeAnnotations(
      {{kKataVcpus, "2"}, {kKataMemory, "2048"}, {kKataMaxVcpus, "6"}});

  EXPECT_EQ(size->base_milli_cpu, 2000);
  EXPECT_EQ(size->base_memory_bytes, 2048 * kMiB);
  EXPECT_EQ(size->max_vcpus, 6);
}

TEST(PodAnnotationsTest, TwoNamesMayAgreeAndMustNotContradict) {
  EXPECT_TRUE(ParseSizeAnnotations({{kMem, "2G"}, {kKataMemory, "2048"}}).ok());

  const absl::Status status =
      ParseSizeAnnotations({{kMem, "2G"}, {kKataMemory, "1024"}}).status();
  EXPECT_TRUE(absl::IsInvalidArgument(status));
  EXPECT_THAT(std::string(status.message()),
              AllOf(HasSubstr(kKataMemory), HasSubstr("contradicts")));
}

TEST(PodAnnotationsTest, WhatIsNotUnderstoodIsRefusedByName) {
  const std::pair<const char*, const char*> kBad[] = {
      {kCpu, ""},
      {kCpu, "-1"},
      {kCpu, "0.4"},
      {kCpu, "1e9"},
      {kCpu, "4 "},
      {kCpu, "+4"},
      {kCpu, ".5"},
      {kCpu, "1."},
      {kCpu, "1.0001"},
      {kCpu, "1.2.3"},
      {kCpu, "241"},
      {kCpu, "9223372036854775808"},
      {kMem, ""},
      {kMem, "-4G"},
      {kMem, "4G "},
      {kMem, " 4G"},
      {kMem, "4GB"},
      {kMem, "1e9"},
      {kMem, "G"},
      {kMem, "1.5G"},
      {kMem, "257G"},
      {kMem, "64M"},
      {kMem, "9999T"},
      {kMem, "9223372036854775808"},
      {kKataMemory, "4G"},
      {kKataMemory, "127"},
      {kKataMemory, "262145"},
      {kKataMaxVcpus, "0"},
      {kKataMaxVcpus, "241"},
  };
  for (const auto& [name, value] : kBad) {
    const absl::Status status = ParseSizeAnnotations({{name, value}}).status();
    EXPECT_TRUE(absl::IsInvalidArgument(status)) << name << "=" << value;
    EXPECT_THAT(std::string(status.message()), HasSubstr(name)) << value;
  }
}

TEST(PodAnnotationsTest, TheHostsLimitsAreKeptAsTheyWereAskedFor) {
  EXPECT_EQ(ParseHostAnnotations({}).value(), HostLimits());
  const auto host = ParseHostAnnotations(
      {{kFiles, "0"},
       {kBlkio, R"({"blkiocgroup":[{"limits":[)"
                R"({"type":"blkio_weight","value":78}]}]})"}});

  EXPECT_EQ(host->files_limit, 0);
  EXPECT_EQ(host->block_io,
            (std::vector<BlockIoLimit>{{BlockIoType::kWeight, "", 78}}));
  EXPECT_EQ(ParseHostAnnotations({{kFiles, "65536"}})->files_limit, 65536);
}

TEST(PodAnnotationsTest, HostLimitsThatAreNotUnderstoodAreRefusedByName) {
  const std::pair<const char*, const char*> kBad[] = {
      {kFiles, ""},      {kFiles, "-1"},
      {kFiles, "1e4"},   {kFiles, "1024 "},
      {kFiles, "0x400"}, {kFiles, "1.5"},
      {kFiles, "many"},  {kFiles, "9223372036854775808"},
      {kBlkio, ""},      {kBlkio, "400"},
  };
  for (const auto& [name, value] : kBad) {
    const absl::Status status = ParseHostAnnotations({{name, value}}).status();
    EXPECT_TRUE(absl::IsInvalidArgument(status)) << name << "=" << value;
    EXPECT_THAT(std::string(status.message()), HasSubstr(name)) << value;
  }
}

TEST(PodAnnotationsTest, OtherAnnotationsMeanNothing) {
  EXPECT_EQ(ParseSizeAnnotations({{"sandbox_cpu", "x"}}).value(),
            SizeOverrides());
  EXPECT_TRUE(IsPodAnnotation(kMem));
  EXPECT_TRUE(IsPodAnnotation(kBlkio));
  EXPECT_TRUE(IsPodAnnotation(kFiles));
  EXPECT_FALSE(IsPodAnnotation("sandbox_mem"));
}

TEST(ShapeAnnotationsTest, AreBitsPerSecond) {
  const absl::StatusOr<NetworkShape> shape =
      ParseShapeAnnotations({{"kubernetes.io/ingress-bandwidth", "10M"},
                             {"kubernetes.io/egress-bandwidth", "1k"}});

  ASSERT_TRUE(shape.ok()) << shape.status();
  EXPECT_EQ(shape->ingress_rate, 10'000'000);
  EXPECT_EQ(shape->egress_rate, 1000);
  EXPECT_EQ(ParseShapeAnnotations({}).value(), NetworkShape());
}

TEST(ShapeAnnotationsTest, WhatCannotBeIsRefusedByName) {
  for (const char* text : {"", "fast", "-1M", "999", "2P", "1M;x"}) {
    const absl::Status status =
        ParseShapeAnnotations({{"kubernetes.io/egress-bandwidth", text}})
            .status();
    EXPECT_TRUE(absl::IsInvalidArgument(status)) << text;
    EXPECT_NE(status.message().find("egress-bandwidth"), std::string::npos);
  }
}

}  // namespace
}  // namespace podvisor
