// Which CPUs a pod runs on, on the host and in the guest, and what its
// processes see of their size.

#include <dirent.h>
#include <sched.h>
#include <signal.h>
#include <sys/mount.h>

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "base/file.h"
#include "e2e/test_node.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace podvisor::e2e {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::Pair;

constexpr char kForever[] = "trap 'exit 0' TERM; while :; do sleep 0.1; done";

// The value of a line of /proc/PID/status.
std::string StatusLine(const std::string& status, const std::string& key) {
  const size_t at = status.find(key + ":\t");
  if (at == std::string::npos) return "";
  const size_t begin = at + key.size() + 2;
  return status.substr(begin, status.find('\n', begin) - begin);
}

// The threads of a QEMU's vCPUs, by the names that QEMU gives them: of
// "CPU 0/TCG" it is "0".
std::map<std::string, pid_t> VcpuThreads(int64_t qemu) {
  std::map<std::string, pid_t> vcpus;
  const std::string tasks = absl::StrCat("/proc/", qemu, "/task");
  std::unique_ptr<DIR, int (*)(DIR*)> threads(opendir(tasks.c_str()), closedir);
  while (const dirent* entry =
             threads == nullptr ? nullptr : readdir(threads.get())) {
    const std::string status =
        ReadFile(absl::StrCat(tasks, "/", entry->d_name, "/status"))
            .value_or("");
    const std::string name = StatusLine(status, "Name");
    if (!absl::StartsWith(name, "CPU ")) continue;
    EXPECT_TRUE(absl::SimpleAtoi(entry->d_name,
                                 &vcpus[name.substr(4, name.find('/') - 4)]));
  }
  return vcpus;
}

// Where on the host each of them may run.
std::map<std::string, std::string> AffinityOfVcpus(int64_t qemu) {
  std::map<std::string, std::string> affinity;
  for (const auto& [name, thread] : VcpuThreads(qemu)) {
    affinity[name] = StatusLine(
        ReadFile(absl::StrCat("/proc/", thread, "/status")).value_or(""),
        "Cpus_allowed_list");
  }
  return affinity;
}

// Two CPUs of this host that the test may use; fewer where there are no two.
std::vector<int> HostCpus() {
  cpu_set_t set;
  EXPECT_EQ(sched_getaffinity(0, sizeof(set), &set), 0);
  std::vector<int> cpus;
  for (int cpu = 0; cpu < CPU_SETSIZE && cpus.size() < 2; ++cpu) {
    if (CPU_ISSET(cpu, &set)) cpus.push_back(cpu);
  }
  return cpus;
}

struct Pod {
  cri::PodSandboxConfig config;
  std::string id;
};

Pod RunPod(TestNode& node, const std::string& name) {
  Pod pod;
  pod.config = node.PodConfig(name);
  pod.id = node.RunPod(pod.config);
  return pod;
}

cri::LinuxContainerResources On(int64_t milli_cpu, const std::string& cpuset) {
  cri::LinuxContainerResources resources = Resources(milli_cpu, 64);
  resources.set_cpuset_cpus(cpuset);
  return resources;
}

std::string RunIn(TestNode& node, const Pod& pod, const std::string& name,
                  const cri::LinuxContainerResources& resources) {
  cri::ContainerConfig config = node.ContainerConfig(name, kForever);
  *config.mutable_linux()->mutable_resources() = resources;
  // Its first process is number 1 in it.
  config.mutable_linux()
      ->mutable_security_context()
      ->mutable_namespace_options()
      ->set_pid(cri::CONTAINER);
  const std::string id = node.CreateContainer(pod.id, config, pod.config);
  node.StartContainer(id);
  return id;
}

grpc::Status Update(TestNode& node, const std::string& id,
                    const cri::LinuxContainerResources& resources) {
  cri::UpdateContainerResourcesRequest request;
  request.set_container_id(id);
  *request.mutable_linux() = resources;
  cri::UpdateContainerResourcesResponse response;
  Call call;
  return node.runtime().UpdateContainerResources(&call, request, &response);
}

void Remove(TestNode& node, const std::string& id) {
  cri::RemoveContainerRequest request;
  request.set_container_id(id);
  cri::RemoveContainerResponse response;
  Call call;
  EXPECT_TRUE(node.runtime().RemoveContainer(&call, request, &response).ok());
}

// What the processes of a container see.
class View {
 public:
  View(TestNode& node, std::string container)
      : node_(node), container_(std::move(container)) {}

