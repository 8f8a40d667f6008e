#include "e2e/streaming_fixture.h"

#include <filesystem>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"

namespace podvisor::e2e {
namespace {

using Through = CrictlSession::Through;

// Threads and descriptors that gRPC may have made or kept meanwhile; what a
// stream leaves behind is two or three of each, every time.
constexpr size_t kSlack = 8;

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

Census StreamingFixture::CountDaemon() {
  const auto entries = [](const char* of) {
    size_t count = 0;
    for ([[maybe_unused]] const auto& entry :
         std::filesystem::directory_iterator(
             absl::StrCat("/proc/", node_->node().daemon().pid, "/", of))) {
      ++count;
    }
    return count;
  };
  return {entries("task"), entries("fd")};
}

void StreamingFixture::ExpectNothingLeft(const Census& before) {
  Census now;
  EXPECT_TRUE(AwaitTrue(absl::Seconds(30),
                        [&] {
                          now = CountDaemon();
                          return now.threads <= before.threads + kSlack &&
                                 now.descriptors <= before.descriptors + kSlack;
                        }))
      << "threads " << before.threads << ", now " << now.threads
      << "; descriptors " << before.descriptors << ", now " << now.descriptors;
}

std::string StreamingFixture::AddressOf(CrictlSession& forwarding) {
  const std::string& heard = forwarding.Await(" -> ");
  const size_t begin = heard.find("127.0.0.1:");
  return heard.substr(begin, heard.find(" -> ", begin) - begin);
}

void StreamingFixture::ExpectBothWaysUnchanged(int mebibytes,
                                               const std::string& transport) {
  const size_t bytes = static_cast<size_t>(mebibytes) << 20;
  // In the background: a busy machine takes a while for so much. Each mebibyte
  // is another, so that none can take another's place.
  Guest(absl::StrCat(
      "printf '#!/bin/sh\\nexec cat /tmp/down\\n' >/tmp/send; "
      "chmod +x /tmp/send; head -c 1048568 /dev/urandom >/tmp/piece; "
      "(for i in $(seq ",
      mebibytes,
      "); do cat /tmp/piece; printf %08d $i; done "
      ">/tmp/down; "
      "md5sum </tmp/down >/tmp/sum.new; mv /tmp/sum.new /tmp/sum) "
      "</dev/null >/dev/null 2>&1 & "
      "nc -ll -p 8081 -e md5sum </dev/null >/dev/null 2>&1 & "
      "nc -ll -p 8082 -e /tmp/send </dev/null >/dev/null 2>&1 &"));
  std::string down;
  ASSERT_TRUE(AwaitTrue(absl::Seconds(120), [&] {
    down = Guest(
        "for i in $(seq 50); do [ -e /tmp/sum ] && break; sleep 0.2; done; "
        "cat /tmp/sum 2>/dev/null; true");
    return !down.empty();
  }));
  ASSERT_EQ(Guest("wc -c </tmp/down"), absl::StrCat(bytes, "\n"));
  const Census before = CountDaemon();
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
    const std::string heard =
        Host(absl::StrCat("cd ", node_->node().directory(), "; head -c ", bytes,
                          " /dev/urandom >up; md5sum <up; ", netcat(up_forward),
                          " <up & ", netcat(down_forward),
                          " </dev/null | md5sum >down; wait; cat down; rm up"));
    const std::string up = heard.substr(0, heard.find('\n') + 1);
    EXPECT_EQ(up.size(), 36u);
    EXPECT_EQ(heard, absl::StrCat(up, up, down));
  }
  ExpectNothingLeft(before);
}

}  // namespace podvisor::e2e
