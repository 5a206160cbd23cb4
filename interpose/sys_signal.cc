// Sending signals, and waiting for them: kill(2), tgkill(2), rt_sigqueueinfo(2), pidfd_send_signal(2), sigwaitinfo(2).
#include <fcntl.h>
#include <signal.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
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

// To the process as a whole. The caller stands in a ptrace stop, where the kernel chooses another thread for the signal
// (kernel/signal.c, wants_signal), and not the leader, which it prefers. And a signal that a program sends itself has
// to arrive before the call returns (kill(2)).
int queue(const AnswerCall& call, const Process& target, int signal, siginfo_t info) {
  const pid_t host = target.host.value();
  if (call.listener < 0 && call.caller.tid == target.host && target.threads > 1) {
    const auto blocked = read_proc_blocked_signals(call.caller.tid);
    if (blocked && (*blocked >> (signal - 1) & 1U) == 0) {
      return ::syscall(SYS_rt_tgsigqueueinfo, host, host, signal, &info) == 0 ? 0 : errno;
    }
  }
  return ::syscall(SYS_rt_sigqueueinfo, host, signal, &info) == 0 ? 0 : errno;
}

// 0 or an errno, in the kernel's order: whom before what (kernel/signal.c, check_kill_permission).
int send(const AnswerCall& call, const Process& target, int signal, const siginfo_t& info) {
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
  return queue(call, target, signal, info);
}

template <typename Wanted>
Answer send_to_all(const AnswerCall& call, int signal, const siginfo_t& info, Wanted wanted) {
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
    const int failed = send(call, *target, signal, info);
    found |= failed != ESRCH;
    sent |= failed == 0;
    if (failed != 0 && failed != ESRCH) {
      error = failed;
    }
  }
  return sent ? Answer::result(0) : Answer::error(found ? error : ESRCH);
}

Answer send_to_group(const AnswerCall& call, HostPid group, int signal, const siginfo_t& info) {
  return send_to_all(call, signal, info,
                     [group](const Process& process) { return ::getpgid(process.host.value()) == group.value(); });
}

