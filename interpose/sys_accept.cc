// accept(2) and accept4(2) where the sandbox has a network of its own. A socket at an address of the workstation's
// loopback can be reached by everybody on the workstation, so each connection is looked at before the program gets it,
// and what comes from outside the group is closed.
//
// What waits already is accepted by the supervisor; where nothing waits yet, the kernel does it in the program, which a
// signal can interrupt there, and what came is looked at before it goes on.
#include <fcntl.h>
#include <poll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <unistd.h>

#include <cerrno>
#include <mutex>
#include <string>

#include "interpose/agent/layout.h"
#include "interpose/inet_calls.h"
#include "interpose/make_again.h"
#include "interpose/shared.h"
#include "interpose/socket_address.h"
#include "interpose/syscall_table.h"
#include "interpose/tracer.h"
#include "interpose/unix_calls.h"

namespace beam::interpose {
namespace {

// Whoever is at the other end is of the sandbox's group: it has said so, or it comes from an address of the group and
// is the same user's, which the kernel says.
bool is_welcome(ns::NetworkSpace& network, const InetSocket& accepted) {
  const auto own = accepted.own();
  const auto peer = accepted.peer();
  if (!own || !peer) {
    return true;  // it has been reset already: an end of file for whoever accepts it
  }
  if (network.was_expected(*peer, *own)) {
    return true;
  }
  return network.may_reach_us(*peer) && owner_of_peer(accepted.protocol, *own, *peer) == ::getuid();
}

// What is about to come costs a fraction here of what a wait in the program's own call does. Only one thread waits so,
// for a moment, so that another is always there to answer; and no signal of the program's waits longer than that.
bool comes_soon(ns::NetworkSpace& network, const InetSocket& listener) {
  constexpr int kMoment = 1;  // millisecond
  const std::unique_lock turn(network.wait_mutex(), std::try_to_lock);
  pollfd ready{listener.fd.get(), POLLIN, 0};
  return ::poll(&ready, 1, turn.owns_lock() ? kMoment : 0) > 0;
}

// Takes one connection that is welcome. 0 or an errno value: EAGAIN when none waits.
int take(ns::NetworkSpace& network, const InetSocket& listener, int flags, InetSocket& accepted) {
  for (;;) {
    if (listener.is_blocking() && !comes_soon(network, listener)) {
      return EAGAIN;
    }
    UniqueFd fd;
    {
      // Another may take the connection that was seen to wait.
      const ShortTimeout wait(listener, SO_RCVTIMEO);
      fd.reset(::accept4(listener.fd.get(), nullptr, nullptr, (flags & SOCK_NONBLOCK) | SOCK_CLOEXEC));
    }
    if (!fd) {
      return errno;
    }
    int error = 0;
    accepted = open_socket(std::move(fd), error);
    if (is_welcome(network, accepted)) {
      return 0;
    }
  }
}

// Whether the caller may have one descriptor more. One that it may not have is found out by the kernel before it takes
// a connection, which so goes on waiting (__sys_accept4_file, net/socket.c).
bool has_room(const Caller& caller) {
  rlimit limit{};
  struct stat open {};
  // The size of the directory is how many there are (Linux 6.2; 0 before).
  return ::prlimit(caller.tid.value(), RLIMIT_NOFILE, nullptr, &limit) != 0 ||
         ::stat(("/proc/" + std::to_string(caller.tid.value()) + "/fd").c_str(), &open) != 0 ||
         static_cast<rlim_t>(open.st_size) < limit.rlim_cur;
}

Answer accept_now(const AnswerCall& call, GuestFd fd, RemotePtr<sockaddr> address, RemotePtr<socklen_t> size_at,
                  int flags) {
  ns::NetworkSpace* network = call.shared.options.network.get();
  const bool shows_path = call.shared.view != nullptr && address.address() != 0;
  if (network == nullptr && !shows_path) {
    return Answer::pass();
  }
  int error = 0;
  const InetSocket listener = open_socket(call, fd, error);
  if (error != 0) {
    return Answer::error(error);
  }
  if (listener.family == AF_UNIX || network == nullptr) {
    return listener.family == AF_UNIX && shows_path ? Answer::escalate() : Answer::pass();
  }
  if (!listener.is_translated() || !listener.is_stream() || (flags & ~(SOCK_NONBLOCK | SOCK_CLOEXEC)) != 0 ||
      listener.option(SOL_SOCKET, SO_ACCEPTCONN) != 1) {
    return Answer::pass();
  }
  if (!has_room(call.caller)) {
    return Answer::escalate();
  }
  InetSocket accepted;
  if (error = take(*network, listener, flags, accepted); error != 0) {
    return error == EAGAIN && listener.is_blocking() ? Answer::escalate() : Answer::error(error);
  }
  if (address.address() != 0) {
    const ns::SocketAddress peer = shown_name(*network, accepted, true);
    if (const int unwritten =
            write_address(call.memory(), peer.storage, peer.size, address.address(), size_at.address());
        unwritten != 0) {
      return Answer::error(unwritten);
    }
  }
  return Answer::descriptor(std::move(accepted.fd), (flags & SOCK_CLOEXEC) != 0);
}

struct Accept : CallInProgress {
  bool is_unix = false;
  std::uint64_t address = 0;
  std::uint64_t size_at = 0;
  int room = 0;
  int listener = -1;

