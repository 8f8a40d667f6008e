#ifndef PODVISOR_IMAGE_REGISTRY_FIXTURE_H_
#define PODVISOR_IMAGE_REGISTRY_FIXTURE_H_

#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/process.h"

namespace podvisor {

// A real registry (docker-registry) on a free loopback port, with images made
// by umoci, for tests. Everything lives below one directory and ends with this.
class RegistryFixture {
 public:
  // Starts the registry and fills it; `directory` is replaced.
  explicit RegistryFixture(std::string directory);
  ~RegistryFixture();
  RegistryFixture(const RegistryFixture&) = delete;
  RegistryFixture& operator=(const RegistryFixture&) = delete;

  // Not OK: a tool is missing or failed; the message has its output.
  const absl::Status& status() const { return status_; }

  const std::string& host() const { return host_; }  // "127.0.0.1:PORT"
  const std::string& directory() const { return directory_; }

  // Runs a script in the directory; $HOST is the registry. Returns its output.
  absl::StatusOr<std::string> Shell(const std::string& script) const;

  absl::Status Start();
  void Stop();

 private:
  std::string directory_;
  std::string host_;
  ProcessIdentity process_;
  absl::Status status_;
};

}  // namespace podvisor

#endif  // PODVISOR_IMAGE_REGISTRY_FIXTURE_H_
