#include "base/process.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <memory>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "absl/time/clock.h"
#include "base/errno_status.h"
#include "base/file.h"
#include "base/status_macros.h"

namespace podvisor {
namespace {

// How often a running command is asked for its end and for cancellation.
constexpr absl::Duration kLookAgain = absl::Milliseconds(100);

struct ProcessStat {
  char state = '?';
  uint64_t start_ticks = 0;
};

absl::StatusOr<ProcessStat> ReadStat(pid_t pid) {
  ASSIGN_OR_RETURN(const std::string text,
                   ReadFile(absl::StrCat("/proc/", pid, "/stat"), 4096));
  // The command name may hold anything, parentheses too: fields begin after
  // the last one.
  const size_t end = text.rfind(')');
  if (end == std::string::npos) {
    return absl::DataLossError("/proc/PID/stat has no command name");
  }
  const std::vector<std::string> fields = absl::StrSplit(
      absl::string_view(text).substr(end + 1), ' ', absl::SkipEmpty());
  ProcessStat stat;
  // Field 3 (state) is fields[0], field 22 (starttime) is fields[19].
  if (fields.size() < 20 || !absl::SimpleAtoi(fields[19], &stat.start_ticks)) {
    return absl::DataLossError("/proc/PID/stat is too short");
  }
  stat.state = fields[0][0];
  return stat;
}

Deadline AtWallTime(absl::Time time) {
  return Deadline::After(time - absl::Now());
}

// posix_spawn wants argv as char*.
std::vector<char*> Pointers(const std::vector<std::string>& strings) {
  std::vector<char*> pointers;
  pointers.reserve(strings.size() + 1);
  for (const std::string& s : strings) {
    pointers.push_back(const_cast<char*>(s.c_str()));
  }
  pointers.push_back(nullptr);
  return pointers;
}

// Where a program is in the PATH that the child will have. posix_spawnp() looks
// in ours, which is whatever the daemon was started with.
std::string FindProgram(const SpawnOptions& options) {
  const std::string& name = options.argv[0];
  if (absl::StrContains(name, '/')) return name;
  for (const std::string& variable : options.env) {
    absl::string_view path = variable;
    if (!absl::ConsumePrefix(&path, "PATH=")) continue;
    for (const absl::string_view directory : absl::StrSplit(path, ':')) {
      std::string candidate = absl::StrCat(directory, "/", name);
      if (access(candidate.c_str(), X_OK) == 0) return candidate;
    }
  }
  return name;
}

struct FileActions {
  posix_spawn_file_actions_t actions;
  FileActions() { posix_spawn_file_actions_init(&actions); }
  ~FileActions() { posix_spawn_file_actions_destroy(&actions); }
};

struct Attributes {
  posix_spawnattr_t attributes;
  Attributes() { posix_spawnattr_init(&attributes); }
  ~Attributes() { posix_spawnattr_destroy(&attributes); }
};

// A service manager may keep this process from being chosen when the host runs
// out of memory; what it starts must not have that by inheritance.
void ForgoOomProtection(pid_t child) {
  const absl::StatusOr<std::string> ours =
      ReadFile("/proc/self/oom_score_adj", 64);
  if (!ours.ok() || !absl::StartsWith(*ours, "-")) return;
  UniqueFd score(open(absl::StrCat("/proc/", child, "/oom_score_adj").c_str(),
                      O_WRONLY | O_CLOEXEC));
  // One that has ended already needs none.
  if (score.valid()) (void)WriteAll(score.get(), "0");
}

int ExitCode(int wait_status) {
  if (WIFSIGNALED(wait_status)) return 128 + WTERMSIG(wait_status);
  return WEXITSTATUS(wait_status);
}

struct Pipe {
  UniqueFd read;
  UniqueFd write;
};

absl::StatusOr<Pipe> MakePipe() {
  int fds[2];
  if (pipe2(fds, O_CLOEXEC) != 0) return ErrnoStatus(errno, "pipe2");
  return Pipe{UniqueFd(fds[0]), UniqueFd(fds[1])};
}

// Reads what is there; false at end of file.
bool Drain(int fd, std::string& into, size_t max_bytes) {
  char buffer[16384];
  const ssize_t n = read(fd, buffer, sizeof(buffer));
  if (n < 0) return errno == EINTR || errno == EAGAIN;
  if (n == 0) return false;
  const size_t room = max_bytes - std::min(max_bytes, into.size());
  into.append(buffer, std::min<size_t>(n, room));
  return true;
}

// The parent's ends of a running command's pipes.
struct CommandPipes {
  UniqueFd in;
  UniqueFd out;
  UniqueFd err;
  size_t written = 0;
};

// One round of feeding and draining, at most 100 ms long.
void Pump(CommandPipes& pipes, const CommandOptions& options,
          CommandResult& result, int timeout_ms) {
  pollfd polled[] = {{pipes.out.get(), POLLIN, 0},
                     {pipes.err.get(), POLLIN, 0},
                     {pipes.in.get(), POLLOUT, 0}};
  if (poll(polled, 3, timeout_ms) <= 0) return;
  if (polled[0].revents != 0 &&
      !Drain(pipes.out.get(), result.stdout_data, options.max_output_bytes)) {
    pipes.out.Reset();
  }
  if (polled[1].revents != 0 &&
      !Drain(pipes.err.get(), result.stderr_data, options.max_output_bytes)) {
    pipes.err.Reset();
  }
  if (polled[2].revents != 0) {
    const ssize_t n =
        write(pipes.in.get(), options.stdin_data.data() + pipes.written,
              options.stdin_data.size() - pipes.written);
    if (n > 0) pipes.written += n;
    const bool broken = n < 0 && errno != EAGAIN && errno != EINTR;
    if (broken || pipes.written == options.stdin_data.size()) pipes.in.Reset();
  }
}

// What is in the pipe when the command has ended is all that it wrote; a
// grandchild may keep the pipe open for ever.
void DrainRest(const UniqueFd& fd, std::string& into, size_t max_bytes) {
  if (!fd.valid()) return;
  fcntl(fd.get(), F_SETFL, O_NONBLOCK);
  int left = 0;
  while (ioctl(fd.get(), FIONREAD, &left) == 0 && left > 0 &&
         Drain(fd.get(), into, max_bytes)) {
  }
}

}  // namespace

absl::StatusOr<ProcessIdentity> IdentifyProcess(pid_t pid) {
  ASSIGN_OR_RETURN(const ProcessStat stat, ReadStat(pid));
  return ProcessIdentity{pid, stat.start_ticks};
}

bool IsAlive(const ProcessIdentity& process) {
  const absl::StatusOr<ProcessStat> stat = ReadStat(process.pid);
  // Whoever has no descriptor left to look with must not take it for dead.
  if (absl::IsResourceExhausted(stat.status())) {
    return kill(process.pid, 0) == 0 || errno == EPERM;
  }
  return stat.ok() && stat->start_ticks == process.start_ticks &&
         stat->state != 'Z' && stat->state != 'X';
}

absl::StatusOr<ProcessIdentity> Spawn(const SpawnOptions& options) {
  if (options.argv.empty()) return absl::InvalidArgumentError("empty argv");
  FileActions files;
  UniqueFd null(open("/dev/null", O_RDWR | O_CLOEXEC));
  if (!null.valid()) return ErrnoStatus(errno, "/dev/null");

  // Descriptors first go to numbers that clash with no source or target, so
  // that one mapping cannot overwrite what the next one still needs.
  std::vector<std::pair<int, int>> wanted = options.fds;
  const int standard[] = {options.stdin_fd, options.stdout_fd,
                          options.stderr_fd};
  for (int i = 0; i < 3; ++i) {
    wanted.emplace_back(standard[i] >= 0 ? standard[i] : null.get(), i);
  }
  int highest = 2, highest_target = 2;
  for (const auto& [from, to] : wanted) {
    highest = std::max({highest, from, to});
    highest_target = std::max(highest_target, to);
  }
  std::vector<UniqueFd> parked;
  for (const auto& [from, to] : wanted) {
    parked.emplace_back(fcntl(from, F_DUPFD_CLOEXEC, highest + 1));
    if (!parked.back().valid()) return ErrnoStatus(errno, "F_DUPFD_CLOEXEC");
    posix_spawn_file_actions_adddup2(&files.actions, parked.back().get(), to);
  }
  // Libraries make descriptors too, and not all of them close-on-exec: a VM
  // must not hold a socket of the daemon's.
  if (options.close_others) {
    posix_spawn_file_actions_addclosefrom_np(&files.actions,
                                             highest_target + 1);
  }

  Attributes spawn;
  sigset_t none, all;
  sigemptyset(&none);
  sigfillset(&all);
  posix_spawnattr_setsigmask(&spawn.attributes, &none);
  posix_spawnattr_setsigdefault(&spawn.attributes, &all);
  short flags = POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF;
  if (options.new_session) flags |= POSIX_SPAWN_SETSID;
  posix_spawnattr_setflags(&spawn.attributes, flags);

  pid_t pid = 0;
  const int error = posix_spawn(
      &pid, FindProgram(options).c_str(), &files.actions, &spawn.attributes,
      Pointers(options.argv).data(), Pointers(options.env).data());
  if (error != 0) return ErrnoStatus(error, options.argv[0]);
  ForgoOomProtection(pid);
  // It is our child and not yet reaped, so even a process that has already
  // ended can be identified.
  return IdentifyProcess(pid);
}

absl::StatusOr<int> WaitProcess(const ProcessIdentity& process,
                                Deadline deadline) {
  UniqueFd pidfd(syscall(SYS_pidfd_open, process.pid, 0));
  const absl::Status opened =
      pidfd.valid() ? absl::OkStatus() : ErrnoStatus(errno, "pidfd_open");
  if (absl::IsResourceExhausted(opened)) return opened;
  const absl::StatusOr<ProcessIdentity> now = IdentifyProcess(process.pid);
  if (absl::IsResourceExhausted(now.status())) return now.status();
  if (!opened.ok() || !now.ok() || *now != process) return 0;
  pollfd polled = {pidfd.get(), POLLIN, 0};
  int ready = 0;
  do {
    ready = poll(&polled, 1, deadline.PollMillis());
  } while (ready < 0 && errno == EINTR);
  if (ready == 0) {
    return absl::DeadlineExceededError(
        absl::StrCat("process ", process.pid, " is still running"));
  }
  int status = 0;
  if (waitpid(process.pid, &status, WNOHANG) == process.pid) return status;
  return 0;
}

absl::StatusOr<int> WaitProcess(const ProcessIdentity& process,
                                absl::Time deadline) {
  return WaitProcess(process, AtWallTime(deadline));
}

absl::Status KillGroup(const ProcessIdentity& process, Deadline deadline) {
  const absl::StatusOr<ProcessIdentity> now = IdentifyProcess(process.pid);
  if (absl::IsResourceExhausted(now.status())) return now.status();
  // As long as its leader is there, a zombie included, a group's number is not
  // given anew. Without the leader nobody can tell whose group it is.
  if (!now.ok() || *now != process) return absl::OkStatus();
  if (kill(-process.pid, SIGKILL) != 0 && errno != ESRCH) {
    return ErrnoStatus(errno, absl::StrCat("kill process group ", process.pid));
  }
  return WaitProcess(process, deadline).status();
}

absl::Status KillGroup(const ProcessIdentity& process, absl::Time deadline) {
  return KillGroup(process, AtWallTime(deadline));
}

absl::StatusOr<CommandResult> RunCommand(const CommandOptions& options) {
  ASSIGN_OR_RETURN(Pipe in, MakePipe());
  ASSIGN_OR_RETURN(Pipe out, MakePipe());
  ASSIGN_OR_RETURN(Pipe err, MakePipe());
  fcntl(in.write.get(), F_SETFL, O_NONBLOCK);

  SpawnOptions spawn;
  spawn.argv = options.argv;
  spawn.env = options.env;
  spawn.stdin_fd = in.read.get();
  spawn.stdout_fd = out.write.get();
  spawn.stderr_fd = err.write.get();
  ASSIGN_OR_RETURN(const ProcessIdentity process, Spawn(spawn));
  in.read.Reset();
  out.write.Reset();
  err.write.Reset();

  CommandPipes pipes = {std::move(in.write), std::move(out.read),
                        std::move(err.read)};
  if (options.stdin_data.empty()) pipes.in.Reset();
  const Deadline deadline = AtWallTime(options.deadline);
  CommandResult result;
  for (;;) {
    // With both pipes closed there is nothing to do but wait for the end.
    const bool open = pipes.out.valid() || pipes.err.valid();
    const absl::StatusOr<int> status = WaitProcess(
        process, Deadline::After(open ? absl::ZeroDuration()
                                      : std::min(deadline.Left(), kLookAgain)));
    if (status.ok()) {
      DrainRest(pipes.out, result.stdout_data, options.max_output_bytes);
      DrainRest(pipes.err, result.stderr_data, options.max_output_bytes);
      result.exit_code = ExitCode(*status);
      return result;
    }
    const bool cancelled = options.cancelled && options.cancelled();
    if (cancelled || deadline.IsOver()) {
      RETURN_IF_ERROR(KillGroup(process, Deadline::After(absl::Seconds(10))));
      const std::string name = options.argv[0];
      if (cancelled) return absl::CancelledError(name + " was cancelled");
      return absl::DeadlineExceededError(name + " took too long");
    }
    if (open) {
      Pump(pipes, options, result, deadline.PollMillis(kLookAgain));
    }
  }
}

}  // namespace podvisor
