// What crun itself takes inside a pod's guest: the floor of P5 and P6.
//
//   guest_floor serve    the main process of a privileged container
//   guest_floor start    asks it for one `crun create` and `crun start`
//   guest_floor first    what the first of these took, when it began to serve
//   guest_floor exec     asks it for one `crun exec` of `true`
//
// Those that ask print nanoseconds of the guest's clock. They are timed by the
// one that serves, which has lived since before: what TCG runs first it has to
// translate, page by page of memory, and our agent lives long as well. Its
// first run is what a pod's first container is to be compared with: its crun
// lies in pages of its own, which nobody has run before.
//
// Nothing of the product is changed for it. No container sees the guest's own
// root, not even a privileged one, so /bench has the files of its initramfs,
// taken from the initrd.img that the pod booted. From these the server makes a
// root like the guest's: the same crun, run from a sealed copy in memory as the
// agent runs it (from a file it starts three times), on a tmpfs; the image's
// disk, mounted once more; an overlay on the pod's scratch disk; the guest's
// cgroups. The configuration is what the agent writes for such a container.
// Outside of what is timed: the overlay, config.json, and all clearing up.

#include <dirent.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "base/deadline.h"
#include "base/errno_status.h"
#include "base/file.h"
#include "base/process.h"
#include "base/status_macros.h"
#include "base/unique_fd.h"
#include "guestagent/agent/crun_program.h"
#include "guestagent/agent/oci_spec.h"

namespace podvisor::bench {
namespace {

using Clock = std::chrono::steady_clock;

constexpr char kRoot[] = "/floor";
constexpr char kBundle[] = "/run/bundle";
constexpr char kMainId[] = "floor-main";
constexpr absl::Duration kPatience = absl::Seconds(60);
// Less than an exec of TestNode's may take.
constexpr absl::Duration kServerTime = absl::Seconds(25);

absl::Status Mount(const char* source, const std::string& target,
                   const char* type, unsigned long flags,
                   const std::string& options = "") {
  RETURN_IF_ERROR(MakeDirectories(target, 0755));
  if (mount(source, target.c_str(), type, flags, options.c_str()) == 0) {
    return absl::OkStatus();
  }
  return ErrnoStatus(errno, absl::StrCat("mount ", source, " at ", target));
}

// The pod's disks: of images the first, and the one for scratch.
absl::Status MountDisks() {
  bool image = false, scratch = false;
  for (char letter = 'a'; letter <= 'z'; ++letter) {
    const std::string disk = absl::StrCat("/dev/vd", std::string(1, letter));
    image = image || Mount(disk.c_str(), absl::StrCat(kRoot, "/image"),
                           "squashfs", MS_RDONLY)
                         .ok();
    scratch =
        scratch ||
        Mount(disk.c_str(), absl::StrCat(kRoot, "/scratch"), "ext4", 0).ok();
  }
  if (image && scratch) return absl::OkStatus();
  return absl::NotFoundError("the disks of the image and for scratch");
}

// A root like the guest's own.
absl::Status EnterRoot() {
  if (unshare(CLONE_NEWNS) != 0) return ErrnoStatus(errno, "unshare");
  RETURN_IF_ERROR(Mount("none", "/", nullptr, MS_REC | MS_PRIVATE));
  RETURN_IF_ERROR(Mount("tmpfs", kRoot, "tmpfs", 0));
  CommandOptions copy;
  // This program keeps its path, for those that ask.
  copy.argv = {"sh", "-c",
               absl::StrCat("cp -a /bench/. ", kRoot, " && cd ", kRoot,
                            " && mkdir bench && mv guest_floor bench")};
  ASSIGN_OR_RETURN(const CommandResult copied, RunCommand(copy));
  if (copied.exit_code != 0) return absl::InternalError(copied.stderr_data);
  RETURN_IF_ERROR(MountDisks());
  RETURN_IF_ERROR(
      Mount("/sys", absl::StrCat(kRoot, "/sys"), nullptr, MS_BIND | MS_REC));
  RETURN_IF_ERROR(
      Mount("/dev", absl::StrCat(kRoot, "/dev"), nullptr, MS_BIND | MS_REC));
  // Of the PID namespace in which crun runs here.
  RETURN_IF_ERROR(Mount("proc", absl::StrCat(kRoot, "/proc"), "proc", 0));
  if (chdir(kRoot) != 0 || syscall(SYS_pivot_root, ".", ".") != 0 ||
      umount2(".", MNT_DETACH) != 0 || chdir("/") != 0) {
    return ErrnoStatus(errno, "enter the new root");
  }
  for (const char* directory : {"/scratch/floor/upper", "/scratch/floor/work",
                                "/run/shm", "/run/crun", kBundle}) {
    RETURN_IF_ERROR(MakeDirectories(directory, 0755));
  }
  for (const char* file : {"/run/hostname", "/run/hosts"}) {
    RETURN_IF_ERROR(WriteFileAtomically(file, "floor\n", 0644));
  }
  return Mount("overlay", "/run/rootfs", "overlay", 0,
               "lowerdir=/image,upperdir=/scratch/floor/upper,"
               "workdir=/scratch/floor/work");
}

class Crun {
 public:
  explicit Crun(SealedProgram program) : program_(std::move(program)) {}

