// A host daemon in small, to be killed: connects to the agent, says so, and
// then either idles or stores a container's output, until SIGKILL.
//
//   reconnect_peer SOCKET SECRET idle
//   reconnect_peer SOCKET SECRET stream CONTAINER OFFSET
//
// Writes 64-bit little-endian numbers to stdout: first the microseconds that
// connecting took, then in `stream` how far the output is stored, each time
// before it is acknowledged. The output must be numbered lines of 16 bytes.
// Exits with 0 at the end of the output, with 1 and a reason on any failure.

#include <unistd.h>

#include <cstdint>
#include <iostream>
#include <string>

#include "absl/strings/numbers.h"
#include "absl/strings/str_format.h"
#include "base/clock.h"
#include "base/file.h"
#include "guestagent/client/grpc_agent_client.h"

namespace podvisor {
namespace {

constexpr uint64_t kLineBytes = 16;

bool Tell(uint64_t value) {
  return WriteAll(STDOUT_FILENO,
                  absl::string_view(reinterpret_cast<const char*>(&value),
                                    sizeof(value)))
      .ok();
}

// The byte that belongs at `offset` of the output.
char ExpectedByte(uint64_t offset) {
  return absl::StrFormat("%015d\n", offset / kLineBytes)[offset % kLineBytes];
}

absl::Status CheckBytes(const agent::v1::OutputChunk& chunk) {
  std::string expected;
  expected.reserve(chunk.data().size() + 2 * kLineBytes);
  uint64_t at = chunk.offset();
  while (at % kLineBytes != 0 && expected.size() < chunk.data().size()) {
    expected.push_back(ExpectedByte(at++));
  }
  while (expected.size() < chunk.data().size()) {
    absl::StrAppendFormat(&expected, "%015d\n", at / kLineBytes);
    at += kLineBytes;
  }
  expected.resize(chunk.data().size());
  if (expected != chunk.data()) {
    return absl::DataLossError(
        absl::StrFormat("wrong output after offset %d", chunk.offset()));
  }
  return absl::OkStatus();
}

absl::Status Stream(GrpcAgentClient& client, const std::string& container,
                    uint64_t offset) {
  OutputOffsets stored = {offset, 0};
  return client.StreamOutput(
      ContainerId(container), stored,
      [&](const agent::v1::OutputChunk& chunk)
          -> absl::StatusOr<OutputOffsets> {
        if (chunk.stream() == agent::v1::OutputChunk::STDERR) return stored;
        if (absl::Status good = CheckBytes(chunk); !good.ok()) return good;
        stored.stdout_bytes += chunk.data().size();
        if (!Tell(stored.stdout_bytes)) return absl::AbortedError("no parent");
        return stored;
      });
}

absl::Status Run(int argc, char** argv) {
  uint64_t offset = 0;
  const std::string mode = argc > 3 ? argv[3] : "";
  if (mode != "idle" &&
      !(mode == "stream" && argc == 6 && absl::SimpleAtoi(argv[5], &offset))) {
    return absl::InvalidArgumentError("usage: see the source");
  }
  const absl::StatusOr<AgentSecret> secret = AgentSecret::FromHex(argv[2]);
  if (!secret.ok()) return secret.status();
  SystemClock clock;
  GrpcAgentClient client(argv[1], *secret, {}, &clock);

  const absl::Time start = clock.Now();
  absl::Status status = client.Connect(start + absl::Seconds(60));
  if (!status.ok()) return status;
  Tell(static_cast<uint64_t>(absl::ToInt64Microseconds(clock.Now() - start)));
  if (mode == "stream") return Stream(client, argv[4], offset);
  // Ends with SIGKILL, or with an error when the connection breaks.
  return client.WatchExits([](const agent::v1::ContainerExit&) {});
}

}  // namespace
}  // namespace podvisor

int main(int argc, char** argv) {
  const absl::Status status = podvisor::Run(argc, argv);
  if (status.ok()) return 0;
  std::cerr << status << "\n";
  return 1;
}
