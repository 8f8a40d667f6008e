// A table of hostile agents: each call ends by its deadline with the code that
// tells the caller what to do, and the process stays as it was.

#include <fcntl.h>

#include <algorithm>
#include <functional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/strings/str_format.h"
#include "absl/synchronization/notification.h"
#include "base/clock.h"
#include "gtest/gtest.h"
#include "guestagent/client/agent_server.h"
#include "guestagent/client/grpc_agent_client.h"

namespace podvisor {
namespace {

using agent::v1::AttachOutput;
using agent::v1::ContainerExit;
using agent::v1::ContainerState;
using agent::v1::ExecOutput;
using agent::v1::OutputChunk;
using agent::v1::PortForwardOutput;
using Code = absl::StatusCode;

const ContainerId kId(std::string(64, 'a'));
// Long enough to never end a call that should end by itself.
constexpr absl::Duration kLong = absl::Seconds(60);
// Long enough for the handshake before the hanging call.
constexpr absl::Duration kShort = absl::Seconds(1);

class HostileAgentTest : public testing::Test {
 protected:
  using Attempt = std::function<absl::Status(GrpcAgentClient&, absl::Time)>;

  // What `call` returns, made to `agent` with a deadline in `patience`.
  absl::Status Try(const Attempt& call, ScriptedAgent* agent,
                   absl::Duration patience = kLong) {
    AgentServer server(agent);
    return Try(call, server.peer().path(), patience);
  }

  absl::Status Try(const Attempt& call, const std::string& path,
                   absl::Duration patience) {
    GrpcAgentClient client(path, AgentSecret::Random(), {}, &clock_);
    const absl::Time start = clock_.Now();
    const absl::Status status = call(client, start + patience);
    EXPECT_LT(clock_.Now() - start, patience + absl::Seconds(10));
    return status;
  }

  SystemClock clock_;
};

absl::Status CallConnect(GrpcAgentClient& client, absl::Time deadline) {
  return client.Connect(deadline);
}
absl::Status CallObserve(GrpcAgentClient& client, absl::Time deadline) {
  return client.Observe(deadline).status();
}
absl::Status CallStats(GrpcAgentClient& client, absl::Time deadline) {
  return client.Stats(deadline).status();
}
absl::Status CallList(GrpcAgentClient& client, absl::Time deadline) {
  return client.List(deadline).status();
}
absl::Status CallExec(GrpcAgentClient& client, absl::Time deadline) {
  return client.ExecSync({.container = kId, .args = {"true"}}, deadline)
      .status();
}
absl::Status CallWatch(GrpcAgentClient& client, absl::Time) {
  return client.WatchExits([](const ContainerExit&) {});
}
absl::Status CallOutput(GrpcAgentClient& client, absl::Time) {
  OutputOffsets stored;
  return client.StreamOutput(
      kId, {}, [&](const OutputChunk& chunk) -> absl::StatusOr<OutputOffsets> {
        (chunk.stream() == OutputChunk::STDERR ? stored.stderr_bytes
                                               : stored.stdout_bytes) +=
            chunk.data().size();
        return stored;
      });
}

// A peer that only listens, and counts what it hears.
class Listener final : public StreamPeer {
 public:
  explicit Listener(size_t max_bytes) : max_bytes_(max_bytes) {}

  Input NextInput() override {
    stopped_.WaitForNotification();
    return {.kind = Input::Kind::kStopped};
  }
  void StopInput() override { stopped_.Notify(); }
  void OnGone(std::function<void()>) override {}
  absl::Status TakeOutput(bool, absl::string_view data) override {
    heard_ += data.size();
    if (heard_ <= max_bytes_) return absl::OkStatus();
    return absl::CancelledError("heard enough");
  }

 private:
  const size_t max_bytes_;
  size_t heard_ = 0;
  absl::Notification stopped_;
};

// A peer that speaks without end, and leaves as soon as it was listened to.
class Talker final : public StreamPeer {
 public:
  // Leaves once it was asked for input, or, where given, when it is told.
  explicit Talker(absl::Notification* leave = nullptr)
      : leave_(leave != nullptr ? leave : &heard_) {}
  ~Talker() override {
    if (leaving_.joinable()) leaving_.join();
  }

  Input NextInput() override {
    if (stopped_.HasBeenNotified()) return {.kind = Input::Kind::kStopped};
    if (++inputs_ == 1) heard_.Notify();
    return {.kind = Input::Kind::kData, .data = std::string(32 << 10, 'x')};
  }
  void StopInput() override { stopped_.Notify(); }
  void OnGone(std::function<void()> on_gone) override {
    if (on_gone == nullptr) return leaving_.join();
    leaving_ = std::thread([this, on_gone = std::move(on_gone)] {
      leave_->WaitForNotification();
      on_gone();
    });
  }
  absl::Status TakeOutput(bool, absl::string_view) override {
    return absl::OkStatus();
  }

