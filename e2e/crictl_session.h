#ifndef PODVISOR_E2E_CRICTL_SESSION_H_
#define PODVISOR_E2E_CRICTL_SESSION_H_

#include <cstdint>
#include <string>
#include <vector>

#include "base/process.h"
#include "base/unique_fd.h"
#include "e2e/crictl_node.h"

namespace podvisor::e2e {

// A crictl that streams, with the test at its input and its output: through
// pipes, or through a terminal of 80 by 24. Standard error is part of the
// output. The destructor kills it. Not thread-safe.
class CrictlSession {
 public:
  enum class Through { kPipes, kTerminal };

  // Borrows the node until here only.
  CrictlSession(CrictlNode* node, Through through,
                std::vector<std::string> arguments);
  ~CrictlSession();

  CrictlSession(const CrictlSession&) = delete;
  CrictlSession& operator=(const CrictlSession&) = delete;

  void Say(const std::string& text);
  // Ends its standard input; through pipes only.
  void CloseInput() { in_.Reset(); }
  // Of the terminal.
  void Resize(uint16_t width, uint16_t height);

  // Everything that was heard, at the latest after 60 s, where a test fails
  // that did not hear `text`.
  const std::string& Await(const std::string& text);
  // Its exit code, once it has ended by itself.
  int AwaitExit();

  // As a client that dies.
  void Kill();

 private:
  // False at the end of the output.
  bool Hear(absl::Time deadline);

  UniqueFd in_;
  UniqueFd out_;
  std::string heard_;
  ProcessIdentity process_;
  bool ended_ = false;
};

}  // namespace podvisor::e2e

#endif  // PODVISOR_E2E_CRICTL_SESSION_H_
