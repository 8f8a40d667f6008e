#include "e2e/streaming_fixture.h"

#include <filesystem>
#include <fstream>
#include <sstream>
#include <thread>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "base/file.h"

namespace podvisor::e2e {
namespace {

using Through = CrictlSession::Through;

// At once, of SideBySide().
constexpr int kLanes = 4;

size_t Entries(const std::string& directory) {
  size_t count = 0;
  for ([[maybe_unused]] const auto& entry :
       std::filesystem::directory_iterator(directory)) {
    ++count;
  }
  return count;
}

// Threads of a process that have its name.
size_t OwnThreads(pid_t pid) {
  const std::string proc = absl::StrCat("/proc/", pid);
  const std::string name = ReadFile(proc + "/comm").value_or("?");
  size_t count = 0;
  for (const auto& task : std::filesystem::directory_iterator(proc + "/task")) {
    // Nothing of one that has just ended.
    count += ReadFile(task.path().string() + "/comm").value_or("") == name;
  }
  return count;
}

Census CountOnce(const TestNode& node) {
  const pid_t daemon = node.daemon().pid;
  return {.threads = OwnThreads(daemon),
          .descriptors = Entries(absl::StrCat("/proc/", daemon, "/fd")),
          .processes = node.Processes({}).size()};
}

}  // namespace

CrictlNode* StreamingFixture::node_ = nullptr;
cri::PodSandboxConfig* StreamingFixture::config_ = nullptr;
std::string* StreamingFixture::pod_ = nullptr;
std::string* StreamingFixture::container_ = nullptr;

void StreamingFixture::SetUpTestSuite() {
  node_ = new CrictlNode({});
  config_ = new cri::PodSandboxConfig(node_->node().PodConfig("streaming"));
  pod_ = new std::string(node_->node().RunPod(*config_));
  container_ = new std::string(Run("main", "exec sleep 3600"));
}

void StreamingFixture::TearDownTestSuite() {
  delete container_;
  delete pod_;
  delete config_;
  delete node_;
}

std::string StreamingFixture::Run(const std::string& name,
                                  const std::string& script, bool with_stdin,
                                  bool tty) {
  cri::ContainerConfig config = node_->node().ContainerConfig(name, script);
  config.set_stdin(with_stdin);
  config.set_tty(tty);
  const std::string id = node_->node().CreateContainer(*pod_, config, *config_);
  node_->node().StartContainer(id);
  return id;
}

std::vector<std::string> StreamingFixture::Over(
    const std::string& transport, const std::string& verb,
    const std::vector<std::string>& arguments) {
  std::vector<std::string> all = {verb, "--transport", transport};
  all.insert(all.end(), arguments.begin(), arguments.end());
  return all;
}

std::string StreamingFixture::Guest(const std::string& script) {
  return node_->node().Exec(*container_, {"sh", "-c", script});
}

std::string StreamingFixture::Host(const std::string& script) {
  CommandOptions options;
  options.argv = {"bash", "-c", script};
  options.deadline = absl::Now() + absl::Seconds(180);
  return RunCommand(options)->stdout_data;
}

bool StreamingFixture::GuestRuns(const std::string& process) {
  return absl::StrContains(Guest("ps -o args"), process);
}

Census StreamingFixture::Count() {
  constexpr int kLooks = 5;
  Census census;
  // What a thread only just lets go is not what there is.
  int same = 0;
  EXPECT_TRUE(AwaitTrue(absl::Seconds(30), [&] {
    const Census now = CountOnce(node_->node());
    same = now == std::exchange(census, now) ? same + 1 : 0;
    return same == kLooks;
  }));
  return census;
}

void StreamingFixture::ExpectNothingLeft(const Census& before) {
  Census now;
  EXPECT_TRUE(AwaitTrue(absl::Seconds(30),
                        [&] {
                          now = CountOnce(node_->node());
                          return now.threads <= before.threads &&
                                 now.descriptors <= before.descriptors &&
                                 now.processes <= before.processes;
                        }))
      << "threads " << before.threads << ", now " << now.threads
      << "; descriptors " << before.descriptors << ", now " << now.descriptors
      << "; processes " << before.processes << ", now " << now.processes;
}

GuestCensus StreamingFixture::CountGuest() {
  // "0.1 0.1 0.0 1/87 3412" and "512\t0\t98765": proc(5).
  std::istringstream words(
      Guest("cut -d/ -f2 /proc/loadavg; cat /proc/sys/fs/file-nr"));
  GuestCensus census;
  int last_pid = 0;
  words >> census.threads >> last_pid >> census.files;
  EXPECT_TRUE(words) << words.str();
  return census;
}

void StreamingFixture::ExpectNothingLeftInGuest(const GuestCensus& before) {
  GuestCensus now;
  EXPECT_TRUE(AwaitTrue(
      absl::Seconds(30),
      [&] {
        now = CountGuest();
        return now.threads <= before.threads + GuestCensus::kThreadSlack &&
               now.files <= before.files + GuestCensus::kFileSlack;
      }))
      << "threads " << before.threads << ", now " << now.threads << "; files "
      << before.files << ", now " << now.files;
}

void StreamingFixture::SideBySide(int count,
                                  const std::function<void(int)>& work) {
  std::vector<std::jthread> lanes;
  for (int lane = 0; lane < kLanes; ++lane) {
    lanes.emplace_back([=, &work] {
      for (int i = lane; i < count; i += kLanes) work(i);
    });
  }
}

std::string StreamingFixture::AddressOf(CrictlSession& forwarding) {
  const std::string& heard = forwarding.Await(" -> ");
  const size_t begin = heard.find("127.0.0.1:");
  return heard.substr(begin, heard.find(" -> ", begin) - begin);
}

void StreamingFixture::ExpectBothWaysUnchanged(int mebibytes,
                                               const std::string& transport) {
  // Each mebibyte is another, so that none can take another's place.
  const std::string all = absl::StrCat("for i in $(seq ", mebibytes,
                                       "); do cat piece; printf %08d $i; done");
  Guest(
      absl::StrCat("cd /tmp; head -c 1048568 /dev/urandom >piece; "
                   "echo '#!/bin/sh' >send; echo '",
                   all,
                   "' >>send; chmod +x send; "
                   "nc -ll -p 8081 -e md5sum </dev/null >/dev/null 2>&1 & "
                   "nc -ll -p 8082 -e ./send </dev/null >/dev/null 2>&1 &"));
  const std::string directory = node_->node().directory();
  std::ofstream(directory + "/piece") << Guest("cat /tmp/piece");
  const Census before = Count();
  {
    CrictlSession up_forward(
        node_, Through::kPipes,
        {"port-forward", "--transport", transport, *pod_, ":8081"});
    CrictlSession down_forward(
        node_, Through::kPipes,
        {"port-forward", "--transport", transport, *pod_, ":8082"});
    const auto netcat = [](CrictlSession& forward) {
      std::string address = AddressOf(forward);
      address[address.find(':')] = ' ';
      return absl::StrCat("busybox nc ", address);
    };
    const std::string sums = Host(
        absl::StrCat("cd ", directory, "; ", all, " >all; md5sum <all; ",
                     netcat(up_forward), " <all & ", netcat(down_forward),
                     " </dev/null | md5sum >down; wait; cat down; rm all"));
    const std::string sum = sums.substr(0, sums.find('\n') + 1);
    EXPECT_EQ(sum.size(), 36u);
    EXPECT_EQ(sums, absl::StrCat(sum, sum, sum));
  }
  ExpectNothingLeft(before);
}

}  // namespace podvisor::e2e