  void at_exit(ExitCall& call) override {
    if (is_unix) {
      show_peer(call);
      return;
    }
    ns::NetworkSpace& network = *call.shared().options.network;
    if (call.result() == -EAGAIN) {
      // It may have seen the moment for which an answer thread lets the listener wait.
      int error = 0;
      const InetSocket socket =
          open_socket(copy_descriptor(call.task().tid, *call.task().process, listener, error), error);
      timeval own{};
      socklen_t size = sizeof own;
      if (error == 0 && socket.is_blocking() &&
          ::getsockopt(socket.fd.get(), SOL_SOCKET, SO_RCVTIMEO, &own, &size) == 0 && own.tv_sec == 0 &&
          own.tv_usec == 0) {
        make_again(call, number);
      }
      return;
    }
    if (call.result() < 0) {
      return;
    }
    int error = 0;
    const InetSocket accepted = open_socket(
        copy_descriptor(call.task().tid, *call.task().process, static_cast<int>(call.result()), error), error);
    if (error != 0) {
      return;
    }
    if (!is_welcome(network, accepted)) {
      (void)call.tracee().inject(BEAM_AGENT_GADGET, SYS_close,
                                 {static_cast<std::uint64_t>(call.result()), 0, 0, 0, 0, 0});
      make_again(call, number);
      return;
    }
    if (address != 0) {
      const ns::SocketAddress peer = shown_name(network, accepted, true);
      // The kernel has put its own length there.
      (void)call.memory().write(size_at, &room, sizeof room);
      (void)write_address(call.memory(), peer.storage, peer.size, address, size_at);
    }
  }

 private:
  // The kernel has written the path that it knows, as far as there was room.
  void show_peer(ExitCall& call) const {
    int error = 0;
    const UniqueFd accepted = call.result() < 0 ? UniqueFd()
                                                : copy_descriptor(call.task().tid, *call.task().process,
                                                                  static_cast<int>(call.result()), error);
    sockaddr_storage peer{};
    socklen_t length = sizeof peer;
    if (address == 0 || !accepted || ::getpeername(accepted.get(), reinterpret_cast<sockaddr*>(&peer), &length) != 0) {
      return;
    }
    if (show_unix_name(call.shared(), peer, length)) {
      (void)call.memory().write(size_at, &room, sizeof room);
      (void)write_address(call.memory(), peer, length, address, size_at);
    }
  }
};

Rewrite accept_later(const RewriteCall& call, GuestFd fd, RemotePtr<sockaddr> address, RemotePtr<socklen_t> size_at) {
  auto progress = std::make_unique<Accept>();
  progress->address = address.address();
  progress->size_at = size_at.address();
  progress->listener = fd.value();
  if (address.address() != 0 && call.memory().read(size_at.address(), &progress->room, sizeof progress->room) != 0) {
    return Rewrite::pass();  // the kernel accepts, and then fails to say who
  }
  if (call.shared().view != nullptr) {
    int error = 0;
    progress->is_unix =
        open_socket(copy_descriptor(call.task().tid, *call.task().process, fd.value(), error), error).family == AF_UNIX;
  }
  return Rewrite::until_exit(std::move(progress));
}

BEAM_SYSCALL(accept, Strategy::kAnswer, GuestFd fd, RemotePtr<sockaddr> address, RemotePtr<socklen_t> size) {
  return accept_now(call, fd, address, size, 0);
}
BEAM_ESCALATED(accept, GuestFd fd, RemotePtr<sockaddr> address, RemotePtr<socklen_t> size) {
  return accept_later(call, fd, address, size);
}
BEAM_SYSCALL(accept4, Strategy::kAnswer, GuestFd fd, RemotePtr<sockaddr> address, RemotePtr<socklen_t> size,
             int flags) {
  return accept_now(call, fd, address, size, flags);
}
BEAM_ESCALATED(accept4, GuestFd fd, RemotePtr<sockaddr> address, RemotePtr<socklen_t> size, int) {
  return accept_later(call, fd, address, size);
}

}  // namespace
}  // namespace beam::interpose
