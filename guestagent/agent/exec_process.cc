#include "guestagent/agent/exec_process.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>

#include "base/errno_status.h"
#include "base/status_macros.h"
#include "guestagent/agent/crun_console.h"
#include "guestagent/agent/write_or_stop.h"

namespace podvisor {
namespace {

constexpr absl::Duration kStartTimeout = absl::Seconds(30);

// A pipe whose end on this side does not block.
absl::Status MakePipe(bool we_read, UniqueFd* ours, UniqueFd* theirs) {
  int fds[2];
  if (pipe2(fds, O_CLOEXEC) != 0) return ErrnoStatus(errno, "pipe");
  ours->Reset(fds[we_read ? 0 : 1]);
  theirs->Reset(fds[we_read ? 1 : 0]);
  if (fcntl(ours->get(), F_SETFL, O_NONBLOCK) != 0) {
    return ErrnoStatus(errno, "make a pipe non-blocking");
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::unique_ptr<ExecProcess>> ExecProcess::Start(
    const ExecRequest& request, const CrunDriver& crun, ChildReaper* reaper) {
  std::unique_ptr<ExecProcess> process(new ExecProcess);
  process->tty_ = request.tty;
  process->exit_ = std::make_shared<Exit>();
  process->exit_->event.Reset(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  process->stop_.Reset(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!process->exit_->event.valid() || !process->stop_.valid()) {
    return ErrnoStatus(errno, "eventfd");
  }
  UniqueFd in, out, err;
  std::optional<ConsoleSocket> console;
  CrunStreams streams;
  if (request.tty) {
    ASSIGN_OR_RETURN(ConsoleSocket listening,
                     ConsoleSocket::Listen(request.work_prefix));
    console.emplace(std::move(listening));
    streams.console_socket = console->path();
  } else {
    RETURN_IF_ERROR(MakePipe(true, &process->stdout_, &out));
    RETURN_IF_ERROR(MakePipe(true, &process->stderr_, &err));
    if (request.with_stdin) {
      RETURN_IF_ERROR(MakePipe(false, &process->stdin_, &in));
    }
    streams.stdin_fd = in.get();
    streams.stdout_fd = out.get();
    streams.stderr_fd = err.get();
  }
  streams.oom_score_adj = request.oom_score_adj;

  const ChildReaper::AdoptionWindow window(reaper);
  ASSIGN_OR_RETURN(
      process->pid_,
      crun.Exec(request.container_id, request.process_json, request.work_prefix,
                streams, Deadline::After(kStartTimeout)));
  process->pidfd_.Reset(
      static_cast<int>(syscall(SYS_pidfd_open, process->pid_, 0)));
  process->group_ = getpgid(process->pid_);
  const std::shared_ptr<Exit> exit = process->exit_;
  RETURN_IF_ERROR(reaper->Adopt(process->pid_, [exit](int status) {
    exit->code =
        WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
    eventfd_write(exit->event.get(), 1);
  }));
  if (console) {
    absl::StatusOr<UniqueFd> master =
        console->Receive(Deadline::After(kStartTimeout));
    if (!master.ok()) {
      process->Kill();
      return master.status();
    }
    process->stdout_ = *std::move(master);
    if (request.with_stdin) {
      process->stdin_.Reset(fcntl(process->stdout_.get(), F_DUPFD_CLOEXEC, 3));
    }
  }
  return process;
}

std::optional<int> ExecProcess::exit_code() const {
  const int code = exit_->code;
  if (code < 0) return std::nullopt;
  return code;
}

void ExecProcess::WriteStdin(absl::string_view data) {
  if (!stdin_.valid()) return;
  if (!WriteOrStop(stdin_.get(), data, {stop_.get(), -1}).ok()) stdin_.Reset();
}

void ExecProcess::CloseStdin() {
  if (!tty_) stdin_.Reset();
}

void ExecProcess::Resize(uint32_t width, uint32_t height) {
  if (!tty_) return;
  winsize size = {};
  size.ws_col = static_cast<uint16_t>(std::min<uint32_t>(width, 0xffff));
  size.ws_row = static_cast<uint16_t>(std::min<uint32_t>(height, 0xffff));
  ioctl(stdout_.get(), TIOCSWINSZ, &size);
}

void ExecProcess::Kill() {
  // The numbers of a process that is reaped, and of its group, may be
  // another's.
  if (exit_code()) return;
  if (group_ > 1 && group_ != getpgrp() && getpgid(pid_) == group_) {
    kill(-group_, SIGKILL);
  }
  if (pidfd_.valid()) {
    syscall(SYS_pidfd_send_signal, pidfd_.get(), SIGKILL, nullptr, 0);
  }
}

void ExecProcess::Stop() { eventfd_write(stop_.get(), 1); }

}  // namespace podvisor
