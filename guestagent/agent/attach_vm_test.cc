// Attach and PortForward in one VM under TCG.

#include <memory>
#include <string>
#include <thread>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "base/ids.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "guestagent/agent/container_vm_fixture.h"

namespace podvisor {
namespace {

using agent::v1::AttachInput;
using agent::v1::AttachOutput;
using agent::v1::PortForwardInput;
using agent::v1::PortForwardOutput;
using ::testing::HasSubstr;

class AttachVmTest : public ContainerVmTest {
 protected:
  // One attached peer, with what it has heard so far.
  class Peer {
   public:
    Peer(const std::string& id, bool with_stdin) {
      context_.set_deadline(std::chrono::system_clock::now() + kCallTimeout);
      stream_ = vm_->stub()->Attach(&context_);
      AttachInput input;
      input.mutable_start()->set_container_id(id);
      input.mutable_start()->set_stdin(with_stdin);
      stream_->Write(input);
      attached_ = stream_->Read(&output_) && output_.attached();
    }
    ~Peer() { Leave(); }

    bool attached() const { return attached_; }
    void Say(const std::string& text) {
      AttachInput input;
      input.set_stdin(text);
      stream_->Write(input);
    }
    void CloseStdin() {
      AttachInput input;
      input.set_close_stdin(true);
      stream_->Write(input);
    }
    void Resize(uint32_t width, uint32_t height) {
      AttachInput input;
      input.mutable_resize()->set_width(width);
      input.mutable_resize()->set_height(height);
      stream_->Write(input);
    }
    // What is heard until `text` or the end.
    std::string Await(const std::string& text) {
      while (!absl::StrContains(heard_, text) && stream_->Read(&output_)) {
        heard_ += output_.stdout() + output_.stderr();
      }
      return heard_;
    }
    // The exit code, or -1; reads to the end.
    int AwaitExitCode() {
      while (output_.output_case() != AttachOutput::kExitCode &&
             stream_->Read(&output_)) {
        heard_ += output_.stdout() + output_.stderr();
      }
      return output_.output_case() == AttachOutput::kExitCode
                 ? output_.exit_code()
                 : -1;
    }
    std::string AwaitError() {
      while (output_.error().empty() && stream_->Read(&output_)) {
      }
      return output_.error();
    }
    const std::string& heard() const { return heard_; }
    // As a daemon that dies.
    grpc::Status Leave() {
      if (stream_ == nullptr) return grpc::Status::OK;
      context_.TryCancel();
      const grpc::Status status = stream_->Finish();
      stream_ = nullptr;
      return status;
    }
    grpc::Status Finish() {
      const grpc::Status status = stream_->Finish();
      stream_ = nullptr;
      return status;
    }

