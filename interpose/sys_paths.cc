// Calls that look at or open a path: answered where the path leads into /proc, the workstation's own otherwise.
#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <unistd.h>

#include <cerrno>

#include "interpose/robust_list.h"
#include "interpose/shared.h"
#include "interpose/syscall_table.h"

namespace beam::interpose {
namespace {

BEAM_SYSCALL(open, Strategy::kAnswer, GuestPath path, OpenFlags flags, Mode mode) {
  (void)path, (void)flags, (void)mode;
  return Answer::pass();
}
BEAM_SYSCALL(openat, Strategy::kAnswer, GuestFd dir, GuestPath path, OpenFlags flags, Mode mode) {
  (void)dir, (void)path, (void)flags, (void)mode;
  return Answer::pass();
}
BEAM_SYSCALL(openat2, Strategy::kAnswer, GuestFd dir, GuestPath path, RemotePtr<open_how> how, std::uint64_t size) {
  (void)dir, (void)path, (void)how, (void)size;
  return Answer::pass();
}
BEAM_SYSCALL(stat, Strategy::kAnswer, GuestPath path, RemotePtr<struct stat> to) {
  (void)path, (void)to;
  return Answer::pass();
}
BEAM_SYSCALL(lstat, Strategy::kAnswer, GuestPath path, RemotePtr<struct stat> to) {
  (void)path, (void)to;
  return Answer::pass();
}
BEAM_SYSCALL_WHEN(newfstatat, Strategy::kAnswer, (TrapWhen{{is(3, 0, AT_EMPTY_PATH)}}), GuestFd dir, GuestPath path,
                  RemotePtr<struct stat> to, AtFlags flags) {
  (void)dir, (void)path, (void)to, (void)flags;
  return Answer::pass();
}
BEAM_SYSCALL(statx, Strategy::kAnswer, GuestFd dir, GuestPath path, AtFlags flags, unsigned mask,
             RemotePtr<struct statx> to) {
  (void)dir, (void)path, (void)flags, (void)mask, (void)to;
  return Answer::pass();
}
BEAM_SYSCALL(access, Strategy::kAnswer, GuestPath path, int mode) {
  (void)path, (void)mode;
  return Answer::pass();
}
BEAM_SYSCALL(faccessat, Strategy::kAnswer, GuestFd dir, GuestPath path, int mode) {
  (void)dir, (void)path, (void)mode;
  return Answer::pass();
}
BEAM_SYSCALL(faccessat2, Strategy::kAnswer, GuestFd dir, GuestPath path, int mode, AtFlags flags) {
  (void)dir, (void)path, (void)mode, (void)flags;
  return Answer::pass();
}
BEAM_SYSCALL(readlink, Strategy::kAnswer, GuestPath path, RemotePtr<char> to, std::uint64_t size) {
  (void)path, (void)to, (void)size;
  return Answer::pass();
}
BEAM_SYSCALL(readlinkat, Strategy::kAnswer, GuestFd dir, GuestPath path, RemotePtr<char> to, std::uint64_t size) {
  (void)dir, (void)path, (void)to, (void)size;
  return Answer::pass();
}
BEAM_SYSCALL(statfs, Strategy::kAnswer, GuestPath path, RemotePtr<struct statfs> to) {
  (void)path, (void)to;
  return Answer::pass();
}
BEAM_SYSCALL(getcwd, Strategy::kAnswer, RemotePtr<char> to, std::uint64_t size) {
  (void)to, (void)size;
  return Answer::pass();
}
BEAM_SYSCALL(chdir, Strategy::kAnswer, GuestPath path) {
  (void)path;
  return Answer::pass();
}
BEAM_SYSCALL(execve, Strategy::kAnswer, GuestPath path, RemotePtr<void> argv, RemotePtr<void> envp) {
  (void)path, (void)argv, (void)envp;
  return holds_robust_futexes(call.caller.tid, call.memory()) ? Answer::escalate() : Answer::pass();
}
BEAM_SYSCALL(execveat, Strategy::kAnswer, GuestFd dir, GuestPath path, RemotePtr<void> argv, RemotePtr<void> envp,
             AtFlags flags) {
  (void)dir, (void)path, (void)argv, (void)envp, (void)flags;
  return holds_robust_futexes(call.caller.tid, call.memory()) ? Answer::escalate() : Answer::pass();
}

// An exec ends the thread for those who wait for its locks. Seen to its exit when it fails; success discards it.
struct ExecWithLocks : CallInProgress {
  void at_exit(ExitCall& call) override { rename_back(call); }
  void at_restart(ExitCall& call) override { rename_back(call); }

 private:
  static void rename_back(const ExitCall& call) {
    const Task& task = call.task();
    rename_robust_owner(task.tid, call.memory(), task.process->host.value(), task.vtid.value());
  }
};

Rewrite exec_with_locks(const RewriteCall& call) {
  const Task& task = call.task();
  rename_robust_owner(task.tid, call.memory(), task.vtid.value(), task.process->host.value());
  return Rewrite::until_exit(std::make_unique<ExecWithLocks>());
}

BEAM_ESCALATED(execve, GuestPath path, RemotePtr<void> argv, RemotePtr<void> envp) {
  (void)path, (void)argv, (void)envp;
  return exec_with_locks(call);
}
BEAM_ESCALATED(execveat, GuestFd dir, GuestPath path, RemotePtr<void> argv, RemotePtr<void> envp, AtFlags flags) {
  (void)dir, (void)path, (void)argv, (void)envp, (void)flags;
  return exec_with_locks(call);
}

}  // namespace
}  // namespace beam::interpose
