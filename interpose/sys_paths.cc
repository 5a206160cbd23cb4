// Calls that look at a path: answered where it leads into the sandbox's /proc, the workstation's own otherwise. Opening
// and what changes is in sys_open.cc.
#include <fcntl.h>
#include <limits.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "interpose/host_path.h"
#include "interpose/shared.h"
#include "interpose/syscall_table.h"

namespace beam::interpose {
namespace {

using rootfs::ProcNode;
using Kind = ProcNode::Kind;

const GuestFd kHere{AT_FDCWD};

// Gives bytes to a caller that still waits for them: a task that was killed may already have lent its id to another.
template <typename T>
Answer give(const AnswerCall& call, RemotePtr<T> to, const T& value) {
  return call.still_waits() && call.memory().write(to, value) == 0 ? Answer::result(0) : Answer::error(EFAULT);
}

// --- stat ---

void show_identity(struct stat& value, const struct stat& identity) {
  value.st_dev = identity.st_dev;
  value.st_ino = identity.st_ino;
  if (S_ISDIR(identity.st_mode)) {
    value.st_nlink = identity.st_nlink;  // of /proc: how many processes there are
  }
}

void show_identity(struct statx& value, const struct stat& identity) {
  value.stx_dev_major = major(identity.st_dev);
  value.stx_dev_minor = minor(identity.st_dev);
  value.stx_ino = identity.st_ino;
  if (S_ISDIR(identity.st_mode)) {
    value.stx_nlink = static_cast<std::uint32_t>(identity.st_nlink);
  }
}

// What stat(2) and statx(2) have in common. Directories and texts that stand for those of /proc show the inode that
// fstat(2) will show of them. `by_path` fills a buffer and returns 0, or -1 with errno.
template <typename T, typename ByPath>
Answer stat_path(const AnswerCall& call, GuestFd dir, GuestPath path, bool follow, RemotePtr<T> to, ByPath by_path) {
  ProcView& proc = *call.shared.proc;
  const auto node = proc.look(call.caller, dir, path, follow);
  if (!node) {
    return Answer::pass();
  }
  T value{};
  switch (node->kind) {
    case Kind::kError:
      return Answer::error(node->error);
    case Kind::kRoot:
    case Kind::kTaskList: {
      UniqueFd fd;
      if (const int error = proc.open_listing_for_stat(call.caller, *node, fd); error != 0) {
        return Answer::error(error);
      }
      struct stat identity {};
      if (by_path(node->host.c_str(), value) != 0 || ::fstat(fd.get(), &identity) != 0) {
        return Answer::error(errno);
      }
      show_identity(value, identity);
      return give(call, to, value);
    }
    case Kind::kText: {
      struct stat identity {};
      if (by_path(node->host.c_str(), value) != 0) {
        return Answer::error(errno);
      }
      if (const int error = proc.promise_text(call.caller, *node, identity); error != 0) {
        return Answer::error(error);
      }
      show_identity(value, identity);
      return give(call, to, value);
    }
    case Kind::kSelf:
    case Kind::kLink:
    case Kind::kPlain:
    case Kind::kBeyond:
      break;
  }
  if (node->native) {
    return Answer::pass();
  }
  if (call.caller.process->credentials_changed) {
    return Answer::escalate();  // the kernel judges the caller, not the supervisor
  }
  return by_path(node->host.c_str(), value) == 0 ? give(call, to, value) : Answer::error(errno);
}

Answer plain_stat(const AnswerCall& call, GuestFd dir, GuestPath path, int flags, RemotePtr<struct stat> to) {
  return stat_path(call, dir, path, (flags & AT_SYMLINK_NOFOLLOW) == 0, to,
                   [flags](const char* host, struct stat& value) { return ::fstatat(AT_FDCWD, host, &value, flags); });
}

BEAM_SYSCALL(stat, Strategy::kAnswer, GuestPath path, RemotePtr<struct stat> to) {
  return plain_stat(call, kHere, path, 0, to);
}
BEAM_ESCALATED(stat, GuestPath path) {
  return with_host_path(call, kHere, path, 0, true);
}

BEAM_SYSCALL(lstat, Strategy::kAnswer, GuestPath path, RemotePtr<struct stat> to) {
  return plain_stat(call, kHere, path, AT_SYMLINK_NOFOLLOW, to);
}
BEAM_ESCALATED(lstat, GuestPath path) {
  return with_host_path(call, kHere, path, 0, false);
}

BEAM_SYSCALL_WHEN(newfstatat, Strategy::kAnswer, (TrapWhen{{is(3, 0, AT_EMPTY_PATH)}}), GuestFd dir, GuestPath path,
                  RemotePtr<struct stat> to, AtFlags flags) {
  return plain_stat(call, dir, path, flags.value, to);
}
BEAM_ESCALATED(newfstatat, GuestFd dir, GuestPath path, RemotePtr<struct stat>, AtFlags flags) {
  return with_host_path(call, dir, path, 1, (flags.value & AT_SYMLINK_NOFOLLOW) == 0);
}

BEAM_SYSCALL(statx, Strategy::kAnswer, GuestFd dir, GuestPath path, AtFlags flags, unsigned mask,
             RemotePtr<struct statx> to) {
  return stat_path(
      call, dir, path, (flags.value & AT_SYMLINK_NOFOLLOW) == 0, to,
      [&](const char* host, struct statx& value) { return ::statx(AT_FDCWD, host, flags.value, mask, &value); });
}
BEAM_ESCALATED(statx, GuestFd dir, GuestPath path, AtFlags flags) {
  return with_host_path(call, dir, path, 1, (flags.value & AT_SYMLINK_NOFOLLOW) == 0);
}

// --- access, statfs ---

// `ask` asks the kernel by the workstation's path, and returns 0, or -1 with errno.
template <typename Ask>
Answer ask_by_path(const AnswerCall& call, GuestFd dir, GuestPath path, bool follow, Ask ask) {
  const auto node = call.shared.proc->look(call.caller, dir, path, follow);
  if (!node || (node->native && node->kind != Kind::kError)) {
    return Answer::pass();
  }
  if (node->kind == Kind::kError) {
    return Answer::error(node->error);
  }
  if (call.caller.process->credentials_changed) {
    return Answer::escalate();
  }
  return ask(node->host.c_str()) == 0 ? Answer::result(0) : Answer::error(errno);
}

// By the real ids, which are the supervisor's own as well.
Answer may_access(const AnswerCall& call, GuestFd dir, GuestPath path, int mode, int flags) {
  return ask_by_path(call, dir, path, (flags & AT_SYMLINK_NOFOLLOW) == 0, [&](const char* host) {
    return flags == 0 ? ::syscall(SYS_faccessat, AT_FDCWD, host, mode)
                      : ::syscall(SYS_faccessat2, AT_FDCWD, host, mode, flags);
  });
}

BEAM_SYSCALL(access, Strategy::kAnswer, GuestPath path, int mode) {
  return may_access(call, kHere, path, mode, 0);
}
BEAM_ESCALATED(access, GuestPath path) {
  return with_host_path(call, kHere, path, 0, true);
}

BEAM_SYSCALL(faccessat, Strategy::kAnswer, GuestFd dir, GuestPath path, int mode) {
  return may_access(call, dir, path, mode, 0);
}
BEAM_ESCALATED(faccessat, GuestFd dir, GuestPath path) {
  return with_host_path(call, dir, path, 1, true);
}

BEAM_SYSCALL(faccessat2, Strategy::kAnswer, GuestFd dir, GuestPath path, int mode, AtFlags flags) {
  return may_access(call, dir, path, mode, flags.value);
}
BEAM_ESCALATED(faccessat2, GuestFd dir, GuestPath path, int, AtFlags flags) {
  return with_host_path(call, dir, path, 1, (flags.value & AT_SYMLINK_NOFOLLOW) == 0);
}

BEAM_SYSCALL(statfs, Strategy::kAnswer, GuestPath path, RemotePtr<struct statfs> to) {
  struct statfs value {};
  Answer answer = ask_by_path(call, kHere, path, true, [&](const char* host) { return ::statfs(host, &value); });
  const bool answered = answer.kind() == Answer::Kind::kResult && answer.value() == 0;
  return answered ? give(call, to, value) : std::move(answer);
}
BEAM_ESCALATED(statfs, GuestPath path) {
  return with_host_path(call, kHere, path, 0, true);
}

// Texts and listings lie elsewhere, and say that they are files of /proc.
BEAM_SYSCALL(fstatfs, Strategy::kAnswer, GuestFd fd, RemotePtr<struct statfs> to) {
  const auto link = ProcView::host_path_of(call.caller, fd);
  if (!link || fd.value() < 0 || !call.shared.proc->stands_for_proc(*link)) {
    return Answer::pass();
  }
  struct statfs value {};
  return ::statfs("/proc", &value) == 0 ? give(call, to, value) : Answer::error(errno);
}

// --- readlink, getcwd ---

Answer give_link(const AnswerCall& call, const std::string& target, RemotePtr<char> to, std::uint64_t size) {
  const std::size_t length = std::min<std::size_t>(target.size(), size);
  if (!call.still_waits() || call.memory().write(to.address(), target.data(), length) != 0) {
    return Answer::error(EFAULT);
  }
  return Answer::result(static_cast<std::int64_t>(length));
}

// The kernel has read a link whose target may be a name of the workstation.
struct LinkRead : HostPathCall {
  std::uint64_t to = 0;
  std::uint64_t size = 0;
  void at_exit(ExitCall& call) override {
    if (call.result() <= 0) {
      return;
    }
    std::string target(static_cast<std::size_t>(call.result()), '\0');
    if (call.memory().read(to, target.data(), target.size()) != 0) {
      return;
    }
    const std::string shown = call.shared().proc->shown(target).substr(0, size);
    if (shown != target && call.memory().write(to, shown.data(), shown.size()) == 0) {
      call.set_result(static_cast<std::int64_t>(shown.size()));
    }
  }
};

Answer read_link(const AnswerCall& call, GuestFd dir, GuestPath path, RemotePtr<char> to, std::uint64_t size) {
  if (static_cast<int>(size) <= 0) {
    return Answer::pass();  // EINVAL
  }
  std::string text;
  if (call.memory().read_string(path.address(), text, PATH_MAX) != 0) {
    return Answer::pass();
  }
  ProcView& proc = *call.shared.proc;
  const auto node = text.empty() ? proc.look_at_descriptor(call.caller, dir) : proc.look(call.caller, dir, text, false);
  if (!node) {
    return Answer::pass();
  }
  if (node->kind == Kind::kError) {
    return Answer::error(node->error);
  }
  if (node->kind == Kind::kSelf) {
    return give_link(call, node->target, to, size);
  }
  if (node->kind != Kind::kLink) {
    return node->native ? Answer::pass() : Answer::escalate();
  }
  if (call.caller.process->credentials_changed) {
    return Answer::escalate();
  }
  char target[PATH_MAX];
  const ssize_t length = ::readlink(node->host.c_str(), target, sizeof target);
  if (length < 0) {
    return Answer::error(errno);
  }
  return give_link(call, proc.shown(std::string(target, static_cast<std::size_t>(length))), to, size);
}

Rewrite read_link_at_stop(RewriteCall& call, GuestFd dir, GuestPath path, std::size_t index, RemotePtr<char> to,
                          std::uint64_t size) {
  auto progress = std::make_unique<LinkRead>();
  progress->to = to.address();
  progress->size = static_cast<unsigned>(size);
  return with_host_path(call, dir, path, index, false, std::move(progress));
}

BEAM_SYSCALL(readlink, Strategy::kAnswer, GuestPath path, RemotePtr<char> to, std::uint64_t size) {
  return read_link(call, kHere, path, to, size);
}
BEAM_ESCALATED(readlink, GuestPath path, RemotePtr<char> to, std::uint64_t size) {
  return read_link_at_stop(call, kHere, path, 0, to, size);
}

BEAM_SYSCALL(readlinkat, Strategy::kAnswer, GuestFd dir, GuestPath path, RemotePtr<char> to, std::uint64_t size) {
  return read_link(call, dir, path, to, size);
}
BEAM_ESCALATED(readlinkat, GuestFd dir, GuestPath path, RemotePtr<char> to, std::uint64_t size) {
  return read_link_at_stop(call, dir, path, 1, to, size);
}

// The kernel makes the link; remembered is that it may lead into /proc.
Answer note_link(const AnswerCall& call, GuestPath target) {
  std::string text;
  if (call.memory().read_string(target.address(), text, PATH_MAX) == 0 && rootfs::link_may_lead_to_proc(text)) {
    call.shared.proc->link_is_made();
  }
  return Answer::pass();
}

BEAM_SYSCALL(symlink, Strategy::kAnswer, GuestPath target, GuestPath path) {
  (void)path;
  return note_link(call, target);
}

BEAM_SYSCALL(symlinkat, Strategy::kAnswer, GuestPath target, GuestFd dir, GuestPath path) {
  (void)dir, (void)path;
  return note_link(call, target);
}

BEAM_SYSCALL(getcwd, Strategy::kAnswer, RemotePtr<char> to, std::uint64_t size) {
  ProcView& proc = *call.shared.proc;
  const auto link = proc.may_hold_directory() ? ProcView::host_path_of(call.caller, kHere) : std::nullopt;
  if (!link) {
    return Answer::pass();
  }
  const std::string shown = proc.shown(*link);
  if (shown == *link) {
    return Answer::pass();
  }
  const std::size_t length = shown.size() + 1;
  if (length > size) {
    return Answer::error(ERANGE);
  }
  if (!call.still_waits() || call.memory().write(to.address(), shown.c_str(), length) != 0) {
    return Answer::error(EFAULT);
  }
  return Answer::result(static_cast<std::int64_t>(length));
}

}  // namespace
}  // namespace beam::interpose
