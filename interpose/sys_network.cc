// The names of sockets: bind(2), connect(2), listen(2), getsockname(2), getpeername(2). Those of the internet families
// where the sandbox has a network of its own (inet_calls.h), those of UNIX sockets where it has a mount view
// (unix_calls.h).
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "interpose/inet_calls.h"
#include "interpose/message_traps.h"
#include "interpose/shared.h"
#include "interpose/socket_address.h"
#include "interpose/syscall_table.h"
#include "interpose/unix_calls.h"

namespace beam::interpose {
namespace {

// What the kernel is to do with an address that nothing has to be translated in. It must not become another one while
// the kernel reads it, where another one could lead out of a view.
Answer left_to_kernel(const AnswerCall& call) {
  return call.shared.view != nullptr || call.shared.options.network != nullptr ? Answer::escalate() : Answer::pass();
}

// The socket and the address that it is to get or to go to. 0 or an errno value.
int open_with_address(const AnswerCall& call, GuestFd fd, RemotePtr<sockaddr> address, int size, InetSocket& socket,
                      AddressBytes& bytes) {
  int error = 0;
  socket = open_socket(call, fd, error);
  return error != 0 ? error : read_address(call.memory(), address.address(), size, bytes);
}

BEAM_SYSCALL(bind, Strategy::kAnswer, GuestFd fd, RemotePtr<sockaddr> address, int size) {
  InetSocket socket;
  AddressBytes bytes;
  if (const int error = open_with_address(call, fd, address, size, socket, bytes); error != 0) {
    return Answer::error(error);
  }
  std::string path;
  if (socket.family == AF_UNIX && call.shared.view != nullptr && unix_path(bytes, path)) {
    if (socket.is_datagram() && (call.shared.message_traps.load() & kTrapReceives) == 0) {
      return Answer::escalate();  // whom it sends to is shown its name
    }
    return bind_unix(call, socket.fd, path);
  }
  if (call.shared.options.network != nullptr && socket.is_translated()) {
    if (!socket.is_stream() && (call.caller.process->message_traps.load() & kTrapReceives) == 0) {
      return Answer::escalate();  // who is bound receives from others
    }
    return Answer::error(bind_inet(*call.shared.options.network, socket, bytes));
  }
  return left_to_kernel(call);
}

BEAM_ESCALATED(bind, GuestFd fd, RemotePtr<sockaddr> address, int size) {
  if (call.shared().options.network != nullptr) {
    int error = 0;
    const InetSocket socket =
        open_socket(copy_descriptor(call.task().tid, *call.task().process, fd.value(), error), error);
    if (error == 0 && socket.is_translated()) {
      return again_with_traps(call, kTrapReceives);
    }
  }
  AddressBytes bytes;
  std::string path;
  if (const int error = read_address(call.memory(), address.address(), size, bytes); error != 0) {
    return Rewrite::error(error);
  }
  // A path is bound by an answer thread, once receives are trapped; as one that was none when it was looked at first.
  return call.shared().view != nullptr && unix_path(bytes, path) ? again_with_all_receives(call)
                                                                 : with_address_copy(call, bytes);
}

BEAM_SYSCALL(listen, Strategy::kAnswer, GuestFd fd, int backlog) {
  if (call.shared.options.network == nullptr) {
    return Answer::pass();
  }
  int error = 0;
  const InetSocket socket = open_socket(call, fd, error);
  if (error != 0) {
    return Answer::error(error);
  }
  return socket.is_translated() ? Answer::error(listen_inet(*call.shared.options.network, socket, backlog))
                                : Answer::pass();
}

BEAM_SYSCALL(connect, Strategy::kAnswer, GuestFd fd, RemotePtr<sockaddr> address, int size) {
  ns::NetworkSpace* network = call.shared.options.network.get();
  InetSocket socket;
  AddressBytes bytes;
  if (const int error = open_with_address(call, fd, address, size, socket, bytes); error != 0) {
    return Answer::error(error);
  }
  if (network != nullptr && socket.is_translated()) {
    const Connecting connecting = connect_inet(*network, socket, bytes);
    if (connecting.how == Connect::kDone) {
      return Answer::error(connecting.error);
    }
    if (connecting.how == Connect::kOutside && !call.shared.options.outside) {
      return Answer::error(ENETUNREACH);
    }
    return Answer::escalate();
  }
  if (socket.family == AF_UNIX && call.shared.view != nullptr) {
    return Answer::escalate();
  }
  // No address of that socket is a path.
  return network == nullptr ? Answer::pass() : left_to_kernel(call);
}

BEAM_ESCALATED(connect, GuestFd, RemotePtr<sockaddr> address, int size) {
  AddressBytes bytes;
  std::string path;
  if (const int error = read_address(call.memory(), address.address(), size, bytes); error != 0) {
    return Rewrite::error(error);
  }
  if (call.shared().view != nullptr && unix_path(bytes, path)) {
    return connect_unix(call, path);
  }
  if (const ns::NetworkSpace* network = call.shared().options.network.get()) {
    const auto parsed = ns::parse_socket_address(bytes.data(), bytes.size());
    const bool outside = parsed && network->place_of(parsed->ip) == ns::NetworkSpace::Place::kOutside;
    if (outside && !call.shared().options.outside) {
      return Rewrite::error(ENETUNREACH);  // another address when it was looked at first
    }
    if (parsed && !outside) {
      // Begun already: the kernel goes on with it, wherever it is told to. A program that has changed the address since
      // then gets no further than its own sandbox.
      const ns::HostEndpoint own{network->source_for(parsed->ip), parsed->port};
      const auto place = ns::to_socket_address(own, bytes[0]);
      const auto* raw = reinterpret_cast<const std::uint8_t*>(place.raw());
      bytes.assign(raw, raw + place.size);
    }
  }
  return with_address_copy(call, bytes);
}

using NameOf = int (*)(int, sockaddr*, socklen_t*);

Answer show_name(const AnswerCall& call, GuestFd fd, RemotePtr<sockaddr> to, RemotePtr<socklen_t> size_at,
                 bool of_peer) {
  if (call.shared.options.network == nullptr && call.shared.view == nullptr) {
    return Answer::pass();
  }
  int error = 0;
  const InetSocket socket = open_socket(call, fd, error);
  if (error != 0) {
    return Answer::error(error);
  }
  sockaddr_storage name{};
  socklen_t length = sizeof name;
  const NameOf name_of = of_peer ? ::getpeername : ::getsockname;
  if (name_of(socket.fd.get(), reinterpret_cast<sockaddr*>(&name), &length) != 0) {
    return Answer::error(errno);
  }
  if (call.shared.options.network != nullptr && socket.is_translated()) {
    const ns::SocketAddress shown = shown_name(*call.shared.options.network, socket, of_peer);
    name = shown.storage;
    length = shown.size;
  } else {
    show_unix_name(call.shared, name, length);
  }
  return Answer::error(write_address(call.memory(), name, length, to.address(), size_at.address()));
}

BEAM_SYSCALL(getsockname, Strategy::kAnswer, GuestFd fd, RemotePtr<sockaddr> to, RemotePtr<socklen_t> size) {
  return show_name(call, fd, to, size, false);
}
BEAM_SYSCALL(getpeername, Strategy::kAnswer, GuestFd fd, RemotePtr<sockaddr> to, RemotePtr<socklen_t> size) {
  return show_name(call, fd, to, size, true);
}

}  // namespace
}  // namespace beam::interpose
