#include "migrate/twin.h"

#include <sched.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <string>

#include "interpose/agent/layout.h"
#include "interpose/tracee.h"

namespace beam::migrate {
namespace {

using interpose::StoppedTracee;

constexpr std::uint64_t kAllSignals = ~(1ULL << (SIGTRAP - 1));  // but the one that ends a step

bool wait_for(HostPid tid, int& status) {
  pid_t got = 0;
  do {
    got = ::waitpid(tid.value(), &status, __WALL);
  } while (got < 0 && errno == EINTR);
  return got == tid.value();
}

void kill_and_reap(HostPid tid) {
  ::kill(tid.value(), SIGKILL);
  int status = 0;
  while (wait_for(tid, status) && WIFSTOPPED(status)) {
    ::ptrace(PTRACE_CONT, tid.value(), nullptr, nullptr);  // an exit event
  }
}

// Forks a stopped task by clone(2) with these flags; the child is stopped before its first instruction. The task's
// registers and signal mask are as before.
Result<HostPid> fork_stopped(HostPid tid, std::uint64_t flags) {
  const auto died = [&] { return Error(ESRCH, "fork task " + std::to_string(tid.value())); };
  StoppedTracee tracee(tid);
  const auto mask = tracee.signal_mask();
  user_regs_struct* regs = tracee.regs();
  if (regs == nullptr || !mask || !tracee.set_signal_mask(kAllSignals)) {
    return died();
  }
  const user_regs_struct saved = *regs;
  regs->rip = BEAM_AGENT_GADGET;
  regs->rax = SYS_clone;
  regs->orig_rax = ~0ULL;
  regs->rdi = flags;
  regs->rsi = regs->rdx = regs->r10 = regs->r8 = 0;
  tracee.set_regs_changed();
  HostPid child;
  bool asked_to_stop = false;
  for (user_regs_struct now{};;) {
    if (!tracee.flush_regs() || ::ptrace(PTRACE_SINGLESTEP, tid.value(), nullptr, nullptr) != 0) {
      return died();
    }
    int status = 0;
    if (!wait_for(tid, status) || !WIFSTOPPED(status)) {
      return died();
    }
    const int event = status >> 16;
    if (event == PTRACE_EVENT_FORK || event == PTRACE_EVENT_CLONE) {
      unsigned long message = 0;
      ::ptrace(PTRACE_GETEVENTMSG, tid.value(), nullptr, &message);
      child = HostPid(static_cast<pid_t>(message));
    } else if (event == PTRACE_EVENT_STOP) {
      asked_to_stop = true;
    } else if (event == 0 && ::ptrace(PTRACE_GETREGS, tid.value(), nullptr, &now) == 0 &&
               now.rip != BEAM_AGENT_GADGET) {
      if (child == HostPid() && static_cast<std::int64_t>(now.rax) < 0) {
        errno = static_cast<int>(-static_cast<std::int64_t>(now.rax));
      }
      break;
    }
  }
  const int error = child == HostPid() ? errno : 0;
  *tracee.regs() = saved;
  tracee.set_regs_changed();
  const bool alive = tracee.flush_regs() && tracee.set_signal_mask(*mask) && (!asked_to_stop || tracee.request_stop());
  if (child == HostPid()) {
    return Error(error, "fork task " + std::to_string(tid.value()));
  }
  int status = 0;
  if (!wait_for(child, status) || !WIFSTOPPED(status)) {
    return died();
  }
  if (!alive) {
    kill_and_reap(child);
    return died();
  }
  return child;
}

}  // namespace

Result<Twin> Twin::make(const interpose::Task& task) {
  // Its memory is the task's, so it costs next to nothing; exit signal 0: its end is told to nobody.
  BEAM_TRY_ASSIGN(const HostPid between, fork_stopped(task.tid, CLONE_VM | CLONE_FILES | CLONE_FS));
  auto twin = fork_stopped(between, 0);
  kill_and_reap(between);
  // As a child of the task it is left for the task to wait for.
  StoppedTracee tracee(task.tid);
  const auto reaped =
      tracee.inject(BEAM_AGENT_GADGET, SYS_wait4, {static_cast<std::uint64_t>(between.value()), 0, __WALL, 0, 0, 0});
  if (!tracee.flush_regs()) {
    BEAM_TRY(std::move(twin));
    kill_and_reap(*twin);
    return Error(ESRCH, "fork task " + std::to_string(task.tid.value()));
  }
  BEAM_TRY(std::move(reaped));
  BEAM_TRY(twin);
  Twin made(*twin);
  // An end of a pipe that it kept open would be missed.
  StoppedTracee own(made.host());
  BEAM_TRY_ASSIGN(const std::int64_t closed, own.inject(BEAM_AGENT_GADGET, SYS_close_range, {0, ~0U, 0, 0, 0, 0}));
  if (closed < 0 || !own.flush_regs()) {
    return Error(static_cast<int>(-closed),
                 "close the descriptors of a copy of task " + std::to_string(task.tid.value()));
  }
  return made;
}

Twin& Twin::operator=(Twin&& other) noexcept {
  if (this != &other) {
    end();
    host_ = std::exchange(other.host_, HostPid());
  }
  return *this;
}

void Twin::end() {
  if (host_ != HostPid()) {
    kill_and_reap(std::exchange(host_, HostPid()));
  }
}

}  // namespace beam::migrate