  std::string Shell(const std::string& script) {
    return node_.Exec(container_, {"sh", "-c", script});
  }
  // By the affinity, in /proc/cpuinfo, in /proc/stat, and as the mask of the
  // container's first process, which was there before.
  std::string Cpus() {
    return Shell(
        "echo $(nproc) $(grep -c ^processor /proc/cpuinfo) "
        "$(grep -c ^cpu[0-9] /proc/stat) "
        "$(taskset -p 1 | awk '{print $NF}')");
  }
  // Runs something on each of these CPUs, one after the other.
  std::string RunOn(const std::string& cpus) {
    return Shell(absl::StrCat("for cpu in ", cpus,
                              "; do taskset -c $cpu echo -n $cpu || exit; "
                              "done"));
  }
  int64_t MemoryMib() {
    int64_t mib = 0;
    EXPECT_TRUE(absl::SimpleAtoi(
        absl::StripAsciiWhitespace(
            Shell("awk '/^MemTotal/{print int($2 / 1024)}' /proc/meminfo")),
        &mib));
    return mib;
  }
  // Of a mounted file system, in KiB.
  std::string SizeOf(const std::string& path) {
    return Shell(absl::StrCat("df -k ", path, " | awk 'END{print $2}'"));
  }

 private:
  TestNode& node_;
  const std::string container_;
};

TEST(CpusE2eTest, VcpusStayOnTheHostCpusThatTheirContainersName) {
  const std::vector<int> host = HostCpus();
  if (host.size() < 2) GTEST_SKIP() << "NOT TESTED: needs two CPUs";
  const std::string first = absl::StrCat(host[0]);
  const std::string second = absl::StrCat(host[1]);
  const std::string both = absl::StrCat(first, ",", second);
  TestNode node;
  node.PullImage();
  const Pod pod = RunPod(node, "pinned");
  const int64_t qemu = node.PodInfo(pod.id, "/pid");
  const auto kept = [&](const std::map<std::string, std::string>& affinity) {
    return AwaitTrue(absl::Seconds(20),
                     [&] { return AffinityOfVcpus(qemu) == affinity; });
  };
  const std::string anywhere = AffinityOfVcpus(qemu)["0"];

  const std::string id = RunIn(node, pod, "main", On(1000, second));
  EXPECT_THAT(AffinityOfVcpus(qemu), ElementsAre(Pair("0", second)));
  // The numbers are the host's: the guest's own are all the container's.
  EXPECT_EQ(node.Exec(id, {"cat", "/sys/fs/cgroup/cpuset.cpus"}), "\n");

  ASSERT_TRUE(Update(node, id, On(2000, both)).ok());
  EXPECT_THAT(AffinityOfVcpus(qemu),
              ElementsAre(Pair("0", first), Pair("1", second)));
  EXPECT_EQ(node.Status(id).resources().linux().cpuset_cpus(), both);

  node.EndDaemon(SIGKILL);
  cpu_set_t other;
  CPU_ZERO(&other);
  CPU_SET(host[1], &other);
  ASSERT_EQ(sched_setaffinity(VcpuThreads(qemu)["0"], sizeof(other), &other),
            0);
  node.StartDaemon();
  EXPECT_TRUE(kept({{"0", first}, {"1", second}}));

  Remove(node, id);
  EXPECT_TRUE(kept({{"0", anywhere}, {"1", anywhere}}))
      << testing::PrintToString(AffinityOfVcpus(qemu));
  node.RemovePod(pod.id);
}

TEST(CpusE2eTest, InGuestModeACpusetNamesTheCpusOfTheGuest) {
  TestNode node({"/^shrink_delay/a cpuset = \"guest\""});
  node.PullImage();
  const Pod pod = RunPod(node, "guest");
  const std::string anywhere =
      AffinityOfVcpus(node.PodInfo(pod.id, "/pid"))["0"];
  const std::string id = RunIn(node, pod, "main", On(4000, "2-3"));
  View view(node, id);

  EXPECT_EQ(view.Cpus(), "2 4 4 c\n");
  EXPECT_EQ(view.RunOn("2 3"), "23");
  EXPECT_EQ(AffinityOfVcpus(node.PodInfo(pod.id, "/pid"))["0"], anywhere);

  const grpc::Status refused = Update(node, id, On(0, "0-4"));
  EXPECT_EQ(refused.error_code(), grpc::StatusCode::INVALID_ARGUMENT);
  EXPECT_THAT(refused.error_message(), HasSubstr("the highest is 3"));
  EXPECT_EQ(node.Status(id).resources().linux().cpuset_cpus(), "2-3");

  ASSERT_TRUE(Update(node, id, On(0, "0,3")).ok());
  EXPECT_EQ(view.Cpus(), "2 4 4 9\n");
  node.RemovePod(pod.id);
}

