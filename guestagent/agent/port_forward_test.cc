#include "guestagent/agent/port_forward.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "base/unique_fd.h"
#include "gtest/gtest.h"
#include "guestagent/agent.grpc.pb.h"

namespace podvisor {
namespace {

using agent::v1::Agent;
using agent::v1::PortForwardInput;
using agent::v1::PortForwardOutput;
using ClientStream =
    grpc::ClientReaderWriter<PortForwardInput, PortForwardOutput>;

class Service : public Agent::Service {
 public:
  grpc::Status PortForward(grpc::ServerContext* context,
                           PortForwards::Stream* stream) override {
    const absl::Status status = forwards.Serve("", context, stream);
    return grpc::Status(static_cast<grpc::StatusCode>(status.code()),
                        std::string(status.message()));
  }

  PortForwards forwards;
};

// A program that listens on a port that the kernel chose.
class Listener {
 public:
  explicit Listener(int family) {
    fd_.Reset(socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0));
    sockaddr_in6 address = {};
    socklen_t size = sizeof(address);
    address.sin6_family = AF_INET6;
    address.sin6_addr = in6addr_loopback;
    if (family == AF_INET) {
      auto* v4 = reinterpret_cast<sockaddr_in*>(&address);
      *v4 = {};
      v4->sin_family = AF_INET;
      v4->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
      size = sizeof(*v4);
    } else {
      const int on = 1;
      setsockopt(fd_.get(), IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof(on));
    }
    EXPECT_EQ(bind(fd_.get(), reinterpret_cast<sockaddr*>(&address), size), 0);
    EXPECT_EQ(listen(fd_.get(), 100), 0);
    getsockname(fd_.get(), reinterpret_cast<sockaddr*>(&address), &size);
    port_ = ntohs(address.sin6_port);  // at the same place in both
  }

  uint16_t port() const { return port_; }
  UniqueFd Accept() { return UniqueFd(accept(fd_.get(), nullptr, nullptr)); }

