#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "base/errno_status.h"
#include "base/file.h"
#include "base/ids.h"
#include "base/log.h"
#include "base/status_macros.h"
#include "guestagent/agent/container_state.h"
#include "guestagent/agent/crun_console.h"
#include "guestagent/agent/hosts_file.h"
#include "guestagent/agent/image_path.h"
#include "guestagent/agent/oci_devices.h"
#include "guestagent/agent/oci_spec.h"
#include "guestagent/agent/user_database.h"

namespace podvisor {
namespace {

constexpr size_t kMaxEtcFileBytes = 64 << 10;
constexpr absl::Duration kUndoTimeout = absl::Seconds(10);

struct Pipe {
  UniqueFd read;
  UniqueFd write;
};

absl::StatusOr<Pipe> MakePipe() {
  int fds[2];
  if (pipe2(fds, O_CLOEXEC) != 0) return ErrnoStatus(errno, "pipe");
  return Pipe{UniqueFd(fds[0]), UniqueFd(fds[1])};
}

// Both ends of a new container's streams. With a terminal there are none
// until crun has made it.
struct ContainerPipes {
  Pipe in, out, err;
  std::optional<ConsoleSocket> console;

  CrunStreams ForCrun(int oom_score_adj) const {
    return {in.read.get(), out.write.get(), err.write.get(),
            console ? console->path() : std::string(), oom_score_adj};
  }
};

absl::StatusOr<ContainerPipes> MakePipes(const agent::v1::ContainerSpec& spec,
                                         const std::string& bundle_dir) {
  ContainerPipes pipes;
  if (spec.tty()) {
    ASSIGN_OR_RETURN(ConsoleSocket console,
                     ConsoleSocket::Listen(bundle_dir + "/console"));
    pipes.console.emplace(std::move(console));
    return pipes;
  }
  ASSIGN_OR_RETURN(pipes.out, MakePipe());
  ASSIGN_OR_RETURN(pipes.err, MakePipe());
  if (spec.stdin()) {
    ASSIGN_OR_RETURN(pipes.in, MakePipe());
  }
  return pipes;
}

absl::Status WriteEtcFiles(const ContainerFiles& files, const SandboxView& view,
                           OciEnvironment* environment) {
  if (!view.resolv_conf_file.empty()) {
    ASSIGN_OR_RETURN(const std::string text,
                     ReadFile(view.resolv_conf_file, kMaxEtcFileBytes));
    ASSIGN_OR_RETURN(environment->resolv_conf_file,
                     files.WriteEtcFile("resolv.conf", text));
  }
  ASSIGN_OR_RETURN(environment->hostname_file,
                   files.WriteEtcFile("hostname", view.hostname + "\n"));
  ASSIGN_OR_RETURN(
      environment->hosts_file,
      files.WriteEtcFile("hosts", HostsFile(view.hostname, view.addresses)));
  return absl::OkStatus();
}

// The PID namespace to join; empty for a new one. `target` is looked at with
// TARGET only.
absl::StatusOr<std::string> ChoosePidNamespace(
    const agent::v1::ContainerSpec& spec, const SandboxView& view,
    const ContainerEntry* target) {
  switch (spec.pid_namespace()) {
    case agent::v1::ContainerSpec::POD:
      return view.pid_namespace;
    case agent::v1::ContainerSpec::CONTAINER:
      return std::string();
    case agent::v1::ContainerSpec::TARGET: {
      const ContainerEntry::View view_of_target = target->Look();
      if (view_of_target.state != agent::v1::ContainerState::RUNNING) {
        return absl::FailedPreconditionError(
            "the container whose processes are to be shared does not run");
      }
      return absl::StrCat("/proc/", view_of_target.pid, "/ns/pid");
    }
    default:
      return absl::InvalidArgumentError("no PID namespace mode is given");
  }
}

// Undoes a crun create, whole or in part.
class CrunContainer {
 public:
  CrunContainer(const CrunDriver* crun, const ContainerEntry* entry)
      : crun_(crun), entry_(entry) {}
  CrunContainer(const CrunContainer&) = delete;
  CrunContainer& operator=(const CrunContainer&) = delete;
  ~CrunContainer() {
    if (kept_) return;
    const CgroupDirectory& cgroup = entry_->cgroup();
    absl::Status undone = cgroup.KillAll();
    undone.Update(cgroup.Remove(Deadline::After(kUndoTimeout)));
    undone.Update(crun_->Forget(entry_->id()));
    if (!undone.ok()) {
      Log(LogLevel::kError, "a container that failed leaves something behind",
          {{"error", undone.message()}});
    }
  }

