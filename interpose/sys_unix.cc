// What has a name of its own kind where the sandbox has a mount view: UNIX sockets by path (unix_calls.h), and message
// queues.
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
#include "interpose/unix_calls.h"
#include "interpose/view_call.h"

namespace beam::interpose {
namespace {

using rootfs::Found;

const GuestFd kHere{AT_FDCWD};
constexpr std::size_t kPathOffset = offsetof(sockaddr_un, sun_path);

}  // namespace

bool unix_path(const AddressBytes& bytes, std::string& path) {
  sockaddr_un value{};
  if (bytes.size() <= kPathOffset || bytes.size() > sizeof value) {
    return false;
  }
  std::memcpy(&value, bytes.data(), bytes.size());
  if (value.sun_family != AF_UNIX || value.sun_path[0] == '\0') {
    return false;
  }
  path.assign(value.sun_path, ::strnlen(value.sun_path, bytes.size() - kPathOffset));
  return true;
}

// A bind is done by the supervisor on the caller's socket: it makes a name, and nothing of it depends on who does it.
Answer bind_unix(const AnswerCall& call, const UniqueFd& socket, const std::string& path) {
  sockaddr_un bound{};
  socklen_t length = sizeof bound;
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

Rewrite with_address_copy(RewriteCall& call, const AddressBytes& bytes) {
  sockaddr_storage copy{};
  std::memcpy(&copy, bytes.data(), std::min(bytes.size(), sizeof copy));
  auto progress = std::make_unique<HostPathCall>();
  const std::uint64_t place = call.put(*progress, &copy, sizeof copy);
  if (place == 0) {
    return Rewrite::error(ENOMEM);
  }
  call.set_arg(*progress, 1, place);
  return Rewrite::until_exit(std::move(progress));
}

namespace {
struct TargetCall : HostPathCall {
  UnixTarget target;
};

// The address is argument `index`, its size the next.
Rewrite with_target(RewriteCall& call, const std::string& path, std::size_t index) {
  auto progress = std::make_unique<TargetCall>();
  UnixTarget& target = progress->target;
  if (const int error = find_unix_target(call.shared(), caller_of(call), path, target); error != 0) {
    return Rewrite::error(error);
  }
  const std::uint64_t place = call.put(*progress, &target.address, sizeof target.address);
  if (place == 0) {
    return Rewrite::error(ENOMEM);
  }
  call.set_arg(*progress, index, place);
  call.set_arg(*progress, index + 1, target.size);
  return Rewrite::until_exit(std::move(progress));
}
}  // namespace

int find_unix_target(Shared& shared, const Caller& caller, const std::string& path, UnixTarget& target) {
  ViewPath argument(shared, caller);
  Found found;
  int error = argument.set(kHere, path);
  error = error != 0 ? error : shared.view->find(argument.where(), rootfs::kFollow, found);
  if (error != 0) {
    return error;
  }
  if (found.kind != Found::Kind::kFile || !S_ISSOCK(found.status.st_mode)) {
    return ECONNREFUSED;
  }
  target.address.sun_family = AF_UNIX;
  std::string host = shared.view->host_path(found.spot);
  if (host.size() >= sizeof target.address.sun_path) {
    target.alias = shared.socket_names->alias(host);
    if (target.alias == nullptr) {
      return ENAMETOOLONG;
    }
    host = target.alias->path();
  }
  host.copy(target.address.sun_path, sizeof target.address.sun_path - 1);
  target.size = static_cast<socklen_t>(kPathOffset + host.size() + 1);
  return 0;
}

Rewrite connect_unix(RewriteCall& call, const std::string& path) {
  return with_target(call, path, 1);
}

Rewrite send_to_unix(RewriteCall& call, const std::string& path) {
  return with_target(call, path, 4);
}

bool show_unix_name(const Shared& shared, sockaddr_storage& name, socklen_t& length) {
  auto* address = reinterpret_cast<sockaddr_un*>(&name);
  if (shared.socket_names == nullptr || name.ss_family != AF_UNIX || length <= kPathOffset ||
      address->sun_path[0] == '\0') {
    return false;
  }
  const auto found =
      shared.socket_names->find(std::string(address->sun_path, ::strnlen(address->sun_path, length - kPathOffset)));
  if (!found) {
    return false;
  }
  std::memset(address->sun_path, 0, sizeof address->sun_path);
  found->shown.copy(address->sun_path, sizeof address->sun_path);
  length = static_cast<socklen_t>(kPathOffset + found->shown.size() + 1);
  return true;
}

namespace {

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