 private:
  UniqueFd fd_;
  uint16_t port_ = 0;
};

// Echoes until the end, and then says `after`.
void Echo(int fd, const std::string& after = "") {
  std::string data(100'000, '\0');
  ssize_t count;
  while ((count = read(fd, data.data(), data.size())) > 0) {
    ASSERT_EQ(send(fd, data.data(), static_cast<size_t>(count), MSG_NOSIGNAL),
              count);
  }
  send(fd, after.data(), after.size(), MSG_NOSIGNAL);
}

class PortForwardTest : public ::testing::Test {
 protected:
  PortForwardTest() {
    grpc::ServerBuilder builder;
    builder.RegisterService(&service_);
    server_ = builder.BuildAndStart();
    stub_ = Agent::NewStub(server_->InProcessChannel({}));
  }
  ~PortForwardTest() override {
    server_->Shutdown(std::chrono::system_clock::now());
  }

  struct Call {
    grpc::ClientContext context;
    std::unique_ptr<ClientStream> stream;
    PortForwardOutput output;

    void Say(const std::string& data) {
      PortForwardInput input;
      input.set_data(data);
      stream->Write(input);
    }
    void End() {
      PortForwardInput input;
      input.set_end_of_data(true);
      stream->Write(input);
    }
    // Everything up to the end of data.
    std::string ReadAll() {
      std::string all;
      while (stream->Read(&output) && !output.end_of_data()) {
        EXPECT_LE(output.data().size(), 64u << 10);
        EXPECT_EQ(output.error(), "");
        all += output.data();
      }
      EXPECT_TRUE(output.end_of_data());
      return all;
    }
    grpc::Status Leave() {
      stream->WritesDone();
      while (stream->Read(&output)) {
      }
      return stream->Finish();
    }
  };

  // With its first answer, if there is one.
  std::unique_ptr<Call> Open(uint32_t port) {
    auto call = std::make_unique<Call>();
    call->stream = stub_->PortForward(&call->context);
    PortForwardInput input;
    input.set_port(port);
    call->stream->Write(input);
    call->stream->Read(&call->output);
    return call;
  }

  Service service_;
  std::unique_ptr<grpc::Server> server_;
  std::unique_ptr<Agent::Stub> stub_;
};

TEST_F(PortForwardTest, EightMebibytesGoBothWaysAndEachSideEndsByItself) {
  for (const int family : {AF_INET, AF_INET6}) {
    Listener listener(family);
    std::thread program([&] { Echo(listener.Accept().get(), "bye"); });
    const auto call = Open(listener.port());
    ASSERT_TRUE(call->output.connected()) << call->output.error();
    std::string sent;
    std::thread writer([&] {
      for (int i = 0; i < 128; ++i) {
        const std::string data(64 << 10, static_cast<char>('a' + i % 26));
        call->Say(data);
        sent += data;
      }
      call->End();
    });
    const std::string received = call->ReadAll();
    writer.join();
    program.join();
    EXPECT_TRUE(received == sent + "bye") << received.size();
    EXPECT_TRUE(call->Leave().ok());
  }
}

TEST_F(PortForwardTest, ProgramThatEndsFirstStillHears) {
  Listener listener(AF_INET);
  std::string heard;
  std::thread program([&] {
    const UniqueFd fd = listener.Accept();
    shutdown(fd.get(), SHUT_WR);
    char byte;
    while (read(fd.get(), &byte, 1) == 1) heard += byte;
  });
  const auto call = Open(listener.port());
  EXPECT_EQ(call->ReadAll(), "");
  call->Say("late");
  EXPECT_TRUE(call->Leave().ok());
  program.join();
  EXPECT_EQ(heard, "late");
}

TEST_F(PortForwardTest, NobodyListeningIsAClearError) {
  uint16_t port;
  {
    const Listener listener(AF_INET);
    port = listener.port();
  }
  const auto call = Open(port);
  EXPECT_EQ(call->output.error(), "no connection to port " +
                                      std::to_string(port) +
                                      ": connect: Connection refused");
  EXPECT_TRUE(call->Leave().ok());
}

TEST_F(PortForwardTest, ConnectionThatBreaksIsAnError) {
  Listener listener(AF_INET);
  const auto call = Open(listener.port());
  ASSERT_TRUE(call->output.connected()) << call->output.error();
  {
    const UniqueFd fd = listener.Accept();
    const linger reset = {1, 0};
    setsockopt(fd.get(), SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
  }
  ASSERT_TRUE(call->stream->Read(&call->output));
  EXPECT_NE(call->output.error().find("Connection reset"), std::string::npos)
      << call->output.error();
  EXPECT_TRUE(call->Leave().ok());
}

TEST_F(PortForwardTest, NoPortIsInvalid) {
  for (const uint32_t port : {0u, 65536u, 1u << 31}) {
    EXPECT_EQ(Open(port)->stream->Finish().error_code(),
              grpc::StatusCode::INVALID_ARGUMENT);
  }
}

TEST_F(PortForwardTest, ConnectionsAreLimitedAndACancelledOneMakesRoom) {
  Listener listener(AF_INET);
  std::vector<std::unique_ptr<Call>> calls;
  for (int i = 0; i < PortForwards::kMaxOpen; ++i) {
    calls.push_back(Open(listener.port()));
    ASSERT_TRUE(calls.back()->output.connected())
        << calls.back()->output.error();
  }
  EXPECT_EQ(Open(listener.port())->stream->Finish().error_code(),
            grpc::StatusCode::RESOURCE_EXHAUSTED);

  calls[7]->context.TryCancel();
  EXPECT_EQ(calls[7]->stream->Finish().error_code(),
            grpc::StatusCode::CANCELLED);
  calls.erase(calls.begin() + 7);
  while (service_.forwards.open() == PortForwards::kMaxOpen) {
    std::this_thread::yield();
  }
  calls.push_back(Open(listener.port()));
  EXPECT_TRUE(calls.back()->output.connected());
  for (auto& call : calls) {
    call->context.TryCancel();
    call->stream->Finish();
  }
}

}  // namespace
}  // namespace podvisor
