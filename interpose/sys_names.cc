// Calls that make, link, remove and rename files by path: the mount view's, where the sandbox has one, the kernel's own
// otherwise.
#include <fcntl.h>
#include <limits.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>

#include "interpose/shared.h"
#include "interpose/syscall_numbers.h"
#include "interpose/syscall_table.h"
#include "interpose/view_call.h"

namespace beam::interpose {
namespace {

const GuestFd kHere{AT_FDCWD};

// Reads a path and runs `change`, which gives an errno value, as the caller.
template <typename Change>
Answer by_path(const AnswerCall& call, GuestFd dir, GuestPath path, Change change) {
  ViewPath argument(call.shared, call.caller);
  if (const int error = argument.read(dir, path); error != 0) {
    return Answer::error(error);
  }
  const ActAs caller(call.caller, true);
  return Answer::error(change(*call.shared.view, argument.where()));
}

Answer make_directory(const AnswerCall& call, GuestFd dir, GuestPath path, Mode mode) {
  return by_path(call, dir, path, [&](rootfs::View& view, const rootfs::Where& where) {
    return view.make_directory(where, mode.value & 01777);
  });
}

BEAM_VIEW_SYSCALL(mkdir, GuestPath path, Mode mode) {
  return make_directory(call, kHere, path, mode);
}
BEAM_VIEW_SYSCALL(mkdirat, GuestFd dir, GuestPath path, Mode mode) {
  return make_directory(call, dir, path, mode);
}

Answer make_node(const AnswerCall& call, GuestFd dir, GuestPath path, Mode mode, std::uint64_t device) {
  switch (mode.value & S_IFMT) {
    case 0:
    case S_IFREG:
    case S_IFCHR:
    case S_IFBLK:
    case S_IFIFO:
    case S_IFSOCK:
      break;
    case S_IFDIR:
      return Answer::error(EPERM);
    default:
      return Answer::error(EINVAL);
  }
  return by_path(call, dir, path, [&](rootfs::View& view, const rootfs::Where& where) {
    return view.make_node(where, mode.value, static_cast<dev_t>(static_cast<unsigned>(device)));
  });
}

BEAM_VIEW_SYSCALL(mknod, GuestPath path, Mode mode, std::uint64_t device) {
  return make_node(call, kHere, path, mode, device);
}
BEAM_VIEW_SYSCALL(mknodat, GuestFd dir, GuestPath path, Mode mode, std::uint64_t device) {
  return make_node(call, dir, path, mode, device);
}

Answer remove(const AnswerCall& call, GuestFd dir, GuestPath path, bool directory) {
  return by_path(call, dir, path,
                 [&](rootfs::View& view, const rootfs::Where& where) { return view.remove(where, directory); });
}

BEAM_VIEW_SYSCALL(rmdir, GuestPath path) {
  return remove(call, kHere, path, true);
}
BEAM_VIEW_SYSCALL(unlink, GuestPath path) {
  return remove(call, kHere, path, false);
}
BEAM_VIEW_SYSCALL(unlinkat, GuestFd dir, GuestPath path, AtFlags flags) {
  if ((flags.value & ~AT_REMOVEDIR) != 0) {
    return Answer::error(EINVAL);
  }
  return remove(call, dir, path, (flags.value & AT_REMOVEDIR) != 0);
}

Answer link(const AnswerCall& call, GuestFd old_dir, GuestPath old_path, GuestFd dir, GuestPath path, int flags) {
  if ((flags & ~(AT_SYMLINK_FOLLOW | AT_EMPTY_PATH)) != 0) {
    return Answer::error(EINVAL);
  }
  ViewPath from(call.shared, call.caller);
  ViewPath to(call.shared, call.caller);
  int error = from.read(old_dir, old_path, (flags & AT_EMPTY_PATH) != 0);
  error = error != 0 ? error : to.read(dir, path);
  if (error != 0) {
    return Answer::error(error);
  }
  const ActAs caller(call.caller, true);
  const bool follow = (flags & AT_SYMLINK_FOLLOW) != 0 || from.is_descriptor();
  return Answer::error(call.shared.view->link(from.where(), follow, to.where()));
}

BEAM_VIEW_SYSCALL(link, GuestPath old_path, GuestPath path) {
  return link(call, kHere, old_path, kHere, path, 0);
}
BEAM_VIEW_SYSCALL(linkat, GuestFd old_dir, GuestPath old_path, GuestFd dir, GuestPath path, AtFlags flags) {
  return link(call, old_dir, old_path, dir, path, flags.value);
}

Answer rename(const AnswerCall& call, GuestFd old_dir, GuestPath old_path, GuestFd dir, GuestPath path,
              unsigned flags) {
  ViewPath from(call.shared, call.caller);
  ViewPath to(call.shared, call.caller);
  int error = from.read(old_dir, old_path);
  error = error != 0 ? error : to.read(dir, path);
  if (error != 0) {
    return Answer::error(error);
  }
  const ActAs caller(call.caller, true);
  return Answer::error(call.shared.view->rename(from.where(), to.where(), flags));
}

BEAM_VIEW_SYSCALL(rename, GuestPath old_path, GuestPath path) {
  return rename(call, kHere, old_path, kHere, path, 0);
}
BEAM_VIEW_SYSCALL(renameat, GuestFd old_dir, GuestPath old_path, GuestFd dir, GuestPath path) {
  return rename(call, old_dir, old_path, dir, path, 0);
}
BEAM_VIEW_SYSCALL(renameat2, GuestFd old_dir, GuestPath old_path, GuestFd dir, GuestPath path, unsigned flags) {
  return rename(call, old_dir, old_path, dir, path, flags);
}

// --- what is remembered of a process ---

// The kernel keeps it as well: what it makes itself for the caller needs it.
BEAM_VIEW_SYSCALL(umask, Mode mask) {
  call.caller.process->umask.store(static_cast<int>(mask.value & 0777), std::memory_order_relaxed);
  return Answer::pass();
}

// A domain of the program's own would bind the program, but not the supervisor that opens its files: refused, as by a
// kernel that was booted without Landlock, rather than made without effect.
BEAM_VIEW_SYSCALL(landlock_create_ruleset) { return Answer::error(EOPNOTSUPP); }
BEAM_VIEW_SYSCALL(landlock_add_rule) { return Answer::error(EOPNOTSUPP); }

// A root in the view. What can't be done by an ordinary user is refused as the kernel refuses it.
BEAM_VIEW_SYSCALL(chroot, GuestPath path) {
  ViewPath argument(call.shared, call.caller);
  rootfs::Found found;
  int error = argument.read(kHere, path);
  const ActAs caller(call.caller);
  error = error != 0 ? error : call.shared.view->find(argument.where(), rootfs::kFollow, found);
  if (error != 0) {
    return Answer::error(error);
  }
  if (found.kind != rootfs::Found::Kind::kFile) {
    return Answer::error(EPERM);
  }
  if (!S_ISDIR(found.status.st_mode)) {
    return Answer::error(ENOTDIR);
  }
  if (::geteuid() != 0 || rootfs::acting_uid() != 0) {
    return Answer::error(EPERM);
  }
  call.caller.process->set_view_root(found.spot.view);
  return Answer::result(0);
}

}  // namespace
}  // namespace beam::interpose