 private:
  int inputs_ = 0;
  absl::Notification* const leave_;
  std::thread leaving_;
  absl::Notification heard_;
  absl::Notification stopped_;
};

absl::Status CallAttach(GrpcAgentClient& client, absl::Time) {
  Listener peer(1 << 20);
  return client.Attach(kId, true, &peer).status();
}
absl::Status CallPortForward(GrpcAgentClient& client, absl::Time) {
  Listener peer(1 << 20);
  return client.PortForward(80, &peer);
}

// --- Below HTTP/2 and in it.

TEST_F(HostileAgentTest, WhateverFollowsTheAckTheCallEnds) {
  const std::string settings("\0\0\0\4\0\0\0\0\0", 9);
  const std::string goaway =
      settings + std::string("\0\0\x08\7\0\0\0\0\0\0\0\0\0\0\0\0\xb", 17);
  const struct {
    const char* name;
    std::string bytes;
    bool hang_up;
    absl::Duration patience;
    std::vector<Code> codes;
  } cases[] = {
      {"hangs up", "", true, kLong, {Code::kUnavailable}},
      {"hangs up after SETTINGS", settings, true, kLong, {Code::kUnavailable}},
      {"garbage",
       std::string(100'000, 'x'),
       false,
       kLong,
       {Code::kUnavailable, Code::kInternal}},
      {"GOAWAY", goaway, false, kLong, {Code::kUnavailable}},
      {"GOAWAY storm",
       goaway + goaway + goaway + goaway,
       false,
       kLong,
       {Code::kUnavailable}},
      {"silence", "", false, kShort, {Code::kDeadlineExceeded}},
      {"half a frame",
       settings + std::string("\0\xff\xff\0", 4),
       false,
       kShort,
       {Code::kDeadlineExceeded}},
      {"frame of 16 MiB",
       settings + std::string("\xff\xff\xff\0\0\0\0\0\1", 9),
       false,
       kLong,
       {Code::kUnavailable, Code::kInternal}},
  };
  for (const auto& c : cases) {
    ChannelPeer peer([&](int, UniqueFd fd, const ChannelHello& hello) {
      if (!SendAck(fd.get(), hello) || !SendBytes(fd.get(), c.bytes)) return;
      if (!c.hang_up) ReadUntilClosed(fd.get());
    });

    const absl::Status status = Try(CallConnect, peer.path(), c.patience);

    EXPECT_EQ(std::count(c.codes.begin(), c.codes.end(), status.code()), 1)
        << c.name << ": " << status;
  }
}

TEST_F(HostileAgentTest, AnotherProtocolIsFailedPrecondition) {
  ScriptedAgent agent;
  agent.hello = [](auto*, const auto*, agent::v1::HelloResponse* response) {
    response->set_protocol_version(7);
    return grpc::Status::OK;
  };

  EXPECT_EQ(Try(CallObserve, &agent).code(), Code::kFailedPrecondition);
}

TEST_F(HostileAgentTest, HelloThatHangsEndsByTheDeadline) {
  ScriptedAgent agent;
  agent.hello = [](grpc::ServerContext* context, const auto*, auto*) {
    return ScriptedAgent::Hang(context);
  };

  EXPECT_EQ(Try(CallObserve, &agent, kShort).code(), Code::kDeadlineExceeded);
}

// --- Replies.

TEST_F(HostileAgentTest, NeverAnsweringIsDeadlineExceeded) {
  ScriptedAgent agent;
  agent.stats = [](grpc::ServerContext* context, const auto*, auto*) {
    return ScriptedAgent::Hang(context);
  };

  EXPECT_EQ(Try(CallStats, &agent, kShort).code(), Code::kDeadlineExceeded);
}

TEST_F(HostileAgentTest, NegativeSizesAreDataLoss) {
  ScriptedAgent agent;
  agent.observe = [](auto*, const auto*, agent::v1::GuestResources* response) {
    *response = ScriptedAgent::GoodResources();
    response->set_memory_total_bytes(-1);
    return grpc::Status::OK;
  };

  EXPECT_EQ(Try(CallObserve, &agent).code(), Code::kDataLoss);
}

TEST_F(HostileAgentTest, MessageOverTheLimitIsDataLoss) {
  ScriptedAgent agent;
  agent.list = [](auto*, const auto*,
                  agent::v1::ListContainersResponse* response) {
    // Two bytes each on the wire, much more in memory.
    for (int i = 0; i < 300'000; ++i) response->add_containers();
    return grpc::Status::OK;
  };

  EXPECT_EQ(Try(CallList, &agent).code(), Code::kDataLoss);
}

TEST_F(HostileAgentTest, TooManyOrWrongContainersAreDataLoss) {
  ScriptedAgent agent;
  agent.list = [](auto*, const auto*,
                  agent::v1::ListContainersResponse* response) {
    for (int i = 0; i < 5'000; ++i) response->add_containers();
    return grpc::Status::OK;
  };
  EXPECT_EQ(Try(CallList, &agent).code(), Code::kDataLoss);

  agent.list = [](auto*, const auto*,
                  agent::v1::ListContainersResponse* response) {
    response->add_containers()->set_container_id("../../../etc/passwd");
    return grpc::Status::OK;
  };
  EXPECT_EQ(Try(CallList, &agent).code(), Code::kDataLoss);
}

TEST_F(HostileAgentTest, CgroupsThatCannotBeAreDataLoss) {
  ScriptedAgent agent;
  agent.read_cgroup = [](auto*, const auto*,
                         agent::v1::ReadCgroupResponse* response) {
    // Was not asked for.
    (*response->mutable_resources()->mutable_unified())["memory.low"] = "1";
    return grpc::Status::OK;
  };

  EXPECT_EQ(
      Try(
          [](GrpcAgentClient& client, absl::Time deadline) {
            return client.ReadCgroup(kId, {"memory.high"}, deadline).status();
          },
          &agent)
          .code(),
      Code::kDataLoss);
}

TEST_F(HostileAgentTest, SuccessThatTheReplyContradictsIsDataLoss) {
  ScriptedAgent agent;  // always has 1 CPU and 256 MiB

  EXPECT_EQ(Try(
                [](GrpcAgentClient& client, absl::Time deadline) {
                  return client.SetOnlineCpus(3, deadline).status();
                },
                &agent)
                .code(),
            Code::kDataLoss);
  EXPECT_EQ(Try(
                [](GrpcAgentClient& client, absl::Time deadline) {
                  return client.AwaitMemoryAtLeast(1 << 30, deadline).status();
                },
                &agent)
                .code(),
            Code::kDataLoss);
}

TEST_F(HostileAgentTest, ErrorsKeepTheirCodeAndLoseTheirControlCharacters) {
  ScriptedAgent agent;
  agent.observe = [](auto*, const auto*, auto*) {
    return grpc::Status(grpc::StatusCode::NOT_FOUND, "gone\n\x1b[2Jforged");
  };

  const absl::Status status = Try(CallObserve, &agent);

  EXPECT_EQ(status.code(), Code::kNotFound);
  EXPECT_EQ(status.message().find_first_of("\n\x1b"), absl::string_view::npos);
}

TEST_F(HostileAgentTest, MetadataBombFailsTheCall) {
  ScriptedAgent agent;
  agent.observe = [](grpc::ServerContext* context, const auto*, auto*) {
    context->AddTrailingMetadata("bomb", std::string(1 << 20, 'x'));
    return grpc::Status::OK;
  };

  EXPECT_FALSE(Try(CallObserve, &agent).ok());
}

// --- Streams.

OutputChunk Chunk(OutputChunk::Stream stream, uint64_t offset, size_t size,
                  bool eof = false) {
  OutputChunk chunk;
  chunk.set_stream(stream);
  chunk.set_offset(offset);
  chunk.set_data(std::string(size, 'x'));
  chunk.set_eof(eof);
  return chunk;
}

TEST_F(HostileAgentTest, OutputThatDoesNotFitTogetherIsDataLoss) {
  const struct {
    const char* name;
    std::vector<OutputChunk> chunks;
  } cases[] = {
      {"gap", {Chunk(OutputChunk::STDOUT, 1, 1)}},
      {"twice",
       {Chunk(OutputChunk::STDOUT, 0, 1), Chunk(OutputChunk::STDOUT, 0, 1)}},
      {"after the end",
       {Chunk(OutputChunk::STDOUT, 0, 1, true),
        Chunk(OutputChunk::STDOUT, 1, 1)}},
      {"no stream", {Chunk(OutputChunk::STREAM_UNSPECIFIED, 0, 1)}},
      {"too large", {Chunk(OutputChunk::STDERR, 0, 100'000)}},
      {"over the limit of a message", {Chunk(OutputChunk::STDERR, 0, 1 << 20)}},
      {"empty", {Chunk(OutputChunk::STDERR, 0, 0)}},
      {"ends early", {Chunk(OutputChunk::STDERR, 0, 1, true)}},
      {"nothing", {}},
  };
  for (const auto& c : cases) {
    ScriptedAgent agent;
    agent.output = [&](auto*, auto* stream) {
      for (const OutputChunk& chunk : c.chunks) stream->Write(chunk);
      return grpc::Status::OK;
    };

    const absl::Status status = Try(CallOutput, &agent);

    EXPECT_EQ(status.code(), Code::kDataLoss) << c.name << ": " << status;
  }
}

TEST_F(HostileAgentTest, AgentThatNeverEndsAFinishedOutputIsNotWaitedFor) {
  ScriptedAgent agent;
  agent.output = [](grpc::ServerContext* context, auto* stream) {
    stream->Write(Chunk(OutputChunk::STDOUT, 0, 1, true));
    stream->Write(Chunk(OutputChunk::STDERR, 0, 0, true));
    return ScriptedAgent::Hang(context);
  };

  EXPECT_TRUE(Try(CallOutput, &agent).ok());
}

TEST_F(HostileAgentTest, ExitsThatCannotBeEndTheWatch) {
  const auto watch_tells = [this](const std::vector<ContainerExit>& exits) {
    ScriptedAgent agent;
    agent.watch = [&](grpc::ServerContext* context, auto*, auto* writer) {
      for (const ContainerExit& exit : exits) writer->Write(exit);
      return ScriptedAgent::Hang(context);
    };
    return Try(CallWatch, &agent).code();
  };
  ContainerExit good;
  good.set_container_id(kId.value());
  ContainerExit bad_code = good;
  bad_code.set_exit_code(-1);

  EXPECT_EQ(watch_tells({ContainerExit()}), Code::kDataLoss);
  EXPECT_EQ(watch_tells({bad_code}), Code::kDataLoss);
  EXPECT_EQ(watch_tells({good, good}), Code::kDataLoss);
}

TEST_F(HostileAgentTest, EndlessExitsEndTheWatch) {
  ScriptedAgent agent;
  agent.watch = [](auto*, auto*, auto* writer) {
    ContainerExit exit;
    for (uint64_t i = 0;; ++i) {
      exit.set_container_id(absl::StrFormat("%064x", i));
      if (!writer->Write(exit)) return grpc::Status::OK;
    }
  };

  EXPECT_EQ(Try(CallWatch, &agent).code(), Code::kUnavailable);
}

TEST_F(HostileAgentTest, EndlessExecOutputIsBoundedAndEndsByTheDeadline) {
  ScriptedAgent agent;
  agent.exec = [](auto*, auto* stream) {
    ExecOutput output;
    output.set_stdout(std::string(64 << 10, 'x'));
    while (stream->Write(output)) {
    }
    return grpc::Status::OK;
  };

  EXPECT_EQ(Try(CallExec, &agent, kShort).code(), Code::kDeadlineExceeded);
}

TEST_F(HostileAgentTest, ExecEndsThatCannotBeAreDataLoss) {
  const auto exec_ends = [this](const std::vector<ExecOutput>& outputs) {
    ScriptedAgent agent;
    agent.exec = [&](auto*, auto* stream) {
      for (const ExecOutput& output : outputs) stream->Write(output);
      return grpc::Status::OK;
    };
    return Try(CallExec, &agent).code();
  };
  ExecOutput bad_code;
  bad_code.set_exit_code(-9);

  EXPECT_EQ(exec_ends({}), Code::kDataLoss);
  EXPECT_EQ(exec_ends({ExecOutput()}), Code::kDataLoss);
  EXPECT_EQ(exec_ends({bad_code}), Code::kDataLoss);
}

TEST_F(HostileAgentTest, AgentThatNeverEndsAFinishedExecIsNotWaitedFor) {
  ScriptedAgent agent;
  agent.exec = [](grpc::ServerContext* context, auto* stream) {
    ExecOutput output;
    output.set_exit_code(0);
    stream->Write(output);
    return ScriptedAgent::Hang(context);
  };

  EXPECT_TRUE(Try(CallExec, &agent).ok());
}

TEST_F(HostileAgentTest, AttachEndsThatCannotBeAreErrors) {
  const auto attach_ends = [this](const std::vector<AttachOutput>& outputs) {
    ScriptedAgent agent;
    agent.attach = [&](auto*, auto* stream) {
      for (const AttachOutput& output : outputs) stream->Write(output);
      return grpc::Status::OK;
    };
    return Try(CallAttach, &agent);
  };
  AttachOutput bad_code;
  bad_code.set_exit_code(256);
  AttachOutput forged;
  forged.set_error("slow\n\x1b[2Jforged");
  AttachOutput huge;
  huge.set_stdout(std::string(2 << 20, 'x'));

  EXPECT_EQ(attach_ends({}).code(), Code::kDataLoss);
  EXPECT_EQ(attach_ends({AttachOutput()}).code(), Code::kDataLoss);
  EXPECT_EQ(attach_ends({bad_code}).code(), Code::kDataLoss);
  EXPECT_EQ(attach_ends({huge}).code(), Code::kDataLoss);
  const absl::Status cut_off = attach_ends({forged});
  EXPECT_EQ(cut_off.code(), Code::kResourceExhausted);
  EXPECT_EQ(cut_off.message().find_first_of("\n\x1b"), absl::string_view::npos);
}

TEST_F(HostileAgentTest, EndlessOutputOfASessionWaitsForItsPeerAndEndsWithIt) {
  ScriptedAgent agent;
  agent.attach = [](auto*, auto* stream) {
    AttachOutput output;
    output.set_stderr(std::string(64 << 10, 'x'));
    while (stream->Write(output)) {
    }
    return grpc::Status::OK;
  };
  agent.port_forward = [](auto*, auto* stream) {
    PortForwardOutput output;
    output.set_data(std::string(64 << 10, 'x'));
    while (stream->Write(output)) {
    }
    return grpc::Status::OK;
  };

  EXPECT_EQ(Try(CallAttach, &agent).code(), Code::kCancelled);
  EXPECT_EQ(Try(CallPortForward, &agent).code(), Code::kCancelled);
}

TEST_F(HostileAgentTest, APeerThatLeavesIsNotHeldByAnAgentThatTakesNoInput) {
  ScriptedAgent agent;
  agent.attach = [](grpc::ServerContext* context, auto*) {
    return ScriptedAgent::Hang(context);
  };
  agent.port_forward = [](grpc::ServerContext* context, auto*) {
    return ScriptedAgent::Hang(context);
  };

  int sessions = 0;
  AgentServer server(&agent);
  const absl::Status status = Try(
      [&](GrpcAgentClient& client, absl::Time deadline) {
        Talker attached;
        EXPECT_EQ(client.Attach(kId, true, &attached).status().code(),
                  Code::kCancelled);
        Talker connection;
        EXPECT_EQ(client.PortForward(80, &connection).code(), Code::kCancelled);
        const absl::Status observed = client.Observe(deadline).status();
        sessions = static_cast<int>(server.peer().secrets().size());
        return observed;
      },
      server.peer().path(), kLong);

  EXPECT_TRUE(status.ok()) << status;
  EXPECT_EQ(sessions, 1) << "the streams of others end with a session";
}

TEST_F(HostileAgentTest, APeerThatLeavesIsNotHeldByAnAgentThatTakesNoRequest) {
  ScriptedAgent agent;
  absl::Notification reached;
  agent.exec = [&](grpc::ServerContext* context, auto*) {
    reached.Notify();
    return ScriptedAgent::Hang(context);
  };
  GuestExec large;
  large.container = kId;
  large.args.assign(16, std::string(64 << 10, 'x'));

  const absl::Status status = Try(
      [&](GrpcAgentClient& client, absl::Time) {
        Talker peer(&reached);
        return client.Exec(large, &peer).status();
      },
      &agent);

  EXPECT_EQ(status.code(), Code::kCancelled) << status;
}

TEST_F(HostileAgentTest, RefusedPortIsCleanedAndKeepsTheChannel) {
  ScriptedAgent agent;
  agent.port_forward = [](auto*, auto* stream) {
    PortForwardOutput output;
    output.set_error("refused\n\x1b[2Jforged");
    stream->Write(output);
    return grpc::Status::OK;
  };
  int sessions = 0;
  AgentServer server(&agent);
  const absl::Status status = Try(
      [&](GrpcAgentClient& client, absl::Time deadline) {
        const absl::Status refused = CallPortForward(client, deadline);
        EXPECT_TRUE(client.Observe(deadline).ok());
        sessions = static_cast<int>(server.peer().secrets().size());
        return refused;
      },
      server.peer().path(), kLong);

  EXPECT_EQ(status.code(), Code::kFailedPrecondition);
  EXPECT_EQ(status.message().find_first_of("\n\x1b"), absl::string_view::npos);
  EXPECT_EQ(sessions, 1);
}

}  // namespace
}  // namespace podvisor
