// Whoever writes as much as he can: nothing is lost, nobody's memory grows, and
// the writer waits while nobody reads.

#include <signal.h>

#include <fstream>
#include <string>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/time/clock.h"
#include "base/file.h"
#include "e2e/test_node.h"
#include "gtest/gtest.h"

namespace podvisor::e2e {
namespace {

// A block is a mebibyte: numbered lines of a kibibyte each, and a line that
// numbers the block.
constexpr int kBlocks = 50;
constexpr int kLines = 1023;
constexpr int kFirstLine = 1001;
constexpr size_t kPadding = 1024 - 6;
constexpr size_t kUnendedBytes = 4 << 20;
// Of a line of the log, as the kubelet wants them.
constexpr size_t kMostOfALine = 16 << 10;

// Says beside the output which block it has written; then a line without end.
std::string Flood() {
  return absl::StrCat(
      "pad=$(head -c ", kPadding, " /dev/zero | tr '\\0' x); seq ", kFirstLine,
      " ", kFirstLine + kLines - 1, " | sed \"s/$/ $pad/\" >/tmp/lines; ",
      "until [ -e /shared/go ]; do sleep 0.1; done; ", "for i in $(seq ",
      kBlocks, "); do cat /tmp/lines; echo block $i; echo $i >/shared/blocks; ",
      "done; head -c ", kUnendedBytes, " /dev/zero | tr '\\0' y; ",
      "touch /shared/all; until [ -e /shared/end ]; do sleep 0.1; done");
}

std::string ExpectedOutput() {
  std::string lines;
  for (int i = 0; i < kLines; ++i) {
    absl::StrAppend(&lines, kFirstLine + i, " ", std::string(kPadding, 'x'),
                    "\n");
  }
  std::string output;
  for (int i = 1; i <= kBlocks; ++i) {
    absl::StrAppend(&output, lines, "block ", i, "\n");
  }
  return output.append(kUnendedBytes, 'y');
}

// What was written, out of what became of it: "TIME stdout F TEXT" for each
// line, and P in the place of F for a part of one.
void AppendContent(const std::string& log, std::string* content) {
  for (const absl::string_view line :
       absl::StrSplit(log, '\n', absl::SkipEmpty())) {
    const std::vector<absl::string_view> words =
        absl::StrSplit(line, absl::MaxSplits(' ', 3));
    ASSERT_EQ(words.size(), 4u) << line.substr(0, 100);
    ASSERT_EQ(words[1], "stdout");
    ASSERT_LE(words[3].size(), kMostOfALine);
    absl::StrAppend(content, words[3], words[2] == "F" ? "\n" : "");
  }
}

// The figure of a line such as "VmRSS:  1234 kB".
int64_t Figure(const std::string& text, const std::string& key) {
  for (const absl::string_view line : absl::StrSplit(text, '\n')) {
    const std::vector<absl::string_view> words =
        absl::StrSplit(line, absl::ByAnyChar(" \t"), absl::SkipEmpty());
    int64_t figure = 0;
    if (words.size() > 1 && words[0] == key + ":" &&
        absl::SimpleAtoi(words[1], &figure)) {
      return figure;
    }
  }
  ADD_FAILURE() << "no " << key << " in " << text;
  return 0;
}

// One container for all tests: it floods its log once it is told to.
class FloodE2eTest : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    node_ = new TestNode();
    node_->PullImage();
    shared_ = new std::string(node_->directory() + "/shared");
    EXPECT_TRUE(MakeDirectories(*shared_).ok());
    const cri::PodSandboxConfig config = node_->PodConfig("flood");
    const std::string pod = node_->RunPod(config);
    cri::ContainerConfig flood = node_->ContainerConfig("flood", Flood());
    cri::Mount* mount = flood.add_mounts();
    mount->set_host_path(*shared_);
    mount->set_container_path("/shared");
    container_ = new std::string(node_->CreateContainer(pod, flood, config));
    node_->StartContainer(*container_);
  }
  static void TearDownTestSuite() {
    delete node_;
    delete shared_;
    delete container_;
  }

