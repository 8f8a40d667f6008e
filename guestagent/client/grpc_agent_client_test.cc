#include "guestagent/client/grpc_agent_client.h"

#include <atomic>
#include <memory>
#include <stop_token>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/synchronization/notification.h"
#include "base/clock.h"
#include "gtest/gtest.h"
#include "guestagent/client/agent_server.h"

namespace podvisor {
namespace {

using agent::v1::ContainerExit;
using agent::v1::ExecInput;
using agent::v1::ExecOutput;
using agent::v1::OutputChunk;
using agent::v1::OutputRequest;

const ContainerId kId(std::string(64, 'a'));

class GrpcAgentClientTest : public testing::Test {
 protected:
  void Serve() {
    server_ = std::make_unique<AgentServer>(&agent_);
    client_ = std::make_unique<GrpcAgentClient>(server_->peer().path(), secret_,
                                                AgentClientOptions(), &clock_);
  }

  // Execs go on until they are cancelled, and tell that. Borrows it.
  void HangExecUntilCancelled(absl::Notification* cancelled) {
    agent_.exec = [cancelled](grpc::ServerContext* context, auto*) {
      const grpc::Status status = ScriptedAgent::Hang(context);
      cancelled->Notify();
      return status;
    };
  }

  absl::Time Soon() { return clock_.Now() + absl::Seconds(30); }
  int sessions() { return static_cast<int>(server_->peer().secrets().size()); }

