// Resources that cannot be, or cannot be had: a clear error or a visible clamp,
// the pod as it was, and figures that stay true.

#include <cstdint>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "base/file.h"
#include "base/process.h"
#include "e2e/test_node.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace podvisor::e2e {
namespace {

using testing::AllOf;
using testing::AnyOf;
using testing::HasSubstr;

constexpr char kForever[] = "trap 'exit 0' TERM; while :; do sleep 0.1; done";
constexpr char kVirtcontainers[] = "com.github.containers.virtcontainers.";
constexpr char kKata[] = "io.katacontainers.config.hypervisor.";
constexpr int64_t kMaxMemoryMib = 512;
constexpr int64_t kMaxVcpus = 2;

using Change = std::function<void(cri::LinuxContainerResources&)>;

// One pod of one container, which none of the tests may disturb.
class BadResourcesE2eTest : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    node_ = new TestNode({
        absl::StrCat(
            "s/^default_maxmemory.*/default_maxmemory = ", kMaxMemoryMib, "/"),
        absl::StrCat("s/^default_maxvcpus.*/default_maxvcpus = ", kMaxVcpus,
                     "/"),
    });
    node_->PullImage();
    config_ = new cri::PodSandboxConfig(node_->PodConfig("bystander"));
    pod_ = new std::string(node_->RunPod(*config_));
    witness_ = new std::string(node_->CreateContainer(
        *pod_, node_->ContainerConfig("witness", kForever), *config_));
    node_->StartContainer(*witness_);
  }
  static void TearDownTestSuite() {
    delete node_;
    delete config_;
    delete pod_;
    delete witness_;
  }
  void TearDown() override {
    EXPECT_EQ(node_->Exec(*witness_, {"echo", "undisturbed"}), "undisturbed\n");
    cri::ListContainersResponse all;
    Call list;
    EXPECT_TRUE(node_->runtime().ListContainers(&list, {}, &all).ok());
    EXPECT_EQ(all.containers_size(), 1);
    EXPECT_EQ(node_->AwaitPodInfo(*pod_, "/vcpus/online", 1), 1);
    EXPECT_EQ(node_->AwaitPodInfo(*pod_, "/memoryBytes/online", 256 * kMiB),
              256 * kMiB);
  }

  static cri::ContainerConfig ConfigWith(const Change& change) {
    cri::ContainerConfig config = node_->ContainerConfig("odd", kForever);
    change(*config.mutable_linux()->mutable_resources());
    return config;
  }
  static grpc::Status TryCreate(const cri::ContainerConfig& config,
                                std::string* id = nullptr) {
    cri::CreateContainerRequest request;
    request.set_pod_sandbox_id(*pod_);
    *request.mutable_config() = config;
    *request.mutable_sandbox_config() = *config_;
    cri::CreateContainerResponse response;
    Call call;
    const grpc::Status status =
        node_->runtime().CreateContainer(&call, request, &response);
    if (id != nullptr) *id = response.container_id();
    return status;
  }
  static grpc::Status TryRun(const cri::PodSandboxConfig& config) {
    cri::RunPodSandboxRequest request;
    *request.mutable_config() = config;
    cri::RunPodSandboxResponse response;
    Call call;
    return node_->runtime().RunPodSandbox(&call, request, &response);
  }
  static std::string Start(const Change& change,
                           const std::string& name = "odd") {
    cri::ContainerConfig config = ConfigWith(change);
    config.mutable_metadata()->set_name(name);
    const std::string id = node_->CreateContainer(*pod_, config, *config_);
    node_->StartContainer(id);
    return id;
  }
  static grpc::Status Update(const std::string& id, const Change& change) {
    cri::UpdateContainerResourcesRequest request;
    request.set_container_id(id);
    change(*request.mutable_linux());
    cri::UpdateContainerResourcesResponse response;
    Call call;
    return node_->runtime().UpdateContainerResources(&call, request, &response);
  }
  static void Remove(const std::string& id) {
    cri::RemoveContainerRequest request;
    request.set_container_id(id);
    cri::RemoveContainerResponse response;
    Call call;
    EXPECT_TRUE(
        node_->runtime().RemoveContainer(&call, request, &response).ok());
  }
  static std::string Cgroup(const std::string& id, const std::string& file) {
    return node_->Exec(id, {"cat", "/sys/fs/cgroup/" + file});
  }
  // The last value of a series of the pod's.
  static std::string Metric(const std::string& name, const std::string& label) {
    CommandOptions curl;
    curl.argv = {"curl", "-sS", "--max-time", "5",
                 absl::StrCat("http://", node_->metrics_address(), "/metrics")};
    curl.deadline = absl::Now() + absl::Seconds(10);
    const std::string scrape = RunCommand(curl).value().stdout_data;
    for (const absl::string_view line : absl::StrSplit(scrape, '\n')) {
      if (absl::StartsWith(line, name + "{") &&
          absl::StrContains(line, *pod_) && absl::StrContains(line, label)) {
        return std::string(line.substr(line.rfind(' ') + 1));
      }
    }
    return "none";
  }

  static TestNode* node_;
  static cri::PodSandboxConfig* config_;
  static std::string* pod_;
  static std::string* witness_;
};

