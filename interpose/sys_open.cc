// Calls that open a path, enter it or execute it: open(2), openat2(2), chdir(2), execve(2). What leads into the
// sandbox's /proc is opened by the supervisor and handed over, or opened by the kernel under the workstation's path.
#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <cstring>

#include "interpose/host_path.h"
#include "interpose/robust_list.h"
#include "interpose/shared.h"
#include "interpose/syscall_table.h"

namespace beam::interpose {
namespace {

using rootfs::ProcFile;
using rootfs::ProcNode;
using Kind = ProcNode::Kind;

const GuestFd kHere{AT_FDCWD};
constexpr int kLargeFile = 0100000;  // what 64-bit programs set for nothing
constexpr int kTmpFile = O_TMPFILE & ~O_DIRECTORY;
constexpr int kStateFlags = O_NONBLOCK | O_APPEND;  // F_GETFL shows them
// With no other than these, an open of a file of /proc depends on nothing but its permissions.
constexpr int kSimpleFlags =
    O_ACCMODE | O_CLOEXEC | O_NONBLOCK | O_APPEND | O_NOFOLLOW | O_NOCTTY | kLargeFile | O_DIRECTORY;

bool follows(int flags) {
  return (flags & O_NOFOLLOW) == 0 && (flags & (O_CREAT | O_EXCL)) != (O_CREAT | O_EXCL);
}

enum class How {
  kPass,      // the kernel, by the path as it is
  kHostPath,  // the kernel, by the workstation's path
  kRefuse,
  kText,
  kListing,
  kHandOver,  // the supervisor opens the workstation's file and hands it over
};
struct Decision {
  How how;
  int error = 0;
};

Decision decide_text(const ProcNode& node, int flags) {
  const int access = flags & O_ACCMODE;
  if ((flags & O_PATH) != 0) {
    return {node.native ? How::kPass : How::kHostPath};
  }
  if ((flags & (O_CREAT | O_EXCL)) == (O_CREAT | O_EXCL)) {
    return {How::kRefuse, EEXIST};
  }
  if ((flags & (O_DIRECTORY | kTmpFile)) != 0) {
    return {How::kRefuse, ENOTDIR};
  }
  if (node.file == ProcFile::kSched && access == O_WRONLY) {
    return {node.native ? How::kPass : How::kHostPath};  // resets the counts
  }
  if (access != O_RDONLY || (flags & O_TRUNC) != 0) {
    return {How::kRefuse, EACCES};
  }
  return (flags & O_DIRECT) != 0 ? Decision{How::kRefuse, EINVAL} : Decision{How::kText};
}

Decision decide(const AnswerCall& call, const ProcNode& node, int flags) {
  const Decision by_kernel{node.native ? How::kPass : How::kHostPath};
  switch (node.kind) {
    case Kind::kError:
      return {How::kRefuse, node.error};
    case Kind::kText:
      return decide_text(node, flags);
    case Kind::kRoot:
    case Kind::kTaskList:
      if ((flags & O_PATH) != 0) {
        return by_kernel;
      }
      // What the kernel refuses for a directory, it refuses for the workstation's as well.
      return (flags & O_ACCMODE) == O_RDONLY && (flags & (O_CREAT | O_TRUNC | kTmpFile | O_DIRECT)) == 0
                 ? Decision{How::kListing}
                 : by_kernel;
    case Kind::kSelf:
    case Kind::kLink:
    case Kind::kBeyond:
      return by_kernel;
    case Kind::kPlain:
      break;
  }
  // Whether memory may be opened depends on who traces whom, and so on who asks.
  const bool handed_over = !node.native && (flags & ~kSimpleFlags) == 0 && !call.caller.process->credentials_changed &&
                           !node.host.ends_with("/mem");
  return handed_over ? Decision{How::kHandOver} : by_kernel;
}

// A directory of /proc, or a link that stays one: relative paths may start from there from now on.
void note_directory(ProcView& proc, const ProcNode& node, int flags) {
  if (proc.may_hold_directory() || node.kind == Kind::kError || node.kind == Kind::kBeyond) {
    return;
  }
  struct stat status {};
  if ((flags & O_PATH) != 0 || node.kind == Kind::kRoot || node.kind == Kind::kTaskList ||
      (::stat(node.host.c_str(), &status) == 0 && S_ISDIR(status.st_mode))) {
    proc.directory_is_held();
  }
}

Answer open_node(const AnswerCall& call, const ProcNode& node, int flags) {
  ProcView& proc = *call.shared.proc;
  note_directory(proc, node, flags);
  const Decision decision = decide(call, node, flags);
  UniqueFd fd;
  int error = 0;
  switch (decision.how) {
    case How::kPass:
      return Answer::pass();
    case How::kHostPath:
      return Answer::escalate();
    case How::kRefuse:
      return Answer::error(decision.error);
    case How::kText:
      error = proc.open_text(call.caller, node, flags & kStateFlags, fd);
      break;
    case How::kListing:
      error = proc.open_listing(call.caller, node, flags & kStateFlags, fd);
      break;
    case How::kHandOver:
      fd.reset(::open(node.host.c_str(), (flags & kSimpleFlags) | O_CLOEXEC));
      error = fd ? 0 : errno;
      break;
  }
  return error != 0 ? Answer::error(error) : Answer::descriptor(std::move(fd), (flags & O_CLOEXEC) != 0);
}

Answer open_path(const AnswerCall& call, GuestFd dir, GuestPath path, int flags) {
  const auto node = call.shared.proc->look(call.caller, dir, path, follows(flags));
  return node ? open_node(call, *node, flags) : Answer::pass();
}

Rewrite open_at_stop(RewriteCall& call, GuestFd dir, GuestPath path, std::size_t index, int flags,
                     std::unique_ptr<HostPathCall> progress = std::make_unique<HostPathCall>()) {
  const Caller caller = caller_of(call);
  const auto node = call.shared().proc->look(caller, dir, path, follows(flags));
  if (!node) {
    return Rewrite::pass();
  }
  const AnswerCall context{call.shared(), caller};
  const Decision decision = decide(context, *node, flags);
  switch (decision.how) {
    case How::kPass:
      return Rewrite::pass();
    case How::kRefuse:
      return Rewrite::error(decision.error);
    case How::kHostPath:
    case How::kHandOver:
      return with_host_path(call, *node, index, std::move(progress));
    case How::kText:
    case How::kListing:
      break;
  }
  return Rewrite::error(
      EAGAIN);  // another thread has changed the path meanwhile, or the process that it names has gone
}

BEAM_SYSCALL(open, Strategy::kAnswer, GuestPath path, OpenFlags flags, Mode mode) {
  (void)mode;
  return open_path(call, kHere, path, flags.value);
}
BEAM_ESCALATED(open, GuestPath path, OpenFlags flags) {
  return open_at_stop(call, kHere, path, 0, flags.value);
}

BEAM_SYSCALL(openat, Strategy::kAnswer, GuestFd dir, GuestPath path, OpenFlags flags, Mode mode) {
  (void)mode;
  return open_path(call, dir, path, flags.value);
}
BEAM_ESCALATED(openat, GuestFd dir, GuestPath path, OpenFlags flags) {
  return open_at_stop(call, dir, path, 1, flags.value);
}

constexpr int kCreat = O_CREAT | O_WRONLY | O_TRUNC;
BEAM_SYSCALL(creat, Strategy::kAnswer, GuestPath path, Mode mode) {
  (void)mode;
  return open_path(call, kHere, path, kCreat);
}
BEAM_ESCALATED(creat, GuestPath path) {
  return open_at_stop(call, kHere, path, 0, kCreat);
}

// --- openat2 ---

constexpr std::uint64_t kStayBelow = RESOLVE_BENEATH | RESOLVE_IN_ROOT | RESOLVE_NO_XDEV;
constexpr std::uint64_t kResolveFlags = kStayBelow | RESOLVE_NO_MAGICLINKS | RESOLVE_NO_SYMLINKS;

// What the kernel refuses by itself, it has to see as it is.
bool is_plain(const open_how& how) {
  return how.flags <= INT32_MAX && (how.resolve & ~kResolveFlags) == 0 && (how.mode == 0 || (how.flags & O_CREAT) != 0);
}

// A path of /proc that goes up, or starts elsewhere, is refused by the kernel whatever ids are in it.
bool leaves(const std::string& path, std::uint64_t resolve) {
  return (resolve & kStayBelow) != 0 && (path.starts_with('/') || path.find("..") != std::string::npos);
}

bool goes_by_self(const std::string& path) {
  return path.starts_with("self") || path.starts_with("thread-self") || path.find("/self") != std::string::npos ||
         path.find("/thread-self") != std::string::npos;
}

bool kernel_refuses(const std::string& path, std::uint64_t resolve) {
  return leaves(path, resolve) || ((resolve & RESOLVE_NO_SYMLINKS) != 0 && goes_by_self(path));
}

BEAM_SYSCALL(openat2, Strategy::kAnswer, GuestFd dir, GuestPath path, RemotePtr<open_how> how, std::uint64_t size) {
  open_how copy{};
  std::string text;
  if (size < sizeof copy || call.memory().read(how, copy) != 0 || !is_plain(copy) ||
      call.memory().read_string(path.address(), text, PATH_MAX) != 0 || kernel_refuses(text, copy.resolve)) {
    return Answer::pass();
  }
  const int flags = static_cast<int>(copy.flags);
  const bool follow = follows(flags) && (copy.resolve & RESOLVE_NO_SYMLINKS) == 0;
  const auto node = call.shared.proc->look(call.caller, dir, text, follow);
  return node ? open_node(call, *node, flags) : Answer::pass();
}

BEAM_ESCALATED(openat2, GuestFd dir, GuestPath path, RemotePtr<open_how> how) {
  open_how copy{};
  if (call.memory().read(how, copy) != 0) {
    return Rewrite::error(EFAULT);
  }
  // An absolute path stays below no directory; that the program's own does has been seen.
  copy.resolve &= ~kStayBelow;
  auto progress = std::make_unique<HostPathCall>();
  const std::uint64_t place = call.put(*progress, &copy, sizeof copy);
  if (place == 0) {
    return Rewrite::error(ENOMEM);
  }
  call.set_arg(*progress, 2, place);
  call.set_arg(*progress, 3, sizeof copy);
  return open_at_stop(call, dir, path, 1, static_cast<int>(copy.flags), std::move(progress));
}

// --- chdir, execve ---

// By the workstation's path where it differs.
Answer by_host_path(const AnswerCall& call, GuestFd dir, GuestPath path, bool follow, bool enters) {
  const auto node = call.shared.proc->look(call.caller, dir, path, follow);
  if (!node) {
    return Answer::pass();
  }
  if (node->kind == Kind::kError) {
    return Answer::error(node->error);
  }
  if (enters) {
    note_directory(*call.shared.proc, *node, O_PATH);
  }
  return node->native ? Answer::pass() : Answer::escalate();
}

BEAM_SYSCALL(chdir, Strategy::kAnswer, GuestPath path) {
  return by_host_path(call, kHere, path, true, true);
}
BEAM_ESCALATED(chdir, GuestPath path) {
  return with_host_path(call, kHere, path, 0, true);
}

// An exec ends the thread for those who wait for its robust locks. Seen to its exit when it fails; success discards it.
struct ExecCall : HostPathCall {
  bool locks_renamed = false;
  void at_exit(ExitCall& call) override { rename_back(call); }
  void at_restart(ExitCall& call) override { rename_back(call); }

