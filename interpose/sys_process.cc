// Making, executing and waiting for processes: clone(2), execve(2), wait(2), pidfd_open(2).
#include <fcntl.h>
#include <linux/sched.h>
#include <sched.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <cstring>

#include "interpose/clone.h"
#include "interpose/shared.h"
#include "interpose/shifted_clocks.h"
#include "interpose/syscall_table.h"
#include "interpose/tracer.h"
#include "interpose/unread_memory.h"

namespace beam::interpose {

void CloneInProgress::at_exit(ExitCall& call) {
  if (call.result() > 0 && child != VirtualPid()) {
    call.set_result(child.value());
  }
}

std::unique_ptr<CloneInProgress> clone_seen_at_event(StoppedTracee& tracee) {
  const user_regs_struct* regs = tracee.regs();
  if (regs == nullptr) {
    return nullptr;
  }
  auto progress = std::make_unique<CloneInProgress>();
  progress->number = static_cast<long>(regs->orig_rax);
  switch (progress->number) {
    case SYS_clone:
      progress->flags = regs->rdi & ~std::uint64_t{CSIGNAL};
      progress->exit_signal = static_cast<int>(regs->rdi & CSIGNAL);
      progress->parent_tid = regs->rdx;
      progress->child_tid = regs->r10;
      break;
    case SYS_vfork:
      progress->flags = CLONE_VM | CLONE_VFORK;
      break;
    default:
      break;
  }
  return progress;
}

namespace {

constexpr std::uint64_t kNamespaceFlags =
    CLONE_NEWNS | CLONE_NEWCGROUP | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWUSER | CLONE_NEWPID | CLONE_NEWNET;
constexpr std::uint64_t kSettid = CLONE_PARENT_SETTID | CLONE_CHILD_SETTID;

// A parent that the kernel itself holds for CLONE_VFORK can't be stopped, nor looked into: the event thread holds it
// instead (Tracer::wait_for_vfork_child), and the kernel makes a child that shares its memory.
struct Vfork : CloneInProgress {
  void at_restart(ExitCall& call) override {
    if (user_regs_struct* regs = call.tracee().regs()) {
      regs->orig_rax = SYS_vfork;
      call.tracee().set_regs_changed();
    }
  }
};

BEAM_SYSCALL(vfork, Strategy::kRewrite) {
  user_regs_struct* regs = call.tracee().regs();
  if (regs == nullptr) {
    return Rewrite::pass();
  }
  auto progress = std::make_unique<Vfork>();
  progress->flags = CLONE_VM | CLONE_VFORK;
  progress->exit_signal = SIGCHLD;
  regs->orig_rax = SYS_clone;
  call.set_arg(*progress, 0, CLONE_VM | SIGCHLD);
  for (std::size_t index = 1; index < 5; ++index) {
    call.set_arg(*progress, index, 0);
  }
  return Rewrite::until_exit(std::move(progress));
}

// Combinations that clone(2) refuses as such come before the permission that no sandbox has (kernel/fork.c,
// copy_process).
int namespace_refusal(std::uint64_t flags) {
  const bool nonsense = ((flags & CLONE_FS) != 0 && (flags & (CLONE_NEWNS | CLONE_NEWUSER)) != 0) ||
                        ((flags & CLONE_THREAD) != 0 && (flags & (CLONE_NEWUSER | CLONE_NEWPID)) != 0) ||
                        ((flags & CLONE_THREAD) != 0 && (flags & CLONE_SIGHAND) == 0) ||
                        ((flags & CLONE_SIGHAND) != 0 && (flags & CLONE_VM) == 0);
  return nonsense ? EINVAL : EPERM;
}

// A copy of memory that is read in later would not become one mapping again, as the kernel keeps apart what a process
// inherited and what is its own (mm/vma.c, is_mergeable_anon_vma).
std::optional<Rewrite> read_in_before_fork(RewriteCall& call, std::uint64_t flags) {
  return (flags & CLONE_VM) != 0 ? std::nullopt : read_in_first(call, *call.task().process, {});
}

// A plain fork needs no stop at entry: its child's memory is its own, and holds the right id before the child runs.
// Where memory is shared, the kernel must not write the host's id at all.
BEAM_SYSCALL_WHEN(clone, Strategy::kRewrite,
                  (TrapWhen{{is_not(0, 0, CLONE_PARENT_SETTID)},
                            {is_not(0, 0, CLONE_VFORK)},
                            {is_not(0, 0, CLONE_VM), is_not(0, 0, CLONE_CHILD_SETTID)},
                            {when_shifted(), is(0, 0, CLONE_VM)},
                            {is_not(0, 0, kNamespaceFlags | CLONE_UNTRACED | CLONE_PTRACE)}}),
                  CloneFlags flags, RemotePtr<void> stack, OutPtr<pid_t> parent_tid, RemotePtr<void> child_tid,
                  std::uint64_t tls) {
  (void)stack, (void)tls;
  if ((flags.value & kNamespaceFlags) != 0) {
    return Rewrite::error(namespace_refusal(flags.value));
  }
  if (auto again = read_in_before_fork(call, flags.value)) {
    return std::move(*again);
  }
  auto progress = std::make_unique<CloneInProgress>();
  progress->flags = flags.value & ~std::uint64_t{CSIGNAL};
  progress->exit_signal = static_cast<int>(flags.value & CSIGNAL);
  progress->parent_tid = parent_tid.address();
  progress->child_tid = child_tid.address();
  progress->settid_by_us = true;
  std::uint64_t kept = flags.value & ~(kSettid | CLONE_UNTRACED | CLONE_PTRACE | CLONE_VFORK);
  if ((flags.value & CLONE_PIDFD) != 0 && (flags.value & CLONE_PARENT_SETTID) != 0) {
    return Rewrite::error(EINVAL);  // both would use the same pointer; the kernel refuses it too
  }
  call.set_arg(*progress, 0, kept);
  return Rewrite::until_exit(std::move(progress));
}

// A chosen id needs a capability over the PID namespace, which no sandbox has; what the kernel checks before comes
// first.
int set_tid_refusal(const GuestMemory& memory, const clone_args& args) {
  pid_t wanted = 0;
  if (memory.read(args.set_tid, &wanted, sizeof wanted) != 0) {
    return EFAULT;
  }
  return wanted < 1 ? EINVAL : EPERM;
}

BEAM_SYSCALL(clone3, Strategy::kRewrite, RemotePtr<clone_args> pointer, std::uint64_t size) {
  // Sizes as the kernel checks them (copy_clone_args_from_user): unknown tails must be zero.
  if (size > 4096) {
    return Rewrite::error(E2BIG);
  }
  if (size < CLONE_ARGS_SIZE_VER0) {
    return Rewrite::error(EINVAL);
  }
  std::byte bytes[4096];
  if (const int error = call.memory().read(pointer.address(), bytes, size); error != 0) {
    return Rewrite::error(error);
  }
  clone_args args{};
  std::memcpy(&args, bytes, std::min<std::size_t>(size, sizeof args));
  if (std::any_of(bytes + std::min<std::size_t>(size, sizeof args), bytes + size,
                  [](std::byte byte) { return byte != std::byte{0}; })) {
    return Rewrite::error(E2BIG);
  }
  size = std::min<std::uint64_t>(size, sizeof args);
  if ((args.flags & (CLONE_THREAD | CLONE_PARENT)) != 0 && args.exit_signal != 0) {
    return Rewrite::error(EINVAL);
  }
  if ((args.flags & kNamespaceFlags) != 0) {
    return Rewrite::error(namespace_refusal(args.flags));
  }
  constexpr std::uint64_t kSameWord = CLONE_PIDFD | CLONE_PARENT_SETTID;
  if ((args.flags & kSameWord) == kSameWord && args.pidfd == args.parent_tid) {
    return Rewrite::error(EINVAL);
  }
  if (args.set_tid != 0 && args.set_tid_size == 1) {
    return Rewrite::error(set_tid_refusal(call.memory(), args));
  }
  if (auto again = read_in_before_fork(call, args.flags)) {
    return std::move(*again);
  }
  auto progress = std::make_unique<CloneInProgress>();
  progress->flags = args.flags;
  progress->exit_signal = static_cast<int>(args.exit_signal & CSIGNAL);
  progress->parent_tid = args.parent_tid;
  progress->child_tid = args.child_tid;
  progress->settid_by_us = true;
  args.flags &= ~(kSettid | CLONE_UNTRACED | CLONE_PTRACE | CLONE_VFORK);
  std::memcpy(bytes, &args, std::min<std::size_t>(size, sizeof args));
  const std::uint64_t copy = call.put(*progress, bytes, size);
  if (copy == 0) {
    return Rewrite::error(ENOSYS);  // no agent in this address space: programs fall back to clone
  }
  call.set_arg(*progress, 0, copy);
  call.set_arg(*progress, 1, size);
  return Rewrite::until_exit(std::move(progress));
}

// --- wait ---

struct Wait4 : CallInProgress {
  void at_exit(ExitCall& call) override {
    if (call.result() <= 0) {
      return;
    }
    const auto host = HostPid(static_cast<pid_t>(call.result()));
    call.set_result(call.shared().pids.to_virtual(host).value());
    call.tracer().forget_zombie(host);
  }
};

BEAM_SYSCALL(wait4, Strategy::kRewrite, PidArg pid, OutPtr<WaitStatus> status, WaitOptions options,
             OutPtr<rusage> usage) {
  (void)status, (void)options, (void)usage;
  auto progress = std::make_unique<Wait4>();
  if (pid.value > 0 || (pid.value < -1 && pid.value != INT32_MIN)) {
    const pid_t named = call.shared().host_argument(std::abs(pid.value));
    const pid_t value = pid.value > 0 ? named : -named;
    call.set_arg(*progress, 0, static_cast<std::uint64_t>(static_cast<std::int64_t>(value)));
  }
  return Rewrite::until_exit(std::move(progress));
}

struct WaitId : CallInProgress {
  std::uint64_t info = 0;
  bool reaps = true;
  void at_exit(ExitCall& call) override {
    if (call.result() != 0 || info == 0) {
      return;
    }
    const std::uint64_t at = info + offsetof(siginfo_t, si_pid);
    pid_t pid = 0;
    if (call.memory().read(at, &pid, sizeof pid) != 0 || pid == 0) {
      return;
    }
    const pid_t shown = call.shared().pids.to_virtual(HostPid(pid)).value();
    (void)call.memory().write(at, &shown, sizeof shown);
    if (reaps) {
      call.tracer().forget_zombie(HostPid(pid));
    }
  }
};

BEAM_SYSCALL(waitid, Strategy::kRewrite, WaitIdType which, PidArg id, OutPtr<siginfo_t> info, WaitOptions options,
             OutPtr<rusage> usage) {
  (void)usage;
  auto progress = std::make_unique<WaitId>();
  progress->info = info.address();
  progress->reaps = (options.value & WNOWAIT) == 0;
  if (which.value == P_PID || which.value == P_PGID) {
    call.set_arg(*progress, 1, static_cast<std::uint64_t>(call.shared().host_argument(id.value)));
  }
  return Rewrite::until_exit(std::move(progress));
}

// --- pidfd_open: a descriptor for a process of the sandbox only ---

BEAM_SYSCALL(pidfd_open, Strategy::kAnswer, PidArg pid, unsigned flags) {
  constexpr unsigned kKnown = O_NONBLOCK | O_EXCL;  // PIDFD_NONBLOCK, PIDFD_THREAD
  if ((flags & ~kKnown) != 0 || pid.value <= 0) {
    return Answer::error(EINVAL);
  }
  const HostPid host = call.shared.pids.to_host(VirtualPid(pid.value));
  if (host == HostPid()) {
    return Answer::error(ESRCH);
  }
  UniqueFd fd(static_cast<int>(::syscall(SYS_pidfd_open, host.value(), flags)));
  if (!fd) {
    return Answer::error(errno);
  }
  return Answer::descriptor(std::move(fd), true);
}

}  // namespace
}  // namespace beam::interpose