BEAM_SYSCALL(kill, Strategy::kAnswerAtStop, PidArg pid, Signal signal) {
  const siginfo_t info = info_from(call, signal.value, kSentByKill);
  if (pid.value > 0) {
    const auto target = call.shared.process(VirtualPid(pid.value));
    if (target == nullptr) {
      return Answer::error(ESRCH);
    }
    const int error = send(call, *target, signal.value, info);
    return error == 0 ? Answer::result(0) : Answer::error(error);
  }
  if (pid.value == -1) {
    const Process* self = call.caller.process.get();
    return send_to_all(call, signal.value, info,
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
  return send_to_group(call, group, signal.value, info);
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

// Codes whose siginfo the kernel knows the layout of (kernel/signal.c, known_siginfo_layout).
bool knows_layout(const siginfo_t& info) {
  constexpr int kDethread = -7;
  return info.si_code >= kDethread || info.si_code == SI_ASYNCNL;
}

// 0 or an errno. Of a layout that it does not know, the kernel wants the part that it has no room for to be empty.
int read_info(const GuestMemory& memory, RemotePtr<siginfo_t> pointer, siginfo_t& info) {
  constexpr std::size_t kKept = 48;  // sizeof(struct kernel_siginfo)
  char rest[sizeof info - kKept];
  info = siginfo_t{};
  if (memory.read(pointer.address(), &info, kKept) != 0) {
    return EFAULT;
  }
  if (knows_layout(info)) {
    return 0;
  }
  if (memory.read(pointer.address() + kKept, rest, sizeof rest) != 0) {
    return EFAULT;
  }
  return std::any_of(std::begin(rest), std::end(rest), [](char byte) { return byte != 0; }) ? E2BIG : 0;
}

BEAM_SYSCALL(rt_sigqueueinfo, Strategy::kAnswerAtStop, PidArg pid, Signal signal, RemotePtr<siginfo_t> pointer) {
  siginfo_t info{};
  if (const int error = read_info(call.memory(), pointer, info); error != 0) {
    return Answer::error(error);
  }
  info.si_signo = signal.value;
  const auto target = pid.value > 0 ? call.shared.process(VirtualPid(pid.value)) : nullptr;
  if (claims_kernel_code(info)) {
    if (VirtualPid(pid.value) != call.caller.vtid) {
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
  const int error = queue(call, *target, signal.value, info);
  return error == 0 ? Answer::result(0) : Answer::error(error);
}

struct SelfSignal : CallInProgress {
  void at_exit(ExitCall& /*call*/) override {}
};

BEAM_ESCALATED(rt_sigqueueinfo, PidArg pid, Signal signal, RemotePtr<siginfo_t> info) {
  (void)pid, (void)signal, (void)info;
  auto progress = std::make_unique<SelfSignal>();
  call.set_arg(*progress, 0, static_cast<std::uint64_t>(call.task().tid.value()));
  return Rewrite::until_exit(std::move(progress));
}

BEAM_SYSCALL(rt_tgsigqueueinfo, Strategy::kAnswerAtStop, PidArg group, PidArg thread, Signal signal,
             RemotePtr<siginfo_t> pointer) {
  siginfo_t info{};
  if (const int error = read_info(call.memory(), pointer, info); error != 0) {
    return Answer::error(error);
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

#ifndef PIDFD_SIGNAL_THREAD
#define PIDFD_SIGNAL_THREAD (1U << 0)
#define PIDFD_SIGNAL_THREAD_GROUP (1U << 1)
#define PIDFD_SIGNAL_PROCESS_GROUP (1U << 2)
#endif

// The descriptor that the caller names: its own, or one of the two numbers that stand for itself (linux/pidfd.h).
UniqueFd named_pidfd(const AnswerCall& call, GuestFd fd, int& error) {
  constexpr int kSelfThread = -10000;   // PIDFD_SELF_THREAD
  constexpr int kSelfProcess = -10001;  // PIDFD_SELF_THREAD_GROUP
  if (fd.value() != kSelfThread && fd.value() != kSelfProcess) {
    return call.descriptor(fd, error);
  }
  const bool thread = fd.value() == kSelfThread;
  const HostPid self = thread ? call.caller.tid : call.caller.process->host;
  UniqueFd own(static_cast<int>(::syscall(SYS_pidfd_open, self.value(), thread ? O_EXCL : 0)));
  error = own ? 0 : -errno;
  return own;
}

// What the signal goes to: said by the flags, or by what the descriptor was opened for (PIDFD_THREAD).
unsigned scope_of(int pidfd, unsigned flags) {
  if (flags != 0) {
    return flags;
  }
  return (::fcntl(pidfd, F_GETFL) & O_EXCL) != 0 ? PIDFD_SIGNAL_THREAD : PIDFD_SIGNAL_THREAD_GROUP;
}

BEAM_SYSCALL(pidfd_send_signal, Strategy::kAnswer, GuestFd fd, Signal signal, RemotePtr<siginfo_t> pointer,
             unsigned flags) {
  constexpr unsigned kFlags = PIDFD_SIGNAL_THREAD | PIDFD_SIGNAL_THREAD_GROUP | PIDFD_SIGNAL_PROCESS_GROUP;
  if ((flags & ~kFlags) != 0 || (flags & (flags - 1)) != 0) {
    return Answer::error(EINVAL);
  }
  int error = 0;
  const UniqueFd pidfd = named_pidfd(call, fd, error);
  if (!pidfd) {
    return Answer::error(-error);
  }
  const auto named = pid_of_pidfd(pidfd.get());
  if (!named.ok()) {
    return Answer::error(named.error().code());
  }
  const VirtualPid target_id = call.shared.pids.to_virtual(*named);
  const auto target = call.shared.process(target_id);
  const unsigned scope = scope_of(pidfd.get(), flags);
  siginfo_t info = info_from(call, signal.value, scope == PIDFD_SIGNAL_THREAD ? kSentByTgkill : kSentByKill);
  if (pointer) {
    if (error = read_info(call.memory(), pointer, info); error != 0) {
      return Answer::error(error);
    }
    if (info.si_signo != signal.value) {
      return Answer::error(EINVAL);
    }
    if (claims_kernel_code(info) && (scope == PIDFD_SIGNAL_PROCESS_GROUP || target_id != call.caller.vtid)) {
      return Answer::error(EPERM);
    }
    if (info.si_code > 0) {
      return Answer::pass();
    }
    take_private_code(info);
  }
  if (target == nullptr) {
    return Answer::error(ESRCH);
  }
  if (scope == PIDFD_SIGNAL_PROCESS_GROUP) {
    return send_to_group(call, *named, signal.value, info);
  }
  if (!permitted(call, target->host, signal.value)) {
    return Answer::error(EPERM);
  }
  if (signal.value > 0 && valid_signal(signal.value) && spared_as_init(*target, signal.value)) {
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
                  RemotePtr<SignalSet> set, OutPtr<siginfo_t> info, RemotePtr<timespec> timeout, std::uint64_t size) {
  (void)set, (void)timeout, (void)size;
  auto progress = std::make_unique<SignalWait>();
  progress->info = info.address();
  return Rewrite::until_exit(std::move(progress));
}

}  // namespace
}  // namespace beam::interpose
