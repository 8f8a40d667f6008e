// What a node has, whole and as a stream: a kubelet asks for either, and both
// must name the same.

#include <set>
#include <string>
#include <vector>

#include "e2e/test_node.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace podvisor::e2e {
namespace {

using testing::ElementsAre;

// The ids that a list holds; how many times it names each does matter.
using Ids = std::multiset<std::string>;

// One node for all: nothing that these ask for changes it.
class ListsE2eTest : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    node_ = new TestNode();
    node_->PullImage();
    for (const char* name : {"first", "second"}) {
      const cri::PodSandboxConfig config = node_->PodConfig(name);
      pods_.push_back(node_->RunPod(config));
      containers_.push_back(node_->CreateContainer(
          pods_.back(),
          node_->ContainerConfig("main", "while :; do sleep 1; done"), config));
      node_->StartContainer(containers_.back());
    }
  }
  static void TearDownTestSuite() { delete node_; }

  template <typename Stub, typename Request, typename Response, typename Item>
  static Ids List(Stub& stub,
                  grpc::Status (Stub::*rpc)(grpc::ClientContext*,
                                            const Request&, Response*),
                  const Request& request, Item item) {
    Call call;
    Response response;
    const grpc::Status status = (stub.*rpc)(&call, request, &response);
    EXPECT_TRUE(status.ok()) << status.error_message();
    return item(response);
  }

  template <typename Stub, typename Request, typename Response, typename Item>
  static Ids Stream(Stub& stub,
                    std::unique_ptr<grpc::ClientReader<Response>> (Stub::*rpc)(
                        grpc::ClientContext*, const Request&),
                    const Request& request, Item item) {
    Call call;
    const auto reader = (stub.*rpc)(&call, request);
    Ids ids;
    Response response;
    while (reader->Read(&response)) ids.merge(item(response));
    const grpc::Status status = reader->Finish();
    EXPECT_TRUE(status.ok()) << status.error_message();
    return ids;
  }

  static TestNode* node_;
  static std::vector<std::string> pods_;
  static std::vector<std::string> containers_;
};

TestNode* ListsE2eTest::node_ = nullptr;
std::vector<std::string> ListsE2eTest::pods_;
std::vector<std::string> ListsE2eTest::containers_;

using Runtime = cri::RuntimeService::Stub;
using Images = cri::ImageService::Stub;

template <typename Items, typename Id>
Ids IdsOf(const Items& items, Id id) {
  Ids ids;
  for (const auto& item : items) ids.insert(id(item));
  return ids;
}

const auto kId = [](const auto& item) { return item.id(); };
const auto kIdOfStats = [](const auto& item) { return item.attributes().id(); };

TEST_F(ListsE2eTest, PodsAreTheSameListedAndStreamed) {
  const Ids both(pods_.begin(), pods_.end());
  const auto listed = [](const cri::PodSandboxFilter& filter) {
    cri::ListPodSandboxRequest request;
    *request.mutable_filter() = filter;
    return List(node_->runtime(), &Runtime::ListPodSandbox, request,
                [](const auto& some) { return IdsOf(some.items(), kId); });
  };
  const auto streamed = [](const cri::PodSandboxFilter& filter) {
    cri::StreamPodSandboxesRequest request;
    *request.mutable_filter() = filter;
    return Stream(
        node_->runtime(), &Runtime::StreamPodSandboxes, request,
        [](const auto& some) { return IdsOf(some.pod_sandboxes(), kId); });
  };
  EXPECT_EQ(listed({}), both);
  EXPECT_EQ(streamed({}), both);
  cri::PodSandboxFilter one;
  one.set_id(pods_[0]);
  EXPECT_THAT(listed(one), ElementsAre(pods_[0]));
  EXPECT_THAT(streamed(one), ElementsAre(pods_[0]));
}