  // From here on Growth() is what daemon and guest have taken, in KiB: the
  // daemon at its most, the guest now.
  void BeginToMeasure() {
    available_ = GuestMemory();
    std::ofstream(DaemonFile("clear_refs")) << 5;  // VmHWM begins anew: proc(5)
    resident_ = Figure(ReadFile(DaemonFile("status")).value_or(""), "VmRSS");
  }
  struct Growth {
    int64_t daemon;
    int64_t guest;
  };
  Growth Measure() const {
    return {Figure(ReadFile(DaemonFile("status")).value_or(""), "VmHWM") -
                resident_,
            available_ - GuestMemory()};
  }

  static void Tell(const std::string& name) {
    EXPECT_TRUE(
        WriteFileAtomically(absl::StrCat(*shared_, "/", name), "").ok());
  }
  // How many are written.
  int Blocks() {
    // Empty for a moment.
    const std::string text = ReadFile(*shared_ + "/blocks").value_or("");
    int now = 0;
    if (absl::SimpleAtoi(text, &now)) blocks_ = now;
    return blocks_;
  }
  // The blocks that are written once no more are.
  int AwaitStandstill() {
    int last = Blocks();
    absl::Time since = absl::Now();
    EXPECT_TRUE(AwaitTrue(absl::Seconds(60), [&] {
      if (const int now = Blocks(); now != last) {
        last = now;
        since = absl::Now();
      }
      return absl::Now() - since > absl::Seconds(2);
    }));
    return last;
  }

  static TestNode* node_;
  static std::string* shared_;
  static std::string* container_;

 private:
  static std::string DaemonFile(const char* name) {
    return absl::StrCat("/proc/", node_->daemon().pid, "/", name);
  }
  static int64_t GuestMemory() {
    return Figure(node_->Exec(*container_, {"cat", "/proc/meminfo"}),
                  "MemAvailable");
  }

  int64_t available_ = 0;
  int64_t resident_ = 0;
  int blocks_ = 0;
};

TestNode* FloodE2eTest::node_ = nullptr;
std::string* FloodE2eTest::shared_ = nullptr;
std::string* FloodE2eTest::container_ = nullptr;

TEST_F(FloodE2eTest, FiftyMebibytesInAMinuteAreAllThereAndWaitForTheDaemon) {
  BeginToMeasure();
  const absl::Time begin = absl::Now();
  Tell("go");
  // A rotation in the middle of it.
  ASSERT_TRUE(AwaitTrue(absl::Seconds(60), [&] { return Blocks() >= 5; }));
  const std::string log = node_->directory() + "/logs/flood.log";
  ASSERT_EQ(rename(log.c_str(), (log + ".1").c_str()), 0);
  cri::ReopenContainerLogRequest reopen;
  reopen.set_container_id(*container_);
  cri::ReopenContainerLogResponse reopened;
  Call call;
  ASSERT_TRUE(
      node_->runtime().ReopenContainerLog(&call, reopen, &reopened).ok());
  // A daemon that reads nothing: the container is held up, and no more of what
  // it writes is kept anywhere than there is room for.
  ASSERT_EQ(kill(node_->daemon().pid, SIGSTOP), 0);
  const int when_stopped = Blocks();
  const absl::Time stopped = absl::Now();
  const int stood_at = AwaitStandstill();
  ASSERT_EQ(kill(node_->daemon().pid, SIGCONT), 0);
  const absl::Duration stood = absl::Now() - stopped;
  EXPECT_LE(stood_at, when_stopped + 2);
  EXPECT_LT(stood_at, kBlocks);
  ASSERT_TRUE(AwaitTrue(absl::Seconds(120),
                        [&] { return ReadFile(*shared_ + "/all").ok(); }));
  EXPECT_LT(absl::Now() - begin - stood, absl::Minutes(1));

  const Growth growth = Measure();
  EXPECT_LT(growth.daemon, 16 << 10);
  EXPECT_LT(growth.guest, 16 << 10);
  Tell("end");
  EXPECT_EQ(node_->AwaitState(*container_, cri::CONTAINER_EXITED).exit_code(),
            0);
  std::string content;
  for (const std::string& file : {log + ".1", log}) {
    AppendContent(ReadFile(file, 256 << 20).value_or(""), &content);
  }
  const std::string expected = ExpectedOutput();
  EXPECT_EQ(content.size(), expected.size());
  EXPECT_TRUE(content == expected);
}

}  // namespace
}  // namespace podvisor::e2e
