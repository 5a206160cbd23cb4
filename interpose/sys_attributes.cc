// Calls that change what a file is by path, or by a descriptor that may be the workstation's: permissions, owners,
// times, extended attributes, length; and watches. The mount view's, where the sandbox has one, the kernel's own
// otherwise.
#include <fcntl.h>
#include <limits.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/xattr.h>
#include <unistd.h>
#include <utime.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <functional>

#include "interpose/shared.h"
#include "interpose/syscall_numbers.h"
#include "interpose/syscall_table.h"
#include "interpose/view_call.h"

namespace beam::interpose {
namespace {

using rootfs::Found;
using Right = rootfs::View::Right;
using Change = rootfs::View::Change;

const GuestFd kHere{AT_FDCWD};

int result_of(long value) {
  return value == 0 ? 0 : errno;
}

std::string path_of(int fd) {
  return rootfs::descriptor_path(fd);
}

Answer change_argument(const AnswerCall& call, const ViewPath& argument, bool follow, Right right,
                       const Change& change) {
  const ActAs caller(call.caller);
  Found found;
  const int error =
      call.shared.view->change(argument.where(), follow || argument.is_descriptor(), right, change, found);
  if (error == 0 && found.kind == Found::Kind::kProc) {
    return Answer::error(EPERM);
  }
  return Answer::error(error);
}

Answer change_path(const AnswerCall& call, GuestFd dir, GuestPath path, int flags, Right right, const Change& change) {
  ViewPath argument(call.shared, call.caller);
  if (const int error = argument.read(dir, path, (flags & AT_EMPTY_PATH) != 0); error != 0) {
    return Answer::error(error);
  }
  return change_argument(call, argument, (flags & AT_SYMLINK_NOFOLLOW) == 0, right, change);
}

Answer change_descriptor(const AnswerCall& call, GuestFd fd, Right right, const Change& change) {
  int error = 0;
  const UniqueFd copy = call.descriptor(fd, error);
  if (!copy) {
    return Answer::error(-error);
  }
  const auto host = ProcView::host_path_of(call.caller, fd);
  const int flags = ::fcntl(copy.get(), F_GETFL);
  if (!host || (flags & O_PATH) != 0) {
    return Answer::error(EBADF);
  }
  const ActAs caller(call.caller);
  return Answer::error(call.shared.view->change_of(*host, copy.get(), right, change));
}

// --- permissions and owners ---

Change set_mode(mode_t mode) {
  return [mode](int fd) {
    struct stat status {};
    if (::fstat(fd, &status) == 0 && S_ISLNK(status.st_mode)) {
      return EOPNOTSUPP;
    }
    return result_of(::chmod(path_of(fd).c_str(), mode & 07777));
  };
}

BEAM_VIEW_SYSCALL(chmod, GuestPath path, Mode mode) {
  return change_path(call, kHere, path, 0, Right::kOwner, set_mode(mode.value));
}
BEAM_VIEW_SYSCALL(fchmodat, GuestFd dir, GuestPath path, Mode mode) {
  return change_path(call, dir, path, 0, Right::kOwner, set_mode(mode.value));
}
BEAM_VIEW_SYSCALL(fchmodat2, GuestFd dir, GuestPath path, Mode mode, AtFlags flags) {
  if ((flags.value & ~(AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH)) != 0) {
    return Answer::error(EINVAL);
  }
  return change_path(call, dir, path, flags.value, Right::kOwner, set_mode(mode.value));
}
BEAM_VIEW_SYSCALL(fchmod, GuestFd fd, Mode mode) {
  return change_descriptor(call, fd, Right::kOwner, set_mode(mode.value));
}

Change set_owner(std::uint64_t uid, std::uint64_t gid) {
  return [uid, gid](int fd) {
    return result_of(::fchownat(fd, "", static_cast<uid_t>(uid), static_cast<gid_t>(gid), AT_EMPTY_PATH));
  };
}

BEAM_VIEW_SYSCALL(chown, GuestPath path, std::uint64_t uid, std::uint64_t gid) {
  return change_path(call, kHere, path, 0, Right::kOwner, set_owner(uid, gid));
}
BEAM_VIEW_SYSCALL(lchown, GuestPath path, std::uint64_t uid, std::uint64_t gid) {
  return change_path(call, kHere, path, AT_SYMLINK_NOFOLLOW, Right::kOwner, set_owner(uid, gid));
}
BEAM_VIEW_SYSCALL(fchownat, GuestFd dir, GuestPath path, std::uint64_t uid, std::uint64_t gid, AtFlags flags) {
  if ((flags.value & ~(AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH)) != 0) {
    return Answer::error(EINVAL);
  }
  return change_path(call, dir, path, flags.value, Right::kOwner, set_owner(uid, gid));
}
BEAM_VIEW_SYSCALL(fchown, GuestFd fd, std::uint64_t uid, std::uint64_t gid) {
  return change_descriptor(call, fd, Right::kOwner, set_owner(uid, gid));
}

// --- times ---

struct Times {
  std::array<timespec, 2> values{};
  bool now = true;    // both, as with a null pointer
  bool none = false;  // both UTIME_OMIT
};

Answer set_times(const AnswerCall& call, GuestFd dir, GuestPath path, int flags, const Times& times) {
  const Change change = [&times](int fd) {
    return result_of(::utimensat(fd, "", times.now ? nullptr : times.values.data(), AT_EMPTY_PATH));
  };
  const bool both_now = times.now || (times.values[0].tv_nsec == UTIME_NOW && times.values[1].tv_nsec == UTIME_NOW);
  const Right right = times.none ? Right::kAny : both_now ? Right::kOwnerOrWrite : Right::kOwner;
  if (path.address() == 0 && dir.value() != AT_FDCWD) {
    return flags != 0 ? Answer::error(EINVAL) : change_descriptor(call, dir, right, change);
  }
  return change_path(call, dir, path, flags, right, change);
}

BEAM_VIEW_SYSCALL(utimensat, GuestFd dir, GuestPath path, RemotePtr<timespec> at, AtFlags flags) {
  Times times;
  if ((flags.value & ~(AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH)) != 0) {
    return Answer::error(EINVAL);
  }
  if (at) {
    times.now = false;
    if (const int error = call.memory().read(at.address(), times.values.data(), sizeof times.values); error != 0) {
      return Answer::error(error);
    }
    const auto is_wrong = [](const timespec& time) {
      return time.tv_nsec != UTIME_NOW && time.tv_nsec != UTIME_OMIT && (time.tv_nsec < 0 || time.tv_nsec > 999999999);
    };
    if (std::any_of(times.values.begin(), times.values.end(), is_wrong)) {
      return Answer::error(EINVAL);
    }
    times.none = times.values[0].tv_nsec == UTIME_OMIT && times.values[1].tv_nsec == UTIME_OMIT;
    if (times.none) {
      return Answer::result(0);
    }
  }
  return set_times(call, dir, path, flags.value, times);
}

// 0, or an errno value.
int read_timevals(const AnswerCall& call, RemotePtr<timeval> at, Times& times) {
  std::array<timeval, 2> values{};
  if (!at) {
    return 0;
  }
  times.now = false;
  if (const int error = call.memory().read(at.address(), values.data(), sizeof values); error != 0) {
    return error;
  }
  for (std::size_t i = 0; i < values.size(); ++i) {
    if (values[i].tv_usec < 0 || values[i].tv_usec > 999999) {
      return EINVAL;
    }
    times.values[i] = {values[i].tv_sec, values[i].tv_usec * 1000};
  }
  return 0;
}

BEAM_VIEW_SYSCALL(futimesat, GuestFd dir, GuestPath path, RemotePtr<timeval> at) {
  Times times;
  const int error = read_timevals(call, at, times);
  return error != 0 ? Answer::error(error) : set_times(call, dir, path, 0, times);
}
BEAM_VIEW_SYSCALL(utimes, GuestPath path, RemotePtr<timeval> at) {
  Times times;
  const int error = read_timevals(call, at, times);
  return error != 0 ? Answer::error(error) : set_times(call, kHere, path, 0, times);
}
BEAM_VIEW_SYSCALL(utime, GuestPath path, RemotePtr<utimbuf> at) {
  Times times;
  utimbuf value{};
  if (at) {
    times.now = false;
    if (const int error = call.memory().read(at, value); error != 0) {
      return Answer::error(error);
    }
    times.values = {timespec{value.actime, 0}, timespec{value.modtime, 0}};
  }
  return set_times(call, kHere, path, 0, times);
}

BEAM_VIEW_SYSCALL(truncate, GuestPath path, std::int64_t length) {
  if (length < 0) {
    return Answer::error(EINVAL);
  }
  return change_path(call, kHere, path, 0, Right::kWrite, [length](int fd) {
    struct stat status {};
    if (::fstat(fd, &status) == 0 && !S_ISREG(status.st_mode)) {
      return S_ISDIR(status.st_mode) ? EISDIR : EINVAL;
    }
    return result_of(::truncate(path_of(fd).c_str(), length));
  });
}

// --- extended attributes ---

constexpr std::string_view kOwnAttributes = "user.beam.";
constexpr std::size_t kMostName = 255;     // XATTR_NAME_MAX
constexpr std::size_t kMostValue = 65536;  // XATTR_SIZE_MAX

int read_name(const AnswerCall& call, RemotePtr<char> at, std::string& name) {
  const int error = call.memory().read_string(at.address(), name, kMostName + 1);
  if (error == ENAMETOOLONG || (error == 0 && name.empty())) {
    return ERANGE;
  }
  return error;
}

Right right_for(const std::string& name) {
  return name.starts_with("user.") ? Right::kWrite : name.starts_with("trusted.") ? Right::kAny : Right::kOwner;
}

struct AttributeSet {
  std::string name;
  std::string value;
  int flags = 0;
};

int read_attribute(const AnswerCall& call, RemotePtr<char> name, RemotePtr<char> value, std::uint64_t size, int flags,
                   AttributeSet& set) {
  if ((flags & ~(XATTR_CREATE | XATTR_REPLACE)) != 0) {
    return EINVAL;
  }
  if (const int error = read_name(call, name, set.name); error != 0) {
    return error;
  }
  if (size > kMostValue) {
    return E2BIG;
  }
  set.value.resize(size);
  set.flags = flags;
  if (size > 0) {
    if (const int error = call.memory().read(value.address(), set.value.data(), size); error != 0) {
      return error;
    }
  }
  return set.name.starts_with(kOwnAttributes) ? EPERM : 0;
}

Change set_attribute(const AttributeSet& set) {
  return [&set](int fd) {
    return result_of(::setxattr(path_of(fd).c_str(), set.name.c_str(), set.value.data(), set.value.size(), set.flags));
  };
}

Answer set_attribute_by_path(const AnswerCall& call, GuestPath path, int at_flags, RemotePtr<char> name,
                             RemotePtr<char> value, std::uint64_t size, int flags) {
  AttributeSet set;
  if (const int error = read_attribute(call, name, value, size, flags, set); error != 0) {
    return Answer::error(error);
  }
  return change_path(call, kHere, path, at_flags, right_for(set.name), set_attribute(set));
}

BEAM_VIEW_SYSCALL(setxattr, GuestPath path, RemotePtr<char> name, RemotePtr<char> value, std::uint64_t size,
                  int flags) {
  return set_attribute_by_path(call, path, 0, name, value, size, flags);
}
BEAM_VIEW_SYSCALL(lsetxattr, GuestPath path, RemotePtr<char> name, RemotePtr<char> value, std::uint64_t size,
                  int flags) {
  return set_attribute_by_path(call, path, AT_SYMLINK_NOFOLLOW, name, value, size, flags);
}
BEAM_VIEW_SYSCALL(fsetxattr, GuestFd fd, RemotePtr<char> name, RemotePtr<char> value, std::uint64_t size, int flags) {
  AttributeSet set;
  if (const int error = read_attribute(call, name, value, size, flags, set); error != 0) {
    return Answer::error(error);
  }
  return change_descriptor(call, fd, right_for(set.name), set_attribute(set));
}

// Removing what is not there changes nothing, so nothing is copied for it.
Answer remove_attribute(const AnswerCall& call, GuestPath path, int at_flags, RemotePtr<char> name) {
  std::string text;
  if (const int error = read_name(call, name, text); error != 0) {
    return Answer::error(error);
  }
  if (text.starts_with(kOwnAttributes)) {
    return Answer::error(ENODATA);
  }
  return change_path(call, kHere, path, at_flags, right_for(text),
                     [&](int fd) { return result_of(::removexattr(path_of(fd).c_str(), text.c_str())); });
}
BEAM_VIEW_SYSCALL(removexattr, GuestPath path, RemotePtr<char> name) {
  return remove_attribute(call, path, 0, name);
}
BEAM_VIEW_SYSCALL(lremovexattr, GuestPath path, RemotePtr<char> name) {
  return remove_attribute(call, path, AT_SYMLINK_NOFOLLOW, name);
}
BEAM_VIEW_SYSCALL(fremovexattr, GuestFd fd, RemotePtr<char> name) {
  std::string text;
  if (const int error = read_name(call, name, text); error != 0) {
    return Answer::error(error);
  }
  return change_descriptor(call, fd, right_for(text),
                           [&](int file) { return result_of(::removexattr(path_of(file).c_str(), text.c_str())); });
}

// Finds a file to read from. For one of /proc `host` is its path there.
int find_to_read(const AnswerCall& call, GuestPath path, int at_flags, Found& found, std::string& host) {
  ViewPath argument(call.shared, call.caller);
  if (const int error = argument.read(kHere, path); error != 0) {
    return error;
  }
  const bool follow = (at_flags & AT_SYMLINK_NOFOLLOW) == 0;
  const int error = call.shared.view->find(argument.where(), follow ? unsigned{rootfs::kFollow} : 0U, found);
  if (error == 0) {
    host = found.kind == Found::Kind::kProc ? found.proc.host : path_of(found.fd.get());
    if (found.kind == Found::Kind::kProc && found.proc.kind == rootfs::ProcNode::Kind::kError) {
      return found.proc.error;
    }
  }
  return error;
}

Answer give_bytes(const AnswerCall& call, const std::string& bytes, RemotePtr<char> to, std::uint64_t size) {
  if (size == 0) {
    return Answer::result(static_cast<std::int64_t>(bytes.size()));
  }
  if (bytes.size() > size) {
    return Answer::error(ERANGE);
  }
  if (!bytes.empty() && (!call.still_waits() || call.memory().write(to.address(), bytes.data(), bytes.size()) != 0)) {
    return Answer::error(EFAULT);
  }
  return Answer::result(static_cast<std::int64_t>(bytes.size()));
}

Answer read_value(const AnswerCall& call, GuestPath path, int at_flags, RemotePtr<char> name, RemotePtr<char> to,
                  std::uint64_t size) {
  std::string text;
  if (const int error = read_name(call, name, text); error != 0) {
    return Answer::error(error);
  }
  const ActAs caller(call.caller);
  Found found;
  std::string host;
  if (const int error = find_to_read(call, path, at_flags, found, host); error != 0) {
    return Answer::error(error);
  }
  if (text.starts_with(kOwnAttributes)) {
    return Answer::error(ENODATA);
  }
  std::string value(kMostValue, '\0');
  const ssize_t got = ::getxattr(host.c_str(), text.c_str(), value.data(), value.size());
  if (got < 0) {
    return Answer::error(errno);
  }
  value.resize(static_cast<std::size_t>(got));
  return give_bytes(call, value, to, size);
}
BEAM_VIEW_SYSCALL(getxattr, GuestPath path, RemotePtr<char> name, RemotePtr<char> to, std::uint64_t size) {
  return read_value(call, path, 0, name, to, size);
}
BEAM_VIEW_SYSCALL(lgetxattr, GuestPath path, RemotePtr<char> name, RemotePtr<char> to, std::uint64_t size) {
  return read_value(call, path, AT_SYMLINK_NOFOLLOW, name, to, size);
}

// Without those that say what a file of the private layer is.
std::string without_own(const std::string& names) {
  std::string shown;
  for (std::size_t at = 0; at < names.size();) {
    const std::string name = names.c_str() + at;
    at += name.size() + 1;
    if (!name.starts_with(kOwnAttributes)) {
      shown.append(name).push_back('\0');
    }
  }
  return shown;
}

Answer list_names(const AnswerCall& call, GuestPath path, int at_flags, RemotePtr<char> to, std::uint64_t size) {
  const ActAs caller(call.caller);
  Found found;
  std::string host;
  if (const int error = find_to_read(call, path, at_flags, found, host); error != 0) {
    return Answer::error(error);
  }
  std::string names(kMostValue, '\0');
  const ssize_t got = ::listxattr(host.c_str(), names.data(), names.size());
  if (got < 0) {
    return Answer::error(errno);
  }
  names.resize(static_cast<std::size_t>(got));
  return give_bytes(call, without_own(names), to, size);
}
BEAM_VIEW_SYSCALL(listxattr, GuestPath path, RemotePtr<char> to, std::uint64_t size) {
  return list_names(call, path, 0, to, size);
}
BEAM_VIEW_SYSCALL(llistxattr, GuestPath path, RemotePtr<char> to, std::uint64_t size) {
  return list_names(call, path, AT_SYMLINK_NOFOLLOW, to, size);
}

// Calls of Linux 6.13 and later, for which programs have the older ones; and handles, which are no names of the view.
Answer not_here() {
  return Answer::error(ENOSYS);
}
BEAM_VIEW_SYSCALL(setxattrat) {
  return not_here();
}
BEAM_VIEW_SYSCALL(getxattrat) {
  return not_here();
}
BEAM_VIEW_SYSCALL(listxattrat) {
  return not_here();
}
BEAM_VIEW_SYSCALL(removexattrat) {
  return not_here();
}
BEAM_VIEW_SYSCALL(file_getattr) {
  return not_here();
}
BEAM_VIEW_SYSCALL(file_setattr) {
  return not_here();
}
BEAM_VIEW_SYSCALL(statmount) {
  return not_here();
}
BEAM_VIEW_SYSCALL(listmount) {
  return not_here();
}
BEAM_VIEW_SYSCALL(name_to_handle_at) {
  return Answer::error(EOPNOTSUPP);
}

// --- watches ---

// The kernel's own, once the path has been noted (watched_paths.h).
BEAM_SYSCALL(inotify_add_watch, Strategy::kAnswer, GuestFd fd, GuestPath path, unsigned mask) {
  (void)fd;
  if (call.shared.view) {
    return Answer::escalate();
  }
  std::string text;
  if (call.memory().read_string(path.address(), text, PATH_MAX) == 0 && !text.empty()) {
    const std::optional<std::string> directory =
        text.starts_with('/') ? std::string() : ProcView::host_path_of(call.caller, kHere);
    if (directory) {
      call.shared.watched_paths.note(directory->empty() ? text : *directory + "/" + text, (mask & IN_DONT_FOLLOW) == 0);
    }
  }
  return Answer::pass();
}
BEAM_ESCALATED(inotify_add_watch, GuestFd fd, GuestPath path, unsigned mask) {
  (void)fd;
  const Caller caller = caller_of(call);
  ViewPath argument(call.shared(), caller);
  if (const int error = argument.read(kHere, path); error != 0) {
    return Rewrite::error(error);
  }
  Found found;
  std::string host;
  {
    const ActAs acting(caller);
    const int error = call.shared().view->prepare_watch(argument.where(), (mask & IN_DONT_FOLLOW) == 0, host, found);
    if (error != 0) {
      return Rewrite::error(error);
    }
  }
  switch (found.kind) {
    case Found::Kind::kProc:
      call.shared().watched_paths.note(found.proc.host, (mask & IN_DONT_FOLLOW) == 0);
      return with_host_path(call, found.proc, 1);
    case Found::Kind::kObject:
      return with_host_path(call, found.proc, 1);
    case Found::Kind::kFile:
      break;
  }
  call.shared().watched_paths.note(host, (mask & IN_DONT_FOLLOW) == 0);
  return with_view_path(call, host, 1);
}

}  // namespace
}  // namespace beam::interpose