 private:
  void rename_back(const ExitCall& call) const {
    const Task& task = call.task();
    if (locks_renamed) {
      rename_robust_owner(task.tid, call.memory(), task.process->host.value(), task.vtid.value());
    }
  }
};

Answer execute(const AnswerCall& call, GuestFd dir, GuestPath path, bool follow) {
  Answer answer = by_host_path(call, dir, path, follow, false);
  const bool passes = answer.kind() == Answer::Kind::kPass;
  return passes && holds_robust_futexes(call.caller.tid, call.memory()) ? Answer::escalate() : std::move(answer);
}

Rewrite execute_at_stop(RewriteCall& call, GuestFd dir, GuestPath path, std::size_t index, bool follow) {
  auto progress = std::make_unique<ExecCall>();
  ExecCall& exec = *progress;
  const auto node = call.shared().proc->look(caller_of(call), dir, path, follow);
  const bool native = !node || (node->native && node->kind != Kind::kError);
  Rewrite rewrite =
      native ? Rewrite::until_exit(std::move(progress)) : with_host_path(call, *node, index, std::move(progress));
  const Task& task = call.task();
  if (rewrite.kind() == Rewrite::Kind::kUntilExit && holds_robust_futexes(task.tid, call.memory())) {
    rename_robust_owner(task.tid, call.memory(), task.vtid.value(), task.process->host.value());
    exec.locks_renamed = true;
  }
  return rewrite;
}

BEAM_SYSCALL(execve, Strategy::kAnswer, GuestPath path, RemotePtr<CString> argv, RemotePtr<void> envp) {
  (void)argv, (void)envp;
  return execute(call, kHere, path, true);
}
BEAM_ESCALATED(execve, GuestPath path) {
  return execute_at_stop(call, kHere, path, 0, true);
}

BEAM_SYSCALL(execveat, Strategy::kAnswer, GuestFd dir, GuestPath path, RemotePtr<CString> argv, RemotePtr<void> envp,
             AtFlags flags) {
  (void)argv, (void)envp;
  return execute(call, dir, path, (flags.value & AT_SYMLINK_NOFOLLOW) == 0);
}
BEAM_ESCALATED(execveat, GuestFd dir, GuestPath path, RemotePtr<void>, RemotePtr<void>, AtFlags flags) {
  return execute_at_stop(call, dir, path, 1, (flags.value & AT_SYMLINK_NOFOLLOW) == 0);
}

}  // namespace
}  // namespace beam::interpose