   private:
    grpc::ClientContext context_;
    std::unique_ptr<grpc::ClientReaderWriter<AttachInput, AttachOutput>>
        stream_;
    AttachOutput output_;
    std::string heard_;
    bool attached_ = false;
  };
};

TEST_F(AttachVmTest, CatGetsInputFromPeerAfterPeerAndLivesOn) {
  ContainerSpec spec = Spec({"/bin/cat"});
  spec.set_stdin(true);
  const std::string id = Run(spec);
  {
    Peer peer(id, true);
    ASSERT_TRUE(peer.attached());
    peer.Say("one\n");
    EXPECT_EQ(peer.Await("one\n"), "one\n");
    peer.CloseStdin();
  }
  Peer second(id, true);
  Peer silent(id, false);
  ASSERT_TRUE(second.attached() && silent.attached());
  second.Say("two\n");
  EXPECT_EQ(second.Await("two\n"), "two\n");
  EXPECT_EQ(silent.Await("two\n"), "two\n");
  // The log has it all.
  EXPECT_EQ(ReadOutput(id, 0, 1).out, "one\ntwo\n");
  EXPECT_TRUE(Signal(id, SIGKILL, false).ok());
  EXPECT_EQ(second.AwaitExitCode(), 137);
  EXPECT_EQ(silent.AwaitExitCode(), 137);
}

TEST_F(AttachVmTest, StdinOnceEndsWithTheFirstPeerThatGaveInput) {
  ContainerSpec spec = Shell("cat; echo end; exit 3");
  spec.set_stdin(true);
  spec.set_stdin_once(true);
  const std::string id = Run(spec);
  Peer listener(id, false);
  ASSERT_TRUE(listener.attached());
  Peer(id, false).Leave();
  {
    Peer peer(id, true);
    ASSERT_TRUE(peer.attached());
    peer.Say("all\n");
    peer.Await("all\n");
  }  // leaves without a word
  EXPECT_EQ(listener.Await("end\n"), "all\nend\n");
  EXPECT_EQ(listener.AwaitExitCode(), 3);
}

TEST_F(AttachVmTest, CloseOfStdinOnceIsHeardAndTheExitCodeIsLast) {
  ContainerSpec spec = Shell("wc -c; exit 5");
  spec.set_stdin(true);
  spec.set_stdin_once(true);
  const std::string id = Run(spec);
  Peer peer(id, true);
  ASSERT_TRUE(peer.attached());
  const std::string piece(64 << 10, 'x');
  for (int i = 0; i < 16; ++i) peer.Say(piece);
  peer.CloseStdin();
  EXPECT_EQ(peer.AwaitExitCode(), 5);
  EXPECT_EQ(peer.heard(), "1048576\n");
}

TEST_F(AttachVmTest, TerminalIsResized) {
  ContainerSpec spec =
      Shell("echo ready; read line; stty size; echo got $line; exit 4");
  spec.set_stdin(true);
  spec.set_tty(true);
  const std::string id = Run(spec);
  Peer peer(id, true);
  ASSERT_TRUE(peer.attached());
  peer.Resize(100, 40);
  peer.Say("typed\n");
  EXPECT_EQ(peer.AwaitExitCode(), 4);
  EXPECT_THAT(peer.heard(), HasSubstr("40 100\r\n"));
  EXPECT_THAT(peer.heard(), HasSubstr("got typed\r\n"));
}

TEST_F(AttachVmTest, WhatCannotBeAttachedIsRefused) {
  const auto refused = [](const std::string& id, bool with_stdin) {
    Peer peer(id, with_stdin);
    EXPECT_FALSE(peer.attached());
    return peer.Finish().error_code();
  };
  EXPECT_EQ(refused(RandomHexId(), false), grpc::StatusCode::NOT_FOUND);
  const std::string id = Run(Spec({"/bin/sleep", "1000"}));
  EXPECT_EQ(refused(id, true), grpc::StatusCode::FAILED_PRECONDITION);
  EXPECT_TRUE(Signal(id, SIGKILL, false).ok());
  AwaitExit(id);
  EXPECT_EQ(refused(id, false), grpc::StatusCode::FAILED_PRECONDITION);
}

TEST_F(AttachVmTest, PeerThatDoesNotReadIsCutOffAndTheLogIsComplete) {
  constexpr uint64_t kBytes = 32 << 20;
  ContainerSpec spec =
      Shell("read go; dd if=/dev/zero bs=1M count=32 2>/dev/null");
  spec.set_stdin(true);
  const std::string id = Run(spec);
  Peer slow(id, false);
  ASSERT_TRUE(slow.attached());
  {
    Peer starter(id, true);
    ASSERT_TRUE(starter.attached());
    starter.Say("go\n");
    const Output log = ReadOutput(id);
    EXPECT_EQ(log.out_end, kBytes);
  }
  EXPECT_THAT(slow.AwaitError(), HasSubstr("not read fast enough"));
}

TEST_F(AttachVmTest, EightMebibytesThroughAPortAreTheSame) {
  // Echoes until the caller's end, then ends.
  const std::string id =
      Run(Shell("busybox nc -l -p 8080 -e cat & "
                "while ! cat /proc/net/tcp* | grep -q ':1F90 '; do :; done; "
                "echo ready; wait"));
  EXPECT_EQ(ReadOutput(id, 0, 1).out, "ready\n");
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + kCallTimeout);
  const auto stream = vm_->stub()->PortForward(&context);
  PortForwardInput first;
  first.set_port(8080);
  stream->Write(first);
  PortForwardOutput output;
  ASSERT_TRUE(stream->Read(&output));
  ASSERT_TRUE(output.connected()) << output.error();
  std::string sent;
  for (int i = 0; i < 8 << 10; ++i) sent += absl::StrCat(i, "\n");
  sent.resize(8 << 20, 'y');
  std::thread writer([&] {
    for (size_t at = 0; at < sent.size(); at += 64 << 10) {
      PortForwardInput input;
      input.set_data(sent.substr(at, 64 << 10));
      EXPECT_TRUE(stream->Write(input));
    }
    PortForwardInput end;
    end.set_end_of_data(true);
    stream->Write(end);
  });
  std::string received;
  while (stream->Read(&output) && !output.end_of_data()) {
    received += output.data();
  }
  writer.join();
  stream->WritesDone();
  const grpc::Status status = stream->Finish();
  EXPECT_TRUE(status.ok()) << status.error_message();
  EXPECT_TRUE(output.end_of_data()) << output.error();
  EXPECT_TRUE(received == sent) << received.size();
}

TEST_F(AttachVmTest, NobodyListeningInTheGuestIsAClearError) {
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + kCallTimeout);
  const auto stream = vm_->stub()->PortForward(&context);
  PortForwardInput first;
  first.set_port(9);
  stream->Write(first);
  PortForwardOutput output;
  ASSERT_TRUE(stream->Read(&output));
  EXPECT_EQ(output.error(),
            "no connection to port 9: connect: Connection refused");
  EXPECT_TRUE(stream->Finish().ok());
}

}  // namespace
}  // namespace podvisor