  // One run to its end, and how long it took.
  absl::StatusOr<absl::Duration> Run(
      const std::vector<std::string>& arguments) const {
    SpawnOptions options;
    options.argv = {program_.path(), "--root",
                    "/run/crun",     "--cgroup-manager=cgroupfs",
                    "--log",         "/run/crun.log",
                    "--log-format",  "json"};
    options.argv.insert(options.argv.end(), arguments.begin(), arguments.end());
    options.close_others = false;  // it is executed by its descriptor
    const Clock::time_point start = Clock::now();
    ASSIGN_OR_RETURN(const ProcessIdentity crun, Spawn(options));
    ASSIGN_OR_RETURN(const int status,
                     WaitProcess(crun, Deadline::After(kPatience)));
    const absl::Duration took = absl::FromChrono(Clock::now() - start);
    if (status == 0) return took;
    return absl::InternalError(
        absl::StrCat("crun ", arguments[0], ": status ", status, " ",
                     ReadFile("/run/crun.log").value_or("")));
  }

 private:
  const SealedProgram program_;
};

// The bundle is the agent's for `sh -c "sleep 1000"` in the pod's PID
// namespace, with the container's own cgroup.
absl::Status WriteBundle(const std::string& id) {
  agent::v1::ContainerSpec spec;
  for (const char* word : {"sh", "-c", "sleep 1000"}) spec.add_args(word);
  spec.set_pid_namespace(agent::v1::ContainerSpec::POD);
  OciEnvironment environment;
  environment.container_id = id;
  environment.rootfs = "/run/rootfs";
  environment.ipc_namespace = "/proc/1/ns/ipc";
  environment.uts_namespace = "/proc/1/ns/uts";
  environment.pid_namespace = "/proc/1/ns/pid";
  environment.shm_dir = "/run/shm";
  environment.hostname_file = "/run/hostname";
  environment.hosts_file = "/run/hosts";
  ResolvedUser root;
  root.groups = {0};
  root.home = "/";
  ASSIGN_OR_RETURN(const std::string config,
                   BuildOciConfig(spec, root, environment));
  RETURN_IF_ERROR(
      WriteFileAtomically(absl::StrCat(kBundle, "/config.json"), config));
  ASSIGN_OR_RETURN(const std::string process,
                   BuildExecProcess(config, {"true"}, /*tty=*/false));
  return WriteFileAtomically("/run/process.json", process);
}

absl::StatusOr<absl::Duration> CreateAndStart(const Crun& crun,
                                              const std::string& id) {
  RETURN_IF_ERROR(WriteBundle(id));
  ASSIGN_OR_RETURN(
      const absl::Duration create,
      crun.Run({"create", "--bundle", kBundle, "--pid-file", "/run/pid", id}));
  ASSIGN_OR_RETURN(const absl::Duration start, crun.Run({"start", id}));
  return create + start;
}

// The first process of a container is ours to reap: the pod's is not told.
absl::Status Delete(const Crun& crun, const std::string& id) {
  RETURN_IF_ERROR(crun.Run({"delete", "--force", id}).status());
  while (waitpid(-1, nullptr, WNOHANG) > 0) {
  }
  return absl::OkStatus();
}

absl::StatusOr<absl::Duration> Measure(const Crun& crun, absl::string_view what,
                                       int number, absl::Duration first) {
  if (what == "first") return first;
  if (what == "exec") {
    return crun.Run({"exec", "--process", "/run/process.json", kMainId});
  }
  const std::string id = absl::StrCat("floor-", number);
  ASSIGN_OR_RETURN(const absl::Duration took, CreateAndStart(crun, id));
  RETURN_IF_ERROR(Delete(crun, id));
  return took;
}

// In the pod's network namespace, which its containers share.
UniqueFd Socket(sockaddr_un* address) {
  *address = {};
  address->sun_family = AF_UNIX;
  strcpy(address->sun_path + 1, "podvisor-floor");
  return UniqueFd(socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0));
}

absl::Status Serve() {
  prctl(PR_SET_CHILD_SUBREAPER, 1);
  RETURN_IF_ERROR(EnterRoot());
  ASSIGN_OR_RETURN(SealedProgram program, SealedProgram::Load("/usr/bin/crun"));
  const Crun crun(std::move(program));
  ASSIGN_OR_RETURN(const absl::Duration first, CreateAndStart(crun, kMainId));
  sockaddr_un address;
  const UniqueFd socket = Socket(&address);
  if (bind(socket.get(), reinterpret_cast<sockaddr*>(&address),
           sizeof(address)) != 0 ||
      listen(socket.get(), 1) != 0) {
    return ErrnoStatus(errno, "listen");
  }
  for (int number = 0;; ++number) {
    const UniqueFd client(
        accept4(socket.get(), nullptr, nullptr, SOCK_CLOEXEC));
    char what[16] = "";
    if (read(client.get(), what, sizeof(what) - 1) <= 0) continue;
    const absl::StatusOr<absl::Duration> took =
        Measure(crun, what, number, first);
    const std::string answer =
        took.ok() ? absl::StrCat(absl::ToInt64Nanoseconds(*took))
                  : took.status().ToString();
    RETURN_IF_ERROR(WriteAll(client.get(), answer));
  }
}

absl::Status Ask(absl::string_view what) {
  sockaddr_un address;
  const UniqueFd socket = Socket(&address);
  // It may not serve yet.
  const Deadline end = Deadline::After(kServerTime);
  while (connect(socket.get(), reinterpret_cast<sockaddr*>(&address),
                 sizeof(address)) != 0) {
    if (end.IsOver()) return ErrnoStatus(errno, "connect");
    usleep(50'000);
  }
  RETURN_IF_ERROR(WriteAll(socket.get(), what));
  char answer[1024] = "";
  if (read(socket.get(), answer, sizeof(answer) - 1) <= 0) {
    return absl::UnavailableError("the server is gone");
  }
  puts(answer);
  return absl::OkStatus();
}

}  // namespace
}  // namespace podvisor::bench

int main(int argc, char** argv) {
  const std::string verb = argc == 2 ? argv[1] : "";
  const absl::Status done =
      verb == "serve" ? podvisor::bench::Serve() : podvisor::bench::Ask(verb);
  if (done.ok()) return 0;
  fprintf(stderr, "guest_floor: %s\n", done.ToString().c_str());
  return 1;
}