TestNode* BadResourcesE2eTest::node_ = nullptr;
cri::PodSandboxConfig* BadResourcesE2eTest::config_ = nullptr;
std::string* BadResourcesE2eTest::pod_ = nullptr;
std::string* BadResourcesE2eTest::witness_ = nullptr;

TEST_F(BadResourcesE2eTest, OddButPossibleCpuFiguresMeanWhatTheKernelSays) {
  struct Case {
    const char* name;
    Change change;
    const char* cpu_max;
    const char* cpu_weight;
    int64_t vcpus;
  };
  const Case kCases[] = {
      {"a quota without a period", [](auto& r) { r.set_cpu_quota(150'000); },
       "150000 100000\n", "100\n", 2},
      {"a period without a quota", [](auto& r) { r.set_cpu_period(50'000); },
       "max 50000\n", "100\n", 1},
      {"no limit",
       [](auto& r) {
         r.set_cpu_quota(-1);
         r.set_cpu_shares(2048);
       },
       "max 100000\n", "79\n", 2},
      {"no shares", [](auto& r) { r.set_cpu_shares(0); }, "max 100000\n",
       "100\n", 1},
      {"one share", [](auto& r) { r.set_cpu_shares(1); }, "max 100000\n", "1\n",
       1},
      {"the fewest shares", [](auto& r) { r.set_cpu_shares(2); },
       "max 100000\n", "1\n", 1},
      {"a CPU named twice",
       [](auto& r) {
         r.set_cpuset_cpus("0,0-0");
         r.set_cpuset_mems("0");
       },
       "max 100000\n", "100\n", 1},
  };
  for (const Case& c : kCases) {
    SCOPED_TRACE(c.name);
    const std::string id = Start(c.change);

    EXPECT_EQ(Cgroup(id, "cpu.max"), c.cpu_max);
    EXPECT_EQ(Cgroup(id, "cpu.weight"), c.cpu_weight);
    EXPECT_EQ(node_->PodInfo(*pod_, "/vcpus/target"), c.vcpus);
    Remove(id);
    EXPECT_EQ(node_->AwaitPodInfo(*pod_, "/vcpus/online", 1), 1);
  }
}

TEST_F(BadResourcesE2eTest, WhatCannotBeIsRefusedByName) {
  const auto cpuset = [](std::string list) {
    return [list = std::move(list)](auto& r) { r.set_cpuset_cpus(list); };
  };
  const auto unified = [](std::string file, std::string value) {
    return [file, value](auto& r) { (*r.mutable_unified())[file] = value; };
  };
  std::string endless = "0";
  while (endless.size() < 64 << 10) endless += ",0";
  const std::pair<Change, const char*> kBad[] = {
      {[](auto& r) { r.set_cpu_quota(999); }, "cpu_quota"},
      {[](auto& r) { r.set_cpu_quota(INT64_MIN); }, "cpu_quota"},
      {[](auto& r) { r.set_cpu_period(999); }, "cpu_period"},
      {[](auto& r) { r.set_cpu_period(INT64_MAX); }, "cpu_period"},
      {[](auto& r) { r.set_cpu_shares(INT64_MAX); }, "cpu_shares"},
      {[](auto& r) { r.set_memory_limit_in_bytes(INT64_MIN); },
       "memory_limit_in_bytes"},
      {[](auto& r) { r.set_memory_swap_limit_in_bytes(-2); },
       "memory_swap_limit_in_bytes"},
      {[](auto& r) {
         auto* limit = r.add_hugepage_limits();
         limit->set_page_size("2MB");
         limit->set_limit(UINT64_MAX);
       },
       "hugepage_limits"},
      {cpuset("0-"), "cpuset_cpus"},
      {cpuset("1-0"), "cpuset_cpus"},
      {cpuset("0,,0"), "cpuset_cpus"},
      {cpuset(" 0"), "cpuset_cpus"},
      {cpuset("all"), "cpuset_cpus"},
      {cpuset("8192"), "cpuset_cpus"},
      {cpuset("8191"), "is not one of the host's"},
      {cpuset(endless), "cpuset_cpus"},
      {[](auto& r) { r.set_cpuset_mems("0-1"); }, "cpuset_mems"},
      {unified("cpuset.cpus", "0"), "cpuset_cpus"},
      {unified("memory.max", "-1"), "memory.max"},
      {unified("memory.max", "1e9"), "memory.max"},
      {unified("memory.max", "9223372036854775808"), "memory.max"},
      {unified("no.such", "1"), "no.such"},
      {unified("cgroup.procs", "1"), "cgroup.procs"},
  };
  const std::string healthy =
      Start([](auto& r) { r.set_cpu_shares(512); }, "healthy");
  for (const auto& [change, field] : kBad) {
    const grpc::Status created = TryCreate(ConfigWith(change));
    EXPECT_EQ(created.error_code(), grpc::StatusCode::INVALID_ARGUMENT)
        << field << ": " << created.error_message();
    EXPECT_THAT(created.error_message(), HasSubstr(field));
    EXPECT_LT(created.error_message().size(), 1000u);

    const grpc::Status updated = Update(healthy, change);
    EXPECT_EQ(updated.error_code(), grpc::StatusCode::INVALID_ARGUMENT)
        << field << ": " << updated.error_message();
    EXPECT_THAT(updated.error_message(), HasSubstr(field));
  }
  EXPECT_EQ(node_->Status(healthy).resources().linux().cpu_shares(), 512);
  EXPECT_EQ(Cgroup(healthy, "cpu.weight"), "20\n");
  EXPECT_EQ(Cgroup(healthy, "memory.max"), "max\n");
  Remove(healthy);
}

TEST_F(BadResourcesE2eTest, AMaximumThatIsReachedIsAClampThatEveryoneSees) {
  const std::string id = Start([](auto& r) {
    r.set_cpu_quota(6'400'000);
    r.set_memory_limit_in_bytes(int64_t{1} << 62);
  });

  EXPECT_EQ(node_->PodInfo(*pod_, "/vcpus/online"), kMaxVcpus);
  EXPECT_EQ(node_->PodInfo(*pod_, "/vcpus/clamped"), 1);
  EXPECT_EQ(node_->PodInfo(*pod_, "/memoryBytes/online"), kMaxMemoryMib * kMiB);
  EXPECT_EQ(node_->PodInfo(*pod_, "/memoryBytes/clamped"), 1);
  for (const char* resource : {"cpu", "memory"}) {
    EXPECT_EQ(Metric("podvisor_vm_clamped",
                     absl::StrCat("resource=\"", resource, "\"")),
              "1");
  }
  const std::string log =
      ReadFile(node_->directory() + "/podvisord.log").value();
  EXPECT_THAT(log, AllOf(HasSubstr("cannot be as large"),
                         HasSubstr("\"wanted_vcpus\":\"64\"")));
  // What the container asked for is what it has, as on a node of that size.
  EXPECT_EQ(node_->Status(id).resources().linux().cpu_quota(), 6'400'000);
  EXPECT_EQ(Cgroup(id, "memory.max"), absl::StrCat(int64_t{1} << 62, "\n"));

  // Sums that no figure can hold are no clamp.
  cri::ContainerConfig more = ConfigWith(
      [](auto& r) { r.set_memory_limit_in_bytes(int64_t{1} << 62); });
  more.mutable_metadata()->set_name("more");
  const grpc::Status status = TryCreate(more);
  EXPECT_EQ(status.error_code(), grpc::StatusCode::INVALID_ARGUMENT)
      << status.error_message();
  EXPECT_THAT(status.error_message(),
              HasSubstr("memory_limit_in_bytes of all containers: too large"));

  ASSERT_TRUE(Update(id, [](auto& r) {
                r.set_cpu_quota(100'000);
                r.set_memory_limit_in_bytes(64 * kMiB);
              }).ok());
  EXPECT_EQ(node_->AwaitPodInfo(*pod_, "/vcpus/clamped", 0), 0);
  EXPECT_EQ(node_->AwaitPodInfo(*pod_, "/memoryBytes/clamped", 0), 0);
  Remove(id);
}

TEST_F(BadResourcesE2eTest, AnUpdateBelowWhatIsInUseChangesNothingAtAll) {
  const auto before = [](auto& r) {
    r.set_cpu_quota(100'000);
    r.set_memory_limit_in_bytes(128 * kMiB);
  };
  const std::string id = Start(before);
  const auto unchanged = [&] {
    const auto applied = node_->Status(id).resources().linux();
    return absl::StrCat(applied.cpu_quota(), " ",
                        applied.memory_limit_in_bytes(), "\n",
                        Cgroup(id, "cpu.max"), Cgroup(id, "memory.max"));
  };
  const std::string kBefore = "100000 134217728\n100000 100000\n134217728\n";
  ASSERT_EQ(unchanged(), kBefore);
  // Nothing of a tmpfs can be reclaimed: there is no swap.
  node_->Exec(id,
              {"dd", "if=/dev/zero", "of=/dev/shm/full", "bs=1M", "count=48"});

  const grpc::Status status = Update(id, [](auto& r) {
    r.set_cpu_quota(200'000);
    r.set_memory_limit_in_bytes(16 * kMiB);
  });

  EXPECT_EQ(status.error_code(), grpc::StatusCode::FAILED_PRECONDITION);
  EXPECT_THAT(status.error_message(),
              AllOf(HasSubstr("container cgroup"), HasSubstr("16777216")));
  EXPECT_EQ(unchanged(), kBefore);
  EXPECT_EQ(Cgroup(id, "memory.high"), "max\n");
  EXPECT_EQ(node_->AwaitPodInfo(*pod_, "/vcpus/online", 1), 1);

  node_->Exec(id, {"rm", "/dev/shm/full"});
  EXPECT_TRUE(
      Update(id, [](auto& r) { r.set_memory_limit_in_bytes(16 * kMiB); }).ok());
  EXPECT_EQ(Cgroup(id, "memory.max"), "16777216\n");
  Remove(id);
}

TEST_F(BadResourcesE2eTest, ALimitThatNoProcessFitsIntoIsAnErrorAtOnce) {
  const Change tiny = [](auto& r) { r.set_memory_limit_in_bytes(4096); };

  const grpc::Status created = TryCreate(ConfigWith(tiny));
  EXPECT_FALSE(created.ok());
  EXPECT_NE(created.error_code(), grpc::StatusCode::UNKNOWN)
      << created.error_message();

  const std::string id = Start([](auto&) {});
  EXPECT_EQ(Update(id, tiny).error_code(),
            grpc::StatusCode::FAILED_PRECONDITION);
  EXPECT_EQ(Cgroup(id, "memory.max"), "max\n");
  Remove(id);
}

TEST_F(BadResourcesE2eTest, AnUpdateThatTheKernelTakesInPartIsTakenBack) {
  const std::string id = Start([](auto& r) {
    r.set_cpu_quota(100'000);
    r.set_memory_limit_in_bytes(128 * kMiB);
  });

  const grpc::Status status = Update(id, [](auto& r) {
    r.set_cpu_quota(50'000);
    r.set_memory_limit_in_bytes(64 * kMiB);
    (*r.mutable_unified())["memory.high"] = "much";
  });

  EXPECT_EQ(status.error_code(), grpc::StatusCode::INVALID_ARGUMENT);
  EXPECT_EQ(Cgroup(id, "cpu.max"), "100000 100000\n");
  EXPECT_EQ(Cgroup(id, "memory.max"), "134217728\n");
  EXPECT_EQ(node_->Status(id).resources().linux().memory_limit_in_bytes(),
            128 * kMiB);
  Remove(id);
}

TEST_F(BadResourcesE2eTest, AnnotationsThatContradictOrMakeNoSenseAreNamed) {
  const std::string cpu = absl::StrCat(kVirtcontainers, "sandbox_cpu");
  const std::string mem = absl::StrCat(kVirtcontainers, "sandbox_mem");
  const std::string kata_cpu = absl::StrCat(kKata, "default_vcpus");
  const std::string kata_mem = absl::StrCat(kKata, "default_memory");
  const std::vector<std::pair<std::string, std::string>> kBad[] = {
      {{cpu, ""}},
      {{cpu, "-1"}},
      {{cpu, "1e9"}},
      {{cpu, "3"}},
      {{mem, ""}},
      {{mem, "-4G"}},
      {{mem, "1e9"}},
      {{mem, "513Mi"}},
      {{kata_mem, "4G"}},
      {{cpu, "1"}, {kata_cpu, "2"}},
      {{mem, "256Mi"}, {kata_mem, "257"}},
  };
  for (const auto& annotations : kBad) {
    cri::PodSandboxConfig config = node_->PodConfig("annotated");
    for (const auto& [name, value] : annotations) {
      (*config.mutable_annotations())[name] = value;
    }
    const grpc::Status status = TryRun(config);
    EXPECT_EQ(status.error_code(), grpc::StatusCode::INVALID_ARGUMENT)
        << testing::PrintToString(annotations);
    EXPECT_THAT(status.error_message(),
                AnyOf(HasSubstr(annotations.back().first),
                      HasSubstr("is above the maximum of")));
  }
}

TEST_F(BadResourcesE2eTest, AnAnnotationOfThePodOnAContainerIsRefused) {
  for (const std::string& name : {absl::StrCat(kVirtcontainers, "sandbox_cpu"),
                                  absl::StrCat(kVirtcontainers, "sandbox_mem"),
                                  absl::StrCat(kVirtcontainers, "blkio_cgroup"),
                                  absl::StrCat(kVirtcontainers, "files_limit"),
                                  absl::StrCat(kKata, "default_vcpus"),
                                  absl::StrCat(kKata, "default_memory"),
                                  absl::StrCat(kKata, "default_max_vcpus")}) {
    cri::ContainerConfig config = ConfigWith([](auto&) {});
    (*config.mutable_annotations())[name] = "1";

    const grpc::Status status = TryCreate(config);

    EXPECT_EQ(status.error_code(), grpc::StatusCode::INVALID_ARGUMENT);
    EXPECT_THAT(status.error_message(),
                AllOf(HasSubstr(name), HasSubstr("not on a container")));
  }
}

TEST_F(BadResourcesE2eTest, ResourcesOfAPodThatCannotBeChangeNothing) {
  const Change kBad[] = {
      [](auto& r) { r.set_cpu_quota(-2); },
      [](auto& r) { r.set_memory_limit_in_bytes(-1); },
      [](auto& r) { r.set_cpuset_mems("1"); },
      [](auto& r) { (*r.mutable_unified())["memory.max"] = "-1"; },
  };
  for (const Change& change : kBad) {
    cri::UpdatePodSandboxResourcesRequest request;
    request.set_pod_sandbox_id(*pod_);
    change(*request.mutable_resources());
    cri::UpdatePodSandboxResourcesResponse response;
    Call call;
    EXPECT_EQ(node_->runtime()
                  .UpdatePodSandboxResources(&call, request, &response)
                  .error_code(),
              grpc::StatusCode::INVALID_ARGUMENT);
    cri::PodSandboxConfig config = node_->PodConfig("bad-total");
    change(*config.mutable_linux()->mutable_resources());
    EXPECT_EQ(TryRun(config).error_code(), grpc::StatusCode::INVALID_ARGUMENT);
  }
}

TEST_F(BadResourcesE2eTest, AnOverheadThatCannotBeChangesNothing) {
  for (const int64_t bytes : {int64_t{-1}, (int64_t{1} << 62) + 1, INT64_MAX}) {
    cri::UpdatePodSandboxResourcesRequest request;
    request.set_pod_sandbox_id(*pod_);
    request.mutable_overhead()->set_memory_limit_in_bytes(bytes);
    cri::UpdatePodSandboxResourcesResponse response;
    Call call;
    EXPECT_EQ(node_->runtime()
                  .UpdatePodSandboxResources(&call, request, &response)
                  .error_code(),
              grpc::StatusCode::INVALID_ARGUMENT)
        << bytes;
    cri::PodSandboxConfig config = node_->PodConfig("bad-overhead");
    config.mutable_linux()->mutable_overhead()->set_memory_limit_in_bytes(
        bytes);
    EXPECT_EQ(TryRun(config).error_code(), grpc::StatusCode::INVALID_ARGUMENT)
        << bytes;
  }
  EXPECT_EQ(node_->PodInfo(*pod_, "/accountedBytes/overhead"), 0);
}

}  // namespace
}  // namespace podvisor::e2e
