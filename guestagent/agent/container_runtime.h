#ifndef PODVISOR_GUESTAGENT_AGENT_CONTAINER_RUNTIME_H_
#define PODVISOR_GUESTAGENT_AGENT_CONTAINER_RUNTIME_H_

#include <functional>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "guestagent/agent.grpc.pb.h"
#include "guestagent/agent.pb.h"

namespace podvisor {

// The cgroup v2 that all containers are in. The OCI runtime makes it with the
// first of them.
inline constexpr char kPodCgroup[] = "/sys/fs/cgroup/pod";

class ChildReaper;
class KernelModules;
class SandboxNamespaces;

// Where the guest keeps things. Every directory exists already, except that
// an image or the share may be mounted later.
struct SandboxPaths {
  std::string images_dir;   // images_dir/<image>: a mounted read-only image
  std::string scratch_dir;  // on the scratch disk: writable layers
  std::string share_dir;    // the pod's virtio-fs share
  std::string run_dir;      // tmpfs: bundles, root file systems, pid files
};

// The containers of this guest: an entry for each id between Create and
// Delete, its process (through crun), its output, its exit and its figures.
//
// Methods are the RPCs of agent.proto with the same names; the messages there
// are the contract. Container ids are 64 hexadecimal digits and image names
// too, else InvalidArgument.
//
// Thread-safe: calls for different containers run side by side, those for one
// container that change it one after the other. Streams block their thread.
// Lifetime: `namespaces`, `modules` and `reaper` outlive this object. The
// destructor ends all streams; containers run on.
//
// Errors: InvalidArgument (the request can never work), NotFound (no such
// container), AlreadyExists (Create), FailedPrecondition (wrong state, image
// or share not mounted, sandbox not configured), ResourceExhausted (no memory,
// disk or descriptors), DeadlineExceeded (crun did not answer), Cancelled
// (streams), Internal (crun failed; the message is its own, cleaned).
class ContainerRuntime {
 public:
  ContainerRuntime(SandboxPaths paths, SandboxNamespaces* namespaces,
                   KernelModules* modules, ChildReaper* reaper);
  ~ContainerRuntime();
  ContainerRuntime(const ContainerRuntime&) = delete;
  ContainerRuntime& operator=(const ContainerRuntime&) = delete;

  absl::Status Create(const agent::v1::CreateContainerRequest& request,
                      agent::v1::CreateContainerResponse* response);
  absl::Status Start(const agent::v1::StartContainerRequest& request,
                     agent::v1::StartContainerResponse* response);
  absl::Status Signal(const agent::v1::SignalContainerRequest& request,
                      agent::v1::SignalContainerResponse* response);
  absl::Status Update(const agent::v1::UpdateContainerRequest& request,
                      agent::v1::UpdateContainerResponse* response);
  absl::Status ReadCgroup(const agent::v1::ReadCgroupRequest& request,
                          agent::v1::ReadCgroupResponse* response);
  absl::Status Delete(const agent::v1::DeleteContainerRequest& request,
                      agent::v1::DeleteContainerResponse* response);
  absl::Status List(const agent::v1::ListContainersRequest& request,
                    agent::v1::ListContainersResponse* response);

  // Hands `write` one message for each container that has exited, then one
  // for each exit as it happens, until `write` returns false or
  // `is_cancelled`, which is asked at least twice a second, returns true.
  absl::Status WatchExits(
      const std::function<bool(const agent::v1::ContainerExit&)>& write,
      const std::function<bool()>& is_cancelled);

  // Fills everything except `resources`, which the caller observes.
  absl::Status GetStats(const agent::v1::GetStatsRequest& request,
                        agent::v1::GetStatsResponse* response);

  using OutputStream = grpc::ServerReaderWriter<agent::v1::OutputChunk,
                                                agent::v1::OutputRequest>;
  using ExecStream =
      grpc::ServerReaderWriter<agent::v1::ExecOutput, agent::v1::ExecInput>;

  using AttachStream =
      grpc::ServerReaderWriter<agent::v1::AttachOutput, agent::v1::AttachInput>;

  // `context` is asked for cancellation and cancelled to end the stream's
  // reader when the stream is over on this side.
  absl::Status StreamOutput(grpc::ServerContext* context, OutputStream* stream);
  absl::Status Exec(grpc::ServerContext* context, ExecStream* stream);
  absl::Status Attach(grpc::ServerContext* context, AttachStream* stream);

 private:
  class State;
  std::unique_ptr<State> state_;
};

}  // namespace podvisor

#endif  // PODVISOR_GUESTAGENT_AGENT_CONTAINER_RUNTIME_H_
