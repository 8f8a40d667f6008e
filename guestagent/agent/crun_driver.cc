#include "guestagent/agent/crun_driver.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "base/errno_status.h"
#include "base/file.h"
#include "base/log.h"
#include "base/process.h"
#include "base/status_macros.h"
#include "base/unique_fd.h"
#include "guestagent/agent/crun_log.h"

namespace podvisor {
namespace {

constexpr char kProgram[] = "/usr/bin/crun";
constexpr size_t kMaxLogBytes = 64 << 10;
constexpr absl::Duration kKillTimeout = absl::Seconds(10);

// A file name that is free again when this goes.
class TemporaryFile {
 public:
  explicit TemporaryFile(std::string path) : path_(std::move(path)) {
    unlink(path_.c_str());
  }
  ~TemporaryFile() { unlink(path_.c_str()); }
  TemporaryFile(const TemporaryFile&) = delete;
  TemporaryFile& operator=(const TemporaryFile&) = delete;

  const std::string& path() const { return path_; }

 private:
  const std::string path_;
};

absl::Status ErrorFromLog(const std::string& log_file, absl::string_view verb) {
  const absl::StatusOr<std::string> log = ReadFile(log_file, kMaxLogBytes);
  std::string text = log.ok() ? CrunErrorText(*log) : std::string();
  if (text.empty()) text = "no reason given";
  const std::string message = absl::StrCat("crun ", verb, ": ", text);
  if (ExitCodeOfFailedCommand(text) != 0) {
    return absl::InvalidArgumentError(message);
  }
  return absl::InternalError(message);
}

// Children inherit the agent's protection from the OOM killer (-1000), and crun
// 1.8 takes a score of 0 in its configuration for "as it is", and sets none for
// an exec: a container would then fill its memory and hang instead of being
// killed. A process that is gone needs none.
void SetOomScore(pid_t pid, int score) {
  const UniqueFd fd(open(absl::StrCat("/proc/", pid, "/oom_score_adj").c_str(),
                         O_WRONLY | O_CLOEXEC));
  if (!fd.valid()) return;
  const absl::Status written = WriteAll(fd.get(), absl::StrCat(score));
  if (!written.ok()) {
    Log(LogLevel::kError, "oom_score_adj", {{"error", written.message()}});
  }
}

// Runs `crun [global options] arguments...` to its end.
absl::Status RunCrun(const std::string& program, const std::string& state_dir,
                     const std::string& log_file,
                     const std::vector<std::string>& arguments,
                     const CrunStreams& streams, Deadline deadline) {
  SpawnOptions options;
  options.argv = {
      program, "--root", state_dir,          "--cgroup-manager=cgroupfs",
      "--log", log_file, "--log-format=json"};
  options.argv.insert(options.argv.end(), arguments.begin(), arguments.end());
  options.close_others = false;  // see SealedProgram::path()
  options.stdin_fd = streams.stdin_fd;
  options.stdout_fd = streams.stdout_fd;
  options.stderr_fd = streams.stderr_fd;
  ASSIGN_OR_RETURN(const ProcessIdentity crun, Spawn(options));
  // What it forks inherits this; it has its libraries to load before it does.
  SetOomScore(crun.pid, streams.oom_score_adj);
  const absl::StatusOr<int> status = WaitProcess(crun, deadline);
  if (!status.ok()) {
    const absl::Status killed = KillGroup(crun, Deadline::After(kKillTimeout));
    if (!killed.ok()) {
      Log(LogLevel::kError, "crun cannot be killed",
          {{"error", killed.message()}});
    }
    return Annotate(status.status(), absl::StrCat("crun ", arguments[0]));
  }
  if (WIFEXITED(*status) && WEXITSTATUS(*status) == 0) return absl::OkStatus();
  if (WIFSIGNALED(*status)) {
    return absl::InternalError(absl::StrCat(
        "crun ", arguments[0], " died of signal ", WTERMSIG(*status)));
  }
  return ErrorFromLog(log_file, arguments[0]);
}

absl::StatusOr<pid_t> ReadPid(const std::string& file) {
  ASSIGN_OR_RETURN(const std::string text, ReadFile(file, 64));
  pid_t pid = 0;
  if (!absl::SimpleAtoi(absl::StripAsciiWhitespace(text), &pid) || pid <= 1) {
    return absl::InternalError("crun wrote no pid");
  }
  return pid;
}

absl::Status WriteNewFile(const std::string& path, absl::string_view text) {
  UniqueFd fd(
      open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600));
  if (!fd.valid()) return ErrnoStatus(errno, path);
  return WriteAll(fd.get(), text);
}

}  // namespace