  SystemClock clock_;
  const AgentSecret secret_ = AgentSecret::Random();
  ScriptedAgent agent_;
  std::unique_ptr<AgentServer> server_;
  std::unique_ptr<GrpcAgentClient> client_;
};

TEST_F(GrpcAgentClientTest, ConnectGivesTheGuestItsSecretEntropyAndTime) {
  agent::v1::HelloRequest heard;
  agent_.hello = [&](auto*, const agent::v1::HelloRequest* request,
                     agent::v1::HelloResponse* response) {
    heard = *request;
    response->set_protocol_version(1);
    return grpc::Status::OK;
  };
  Serve();

  const absl::Status status = client_->Connect(Soon());

  EXPECT_TRUE(status.ok()) << status;
  EXPECT_EQ(server_->peer().secrets().at(0), secret_.bytes());
  EXPECT_EQ(heard.protocol_version(), 1u);
  EXPECT_EQ(heard.entropy().size(), 32u);
  EXPECT_LT(
      absl::AbsDuration(clock_.Now() -
                        absl::FromUnixNanos(heard.wall_clock_unix_nanos())),
      absl::Minutes(1));
}

TEST_F(GrpcAgentClientTest, CallsConnectByThemselvesAndShareOneSession) {
  Serve();

  EXPECT_TRUE(client_->Observe(Soon()).ok());
  EXPECT_TRUE(client_->Stats(Soon()).ok());
  EXPECT_TRUE(client_->Connect(Soon()).ok());

  EXPECT_EQ(sessions(), 1);
}

TEST_F(GrpcAgentClientTest, CallsThatComeTogetherConnectOnce) {
  Serve();
  std::atomic<int> failures = 0;

  std::vector<std::thread> callers;
  for (int i = 0; i < 8; ++i) {
    callers.emplace_back([&] { failures += !client_->Observe(Soon()).ok(); });
  }
  for (std::thread& caller : callers) caller.join();

  EXPECT_EQ(failures, 0);
  EXPECT_EQ(sessions(), 1);
}

TEST_F(GrpcAgentClientTest, CallAfterTheTransportDiedReconnects) {
  Serve();
  ASSERT_TRUE(client_->Connect(Soon()).ok());
  for (int i = 2; i <= 5; ++i) {
    server_->peer().CloseConnection();

    const absl::Status status = client_->Observe(Soon()).status();

    EXPECT_TRUE(status.ok()) << status;
    EXPECT_EQ(sessions(), i);
  }
}

TEST_F(GrpcAgentClientTest, CallInFlightWhenTheTransportDiesIsUnavailable) {
  absl::Notification called;
  agent_.stats = [&](grpc::ServerContext* context, const auto*, auto*) {
    called.Notify();
    return ScriptedAgent::Hang(context);
  };
  Serve();

  absl::Status status;
  std::thread caller([&] { status = client_->Stats(Soon()).status(); });
  called.WaitForNotification();
  server_->peer().CloseConnection();
  caller.join();

  EXPECT_TRUE(absl::IsUnavailable(status)) << status;
  EXPECT_TRUE(client_->Observe(Soon()).ok());
}

TEST_F(GrpcAgentClientTest, NobodyListeningIsUnavailable) {
  Serve();
  ASSERT_TRUE(client_->Connect(Soon()).ok());

  server_ = nullptr;

  EXPECT_TRUE(absl::IsUnavailable(client_->Observe(Soon()).status()));
}

TEST_F(GrpcAgentClientTest, DisconnectCancelsAllStreamsAndRefusesCalls) {
  absl::Notification in_output;
  absl::Notification in_watch;
  absl::Notification in_exec;
  agent_.output = [&](grpc::ServerContext* context, auto*) {
    in_output.Notify();
    return ScriptedAgent::Hang(context);
  };
  agent_.watch = [&](grpc::ServerContext* context, auto*, auto*) {
    in_watch.Notify();
    return ScriptedAgent::Hang(context);
  };
  agent_.exec = [&](grpc::ServerContext* context, auto*) {
    in_exec.Notify();
    return ScriptedAgent::Hang(context);
  };
  Serve();
  absl::Status output, watch, exec;

  std::thread output_thread([&] {
    output = client_->StreamOutput(
        kId, {}, [](const OutputChunk&) { return OutputOffsets(); });
  });
  std::thread watch_thread(
      [&] { watch = client_->WatchExits([](const ContainerExit&) {}); });
  std::thread exec_thread([&] {
    exec = client_
               ->ExecSync({.container = kId, .args = {"x"}},
                          absl::InfiniteFuture())
               .status();
  });
  in_output.WaitForNotification();
  in_watch.WaitForNotification();
  in_exec.WaitForNotification();
  client_->Disconnect();
  output_thread.join();
  watch_thread.join();
  exec_thread.join();

  EXPECT_TRUE(absl::IsCancelled(output)) << output;
  EXPECT_TRUE(absl::IsCancelled(watch)) << watch;
  EXPECT_TRUE(absl::IsCancelled(exec)) << exec;
  EXPECT_TRUE(absl::IsCancelled(client_->Observe(Soon()).status()));
}

TEST_F(GrpcAgentClientTest, DisconnectEndsAHandshakeThatWaits) {
  absl::Notification greeted;
  ChannelPeer silent([&](int, UniqueFd fd, const ChannelHello&) {
    if (!greeted.HasBeenNotified()) greeted.Notify();
    ReadUntilClosed(fd.get());
  });
  GrpcAgentClient client(silent.path(), secret_, {}, &clock_);
  absl::Status status;

  std::thread caller([&] { status = client.Connect(absl::InfiniteFuture()); });
  greeted.WaitForNotification();
  client.Disconnect();
  caller.join();

  EXPECT_TRUE(absl::IsCancelled(status)) << status;
}

TEST_F(GrpcAgentClientTest, PowerOffWithoutAReplyIsOk) {
  agent_.power_off = [&](auto*, const auto*, auto*) {
    server_->peer().Stop();
    return grpc::Status(grpc::StatusCode::UNAVAILABLE, "going down");
  };
  Serve();

  EXPECT_TRUE(client_->PowerOff(Soon()).ok());
  EXPECT_TRUE(absl::IsUnavailable(client_->PowerOff(Soon())))
      << "an agent that was not reached";
}

TEST_F(GrpcAgentClientTest, ReclaimSaysWhatItCameToAlsoWhenThatIsLess) {
  agent::v1::ReclaimMemoryRequest asked;
  agent_.reclaim_memory = [&](auto*,
                              const agent::v1::ReclaimMemoryRequest* request,
                              agent::v1::GuestResources* response) {
    asked = *request;
    *response = ScriptedAgent::GoodResources();
    response->set_memory_free_bytes(1 << 20);
    return grpc::Status::OK;
  };
  Serve();

  const auto size = client_->ReclaimMemory(64 << 20, Soon());

  ASSERT_TRUE(size.ok()) << size.status();
  EXPECT_EQ(size->memory_free_bytes, 1 << 20);
  EXPECT_EQ(asked.memory_free_bytes(), 64 << 20);
  EXPECT_GT(asked.timeout_nanos(), 0);
}

TEST_F(GrpcAgentClientTest, ACgroupIsReadWithTheFilesThatWereAskedFor) {
  agent::v1::ReadCgroupRequest asked;
  agent_.read_cgroup = [&](auto*, const agent::v1::ReadCgroupRequest* request,
                           agent::v1::ReadCgroupResponse* response) {
    asked = *request;
    response->set_cpu_weight(39);
    (*response->mutable_resources()->mutable_unified())["memory.high"] = "max";
    return grpc::Status::OK;
  };
  Serve();

  const auto cgroup =
      client_->ReadCgroup(kId, {"memory.high", "memory.low"}, Soon());

  ASSERT_TRUE(cgroup.ok()) << cgroup.status();
  EXPECT_EQ(cgroup->cpu_weight(), 39);
  EXPECT_EQ(cgroup->resources().unified().at("memory.high"), "max");
  EXPECT_EQ(asked.container_id(), kId.value());
  EXPECT_EQ(asked.files_size(), 2);
}

TEST_F(GrpcAgentClientTest, TheAgentOfAnEarlierDaemonHasNoSuchCall) {
  Serve();

  EXPECT_TRUE(
      absl::IsUnimplemented(client_->ReadCgroup(kId, {}, Soon()).status()));
}

TEST_F(GrpcAgentClientTest, AgentGetsLessTimeThanTheCall) {
  int64_t timeout = 0;
  agent_.set_cpus = [&](auto*, const agent::v1::SetOnlineCpusRequest* request,
                        agent::v1::GuestResources* response) {
    timeout = request->timeout_nanos();
    *response = ScriptedAgent::GoodResources();
    return grpc::Status::OK;
  };
  Serve();

  ASSERT_TRUE(client_->SetOnlineCpus(1, Soon()).ok());

  EXPECT_GT(timeout, 0);
  EXPECT_LT(timeout, absl::ToInt64Nanoseconds(absl::Seconds(30)));
  EXPECT_TRUE(
      absl::IsInvalidArgument(client_->SetOnlineCpus(0, Soon()).status()));
}

OutputChunk Chunk(OutputChunk::Stream stream, uint64_t offset,
                  const std::string& data, bool eof) {
  OutputChunk chunk;
  chunk.set_stream(stream);
  chunk.set_offset(offset);
  chunk.set_data(data);
  chunk.set_eof(eof);
  return chunk;
}

TEST_F(GrpcAgentClientTest, OutputGoesOnWhereItWasAndIsAcknowledged) {
  OutputRequest begin;
  std::vector<OutputRequest> acknowledged;
  const std::string data(64 << 10, 'x');
  agent_.output = [&](auto*, auto* stream) {
    EXPECT_TRUE(stream->Read(&begin));
    uint64_t at = begin.stdout_offset();
    OutputRequest next;
    for (int i = 0; i < 4; ++i, at += data.size()) {
      stream->Write(Chunk(OutputChunk::STDOUT, at, data, false));
      if (!stream->Read(&next)) break;
      acknowledged.push_back(next);
    }
    stream->Write(Chunk(OutputChunk::STDERR, 7, "e", true));
    stream->Write(Chunk(OutputChunk::STDOUT, at, "", true));
    while (stream->Read(&next)) acknowledged.push_back(next);
    return grpc::Status::OK;
  };
  Serve();
  OutputOffsets stored = {100, 7};

  const absl::Status status = client_->StreamOutput(
      kId, stored,
      [&](const OutputChunk& chunk) -> absl::StatusOr<OutputOffsets> {
        (chunk.stream() == OutputChunk::STDERR ? stored.stderr_bytes
                                               : stored.stdout_bytes) +=
            chunk.data().size();
        return stored;
      });
  server_ = nullptr;  // the agent has heard all that it will

  EXPECT_TRUE(status.ok()) << status;
  EXPECT_EQ(begin.container_id(), kId.value());
  EXPECT_EQ(begin.stdout_offset(), 100u);
  EXPECT_EQ(begin.stderr_offset(), 7u);
  ASSERT_GE(acknowledged.size(), 4u);
  EXPECT_EQ(acknowledged[3].stdout_offset(), 100 + 4 * data.size());
  EXPECT_EQ(acknowledged[3].container_id(), "");
  EXPECT_EQ(stored, (OutputOffsets{100 + 4 * data.size(), 8}));
}

TEST_F(GrpcAgentClientTest, SinkThatFailsEndsTheOutput) {
  agent_.output = [](grpc::ServerContext* context, auto* stream) {
    stream->Write(Chunk(OutputChunk::STDOUT, 0, "x", false));
    return ScriptedAgent::Hang(context);
  };
  Serve();

  EXPECT_TRUE(absl::IsResourceExhausted(client_->StreamOutput(
      kId, {}, [](const OutputChunk&) -> absl::StatusOr<OutputOffsets> {
        return absl::ResourceExhaustedError("disk full");
      })));
  EXPECT_TRUE(absl::IsInternal(client_->StreamOutput(
      kId, {}, [](const OutputChunk&) -> absl::StatusOr<OutputOffsets> {
        return OutputOffsets{2, 0};
      })));
}

TEST_F(GrpcAgentClientTest, UnknownContainerIsNotFound) {
  agent_.output = [](auto*, auto*) {
    return grpc::Status(grpc::StatusCode::NOT_FOUND, "no such container");
  };
  Serve();

  EXPECT_TRUE(absl::IsNotFound(client_->StreamOutput(
      kId, {}, [](const OutputChunk&) { return OutputOffsets(); })));
}

TEST_F(GrpcAgentClientTest, WatchTellsEveryExitUntilTheConnectionBreaks) {
  agent_.watch = [&](grpc::ServerContext* context, auto*, auto* writer) {
    ContainerExit exit;
    exit.set_exit_code(137);
    exit.set_container_id(std::string(64, 'a'));
    writer->Write(exit);
    exit.set_container_id(std::string(64, 'b'));
    writer->Write(exit);
    return ScriptedAgent::Hang(context);
  };
  Serve();
  std::vector<std::string> exits;

  const absl::Status status =
      client_->WatchExits([&](const ContainerExit& exit) {
        EXPECT_EQ(exit.exit_code(), 137);
        exits.push_back(exit.container_id());
        if (exits.size() == 2) server_->peer().CloseConnection();
      });

  EXPECT_TRUE(absl::IsUnavailable(status)) << status;
  EXPECT_EQ(exits, (std::vector<std::string>{std::string(64, 'a'),
                                             std::string(64, 'b')}));
}

TEST_F(GrpcAgentClientTest, ExecReturnsOutputUpToTheLimitAndTheExitCode) {
  ExecInput::Start start;
  bool input_closed = false;
  agent_.exec = [&](auto*, auto* stream) {
    ExecInput input;
    EXPECT_TRUE(stream->Read(&input));
    start = input.start();
    input_closed = !stream->Read(&input);
    ExecOutput output;
    for (int i = 0; i < 3; ++i) {
      output.set_stdout("12345");
      stream->Write(output);
      output.set_stderr("e");
      stream->Write(output);
    }
    output.set_exit_code(42);
    stream->Write(output);
    return grpc::Status::OK;
  };
  Serve();

  const absl::StatusOr<ExecSyncResult> result = client_->ExecSync(
      {.container = kId, .args = {"sh", "-c"}, .max_output_bytes = 7}, Soon());

  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_EQ(result->exit_code, 42);
  EXPECT_EQ(result->stdout_data, "123451");
  EXPECT_EQ(result->stderr_data, "e");
  EXPECT_EQ(start.container_id(), kId.value());
  EXPECT_EQ(start.args_size(), 2);
  EXPECT_GT(start.drain_timeout_nanos(), 0);
  EXPECT_TRUE(input_closed);
}

TEST_F(GrpcAgentClientTest, AnExecsTimeIsTheAgentsToEndAndToReport) {
  absl::Duration timeout, patience;
  agent_.exec = [&](grpc::ServerContext* context, auto* stream) {
    ExecInput input;
    stream->Read(&input);
    timeout = absl::Nanoseconds(input.start().timeout_nanos());
    patience = absl::FromChrono(context->deadline()) - clock_.Now();
    return grpc::Status(grpc::StatusCode::DEADLINE_EXCEEDED, "it is dead");
  };
  Serve();

  const absl::Status status =
      client_->ExecSync({.container = kId, .args = {"sleep"}}, Soon()).status();

  EXPECT_TRUE(absl::IsDeadlineExceeded(status)) << status;
  EXPECT_EQ(std::string(status.message()), "agent: it is dead");
  EXPECT_GT(timeout, absl::ZeroDuration());
  EXPECT_LE(timeout, absl::Seconds(30));
  // More than its process has, and not much more.
  EXPECT_GT(patience, timeout + absl::Seconds(1));
  EXPECT_LT(patience, timeout + absl::Seconds(10));
}

TEST_F(GrpcAgentClientTest, AnExecThatItsAgentDoesNotEndIsCancelledThere) {
  absl::Notification cancelled;
  HangExecUntilCancelled(&cancelled);
  Serve();
  ASSERT_TRUE(client_->Connect(Soon()).ok());

  const absl::Status status =
      client_
          ->ExecSync({.container = kId, .args = {"sleep"}},
                     clock_.Now() + absl::Milliseconds(100))
          .status();

  EXPECT_TRUE(absl::IsDeadlineExceeded(status)) << status;
  cancelled.WaitForNotification();
}

TEST_F(GrpcAgentClientTest, ExecThatNobodyWaitsForIsCancelledInTheAgent) {
  absl::Notification begun, cancelled;
  agent_.exec = [&](grpc::ServerContext* context, auto*) {
    begun.Notify();
    const grpc::Status status = ScriptedAgent::Hang(context);
    cancelled.Notify();
    return status;
  };
  Serve();
  std::stop_source client;
  std::jthread leaves([&] {
    begun.WaitForNotification();
    client.request_stop();
  });

  const absl::Status status =
      client_
          ->ExecSync(
              {.container = kId, .args = {"sleep"}, .gone = client.get_token()},
              absl::InfiniteFuture())
          .status();

  EXPECT_TRUE(absl::IsCancelled(status)) << status;
  cancelled.WaitForNotification();
  // The other calls of the session do not notice.
  EXPECT_TRUE(client_->Observe(Soon()).ok());
  EXPECT_EQ(sessions(), 1);
}

}  // namespace
}  // namespace podvisor
