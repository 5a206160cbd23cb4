// Sending signals, and waiting for them: kill(2), tgkill(2), rt_sigqueueinfo(2), pidfd_send_signal(2), sigwaitinfo(2).
#include <signal.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstddef>
#include <cstdio>
#include <string>

#include "interpose/proc_stat.h"
#include "interpose/shared.h"
#include "interpose/signal_info.h"
#include "interpose/syscall_table.h"

namespace beam::interpose {
namespace {

siginfo_t info_from(const AnswerCall& call, int signal, int code) {
  siginfo_t info{};
  info.si_signo = signal;
  info.si_code = code;
  info.si_pid = call.caller.process->vpid.value();
  info.si_uid = ::getuid();
  if (call.caller.process->credentials_changed) {
    if (const auto ids = read_proc_credentials(call.caller.tid)) {
      info.si_uid = ids->real;
    }
  }
  return info;
}

// Run as root, the supervisor may signal everybody; a caller that has dropped its privileges may not (kill(2)).
bool permitted(const AnswerCall& call, HostPid target, int signal) {
  if (!call.caller.process->credentials_changed || target == call.caller.process->host) {
    return true;
  }
  const auto mine = read_proc_credentials(call.caller.tid);
  const auto theirs = read_proc_credentials(target);
  if (!mine || !theirs || mine->may_kill) {
    return true;
  }
  if (mine->effective == theirs->real || mine->effective == theirs->saved || mine->real == theirs->real ||
      mine->real == theirs->saved) {
    return true;
  }
  return signal == SIGCONT && ::getsid(target.value()) == ::getsid(call.caller.process->host.value());
}

// From inside, a PID 1 gets only what it has a handler for (pid_namespaces(7)).
bool spared_as_init(const Process& target, int signal) {
  if (target.vpid != VirtualPid(1)) {
    return false;
  }
  if (signal == SIGKILL || signal == SIGSTOP) {
    return true;
  }
  const auto caught = read_proc_caught_signals(target.host);
  return caught && (*caught >> (signal - 1) & 1U) == 0;
}

// A process that has ended but was not waited for takes signals without effect; one that was waited for is gone.
bool still_there(const Process& target) {
  if (target.threads > 0) {
    return true;
  }
  const auto stat = read_proc_stat(target.host);
  return stat && stat->state == 'Z';
}

bool valid_signal(int signal) {
  return signal >= 0 && signal <= 64;
}

// 0 or an errno, in the kernel's order: whom before what (kernel/signal.c, check_kill_permission).
int send(const AnswerCall& call, const Process& target, int signal) {
  if (!still_there(target)) {
    return ESRCH;
  }
  if (!valid_signal(signal)) {
    return EINVAL;
  }
  if (!permitted(call, target.host, signal)) {
    return EPERM;
  }
  if (signal == 0 || target.threads == 0 || spared_as_init(target, signal)) {
    return 0;
  }
  siginfo_t info = info_from(call, signal, kSentByKill);
  return ::syscall(SYS_rt_sigqueueinfo, target.host.value(), signal, &info) == 0 ? 0 : errno;
}

template <typename Wanted>
Answer send_to_all(const AnswerCall& call, int signal, Wanted wanted) {
  std::vector<std::shared_ptr<Process>> targets;
  {
    const std::shared_lock lock(call.shared.tasks.mutex());
    for (const auto& [host, process] : call.shared.tasks.processes()) {
      if (wanted(*process)) {
        targets.push_back(process);
      }
    }
  }
  // The caller last, so that a signal which ends it does not keep the others from theirs.
  std::stable_partition(targets.begin(), targets.end(),
                        [&](const auto& process) { return process != call.caller.process; });
  bool found = false;
  bool sent = false;
  int error = ESRCH;
  for (const auto& target : targets) {
    const int failed = send(call, *target, signal);
    found |= failed != ESRCH;
    sent |= failed == 0;
    if (failed != 0 && failed != ESRCH) {
      error = failed;
    }
  }
  return sent ? Answer::result(0) : Answer::error(found ? error : ESRCH);
}

BEAM_SYSCALL(kill, Strategy::kAnswerAtStop, PidArg pid, Signal signal) {
  if (pid.value > 0) {
    const auto target = call.shared.process(VirtualPid(pid.value));
    if (target == nullptr) {
      return Answer::error(ESRCH);
    }
    const int error = send(call, *target, signal.value);
    return error == 0 ? Answer::result(0) : Answer::error(error);
  }
  if (pid.value == -1) {
    const Process* self = call.caller.process.get();
    return send_to_all(call, signal.value,
                       [self](const Process& process) { return &process != self && process.vpid != VirtualPid(1); });
  }
  if (pid.value == INT32_MIN) {
    return Answer::error(ESRCH);
  }
  const HostPid group = pid.value == 0 ? HostPid(::getpgid(call.caller.process->host.value()))
                                       : call.shared.pids.to_host(VirtualPid(-pid.value));
  if (group == HostPid()) {
    return Answer::error(ESRCH);
  }
  return send_to_all(call, signal.value,
                     [group](const Process& process) { return ::getpgid(process.host.value()) == group.value(); });
}

Answer send_to_thread(const AnswerCall& call, VirtualPid tgid, VirtualPid tid, Signal signal, siginfo_t info) {
  const auto process = call.shared.process(tid);
  const HostPid host = call.shared.pids.to_host(tid);
  if (process == nullptr || (tgid != VirtualPid() && process->vpid != tgid) || !still_there(*process)) {
    return Answer::error(ESRCH);
  }
  if (!valid_signal(signal.value)) {
    return Answer::error(EINVAL);
  }
  if (!permitted(call, process->host, signal.value)) {
    return Answer::error(EPERM);
  }
  if (signal.value == 0) {
    return ::syscall(SYS_tgkill, process->host.value(), host.value(), 0) == 0 ? Answer::result(0)
                                                                              : Answer::error(errno);
  }
  if (process != call.caller.process && spared_as_init(*process, signal.value)) {
    return Answer::result(0);
  }
  const long sent = ::syscall(SYS_rt_tgsigqueueinfo, process->host.value(), host.value(), signal.value, &info);
  return sent == 0 ? Answer::result(0) : Answer::error(errno);
}

BEAM_SYSCALL(tgkill, Strategy::kAnswerAtStop, PidArg group, PidArg thread, Signal signal) {
  if (group.value <= 0 || thread.value <= 0) {
    return Answer::error(EINVAL);
  }
  return send_to_thread(call, VirtualPid(group.value), VirtualPid(thread.value), signal,
                        info_from(call, signal.value, kSentByTgkill));
}

BEAM_SYSCALL(tkill, Strategy::kAnswerAtStop, PidArg thread, Signal signal) {
  if (thread.value <= 0) {
    return Answer::error(EINVAL);
  }
  return send_to_thread(call, VirtualPid(), VirtualPid(thread.value), signal,
                        info_from(call, signal.value, kSentByTgkill));
}

// A siginfo of the program's own making keeps what it holds: glibc's sigqueue puts getpid() there, a virtual name
// already. Codes under which the kernel gives a sender's host pid travel as private ones, so that this pid is not taken
// for one.
void take_private_code(siginfo_t& info) {
  switch (info.si_code) {
    case SI_USER:
      info.si_code = kSentByKill;
      break;
    case SI_TKILL:
      info.si_code = kSentByTgkill;
      break;
    case SI_MESGQ:
      info.si_code = kClaimsMesgq;
      break;
    default:
      break;
  }
}

// Only a process itself may claim a kernel's code (rt_sigqueueinfo(2)).
bool claims_kernel_code(const siginfo_t& info) {
  return info.si_code >= 0 || info.si_code == SI_TKILL;
}

BEAM_SYSCALL(rt_sigqueueinfo, Strategy::kAnswerAtStop, PidArg pid, Signal signal, RemotePtr<siginfo_t> pointer) {
  siginfo_t info{};
  if (call.memory().read(pointer, info) != 0) {
    return Answer::error(EFAULT);
  }
  info.si_signo = signal.value;
  const auto target = pid.value > 0 ? call.shared.process(VirtualPid(pid.value)) : nullptr;
  if (claims_kernel_code(info)) {
    if (target != call.caller.process) {
      return Answer::error(EPERM);
    }
    if (info.si_code > 0) {
      return Answer::escalate();
    }
  }
  take_private_code(info);
  if (target == nullptr || !still_there(*target)) {
    return Answer::error(ESRCH);
  }
  if (!valid_signal(signal.value)) {
    return Answer::error(EINVAL);
  }
  if (!permitted(call, target->host, signal.value)) {
    return Answer::error(EPERM);
  }
  if (signal.value == 0 || target->threads == 0 || spared_as_init(*target, signal.value)) {
    return Answer::result(0);
  }
  return ::syscall(SYS_rt_sigqueueinfo, target->host.value(), signal.value, &info) == 0 ? Answer::result(0)
                                                                                        : Answer::error(errno);
}

struct SelfSignal : CallInProgress {
  void at_exit(ExitCall& /*call*/) override {}
};

BEAM_ESCALATED(rt_sigqueueinfo, PidArg pid, Signal signal, RemotePtr<siginfo_t> info) {
  (void)pid, (void)signal, (void)info;
  auto progress = std::make_unique<SelfSignal>();
  call.set_arg(*progress, 0, static_cast<std::uint64_t>(call.task().process->host.value()));
  return Rewrite::until_exit(std::move(progress));
}

BEAM_SYSCALL(rt_tgsigqueueinfo, Strategy::kAnswerAtStop, PidArg group, PidArg thread, Signal signal,
             RemotePtr<siginfo_t> pointer) {
  siginfo_t info{};
  if (call.memory().read(pointer, info) != 0) {
    return Answer::error(EFAULT);
  }
  info.si_signo = signal.value;
  if (group.value <= 0 || thread.value <= 0) {
    return Answer::error(EINVAL);
  }
  if (claims_kernel_code(info)) {
    if (VirtualPid(thread.value) != call.caller.vtid) {
      return Answer::error(EPERM);
    }
    if (info.si_code > 0) {
      return Answer::escalate();
    }
  }
  take_private_code(info);
  return send_to_thread(call, VirtualPid(group.value), VirtualPid(thread.value), signal, info);
}

BEAM_ESCALATED(rt_tgsigqueueinfo, PidArg group, PidArg thread, Signal signal, RemotePtr<siginfo_t> info) {
  (void)group, (void)thread, (void)signal, (void)info;
  auto progress = std::make_unique<SelfSignal>();
  call.set_arg(*progress, 0, static_cast<std::uint64_t>(call.task().process->host.value()));
  call.set_arg(*progress, 1, static_cast<std::uint64_t>(call.task().tid.value()));
  return Rewrite::until_exit(std::move(progress));
}

BEAM_SYSCALL(pidfd_send_signal, Strategy::kAnswer, GuestFd fd, Signal signal, RemotePtr<siginfo_t> pointer,
             unsigned flags) {
  int error = 0;
  const UniqueFd pidfd = call.descriptor(fd, error);
  if (!pidfd) {
    return Answer::error(-error);
  }
  const auto named = pid_of_pidfd(pidfd.get());
  if (!named.ok()) {
    return Answer::error(named.error().code());
  }
  const auto target = call.shared.process(call.shared.pids.to_virtual(*named));
  if (target == nullptr) {
    return Answer::error(ESRCH);
  }
  siginfo_t info = info_from(call, signal.value, kSentByKill);
  constexpr unsigned kThread = 1;  // PIDFD_SIGNAL_THREAD
  if ((flags & kThread) != 0) {
    info.si_code = kSentByTgkill;
  }
  if (pointer) {
    if (call.memory().read(pointer, info) != 0) {
      return Answer::error(EFAULT);
    }
    if (info.si_signo != signal.value) {
      return Answer::error(EINVAL);
    }
    if (claims_kernel_code(info)) {
      return target == call.caller.process ? Answer::pass() : Answer::error(EPERM);
    }
  }
  if (!permitted(call, target->host, signal.value)) {
    return Answer::error(EPERM);
  }
  if (signal.value != 0 && spared_as_init(*target, signal.value)) {
    return Answer::result(0);
  }
  const long sent = ::syscall(SYS_pidfd_send_signal, pidfd.get(), signal.value, &info, flags);
  return sent == 0 ? Answer::result(0) : Answer::error(errno);
}

// sigwaitinfo and its like take a signal from the queue without a delivery stop.
struct SignalWait : CallInProgress {
  std::uint64_t info = 0;
  void at_exit(ExitCall& call) override {
    siginfo_t received{};
    if (call.result() <= 0 || info == 0 || call.memory().read(info, &received, sizeof received) != 0) {
      return;
    }
    if (translate_siginfo(call.shared(), received)) {
      (void)call.memory().write(info, &received, sizeof received);
    }
  }
};

BEAM_SYSCALL_WHEN(rt_sigtimedwait, Strategy::kRewrite, (TrapWhen{{is_not(1, 0, kInt)}, {is_not(1, 0, kInt << 32)}}),
                  RemotePtr<void> set, RemotePtr<siginfo_t> info, RemotePtr<void> timeout, std::uint64_t size) {
  (void)set, (void)timeout, (void)size;
  auto progress = std::make_unique<SignalWait>();
  progress->info = info.address();
  return Rewrite::until_exit(std::move(progress));
}

}  // namespace
}  // namespace beam::interpose