CrunDriver::CrunDriver(std::string state_dir)
    : state_dir_(std::move(state_dir)),
      sealed_program_(SealedProgram::Load(kProgram)) {
  if (!sealed_program_.ok()) {
    Log(LogLevel::kWarning, "crun runs from its file",
        {{"error", sealed_program_.status().message()}});
  }
}

std::string CrunDriver::program() const {
  return sealed_program_.ok() ? sealed_program_->path() : kProgram;
}

absl::StatusOr<pid_t> CrunDriver::Create(const std::string& id,
                                         const std::string& bundle_dir,
                                         const CrunStreams& streams,
                                         Deadline deadline) const {
  const TemporaryFile log(bundle_dir + "/create.log");
  const TemporaryFile pid(bundle_dir + "/pid");
  std::vector<std::string> arguments = {"create", "--bundle", bundle_dir,
                                        "--pid-file", pid.path()};
  if (!streams.console_socket.empty()) {
    arguments.push_back("--console-socket=" + streams.console_socket);
  }
  arguments.push_back(id);
  RETURN_IF_ERROR(
      RunCrun(program(), state_dir_, log.path(), arguments, streams, deadline));
  ASSIGN_OR_RETURN(const pid_t process_id, ReadPid(pid.path()));
  SetOomScore(process_id, streams.oom_score_adj);
  return process_id;
}

absl::Status CrunDriver::Start(const std::string& id,
                               const std::string& bundle_dir,
                               Deadline deadline) const {
  // `crun start` writes one byte to this FIFO, on which the first process
  // waits, and removes it. Doing so here saves a fork and exec. With another
  // crun, or a process that does not wait yet, the program itself decides.
  const std::string fifo = absl::StrCat(state_dir_, "/", id, "/exec.fifo");
  UniqueFd fd(open(fifo.c_str(), O_WRONLY | O_NONBLOCK | O_CLOEXEC));
  if (fd.valid()) {
    unlink(fifo.c_str());
    return WriteAll(fd.get(), absl::string_view("\0", 1));
  }
  const TemporaryFile log(bundle_dir + "/start.log");
  return RunCrun(program(), state_dir_, log.path(), {"start", id}, {},
                 deadline);
}

absl::StatusOr<pid_t> CrunDriver::Exec(const std::string& id,
                                       const std::string& process_json,
                                       const std::string& work_prefix,
                                       const CrunStreams& streams,
                                       Deadline deadline) const {
  const TemporaryFile process(work_prefix + ".json");
  const TemporaryFile log(work_prefix + ".log");
  const TemporaryFile pid(work_prefix + ".pid");
  RETURN_IF_ERROR(WriteNewFile(process.path(), process_json));
  std::vector<std::string> arguments = {"exec",       "--detach",
                                        "--process",  process.path(),
                                        "--pid-file", pid.path()};
  if (!streams.console_socket.empty()) {
    arguments.push_back("--console-socket=" + streams.console_socket);
  }
  arguments.push_back(id);
  RETURN_IF_ERROR(
      RunCrun(program(), state_dir_, log.path(), arguments, streams, deadline));
  ASSIGN_OR_RETURN(const pid_t process_id, ReadPid(pid.path()));
  SetOomScore(process_id, streams.oom_score_adj);
  return process_id;
}

absl::Status CrunDriver::Forget(const std::string& id) const {
  return RemoveTree(absl::StrCat(state_dir_, "/", id));
}

}  // namespace podvisor
