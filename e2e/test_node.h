#ifndef PODVISOR_E2E_TEST_NODE_H_
#define PODVISOR_E2E_TEST_NODE_H_

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "base/process.h"
#include "third_party/cri_api/api.grpc.pb.h"

namespace podvisor::e2e {

namespace cri = runtime::v1;

// What the node's registry has: for containers, and for image volumes.
inline constexpr char kImage[] = "busybox:1.36";
inline constexpr char kVolumeImage[] = "files:1";

// A node in a directory: a registry, a podvisord, and the two CRI services as
// a client sees them. Knows the daemon only through its sockets, its files and
// the process table. The destructor ends everything it started.
//
// Not thread-safe, but the stubs are.
class TestNode {
 public:
  // Starts all of it. `config_edits` are sed expressions for podvisor.toml.
  // Dies (the test fails) when that is impossible.
  explicit TestNode(const std::vector<std::string>& config_edits = {});
  ~TestNode();

  TestNode(const TestNode&) = delete;
  TestNode& operator=(const TestNode&) = delete;

  cri::RuntimeService::Stub& runtime() { return *runtime_; }
  cri::ImageService::Stub& images() { return *images_; }
  const std::string& directory() const { return directory_; }
  const ProcessIdentity& daemon() const { return *daemon_; }
  std::string metrics_address() const;

  // Ends the daemon with a signal and waits until it is gone; and starts it
  // anew.
  void EndDaemon(int signal);
  void StartDaemon();
  // A text of podvisor.toml.
  std::string ConfigValue(const std::string& key) const;
  // Changes podvisor.toml for the next daemon; a sed expression.
  void EditConfig(const std::string& edit);
  void StopRegistry();

  // --- The common calls. Each fails the test when the call fails.

  cri::PodSandboxConfig PodConfig(const std::string& name) const;
  cri::ContainerConfig ContainerConfig(const std::string& name,
                                       const std::string& script) const;
  std::string RunPod(const cri::PodSandboxConfig& config);
  std::string CreateContainer(const std::string& pod,
                              const cri::ContainerConfig& config,
                              const cri::PodSandboxConfig& pod_config);
  void StartContainer(const std::string& container);
  // With a grace of 20 s.
  void StopContainer(const std::string& container);
  void RemovePod(const std::string& pod);
  void PullImage(const std::string& image = kImage);

  cri::ContainerStatus Status(const std::string& container);
  // Waits until the container is in the state, at most 60 s.
  cri::ContainerStatus AwaitState(const std::string& container,
                                  cri::ContainerState state);
  // Standard output of a command in the container, which must succeed.
  std::string Exec(const std::string& container,
                   const std::vector<std::string>& command);
  // A number in the verbose status of the pod, "/vcpus/online"; for a truth
  // value 1 or 0.
  int64_t PodInfo(const std::string& pod, const std::string& pointer);
  // The same for a text: "/cgroupPath".
  std::string PodInfoText(const std::string& pod, const std::string& pointer);
  // Waits until PodInfo() has the value, at most 60 s; returns the last one.
  int64_t AwaitPodInfo(const std::string& pod, const std::string& pointer,
                       int64_t value);

  // The processes of this node's pods whose command lines have all the words.
  // Never podvisord, the registry, or what another node runs.
  std::set<pid_t> Processes(const std::vector<std::string>& words) const;
  // SIGKILL for one of them. Fails the test for any other number: 0 and -1 are
  // what a failed look-up gives, and whole groups of processes for kill(2).
  void KillProcess(int64_t pid) const;

  // What is left on this host of pods of this node: processes, mounts, files.
  // One line each; empty when all is clean. Retries for 10 s.
  std::string Leftovers() const;

 private:
  void RemoveAllPods();
  // The command lines of Processes(), words parted by blanks.
  std::map<pid_t, std::string> CommandLines() const;

  std::string directory_;
  std::set<std::string> pods_;  // every one that RunPod() gave
  std::optional<ProcessIdentity> daemon_;
  std::unique_ptr<cri::RuntimeService::Stub> runtime_;
  std::unique_ptr<cri::ImageService::Stub> images_;
};

// Runs a program of this repository, such as "cri/podvisorctl", to its end.
CommandResult RunProgram(const std::string& program,
                         std::vector<std::string> arguments);

// Starts one; `options.argv` is its arguments alone. The caller ends it.
ProcessIdentity StartProgram(const std::string& program, SpawnOptions options);

// True once `done` is, looking every 50 ms until the time is over.
bool AwaitTrue(absl::Duration timeout, const std::function<bool()>& done);

inline constexpr int64_t kMiB = 1 << 20;

// A client context that ends after `timeout`.
class Call : public grpc::ClientContext {
 public:
  explicit Call(absl::Duration timeout = absl::Seconds(60)) {
    set_deadline(absl::ToChronoTime(absl::Now() + timeout));
  }
};

cri::LinuxContainerResources Resources(int64_t milli_cpu, int64_t memory_mib);

}  // namespace podvisor::e2e

#endif  // PODVISOR_E2E_TEST_NODE_H_
