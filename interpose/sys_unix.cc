// UNIX sockets by path, where the sandbox has a mount view: bind(2), connect(2), and the names that they show. And what
// else has a name that is no path: message queues.
#include <fcntl.h>
#include <limits.h>
#include <mqueue.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <cstring>

#include "interpose/shared.h"
#include "interpose/socket_names.h"
#include "interpose/syscall_table.h"
#include "interpose/view_call.h"

namespace beam::interpose {
namespace {

using rootfs::Found;

const GuestFd kHere{AT_FDCWD};
constexpr std::size_t kPathOffset = offsetof(sockaddr_un, sun_path);

// The path of an address that has one. 0: it is another kind of address, the kernel's business.
bool read_unix_path(const GuestMemory& memory, std::uint64_t address, std::uint64_t size, std::string& path) {
  sockaddr_un value{};
  if (size <= kPathOffset || size > sizeof value || memory.read(address, &value, size) != 0 ||
      value.sun_family != AF_UNIX || value.sun_path[0] == '\0') {
    return false;
  }
  path.assign(value.sun_path, ::strnlen(value.sun_path, size - kPathOffset));
  return true;
}

// A bind is done by the supervisor on the caller's socket: it makes a name, and nothing of it depends on who does it.
BEAM_VIEW_SYSCALL(bind, GuestFd fd, RemotePtr<sockaddr> address, std::uint64_t size) {
  std::string path;
  if (!read_unix_path(call.memory(), address.address(), size, path)) {
    // What the program's memory holds by now is not to be a path either: the kernel gets a copy.
    return Answer::escalate();
  }
  int error = 0;
  const UniqueFd socket = call.descriptor(fd, error);
  if (!socket) {
    return Answer::error(-error);
  }
  int family = 0;
  socklen_t length = sizeof family;
  if (::getsockopt(socket.get(), SOL_SOCKET, SO_DOMAIN, &family, &length) != 0) {
    return Answer::error(errno);
  }
  if (family != AF_UNIX) {
    return Answer::error(EAFNOSUPPORT);
  }
  sockaddr_un bound{};
  length = sizeof bound;
  if (::getsockname(socket.get(), reinterpret_cast<sockaddr*>(&bound), &length) == 0 && length > kPathOffset) {
    return Answer::error(EINVAL);
  }
  ViewPath argument(call.shared, call.caller);
  if (const int unread = argument.set(kHere, path); unread != 0) {
    return Answer::error(unread);
  }
  const ActAs caller(call.caller, true);
  const int result = call.shared.view->with_new_entry(argument.where(), [&](int directory, const char* name) {
    return call.shared.socket_names->bind(socket.get(), directory, name, path);
  });
  return Answer::error(result == EEXIST ? EADDRINUSE : result);
}

struct AddressCall : HostPathCall {};

Rewrite with_copy(RewriteCall& call, RemotePtr<sockaddr> address, std::uint64_t size) {
  sockaddr_storage copy{};
  if (size > sizeof copy || call.memory().read(address.address(), &copy, size) != 0) {
    return Rewrite::pass();  // refused by the kernel, whatever it says
  }
  auto progress = std::make_unique<AddressCall>();
  const std::uint64_t place = call.put(*progress, &copy, sizeof copy);
  if (place == 0) {
    return Rewrite::error(ENOMEM);
  }
  call.set_arg(*progress, 1, place);
  return Rewrite::until_exit(std::move(progress));
}

BEAM_ESCALATED(bind, GuestFd fd, RemotePtr<sockaddr> address, std::uint64_t size) {
  (void)fd;
  std::string path;
  return read_unix_path(call.memory(), address.address(), size, path) ? Rewrite::error(EAGAIN)
                                                                      : with_copy(call, address, size);
}

// A connect is the caller's own: its peer sees who it is.
struct ConnectCall : HostPathCall {
  std::unique_ptr<SocketNames::Alias> alias;
};

BEAM_VIEW_SYSCALL(connect, GuestFd fd, RemotePtr<sockaddr> address, std::uint64_t size) {
  (void)fd;
  sa_family_t family = AF_UNSPEC;
  if (size >= sizeof family && call.memory().read(address.address(), &family, sizeof family) == 0 &&
      family != AF_UNIX) {
    int error = 0;
    const UniqueFd socket = call.descriptor(fd, error);
    int domain = AF_UNSPEC;
    socklen_t length = sizeof domain;
    if (socket && ::getsockopt(socket.get(), SOL_SOCKET, SO_DOMAIN, &domain, &length) == 0 && domain != AF_UNIX) {
      return Answer::pass();  // no address of that socket is a path
    }
  }
  return Answer::escalate();
}
BEAM_ESCALATED(connect, GuestFd fd, RemotePtr<sockaddr> address, std::uint64_t size) {
  (void)fd;
  std::string path;
  if (!read_unix_path(call.memory(), address.address(), size, path)) {
    return with_copy(call, address, size);
  }
  const Caller caller = caller_of(call);
  ViewPath argument(call.shared(), caller);
  Found found;
  int error = argument.set(kHere, path);
  error = error != 0 ? error : call.shared().view->find(argument.where(), rootfs::kFollow, found);
  if (error != 0) {
    return Rewrite::error(error);
  }
  if (found.kind != Found::Kind::kFile || !S_ISSOCK(found.status.st_mode)) {
    return Rewrite::error(ECONNREFUSED);
  }
  auto progress = std::make_unique<ConnectCall>();
  sockaddr_un target{};
  target.sun_family = AF_UNIX;
  std::string host = call.shared().view->host_path(found.spot);
  if (host.size() >= sizeof target.sun_path) {
    progress->alias = call.shared().socket_names->alias(host);
    if (progress->alias == nullptr) {
      return Rewrite::error(ENAMETOOLONG);
    }
    host = progress->alias->path();
  }
  host.copy(target.sun_path, sizeof target.sun_path - 1);
  const std::uint64_t place = call.put(*progress, &target, sizeof target);
  if (place == 0) {
    return Rewrite::error(ENOMEM);
  }
  call.set_arg(*progress, 1, place);
  call.set_arg(*progress, 2, kPathOffset + host.size() + 1);
  return Rewrite::until_exit(std::move(progress));
}

// --- names ---

using NameOf = int (*)(int, sockaddr*, socklen_t*);

Answer show_name(const AnswerCall& call, GuestFd fd, RemotePtr<sockaddr> to, RemotePtr<socklen_t> size_at,
                 NameOf name_of) {
  int error = 0;
  const UniqueFd socket = call.descriptor(fd, error);
  if (!socket) {
    return Answer::error(-error);
  }
  socklen_t size = 0;
  sockaddr_storage name{};
  socklen_t length = sizeof name;
  if (name_of(socket.get(), reinterpret_cast<sockaddr*>(&name), &length) != 0) {
    return Answer::error(errno);
  }
  if (call.memory().read(size_at, size) != 0) {
    return Answer::error(EFAULT);
  }
  if (static_cast<int>(size) < 0) {
    return Answer::error(EINVAL);
  }
  auto* address = reinterpret_cast<sockaddr_un*>(&name);
  if (name.ss_family == AF_UNIX && length > kPathOffset && address->sun_path[0] != '\0') {
    const std::string bound(address->sun_path, ::strnlen(address->sun_path, length - kPathOffset));
    if (const auto shown = call.shared.socket_names->shown(bound)) {
      std::memset(address->sun_path, 0, sizeof address->sun_path);
      shown->copy(address->sun_path, sizeof address->sun_path);
      length = static_cast<socklen_t>(kPathOffset + shown->size() + 1);
    }
  }
  if (!call.still_waits() || call.memory().write(to.address(), &name, std::min(size, length)) != 0 ||
      call.memory().write(size_at, length) != 0) {
    return Answer::error(EFAULT);
  }
  return Answer::result(0);
}

BEAM_VIEW_SYSCALL(getsockname, GuestFd fd, RemotePtr<sockaddr> to, RemotePtr<socklen_t> size) {
  return show_name(call, fd, to, size, ::getsockname);
}
BEAM_VIEW_SYSCALL(getpeername, GuestFd fd, RemotePtr<sockaddr> to, RemotePtr<socklen_t> size) {
  return show_name(call, fd, to, size, ::getpeername);
}

// --- message queues ---

// They lie in a file system that no path leads to, so no rule of Landlock can allow it: opened for the caller.
BEAM_VIEW_SYSCALL(mq_open, RemotePtr<char> name, OpenFlags flags, Mode mode, RemotePtr<mq_attr> attributes) {
  std::string text;
  mq_attr wanted{};
  if (const int error = call.memory().read_string(name.address(), text, PATH_MAX); error != 0) {
    return Answer::error(error);
  }
  const bool has_attributes = attributes.address() != 0 && (flags.value & O_CREAT) != 0;
  if (has_attributes && call.memory().read(attributes, wanted) != 0) {
    return Answer::error(EFAULT);
  }
  const ActAs caller(call.caller, true);
  UniqueFd queue(static_cast<int>(
      ::syscall(SYS_mq_open, text.c_str(), flags.value | O_CLOEXEC, mode.value, has_attributes ? &wanted : nullptr)));
  return queue ? Answer::descriptor(std::move(queue), true) : Answer::error(errno);  // always, as the kernel does
}

}  // namespace
}  // namespace beam::interpose