  void Keep() { kept_ = true; }

 private:
  const CrunDriver* const crun_;
  const ContainerEntry* const entry_;
  bool kept_ = false;
};

// The reading ends become the container's output.
absl::StatusOr<std::shared_ptr<ContainerOutput>> OpenOutput(
    OutputPump* pump, ContainerPipes* pipes, UniqueFd* stdin_writer) {
  if (!pipes->console) {
    *stdin_writer = std::move(pipes->in.write);
    return ContainerOutput::Open(pump, std::move(pipes->out.read),
                                 std::move(pipes->err.read));
  }
  ASSIGN_OR_RETURN(UniqueFd master,
                   pipes->console->Receive(Deadline::After(kCrunTimeout)));
  // Input goes to the same terminal.
  stdin_writer->Reset(fcntl(master.get(), F_DUPFD_CLOEXEC, 3));
  if (!stdin_writer->valid()) return ErrnoStatus(errno, "dup a terminal");
  return ContainerOutput::Open(pump, std::move(master), UniqueFd());
}

ChildReaper::ExitCallback OnExit(std::shared_ptr<ContainerEntry> entry,
                                 std::shared_ptr<ContainerExits> exits) {
  return [entry = std::move(entry), exits = std::move(exits)](int status) {
    agent::v1::ContainerExit exit;
    exit.set_container_id(entry->id());
    exit.set_exit_code(WIFSIGNALED(status) ? 128 + WTERMSIG(status)
                                           : WEXITSTATUS(status));
    // The kernel counts an OOM kill before it sends the signal.
    exit.set_oom_killed(exit.exit_code() != 0 && entry->cgroup().HadOomKill());
    exit.set_finished_at_unix_nanos(absl::ToUnixNanos(SystemClock().Now()));
    // In a shared PID namespace the rest would live on.
    const absl::Status killed = entry->cgroup().KillAll();
    if (!killed.ok()) {
      Log(LogLevel::kError, "an exited container's processes",
          {{"error", killed.message()}});
    }
    entry->MarkExited(exit);
    exits->Publish(exit);
  };
}

// crun looks for a container's program when it creates, but it is the start
// that is to fail then: the container's other files are as they should be, and
// clients look for its end.
absl::Status KeepWithoutProcess(const ContainerFiles& files,
                                const absl::Status& start_error,
                                OutputPump* pump, ContainerEntry* entry) {
  ASSIGN_OR_RETURN(const std::shared_ptr<ContainerOutput> silent,
                   ContainerOutput::Open(pump, UniqueFd(), UniqueFd()));
  entry->MarkCreated({.state = agent::v1::ContainerState::CREATED,
                      .pid = 0,
                      .oom_score_adj = 0,
                      .bundle_dir = files.bundle_dir(),
                      .scratch_dir = files.scratch_dir(),
                      .input = nullptr,
                      .output = silent,
                      .exit = {},
                      .start_error = start_error},
                     UniqueFd());
  return absl::OkStatus();
}

void AddSandbox(const SandboxView& view, OciEnvironment* environment) {
  environment->ipc_namespace = view.ipc_namespace;
  environment->uts_namespace = view.uts_namespace;
  environment->user_namespace = view.user_namespace;
  environment->network_namespace = view.network_namespace;
  environment->ids = view.ids;
  environment->shm_dir = view.shm_dir;
}

void AddDevices(OciEnvironment* environment) {
  environment->devices = ListDeviceNodes("/dev");
  environment->agent_port_major =
      FindPortMajor(ReadFile("/proc/devices").value_or(""));
}

struct OpenedStreams {
  std::shared_ptr<ContainerOutput> output;
  std::shared_ptr<ContainerInput> input;
};

absl::StatusOr<OpenedStreams> OpenStreams(const agent::v1::ContainerSpec& spec,
                                          OutputPump* pump,
                                          ContainerPipes* pipes) {
  UniqueFd stdin_writer;
  ASSIGN_OR_RETURN(std::shared_ptr<ContainerOutput> output,
                   OpenOutput(pump, pipes, &stdin_writer));
  absl::StatusOr<std::shared_ptr<ContainerInput>> input =
      ContainerInput::Open(std::move(stdin_writer), {.accepts = spec.stdin(),
                                                     .once = spec.stdin_once(),
                                                     .terminal = spec.tty()});
  if (!input.ok()) {
    output->Abandon();
    return input.status();
  }
  return OpenedStreams{std::move(output), *std::move(input)};
}

absl::StatusOr<std::vector<std::string>> FindImagePaths(
    const agent::v1::ContainerSpec& spec, const std::string& images_dir) {
  std::vector<std::string> image_paths;
  for (const agent::v1::Mount& mount : spec.mounts()) {
    if (mount.kind() != agent::v1::Mount::IMAGE) continue;
    if (!IsHexId(mount.source())) {
      return absl::InvalidArgumentError("not the name of an image");
    }
    const absl::StatusOr<std::string> path = PathInImage(
        absl::StrCat(images_dir, "/", mount.source()), mount.sub_path());
    RETURN_IF_ERROR(Annotate(path.status(), "ImageVolumeMountFailed"));
    image_paths.push_back(*path);
  }
  return image_paths;
}

// The devices that a spec asks for, those that come with a driver too.
absl::StatusOr<std::vector<DeviceGrant>> GrantDevices(
    const agent::v1::ContainerSpec& spec, KernelModules* modules) {
  std::vector<DeviceGrant> grants;
  for (const agent::v1::Mount& mount : spec.mounts()) {
    if (mount.kind() != agent::v1::Mount::DEVICE) continue;
    // A driver has its device's name.
    const std::string& path = mount.source();
    RETURN_IF_ERROR(modules->Load(path.substr(path.rfind('/') + 1)));
    ASSIGN_OR_RETURN(DeviceNode node, FindCharacterDevice(path));
    // On a host this is udev's: the kernel keeps /dev/net/tun for root.
    if (node.mode != 0666 && chmod(path.c_str(), 0666) != 0) {
      return ErrnoStatus(errno, absl::StrCat("chmod ", path));
    }
    grants.push_back({std::move(node), mount.access()});
  }
  return grants;
}

absl::Status WriteOciConfig(const agent::v1::ContainerSpec& spec,
                            const ResolvedUser& user,
                            const OciEnvironment& environment,
                            const std::string& bundle_dir) {
  ASSIGN_OR_RETURN(const std::string config,
                   BuildOciConfig(spec, user, environment));
  return WriteFileAtomically(bundle_dir + "/config.json", config);
}

void Answer(const ResolvedUser& user,
            agent::v1::CreateContainerResponse* response) {
  response->set_uid(user.uid);
  response->set_gid(user.gid);
  for (int64_t gid : user.groups) response->add_supplemental_groups(gid);
}

}  // namespace

absl::Status ContainerRuntime::State::Create(
    const agent::v1::ContainerSpec& spec,
    const std::shared_ptr<ContainerEntry>& entry,
    agent::v1::CreateContainerResponse* response) {
  if (!IsHexId(spec.root().image())) {
    return absl::InvalidArgumentError("not the name of an image");
  }
  ASSIGN_OR_RETURN(const SandboxView view, namespaces->View());
  OciEnvironment environment;
  std::shared_ptr<ContainerEntry> target;
  if (spec.pid_namespace() == agent::v1::ContainerSpec::TARGET) {
    ASSIGN_OR_RETURN(target, Find(spec.pid_target()));
  }
  ASSIGN_OR_RETURN(environment.pid_namespace,
                   ChoosePidNamespace(spec, view, target.get()));
  RETURN_IF_ERROR(MakeDirectories(paths.run_dir + "/containers", 0711));
  RETURN_IF_ERROR(MakeDirectories(paths.run_dir + "/crun"));
  // The first container may come before the drivers are all there.
  RETURN_IF_ERROR(modules->Load("overlay"));
  ASSIGN_OR_RETURN(
      std::unique_ptr<ContainerFiles> files,
      ContainerFiles::Create(
          {.image_dir = paths.images_dir + "/" + spec.root().image(),
           .scratch_dir = paths.scratch_dir + "/" + entry->id(),
           .bundle_dir = BundleDir(entry->id()),
           .root = view.ids.has_value() ? view.ids->host_id : 0}));

  ASSIGN_OR_RETURN(const UserDatabase database,
                   ReadUserDatabase(files->rootfs()));
  ASSIGN_OR_RETURN(const ResolvedUser user, ResolveUser(spec.user(), database));
  environment.container_id = entry->id();
  environment.rootfs = files->rootfs();
  environment.share_dir = paths.share_dir;
  ASSIGN_OR_RETURN(environment.image_paths,
                   FindImagePaths(spec, paths.images_dir));
  AddSandbox(view, &environment);
  ASSIGN_OR_RETURN(environment.grants, GrantDevices(spec, modules));
  if (spec.privileged()) AddDevices(&environment);
  RETURN_IF_ERROR(WriteEtcFiles(*files, view, &environment));
  RETURN_IF_ERROR(WriteOciConfig(spec, user, environment, files->bundle_dir()));

  ASSIGN_OR_RETURN(ContainerPipes pipes, MakePipes(spec, files->bundle_dir()));
  CrunContainer container(&crun, entry.get());
  const ChildReaper::AdoptionWindow window(reaper);
  const absl::StatusOr<pid_t> created = crun.Create(
      entry->id(), files->bundle_dir(), pipes.ForCrun(spec.oom_score_adj()),
      Deadline::After(kCrunTimeout));
  if (absl::IsInvalidArgument(created.status())) {
    RETURN_IF_ERROR(
        KeepWithoutProcess(*files, created.status(), &pump, entry.get()));
    entry->files = std::move(files);
    Answer(user, response);
    return absl::OkStatus();
  }
  ASSIGN_OR_RETURN(const pid_t pid, created);
  UniqueFd pidfd(static_cast<int>(syscall(SYS_pidfd_open, pid, 0)));
  if (!pidfd.valid()) {
    return absl::InternalError("the container's first process died at once");
  }
  ASSIGN_OR_RETURN(OpenedStreams streams, OpenStreams(spec, &pump, &pipes));
  entry->MarkCreated({.state = agent::v1::ContainerState::CREATED,
                      .pid = pid,
                      .oom_score_adj = spec.oom_score_adj(),
                      .bundle_dir = files->bundle_dir(),
                      .scratch_dir = files->scratch_dir(),
                      .input = std::move(streams.input),
                      .output = streams.output,
                      .exit = {},
                      .start_error = {}},
                     std::move(pidfd));
  const absl::Status adopted = reaper->Adopt(pid, OnExit(entry, exits));
  if (!adopted.ok()) {
    streams.output->Abandon();
    return Annotate(adopted, "the container's first process");
  }
  container.Keep();
  entry->files = std::move(files);
  Answer(user, response);
  return absl::OkStatus();
}

}  // namespace podvisor