TEST_F(ListsE2eTest, ContainersAreTheSameListedAndStreamed) {
  const Ids both(containers_.begin(), containers_.end());
  const auto listed = [](const cri::ContainerFilter& filter) {
    cri::ListContainersRequest request;
    *request.mutable_filter() = filter;
    return List(node_->runtime(), &Runtime::ListContainers, request,
                [](const auto& some) { return IdsOf(some.containers(), kId); });
  };
  const auto streamed = [](const cri::ContainerFilter& filter) {
    cri::StreamContainersRequest request;
    *request.mutable_filter() = filter;
    return Stream(
        node_->runtime(), &Runtime::StreamContainers, request,
        [](const auto& some) { return IdsOf(some.containers(), kId); });
  };
  EXPECT_EQ(listed({}), both);
  EXPECT_EQ(streamed({}), both);
  cri::ContainerFilter one;
  one.set_pod_sandbox_id(pods_[1]);
  EXPECT_THAT(listed(one), ElementsAre(containers_[1]));
  EXPECT_THAT(streamed(one), ElementsAre(containers_[1]));
}

TEST_F(ListsE2eTest, StatsOfContainersAreTheSameListedAndStreamed) {
  const Ids both(containers_.begin(), containers_.end());
  const auto listed = [](const cri::ContainerStatsFilter& filter) {
    cri::ListContainerStatsRequest request;
    *request.mutable_filter() = filter;
    return List(
        node_->runtime(), &Runtime::ListContainerStats, request,
        [](const auto& some) { return IdsOf(some.stats(), kIdOfStats); });
  };
  const auto streamed = [](const cri::ContainerStatsFilter& filter) {
    cri::StreamContainerStatsRequest request;
    *request.mutable_filter() = filter;
    return Stream(node_->runtime(), &Runtime::StreamContainerStats, request,
                  [](const auto& some) {
                    return IdsOf(some.container_stats(), kIdOfStats);
                  });
  };
  EXPECT_EQ(listed({}), both);
  EXPECT_EQ(streamed({}), both);
  cri::ContainerStatsFilter one;
  one.set_pod_sandbox_id(pods_[0]);
  EXPECT_THAT(listed(one), ElementsAre(containers_[0]));
  EXPECT_THAT(streamed(one), ElementsAre(containers_[0]));
}

TEST_F(ListsE2eTest, StatsOfPodsAreTheSameListedAndStreamed) {
  const Ids both(pods_.begin(), pods_.end());
  const auto listed = [](const cri::PodSandboxStatsFilter& filter) {
    cri::ListPodSandboxStatsRequest request;
    *request.mutable_filter() = filter;
    return List(
        node_->runtime(), &Runtime::ListPodSandboxStats, request,
        [](const auto& some) { return IdsOf(some.stats(), kIdOfStats); });
  };
  const auto streamed = [](const cri::PodSandboxStatsFilter& filter) {
    cri::StreamPodSandboxStatsRequest request;
    *request.mutable_filter() = filter;
    return Stream(node_->runtime(), &Runtime::StreamPodSandboxStats, request,
                  [](const auto& some) {
                    return IdsOf(some.pod_sandbox_stats(), kIdOfStats);
                  });
  };
  EXPECT_EQ(listed({}), both);
  EXPECT_EQ(streamed({}), both);
  cri::PodSandboxStatsFilter one;
  one.set_id(pods_[1]);
  EXPECT_THAT(listed(one), ElementsAre(pods_[1]));
  EXPECT_THAT(streamed(one), ElementsAre(pods_[1]));
}

TEST_F(ListsE2eTest, ImagesAreTheSameListedAndStreamed) {
  const Ids listed =
      List(node_->images(), &Images::ListImages, cri::ListImagesRequest(),
           [](const auto& some) { return IdsOf(some.images(), kId); });

  EXPECT_EQ(listed.size(), 1u);
  EXPECT_EQ(
      Stream(node_->images(), &Images::StreamImages, cri::StreamImagesRequest(),
             [](const auto& some) { return IdsOf(some.images(), kId); }),
      listed);
}

}  // namespace
}  // namespace podvisor::e2e
