// Calls that look at a path: answered by the mount view, or, without one, where it leads into the sandbox's /proc, and
// the workstation's own otherwise. Opening is in sys_open.cc, changing names in sys_names.cc.
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
#include "interpose/view_call.h"
#include "rootfs/proc_entry.h"

namespace beam::interpose {
namespace {

using rootfs::ProcNode;
using Kind = ProcNode::Kind;

using rootfs::Found;

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

void show_size(struct stat& value, std::size_t size) {
  value.st_size = S_ISREG(value.st_mode) ? static_cast<off_t>(size) : value.st_size;
}

void show_size(struct statx& value, std::size_t size) {
  value.stx_size = S_ISREG(value.stx_mode) ? size : value.stx_size;
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
Answer stat_node(const AnswerCall& call, const std::optional<ProcNode>& node, RemotePtr<T> to, ByPath by_path) {
  ProcView& proc = *call.shared.proc;
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
      if (!node->host.starts_with("/proc/")) {
        show_size(value, proc.size_of_text(call.caller, *node));  // files of /proc have none
      }
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

void show_owner(struct stat& value, const Found& found) {
  value = found.status;
}

void show_owner(struct statx& value, const Found& found) {
  value.stx_uid = found.status.st_uid;
  value.stx_gid = found.status.st_gid;
}

// The same in the mount view. `by_file` fills a buffer from a descriptor.
template <typename T, typename ByPath, typename ByFile>
Answer stat_in_view(const AnswerCall& call, GuestFd dir, GuestPath path, int flags, RemotePtr<T> to, ByPath by_path,
                    ByFile by_file) {
  ViewPath argument(call.shared, call.caller);
  if (const int error = argument.read(dir, path, (flags & AT_EMPTY_PATH) != 0); error != 0) {
    return Answer::error(error);
  }
  const bool follow = (flags & AT_SYMLINK_NOFOLLOW) == 0 || argument.is_descriptor();
  Found found;
  const ActAs caller(call.caller);
  if (const int error = call.shared.view->find(argument.where(), follow ? unsigned{rootfs::kFollow} : 0U, found);
      error != 0) {
    return Answer::error(error);
  }
  if (found.kind == Found::Kind::kProc) {
    return stat_node(call, found.proc, to, by_path);
  }
  T value{};
  if (by_file(found.fd.get(), value) != 0) {
    return Answer::error(errno);
  }
  if (const auto node = host_file(call, found)) {
    return stat_node(call, node, to, by_path);
  }
  show_owner(value, found);
  return give(call, to, value);
}

Rewrite look_at_stop(RewriteCall& call, GuestFd dir, GuestPath path, std::size_t index, bool follow,
                     std::unique_ptr<HostPathCall> progress = std::make_unique<HostPathCall>()) {
  if (call.shared().view == nullptr) {
    return with_host_path(call, dir, path, index, follow, std::move(progress));
  }
  const Caller caller = caller_of(call);
  ViewPath argument(call.shared(), caller);
  Found found;
  int error = argument.read(dir, path);
  error =
      error != 0 ? error : call.shared().view->find(argument.where(), follow ? unsigned{rootfs::kFollow} : 0U, found);
  if (error != 0) {
    return Rewrite::error(error);
  }
  return found.kind == Found::Kind::kProc ? with_host_path(call, found.proc, index, std::move(progress))
                                          : Rewrite::error(EAGAIN);
}

constexpr int kStatFlags = AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT | AT_EMPTY_PATH | AT_STATX_SYNC_TYPE;

Answer plain_stat(const AnswerCall& call, GuestFd dir, GuestPath path, int flags, RemotePtr<struct stat> to) {
  const auto by_path = [flags](const char* host, struct stat& value) {
    return ::fstatat(AT_FDCWD, host, &value, flags);
  };
  if (call.shared.view != nullptr) {
    if ((flags & ~kStatFlags) != 0) {
      return Answer::error(EINVAL);
    }
    return stat_in_view(call, dir, path, flags, to, by_path, [](int /*fd*/, struct stat& /*value*/) { return 0; });
  }
  return stat_node(call, call.shared.proc->look(call.caller, dir, path, (flags & AT_SYMLINK_NOFOLLOW) == 0), to,
                   by_path);
}

BEAM_SYSCALL(stat, Strategy::kAnswer, GuestPath path, RemotePtr<struct stat> to) {
  return plain_stat(call, kHere, path, 0, to);
}
BEAM_ESCALATED(stat, GuestPath path) {
  return look_at_stop(call, kHere, path, 0, true);
}

BEAM_SYSCALL(lstat, Strategy::kAnswer, GuestPath path, RemotePtr<struct stat> to) {
  return plain_stat(call, kHere, path, AT_SYMLINK_NOFOLLOW, to);
}
BEAM_ESCALATED(lstat, GuestPath path) {
  return look_at_stop(call, kHere, path, 0, false);
}

BEAM_SYSCALL_WHEN(newfstatat, Strategy::kAnswer, (TrapWhen{{is(3, 0, AT_EMPTY_PATH)}}), GuestFd dir, GuestPath path,
                  RemotePtr<struct stat> to, AtFlags flags) {
  return plain_stat(call, dir, path, flags.value, to);
}
BEAM_ESCALATED(newfstatat, GuestFd dir, GuestPath path, RemotePtr<struct stat>, AtFlags flags) {
  return look_at_stop(call, dir, path, 1, (flags.value & AT_SYMLINK_NOFOLLOW) == 0);
}

BEAM_SYSCALL(statx, Strategy::kAnswer, GuestFd dir, GuestPath path, AtFlags flags, unsigned mask,
             RemotePtr<struct statx> to) {
  const auto by_path = [&](const char* host, struct statx& value) {
    return ::statx(AT_FDCWD, host, flags.value, mask, &value);
  };
  if (call.shared.view != nullptr) {
    if ((flags.value & ~kStatFlags) != 0 || (flags.value & AT_STATX_SYNC_TYPE) == AT_STATX_SYNC_TYPE) {
      return Answer::error(EINVAL);
    }
    return stat_in_view(call, dir, path, flags.value, to, by_path, [&](int fd, struct statx& value) {
      return ::statx(fd, "", (flags.value & AT_STATX_SYNC_TYPE) | AT_EMPTY_PATH, mask, &value);
    });
  }
  return stat_node(call, call.shared.proc->look(call.caller, dir, path, (flags.value & AT_SYMLINK_NOFOLLOW) == 0), to,
                   by_path);
}
BEAM_ESCALATED(statx, GuestFd dir, GuestPath path, AtFlags flags) {
  return look_at_stop(call, dir, path, 1, (flags.value & AT_SYMLINK_NOFOLLOW) == 0);
}

// --- access, statfs ---

// `ask` asks the kernel by the workstation's path, and returns 0, or -1 with errno.
template <typename Ask>
Answer ask_by_node(const AnswerCall& call, const std::optional<ProcNode>& node, Ask ask) {
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

// The same in the mount view: `ask_file` asks by a descriptor (O_PATH).
template <typename Ask, typename AskFile>
Answer ask_by_path(const AnswerCall& call, GuestFd dir, GuestPath path, int flags, Ask ask, AskFile ask_file,
                   ActAs::Ids ids = ActAs::Ids::kFileSystem) {
  const bool follow = (flags & AT_SYMLINK_NOFOLLOW) == 0;
  if (call.shared.view == nullptr) {
    return ask_by_node(call, call.shared.proc->look(call.caller, dir, path, follow), ask);
  }
  ViewPath argument(call.shared, call.caller);
  if (const int error = argument.read(dir, path, (flags & AT_EMPTY_PATH) != 0); error != 0) {
    return Answer::error(error);
  }
  Found found;
  const ActAs caller(call.caller, false, ids);
  const bool follows = follow || argument.is_descriptor();
  if (const int error = call.shared.view->find(argument.where(), follows ? unsigned{rootfs::kFollow} : 0U, found);
      error != 0) {
    return Answer::error(error);
  }
  if (found.kind == Found::Kind::kProc) {
    return ask_by_node(call, found.proc, ask);
  }
  return ask_file(found) == 0 ? Answer::result(0) : Answer::error(errno);
}

// By the real ids, unless AT_EACCESS is given. In the view this thread has the ones that count for its own.
Answer may_access(const AnswerCall& call, GuestFd dir, GuestPath path, int mode, int flags) {
  if (call.shared.view != nullptr &&
      ((mode & ~(R_OK | W_OK | X_OK)) != 0 || (flags & ~(AT_EACCESS | AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH)) != 0)) {
    return Answer::error(EINVAL);
  }
  return ask_by_path(
      call, dir, path, flags,
      [&](const char* host) {
        const long allowed = flags == 0 ? ::syscall(SYS_faccessat, AT_FDCWD, host, mode)
                                        : ::syscall(SYS_faccessat2, AT_FDCWD, host, mode, flags);
        return allowed != 0 && errno == EACCES && is_own_list(call.caller, host) ? 0 : allowed;
      },
      [&](const Found& found) -> long {
        if ((mode & W_OK) != 0 && found.kind == Found::Kind::kFile && found.spot.space == rootfs::Spot::Space::kHost &&
            found.mount->read_only && !S_ISFIFO(found.status.st_mode) && !S_ISCHR(found.status.st_mode) &&
            !S_ISSOCK(found.status.st_mode)) {
          errno = EROFS;
          return -1;
        }
        return ::syscall(SYS_faccessat2, found.fd.get(), "", mode, AT_EACCESS | AT_EMPTY_PATH);
      },
      (flags & AT_EACCESS) != 0 ? ActAs::Ids::kFileSystem : ActAs::Ids::kReal);
}

BEAM_SYSCALL(access, Strategy::kAnswer, GuestPath path, int mode) {
  return may_access(call, kHere, path, mode, 0);
}
BEAM_ESCALATED(access, GuestPath path) {
  return look_at_stop(call, kHere, path, 0, true);
}

BEAM_SYSCALL(faccessat, Strategy::kAnswer, GuestFd dir, GuestPath path, int mode) {
  return may_access(call, dir, path, mode, 0);
}
BEAM_ESCALATED(faccessat, GuestFd dir, GuestPath path) {
  return look_at_stop(call, dir, path, 1, true);
}

BEAM_SYSCALL(faccessat2, Strategy::kAnswer, GuestFd dir, GuestPath path, int mode, AtFlags flags) {
  return may_access(call, dir, path, mode, flags.value);
}
BEAM_ESCALATED(faccessat2, GuestFd dir, GuestPath path, int, AtFlags flags) {
  return look_at_stop(call, dir, path, 1, (flags.value & AT_SYMLINK_NOFOLLOW) == 0);
}

BEAM_SYSCALL(statfs, Strategy::kAnswer, GuestPath path, RemotePtr<struct statfs> to) {
  struct statfs value {};
  Answer answer = ask_by_path(
      call, kHere, path, 0, [&](const char* host) { return ::statfs(host, &value); },
      [&](const Found& found) { return ::fstatfs(found.fd.get(), &value); });
  const bool answered = answer.kind() == Answer::Kind::kResult && answer.value() == 0;
  return answered ? give(call, to, value) : std::move(answer);
}
BEAM_ESCALATED(statfs, GuestPath path) {
  return look_at_stop(call, kHere, path, 0, true);
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

Answer read_node_link(const AnswerCall& call, const std::optional<ProcNode>& node, RemotePtr<char> to,
                      std::uint64_t size) {
  ProcView& proc = *call.shared.proc;
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

Answer read_link_in_view(const AnswerCall& call, GuestFd dir, GuestPath path, RemotePtr<char> to, std::uint64_t size) {
  if (static_cast<int>(size) <= 0) {
    return Answer::error(EINVAL);
  }
  ViewPath argument(call.shared, call.caller);
  if (const int error = argument.read(dir, path, dir.value() != AT_FDCWD); error != 0) {
    return Answer::error(error);
  }
  const ActAs caller(call.caller);
  Found found;
  const bool follow = argument.is_descriptor();
  if (const int error = call.shared.view->find(argument.where(), follow ? unsigned{rootfs::kFollow} : 0U, found);
      error != 0) {
    return Answer::error(error);
  }
  if (found.kind == Found::Kind::kProc) {
    return read_node_link(call, found.proc, to, size);
  }
  if (!S_ISLNK(found.status.st_mode)) {
    return Answer::error(follow ? ENOENT : EINVAL);
  }
  std::string target;
  if (const int error = rootfs::read_link_of(found.fd.get(), target); error != 0) {
    return Answer::error(error);
  }
  return give_link(call, target, to, size);
}

Answer read_link(const AnswerCall& call, GuestFd dir, GuestPath path, RemotePtr<char> to, std::uint64_t size) {
  if (call.shared.view != nullptr) {
    return read_link_in_view(call, dir, path, to, size);
  }
  if (static_cast<int>(size) <= 0) {
    return Answer::pass();  // EINVAL
  }
  std::string text;
  if (call.memory().read_string(path.address(), text, PATH_MAX) != 0) {
    return Answer::pass();
  }
  ProcView& proc = *call.shared.proc;
  return read_node_link(
      call, text.empty() ? proc.look_at_descriptor(call.caller, dir) : proc.look(call.caller, dir, text, false), to,
      size);
}

Rewrite read_link_at_stop(RewriteCall& call, GuestFd dir, GuestPath path, std::size_t index, RemotePtr<char> to,
                          std::uint64_t size) {
  auto progress = std::make_unique<LinkRead>();
  progress->to = to.address();
  progress->size = static_cast<unsigned>(size);
  return look_at_stop(call, dir, path, index, false, std::move(progress));
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

// Without a mount view the kernel makes the link; remembered is that it may lead into /proc.
Answer make_link(const AnswerCall& call, GuestPath target, GuestFd dir, GuestPath path) {
  std::string text;
  const int error = call.memory().read_string(target.address(), text, PATH_MAX);
  if (call.shared.view != nullptr) {
    ViewPath argument(call.shared, call.caller);
    if (error != 0 || text.empty()) {
      return Answer::error(error != 0 ? error : ENOENT);
    }
    if (const int unread = argument.read(dir, path); unread != 0) {
      return Answer::error(unread);
    }
    const ActAs caller(call.caller);
    return Answer::error(call.shared.view->make_link(text, argument.where()));
  }
  if (error == 0 && rootfs::link_may_lead_to_proc(text)) {
    call.shared.proc->link_is_made();
  }
  return Answer::pass();
}

BEAM_SYSCALL(symlink, Strategy::kAnswer, GuestPath target, GuestPath path) {
  return make_link(call, target, kHere, path);
}

BEAM_SYSCALL(symlinkat, Strategy::kAnswer, GuestPath target, GuestFd dir, GuestPath path) {
  return make_link(call, target, dir, path);
}

// The caller's working directory as it has to see it; nothing when the kernel's own answer will do.
std::optional<std::string> shown_directory(const AnswerCall& call, int& error) {
  ProcView& proc = *call.shared.proc;
  error = 0;
  if (call.shared.view == nullptr) {
    const auto link = proc.may_hold_directory() ? ProcView::host_path_of(call.caller, kHere) : std::nullopt;
    const auto shown = link ? std::optional(proc.shown(*link)) : std::nullopt;
    return shown && *shown != *link ? shown : std::nullopt;
  }
  const auto link = ProcView::host_path_of(call.caller, kHere);
  const auto shown = link ? call.shared.view->view_path(proc.proc_name(*link)) : std::nullopt;
  if (!shown) {
    error = ENOENT;
    return std::nullopt;
  }
  const std::string root = call.caller.process->view_root();
  if (root == "/" || !shown->starts_with(root)) {
    return root == "/" ? *shown : "(unreachable)" + *shown;
  }
  return shown->size() == root.size() ? "/" : shown->substr(root.size());
}

BEAM_SYSCALL(getcwd, Strategy::kAnswer, RemotePtr<char> to, std::uint64_t size) {
  int error = 0;
  const auto shown = shown_directory(call, error);
  if (!shown) {
    return error != 0 ? Answer::error(error) : Answer::pass();
  }
  const std::size_t length = shown->size() + 1;
  if (length > PATH_MAX) {
    return Answer::error(ENAMETOOLONG);
  }
  if (length > size) {
    return Answer::error(ERANGE);
  }
  if (!call.still_waits() || call.memory().write(to.address(), shown->c_str(), length) != 0) {
    return Answer::error(EFAULT);
  }
  return Answer::result(static_cast<std::int64_t>(length));
}

}  // namespace
}  // namespace beam::interpose
