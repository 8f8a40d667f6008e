#ifndef PODVISOR_E2E_STREAMING_FIXTURE_H_
#define PODVISOR_E2E_STREAMING_FIXTURE_H_

#include <cstddef>
#include <functional>
#include <string>
#include <vector>

#include "base/process.h"
#include "e2e/crictl_node.h"
#include "e2e/crictl_session.h"
#include "gtest/gtest.h"

namespace podvisor::e2e {

// What there is, and should not be more of after a stream.
struct Census {
  // Of the daemon. Threads of its own, that is: gRPC has as many as it likes,
  // under names of its own.
  size_t threads = 0;
  size_t descriptors = 0;
  // Of the node: QEMU, virtiofsd, children of the daemon.
  size_t processes = 0;

  bool operator==(const Census&) const = default;
};

// Of a whole guest: threads, the kernel's too, and open files. A call that the
// agent still serves has a thread there. Neither is exact: the kernel's workers
// come and go, and it counts files by the batch.
struct GuestCensus {
  static constexpr size_t kThreadSlack = 16;
  static constexpr size_t kFileSlack = 64;

  size_t threads = 0;
  size_t files = 0;
};

// One node for all tests of a binary, with a pod and a container that sleeps;
// what is done to them by way of crictl, and what the daemon keeps of it.
class StreamingFixture : public testing::Test {
 protected:
  static void SetUpTestSuite();
  static void TearDownTestSuite();

  // A container of the pod; its id.
  static std::string Run(const std::string& name, const std::string& script,
                         bool with_stdin = false, bool tty = false);

  // A call of crictl's whose stream is carried by `transport`, as crictl has
  // it.
  static std::vector<std::string> Over(
      const std::string& transport, const std::string& verb,
      const std::vector<std::string>& arguments);

  // Standard output of a script in the container, not by way of a stream.
  static std::string Guest(const std::string& script);
  // ... and on the host.
  static std::string Host(const std::string& script);
  static bool GuestRuns(const std::string& process);

  // Once it stays as it is.
  static Census Count();
  // That there is no more of anything than before.
  static void ExpectNothingLeft(const Census& before);
  // The same of the guest, after something that was done more often than a
  // guest's census is inexact.
  static GuestCensus CountGuest();
  static void ExpectNothingLeftInGuest(const GuestCensus& before);
  // Calls `work` with 0, 1, ... `count` - 1, several at a time.
  static void SideBySide(int count, const std::function<void(int)>& work);

  // "127.0.0.1:PORT" of a crictl that forwards.
  static std::string AddressOf(CrictlSession& forwarding);
  // That so much arrives unchanged through forwarded ports of the container,
  // up and down at once; `transport` as crictl has it.
  static void ExpectBothWaysUnchanged(int mebibytes,
                                      const std::string& transport);

  static CrictlNode* node_;
  static std::string* pod_;
  static std::string* container_;

 private:
  static cri::PodSandboxConfig* config_;
};

}  // namespace podvisor::e2e

#endif  // PODVISOR_E2E_STREAMING_FIXTURE_H_
