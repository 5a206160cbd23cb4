// Calls that give or take the ids of processes, groups and sessions: credentials(7).
#include <sched.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "interpose/proc_stat.h"
#include "interpose/shared.h"
#include "interpose/syscall_table.h"

namespace beam::interpose {
namespace {

BEAM_SYSCALL(getpid, Strategy::kAnswer) {
  return Answer::result(call.caller.process->vpid.value());
}

BEAM_SYSCALL(gettid, Strategy::kAnswer) {
  return Answer::result(call.caller.vtid.value());
}

BEAM_SYSCALL(getppid, Strategy::kAnswer) {
  return Answer::result(call.shared.parent_of(*call.caller.process).value());
}

// The host id of a pid argument: the caller itself for 0. ESRCH for a name that nothing in the sandbox has.
HostPid named(const AnswerCall& call, PidArg pid) {
  return pid.value == 0 ? call.caller.process->host : call.shared.pids.to_host(VirtualPid(pid.value));
}

Answer virtual_or_error(const AnswerCall& call, pid_t host) {
  return host < 0 ? Answer::error(errno) : Answer::result(call.shared.pids.to_virtual(HostPid(host)).value());
}

BEAM_SYSCALL(getpgid, Strategy::kAnswer, PidArg pid) {
  const HostPid host = named(call, pid);
  return host == HostPid() ? Answer::error(ESRCH) : virtual_or_error(call, ::getpgid(host.value()));
}

BEAM_SYSCALL(getpgrp, Strategy::kAnswer) {
  return virtual_or_error(call, ::getpgid(call.caller.process->host.value()));
}

BEAM_SYSCALL(getsid, Strategy::kAnswer, PidArg pid) {
  const HostPid host = named(call, pid);
  return host == HostPid() ? Answer::error(ESRCH) : virtual_or_error(call, ::getsid(host.value()));
}

// Nothing to translate in the result.
struct PlainCall : CallInProgress {
  void at_exit(ExitCall& /*call*/) override {}
};

// The result is a host pid.
struct PidResult : CallInProgress {
  void at_exit(ExitCall& call) override {
    if (call.result() > 0) {
      const auto host = HostPid(static_cast<pid_t>(call.result()));
      call.set_result(call.shared().pids.to_virtual(host).value());
    }
  }
};

BEAM_SYSCALL(setsid, Strategy::kRewrite) {
  return Rewrite::until_exit(std::make_unique<PidResult>());
}

// The kernel writes no id here; it gives the caller's, which is known without asking it.
BEAM_SYSCALL(set_tid_address, Strategy::kRewrite, RemotePtr<void> address) {
  (void)address;
  return Rewrite::until_exit(std::make_unique<PidResult>());
}

// One pid argument that 0 leaves to the caller.
Rewrite with_pid(RewriteCall& call, std::size_t index, PidArg pid) {
  if (pid.value <= 0) {
    return Rewrite::pass();
  }
  auto progress = std::make_unique<PlainCall>();
  call.set_arg(*progress, index, static_cast<std::uint64_t>(call.shared().host_argument(pid.value)));
  return Rewrite::until_exit(std::move(progress));
}

// setpgid(0, 0) names nobody and passes.
BEAM_SYSCALL_WHEN(setpgid, Strategy::kRewrite, (TrapWhen{{is_not(0, 0)}, {is_not(1, 0)}}), PidArg pid, PidArg group) {
  auto progress = std::make_unique<PlainCall>();
  call.set_arg(*progress, 0, static_cast<std::uint64_t>(call.shared().host_argument(pid.value)));
  call.set_arg(*progress, 1, static_cast<std::uint64_t>(call.shared().host_argument(group.value)));
  return Rewrite::until_exit(std::move(progress));
}

#define PID_NOT_SELF(index) (TrapWhen{{is_not(index, 0)}})

BEAM_SYSCALL_WHEN(sched_setparam, Strategy::kRewrite, PID_NOT_SELF(0), PidArg pid, RemotePtr<sched_param> param) {
  (void)param;
  return with_pid(call, 0, pid);
}
BEAM_SYSCALL_WHEN(sched_getparam, Strategy::kRewrite, PID_NOT_SELF(0), PidArg pid, OutPtr<sched_param> param) {
  (void)param;
  return with_pid(call, 0, pid);
}
BEAM_SYSCALL_WHEN(sched_setscheduler, Strategy::kRewrite, PID_NOT_SELF(0), PidArg pid, SchedPolicy policy,
                  RemotePtr<sched_param> param) {
  (void)policy, (void)param;
  return with_pid(call, 0, pid);
}
BEAM_SYSCALL_WHEN(sched_getscheduler, Strategy::kRewrite, PID_NOT_SELF(0), PidArg pid) {
  return with_pid(call, 0, pid);
}
BEAM_SYSCALL_WHEN(sched_rr_get_interval, Strategy::kRewrite, PID_NOT_SELF(0), PidArg pid, OutPtr<timespec> interval) {
  (void)interval;
  return with_pid(call, 0, pid);
}
BEAM_SYSCALL_WHEN(sched_setaffinity, Strategy::kRewrite, PID_NOT_SELF(0), PidArg pid, std::uint64_t size,
                  RemotePtr<void> mask) {
  (void)size, (void)mask;
  return with_pid(call, 0, pid);
}
BEAM_SYSCALL_WHEN(sched_getaffinity, Strategy::kRewrite, PID_NOT_SELF(0), PidArg pid, std::uint64_t size,
                  RemotePtr<void> mask) {
  (void)size, (void)mask;
  return with_pid(call, 0, pid);
}
BEAM_SYSCALL_WHEN(sched_setattr, Strategy::kRewrite, PID_NOT_SELF(0), PidArg pid, RemotePtr<void> attr,
                  unsigned flags) {
  (void)attr, (void)flags;
  return with_pid(call, 0, pid);
}
BEAM_SYSCALL_WHEN(sched_getattr, Strategy::kRewrite, PID_NOT_SELF(0), PidArg pid, RemotePtr<void> attr, unsigned size,
                  unsigned flags) {
  (void)attr, (void)size, (void)flags;
  return with_pid(call, 0, pid);
}
BEAM_SYSCALL_WHEN(prlimit64, Strategy::kRewrite, PID_NOT_SELF(0), PidArg pid, Resource resource,
                  RemotePtr<rlimit> fresh, OutPtr<rlimit> old) {
  (void)resource, (void)fresh, (void)old;
  return with_pid(call, 0, pid);
}
BEAM_SYSCALL_WHEN(get_robust_list, Strategy::kRewrite, PID_NOT_SELF(0), PidArg pid, RemotePtr<void> head,
                  RemotePtr<void> size) {
  (void)head, (void)size;
  return with_pid(call, 0, pid);
}
BEAM_SYSCALL_WHEN(migrate_pages, Strategy::kRewrite, PID_NOT_SELF(0), PidArg pid, std::uint64_t nodes,
                  RemotePtr<void> from, RemotePtr<void> to) {
  (void)nodes, (void)from, (void)to;
  return with_pid(call, 0, pid);
}
BEAM_SYSCALL_WHEN(move_pages, Strategy::kRewrite, PID_NOT_SELF(0), PidArg pid, std::uint64_t count,
                  RemotePtr<void> pages, RemotePtr<void> nodes, RemotePtr<void> status, int flags) {
  (void)count, (void)pages, (void)nodes, (void)status, (void)flags;
  return with_pid(call, 0, pid);
}
// Whether the caller is refused by its target's PR_SET_DUMPABLE (ptrace(2), access mode checking), which is kept in the
// view only. A process may always look at itself, and nobody in a sandbox has the capability to look nevertheless.
bool closed_to(const Process& caller, const std::shared_ptr<Process>& target) {
  return target != nullptr && target->host != caller.host && target->dumpable_cleared;
}

Rewrite with_memory_of(RewriteCall& call, PidArg pid, std::uint64_t flags) {
  if (flags == 0 && pid.value > 0 && closed_to(*call.task().process, call.shared().process(VirtualPid(pid.value)))) {
    return Rewrite::error(EPERM);
  }
  return with_pid(call, 0, pid);
}

BEAM_SYSCALL(process_vm_readv, Strategy::kRewrite, PidArg pid, RemotePtr<void> local, std::uint64_t locals,
             RemotePtr<void> remote, std::uint64_t remotes, std::uint64_t flags) {
  (void)local, (void)locals, (void)remote, (void)remotes;
  return with_memory_of(call, pid, flags);
}
BEAM_SYSCALL(process_vm_writev, Strategy::kRewrite, PidArg pid, RemotePtr<void> local, std::uint64_t locals,
             RemotePtr<void> remote, std::uint64_t remotes, std::uint64_t flags) {
  (void)local, (void)locals, (void)remote, (void)remotes;
  return with_memory_of(call, pid, flags);
}

BEAM_SYSCALL(kcmp, Strategy::kRewrite, PidArg first, PidArg second, int type, std::uint64_t a, std::uint64_t b) {
  (void)type, (void)a, (void)b;
  for (const PidArg pid : {first, second}) {
    if (pid.value > 0 && closed_to(*call.task().process, call.shared().process(VirtualPid(pid.value)))) {
      return call.shared().host_argument(first.value) == INT32_MAX ||
                     call.shared().host_argument(second.value) == INT32_MAX
                 ? Rewrite::error(ESRCH)
                 : Rewrite::error(EPERM);
    }
  }
  auto progress = std::make_unique<PlainCall>();
  call.set_arg(*progress, 0, static_cast<std::uint64_t>(call.shared().host_argument(first.value)));
  call.set_arg(*progress, 1, static_cast<std::uint64_t>(call.shared().host_argument(second.value)));
  return Rewrite::until_exit(std::move(progress));
}

BEAM_SYSCALL(pidfd_getfd, Strategy::kAnswer, GuestFd fd, GuestFd target, unsigned flags) {
  (void)target;
  if (flags != 0) {
    return Answer::pass();
  }
  int error = 0;
  const UniqueFd pidfd = call.descriptor(fd, error);
  const auto host = pidfd ? pid_of_pidfd(pidfd.get()) : Result<HostPid>(Error(EBADF, "pidfd"));
  if (host.ok() && closed_to(*call.caller.process, call.shared.process(call.shared.pids.to_virtual(*host)))) {
    return Answer::error(EPERM);
  }
  return Answer::pass();
}

// A user's processes (PRIO_USER, IOPRIO_WHO_USER) are those of the sandbox only: the supervisor asks and tells them one
// by one, with the right to do so that the caller has too, being of the same user.
uid_t user_of(const Process& process) {
  if (process.credentials_changed) {
    if (const auto ids = read_proc_credentials(process.host)) {
      return ids->real;
    }
  }
  return ::getuid();
}

// Calls `each` with every thread of the sandbox's processes that `user` owns; the caller's user for 0.
template <typename Each>
Rewrite for_user(RewriteCall& call, PidArg user, Each each) {
  const uid_t wanted = user.value == 0 ? user_of(*call.task().process) : static_cast<uid_t>(user.value);
  bool found = false;
  std::int64_t best = 0;
  for (const auto& [tid, task] : call.shared().tasks.tasks()) {
    if (user_of(*task->process) != wanted) {
      continue;
    }
    errno = 0;
    const std::int64_t result = each(tid.value());
    if (result < 0 && errno == ESRCH) {
      continue;
    }
    if (result < 0) {
      return Rewrite::error(errno);
    }
    found = true;
    best = std::max(best, result);
  }
  return found ? Rewrite::skip(best) : Rewrite::error(ESRCH);
}

constexpr int kIoprioWhoProcess = 1;  // linux/ioprio.h
constexpr int kIoprioWhoUser = 3;

BEAM_SYSCALL_WHEN(getpriority, Strategy::kRewrite, (TrapWhen{{is_not(1, 0)}, {is(0, PRIO_USER)}}), PriorityWhich which,
                  PidArg who) {
  if (which.value != PRIO_USER) {
    return with_pid(call, 1, who);
  }
  // The raw call gives 20 - nice, so that the highest priority is the greatest number (getpriority(2)).
  return for_user(call, who, [](pid_t tid) { return ::syscall(SYS_getpriority, PRIO_PROCESS, tid); });
}
BEAM_SYSCALL_WHEN(setpriority, Strategy::kRewrite, (TrapWhen{{is_not(1, 0)}, {is(0, PRIO_USER)}}), PriorityWhich which,
                  PidArg who, int priority) {
  if (which.value != PRIO_USER) {
    return with_pid(call, 1, who);
  }
  return for_user(call, who, [priority](pid_t tid) { return ::syscall(SYS_setpriority, PRIO_PROCESS, tid, priority); });
}
BEAM_SYSCALL_WHEN(ioprio_get, Strategy::kRewrite, (TrapWhen{{is_not(1, 0)}, {is(0, kIoprioWhoUser)}}), int which,
                  PidArg who) {
  if (which != kIoprioWhoUser) {
    return with_pid(call, 1, who);
  }
  return for_user(call, who, [](pid_t tid) { return ::syscall(SYS_ioprio_get, kIoprioWhoProcess, tid); });
}
BEAM_SYSCALL_WHEN(ioprio_set, Strategy::kRewrite, (TrapWhen{{is_not(1, 0)}, {is(0, kIoprioWhoUser)}}), int which,
                  PidArg who, int priority) {
  if (which != kIoprioWhoUser) {
    return with_pid(call, 1, who);
  }
  return for_user(call, who,
                  [priority](pid_t tid) { return ::syscall(SYS_ioprio_set, kIoprioWhoProcess, tid, priority); });
}

}  // namespace
}  // namespace beam::interpose
