#include "guestagent/agent/container_layer_usage.h"

#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <fstream>
#include <string>

#include "base/file.h"
#include "gtest/gtest.h"

namespace podvisor {
namespace {

class ContainerLayerUsageTest : public ::testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = testing::TempDir() + "/layerXXXXXX";
    ASSERT_NE(mkdtemp(pattern.data()), nullptr);
    root_ = pattern;
  }
  void TearDown() override { EXPECT_TRUE(RemoveTree(root_).ok()); }

  std::string root_;
};

TEST_F(ContainerLayerUsageTest, EmptyAndMissingLayersHaveNothing) {
  EXPECT_EQ(MeasureLayer(root_, 10, Deadline::Never()), LayerUsage());
  EXPECT_EQ(MeasureLayer(root_ + "/none", 10, Deadline::Never()), LayerUsage());
}

TEST_F(ContainerLayerUsageTest, BlocksAndEntriesAreCountedWithoutLinks) {
  ASSERT_EQ(mkdir((root_ + "/d").c_str(), 0700), 0);
  std::ofstream(root_ + "/d/file") << std::string(100'000, 'x') << std::flush;
  ASSERT_EQ(symlink("/", (root_ + "/all").c_str()), 0);
  // A hole costs nothing.
  std::ofstream(root_ + "/sparse").flush();
  ASSERT_EQ(truncate((root_ + "/sparse").c_str(), 1 << 30), 0);
  const LayerUsage usage = MeasureLayer(root_, 100, Deadline::Never());
  EXPECT_TRUE(usage.complete);
  EXPECT_EQ(usage.inodes, 4u);
  EXPECT_GE(usage.bytes, 100'000u);
  EXPECT_LT(usage.bytes, 1u << 20);
}

TEST_F(ContainerLayerUsageTest, WalkStopsAtItsBound) {
  for (int i = 0; i < 20; ++i) {
    std::ofstream(root_ + "/" + std::to_string(i)).flush();
  }
  const LayerUsage usage = MeasureLayer(root_, 10, Deadline::Never());
  EXPECT_FALSE(usage.complete);
  EXPECT_EQ(usage.inodes, 10u);
}

}  // namespace
}  // namespace podvisor