TEST(CpusE2eTest, ProcessesSeeTheSizeThatTheyHaveAlsoOnACpuThatCameBack) {
  TestNode node;
  node.PullImage();
  const Pod pod = RunPod(node, "view");
  const std::string id = RunIn(node, pod, "main", Resources(1000, 256));
  View view(node, id);
  const int64_t least = view.MemoryMib();
  EXPECT_EQ(view.Cpus(), "1 1 1 1\n");

  ASSERT_TRUE(Update(node, id, Resources(4000, 1024)).ok());
  EXPECT_EQ(view.Cpus(), "4 4 4 f\n");
  EXPECT_EQ(view.RunOn("0 1 2 3"), "0123");
  EXPECT_EQ(view.MemoryMib(), least + 768);

  ASSERT_TRUE(Update(node, id, Resources(2000, 256)).ok());
  ASSERT_EQ(node.AwaitPodInfo(pod.id, "/vcpus/online", 2), 2);
  EXPECT_EQ(view.Cpus(), "2 2 2 3\n");
  const int64_t base = (256 + 128) * kMiB;
  ASSERT_EQ(node.AwaitPodInfo(pod.id, "/memoryBytes/online", base), base);
  EXPECT_EQ(view.MemoryMib(), least);

  ASSERT_TRUE(Update(node, id, Resources(4000, 256)).ok());
  EXPECT_EQ(view.Cpus(), "4 4 4 f\n");
  EXPECT_EQ(view.RunOn("0 1 2 3"), "0123");
  // So do the processes of another container.
  const std::string late = RunIn(node, pod, "late", Resources(1000, 64));
  EXPECT_EQ(View(node, late).Cpus(), "5 5 5 1f\n");
  EXPECT_EQ(view.Cpus(), "5 5 5 1f\n");
  node.RemovePod(pod.id);
}

// A volume in memory, as the kubelet makes one for an emptyDir of medium
// Memory: a tmpfs on the host, which is unmounted with the test.
class HostTmpfs {
 public:
  HostTmpfs(std::string path, const char* options) : path_(std::move(path)) {
    EXPECT_TRUE(MakeDirectories(path_, 0777).ok());
    EXPECT_EQ(mount("tmpfs", path_.c_str(), "tmpfs", 0, options), 0);
  }
  ~HostTmpfs() { EXPECT_EQ(umount2(path_.c_str(), MNT_DETACH), 0); }
  const std::string& path() const { return path_; }

 private:
  const std::string path_;
};

TEST(CpusE2eTest, FilesystemsInMemoryKeepTheirSizeThroughEveryResize) {
  TestNode node;
  node.PullImage();
  const HostTmpfs cache(node.directory() + "/cache", "size=8m");
  const HostTmpfs shm(node.directory() + "/shm", "size=16m");
  const Pod pod = RunPod(node, "tmpfs");
  cri::ContainerConfig config = node.ContainerConfig("main", kForever);
  *config.mutable_linux()->mutable_resources() = Resources(1000, 64);
  cri::Mount* mount = config.add_mounts();
  mount->set_host_path(cache.path());
  mount->set_container_path("/cache");
  const std::string id = node.CreateContainer(pod.id, config, pod.config);
  node.StartContainer(id);
  // Another one replaces the pod's /dev/shm by a volume of its own.
  config.mutable_metadata()->set_name("shm");
  config.mutable_mounts(0)->set_host_path(shm.path());
  config.mutable_mounts(0)->set_container_path("/dev/shm");
  const std::string other = node.CreateContainer(pod.id, config, pod.config);
  node.StartContainer(other);
  View view(node, id);
  const auto sizes = [&] {
    return absl::StrCat(view.SizeOf("/cache"), view.SizeOf("/dev/shm"),
                        View(node, other).SizeOf("/dev/shm"));
  };

  EXPECT_EQ(sizes(), "8192\n65536\n16384\n");
  ASSERT_TRUE(Update(node, id, Resources(2000, 1024)).ok());
  EXPECT_EQ(sizes(), "8192\n65536\n16384\n");
  ASSERT_TRUE(Update(node, id, Resources(1000, 64)).ok());
  ASSERT_EQ(node.AwaitPodInfo(pod.id, "/memoryBytes/online", 256 * kMiB),
            256 * kMiB);
  EXPECT_EQ(sizes(), "8192\n65536\n16384\n");
  // And there is no more room than that.
  EXPECT_EQ(view.Shell("dd if=/dev/zero of=/cache/x bs=1M count=9 2>&1 | "
                       "grep -c 'No space left'; stat -c %s /cache/x"),
            absl::StrCat("1\n", 8 * kMiB, "\n"));
  node.RemovePod(pod.id);
}

}  // namespace
}  // namespace podvisor::e2e
