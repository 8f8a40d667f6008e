// P5 and P6 of the goals: what podvisord adds to crun in the guest.
//
//   start        CreateContainer and StartContainer in a pod that has a
//   container
//                of the image / `crun create` and `crun start` in its guest
//   first        the same for the first container of a pod, whose image's disk
//                is plugged for it / the first run of crun that the floor does
//   exec         ExecSync of `true` / `crun exec` in the same guest
//   spread       p50, p99 and their ratio of 1,000 ExecSyncs
//
// container_bench [PAIRS [NAME]]: of all, or of one of them. Prints; asserts
// nothing about time, but fails when a call does. guest_floor.cc says how the
// guest is measured.

#include <sys/stat.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "absl/time/clock.h"
#include "base/process.h"
#include "bench/paired.h"
#include "e2e/test_node.h"
#include "gtest/gtest.h"

namespace podvisor::bench {
namespace {

using e2e::TestNode;

constexpr int kSpreadCalls = 1000;
// A guest that still loads its drivers has less time for what is measured.
constexpr absl::Duration kIdleTime = absl::Seconds(4);
// What a call leaves to be done behind it, a sample of the guest or a removal,
// is not to be paid for by the next.
constexpr absl::Duration kPause = absl::Milliseconds(300);

// /bench of guest_floor: the files of the guest's initramfs, and itself.
std::string MakeGuestFiles(const TestNode& node) {
  const std::string directory = node.directory() + "/guest";
  CommandOptions unpack;
  unpack.argv = {
      "sh", "-c",
      absl::StrCat("mkdir ", directory, " && cp ", getenv("TEST_SRCDIR"),
                   "/podvisor/bench/guest_floor ", directory, " && cd ",
                   directory, " && cpio -id --quiet lib lib64 'usr/bin/*' ",
                   "'usr/lib/x86*' 'usr/lib64/*' <",
                   node.ConfigValue("initrd"))};
  const CommandResult unpacked = RunCommand(unpack).value();
  EXPECT_EQ(unpacked.exit_code, 0) << unpacked.stderr_data;
  return directory;
}

// A pod with a container in which the floor is measured, and others.
class FloorPod {
 public:
  FloorPod(TestNode& node, const std::string& guest_files,
           const std::string& name)
      : node_(node), guest_files_(guest_files), config_(node.PodConfig(name)) {
    config_.mutable_linux()->mutable_security_context()->set_privileged(true);
    pod_ = node.RunPod(config_);
    absl::SleepFor(kIdleTime);
  }
  ~FloorPod() { node_.RemovePod(pod_); }

  void StartFloor() {
    e2e::cri::ContainerConfig config = node_.ContainerConfig("floor", "");
    config.clear_command();
    for (const char* word : {"/bench/guest_floor", "serve"}) {
      config.add_command(word);
    }
    config.mutable_linux()->mutable_security_context()->set_privileged(true);
    e2e::cri::Mount* mount = config.add_mounts();
    mount->set_host_path(guest_files_);
    mount->set_container_path("/bench");
    mount->set_readonly(true);
    floor_ = node_.CreateContainer(pod_, config, config_);
    node_.StartContainer(floor_);
    (void)Floor("first");  // once it serves
    absl::SleepFor(kPause);
  }

  // The guest's own clock.
  absl::Duration Floor(const char* what) {
    const std::string answer = node_.Exec(floor_, {"/bench/guest_floor", what});
    int64_t nanoseconds = 0;
    if (!absl::SimpleAtoi(absl::StripSuffix(answer, "\n"), &nanoseconds)) {
      ADD_FAILURE() << "floor of " << what << ": " << answer;
      return absl::InfiniteDuration();
    }
    return absl::Nanoseconds(nanoseconds);
  }

  std::string container() const { return container_; }

  // A new container in the place of the last.
  absl::Duration Start() {
    if (!container_.empty()) {
      e2e::cri::RemoveContainerRequest request;
      request.set_container_id(container_);
      e2e::cri::RemoveContainerResponse response;
      e2e::Call call;
      (void)node_.runtime().RemoveContainer(&call, request, &response);
      absl::SleepFor(kPause);
    }
    const e2e::cri::ContainerConfig config =
        node_.ContainerConfig(absl::StrCat("main-", number_++), "sleep 1000");
    const absl::Time start = absl::Now();
    container_ = node_.CreateContainer(pod_, config, config_);
    node_.StartContainer(container_);
    const absl::Duration took = absl::Now() - start;
    absl::SleepFor(kPause);
    return took;
  }

  absl::Duration Exec() {
    const absl::Time start = absl::Now();
    node_.Exec(container_, {"true"});
    return absl::Now() - start;
  }

 private:
  TestNode& node_;
  const std::string guest_files_;
  e2e::cri::PodSandboxConfig config_;
  std::string pod_, floor_, container_;
  int number_ = 0;
};

bool Failed() { return testing::UnitTest::GetInstance()->Failed(); }

// What has failed took no time that says anything.
void Print(const std::string& line) {
  if (Failed()) return;
  puts(line.c_str());
  fflush(stdout);
}

// The pod is new for each pair, and so ours is always the first.
void FirstBench(TestNode& node, const std::string& guest_files, int pairs) {
  std::vector<Pair> measured;
  for (int i = 0; i < pairs && !Failed(); ++i) {
    FloorPod pod(node, guest_files, absl::StrCat("first-", i));
    Pair pair;
    pair.ours = pod.Start();
    pod.StartFloor();
    pair.floor = pod.Floor("first");
    measured.push_back(pair);
  }
  Print(Summary("P5 first of a pod / crun", measured));
}

void Spread(FloorPod& pod) {
  std::vector<absl::Duration> calls;
  for (int i = 0; i < kSpreadCalls && !Failed(); ++i)
    calls.push_back(pod.Exec());
  std::sort(calls.begin(), calls.end());
  const absl::Duration p50 = calls[calls.size() / 2];
  const absl::Duration p99 = calls[calls.size() * 99 / 100];
  Print(absl::StrCat("P6 ExecSync true x ", calls.size(), ": p50 ",
                     absl::FormatDuration(p50), ", p99 ",
                     absl::FormatDuration(p99), ", ratio ",
                     absl::FDivDuration(p99, p50)));
}

int Main(int argc, char** argv) {
  const int pairs = argc > 1 ? atoi(argv[1]) : 20;
  const auto wanted = [&](const char* name) {
    return argc < 3 || name == std::string(argv[2]);
  };
  TestNode node;
  node.PullImage();
  const std::string guest_files = MakeGuestFiles(node);
  if (Failed()) return 1;
  if (wanted("first")) FirstBench(node, guest_files, (pairs + 1) / 2);
  FloorPod pod(node, guest_files, "floor");
  pod.Start();
  pod.StartFloor();
  if (Failed()) return 1;
  if (wanted("start")) {
    Print(Summary("P5 start / crun create + start",
                  MeasurePairs(
                      pairs, 2, [&] { return pod.Start(); },
                      [&] { return pod.Floor("start"); })));
  }
  if (wanted("exec")) {
    Print(Summary("P6 exec / crun exec",
                  MeasurePairs(
                      5 * pairs, 5, [&] { return pod.Exec(); },
                      [&] { return pod.Floor("exec"); })));
  }
  if (wanted("spread")) Spread(pod);
  return Failed() ? 1 : 0;
}

}  // namespace
}  // namespace podvisor::bench

int main(int argc, char** argv) { return podvisor::bench::Main(argc, argv); }
