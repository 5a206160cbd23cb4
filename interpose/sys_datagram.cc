// sendto(2) and recvfrom(2) with an address, and the network's part of sendmsg(2) and recvmsg(2) (sys_message.cc). Of
// datagram sockets only: on a connection the kernel heeds no address, and gives none.
#include <poll.h>
#include <sys/socket.h>
#include <sys/syscall.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <vector>

#include "interpose/datagrams.h"
#include "interpose/make_again.h"
#include "interpose/message_traps.h"
#include "interpose/route_view.h"
#include "interpose/shared.h"
#include "interpose/socket_address.h"
#include "interpose/syscall_table.h"
#include "interpose/unix_calls.h"

namespace beam::interpose {
namespace {

constexpr std::size_t kMostBytes = 65536;  // more than any datagram has

TrapWhen with_address() {
  return {{is_not(4, 0)}, {is_not(4, 0, ~kInt)}};
}

bool lacks_traps(const AnswerCall& call, unsigned traps) {
  return (traps & ~call.caller.process->message_traps.load()) != 0;
}

// Waits for room as the caller would, which is woken by nothing but its death meanwhile; room comes as fast as the
// loopback delivers.
template <typename Send>
std::int64_t send_waiting(const AnswerCall& call, const InetSocket& socket, int flags, Send send) {
  for (;;) {
    const std::int64_t sent = send();
    if (sent != -EAGAIN || (flags & MSG_DONTWAIT) != 0 || !socket.is_blocking() || !call.still_waits()) {
      return sent;
    }
    constexpr int kMoment = 20;  // milliseconds
    pollfd room{socket.fd.get(), POLLOUT, 0};
    ::poll(&room, 1, kMoment);
  }
}

// Of a sandbox with a mount view, which finds the paths of such sockets.
bool is_unix(const RewriteCall& call, GuestFd fd) {
  if (call.shared().view == nullptr) {
    return false;
  }
  int error = 0;
  return open_socket(copy_descriptor(call.task().tid, *call.task().process, fd.value(), error), error).family ==
         AF_UNIX;
}

BEAM_SYSCALL_WHEN(sendto, Strategy::kAnswer, with_address(), GuestFd fd, RemotePtr<void> data, std::uint64_t size,
                  int flags, RemotePtr<sockaddr> address, int address_size) {
  ns::NetworkSpace* network = call.shared.options.network.get();
  if (network == nullptr && call.shared.view == nullptr) {
    return Answer::pass();
  }
  int error = 0;
  const InetSocket socket = open_socket(call, fd, error);
  if (error != 0) {
    return Answer::error(error);
  }
  if (socket.family == AF_UNIX && call.shared.view != nullptr && socket.is_datagram()) {
    return Answer::escalate();
  }
  if (network == nullptr || !socket.is_translated()) {
    return Answer::pass();
  }
  if (socket.is_stream()) {
    return (flags & MSG_FASTOPEN) != 0 ? Answer::error(EOPNOTSUPP) : Answer::pass();
  }
  if (const auto own = socket.own(); (!own || own->port == 0) && lacks_traps(call, kTrapReceives)) {
    return Answer::escalate();
  }
  Datagram datagram;
  if (error = read_address(call.memory(), address.address(), address_size, datagram.to); error != 0) {
    return Answer::error(error);
  }
  if (size > kMostBytes) {
    return Answer::error(EMSGSIZE);
  }
  std::vector<std::byte> bytes(size);
  if (size != 0 && call.memory().read(data.address(), bytes.data(), bytes.size()) != 0) {
    return Answer::error(EFAULT);
  }
  datagram.data = bytes;
  return Answer::result(send_waiting(call, socket, flags, [&] {
    return send_datagram(*network, call.shared.options.outside, socket, datagram, flags);
  }));
}
BEAM_ESCALATED(sendto, GuestFd fd, RemotePtr<void>, std::uint64_t, int, RemotePtr<sockaddr> address, int size) {
  if (is_unix(call, fd)) {
    AddressBytes bytes;
    std::string path;
    if (const int error = read_address(call.memory(), address.address(), size, bytes); error != 0) {
      return Rewrite::error(error);
    }
    return unix_path(bytes, path) ? send_to_unix(call, path) : Rewrite::pass();
  }
  return again_with_traps(call, kTrapReceives);
}

Answer received(const AnswerCall& call, const InetSocket& socket, RemotePtr<void> data, std::uint64_t size, int flags,
                RemotePtr<sockaddr> address, RemotePtr<int> size_at) {
  std::vector<std::byte> bytes(std::min<std::uint64_t>(size, kMostBytes));
  sockaddr_storage source{};
  iovec part{bytes.data(), bytes.size()};
  msghdr message{};
  message.msg_name = &source;
  message.msg_namelen = sizeof source;
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  const ssize_t got = ::recvmsg(socket.fd.get(), &message, flags | MSG_DONTWAIT);
  if (got < 0) {
    const bool waits = errno == EAGAIN && (flags & MSG_DONTWAIT) == 0 && socket.is_blocking();
    return waits ? Answer::escalate() : Answer::error(errno);
  }
  auto there = std::min(static_cast<std::size_t>(got), bytes.size());
  std::int64_t result = got;
  if (socket.family == AF_NETLINK) {
    const auto shown = call.shared.routes->shown(socket, std::span(bytes).first(there), bytes.size());
    std::copy(shown.begin(), shown.end(), bytes.begin());
    there = shown.size();
    result = static_cast<std::int64_t>(there);
  }
  if (there != 0 && call.memory().write(data.address(), bytes.data(), there) != 0) {
    return Answer::error(EFAULT);
  }
  const ns::SocketAddress from = shown_source(*call.shared.options.network, socket, source, message.msg_namelen);
  if (const int error = write_address(call.memory(), from.storage, from.size, address.address(), size_at.address());
      error != 0) {
    return Answer::error(error);
  }
  return Answer::result(result);
}

BEAM_SYSCALL_WHEN(recvfrom, Strategy::kAnswer, with_address(), GuestFd fd, RemotePtr<void> data, std::uint64_t size,
                  int flags, RemotePtr<sockaddr> address, RemotePtr<int> size_at) {
  const bool has_network = call.shared.options.network != nullptr;
  if (!has_network && call.shared.view == nullptr) {
    return Answer::pass();
  }
  int error = 0;
  const InetSocket socket = open_socket(call, fd, error);
  if (error != 0) {
    return Answer::error(error);
  }
  if (socket.family == AF_UNIX || !has_network) {
    return socket.family == AF_UNIX && call.shared.view != nullptr ? Answer::escalate() : Answer::pass();
  }
  if (RouteView::is_about(socket)) {
    return received(call, socket, data, size, flags, address, size_at);
  }
  if (!socket.is_translated() || socket.is_stream() || (flags & MSG_ERRQUEUE) != 0) {
    return Answer::pass();
  }
  return received(call, socket, data, size, flags, address, size_at);
}

struct ReceiveFrom : CallInProgress {
  int fd = -1;
  std::uint64_t address = 0;
  std::uint64_t size_at = 0;
  int room = 0;
  std::uint64_t data = 0;
  std::size_t size = 0;
  void at_exit(ExitCall& call) override {
    int error = 0;
    sockaddr_storage source{};
    if (call.result() < 0 ||
        call.memory().read(address, &source, static_cast<std::size_t>(std::min<int>(room, sizeof source))) != 0) {
      return;
    }
    const InetSocket socket = open_socket(copy_descriptor(call.task().tid, *call.task().process, fd, error), error);
    if (error != 0) {
      return;
    }
    if (socket.family == AF_UNIX) {
      int length = 0;
      if (call.memory().read(size_at, &length, sizeof length) == 0 && length > 0) {
        auto shown = static_cast<socklen_t>(std::min<int>({length, room, sizeof source}));
        if (show_unix_name(call.shared(), source, shown)) {
          (void)call.memory().write(size_at, &room, sizeof room);
          (void)write_address(call.memory(), source, shown, address, size_at);
        }
      }
      return;
    }
    if (socket.family == AF_NETLINK) {
      std::vector<std::byte> answer(static_cast<std::size_t>(call.result()));
      answer.resize(call.memory().read_some(data, answer.data(), std::min(answer.size(), size)));
      const auto shown = call.shared().routes->shown(socket, answer, size);
      (void)call.memory().write(data, shown.data(), shown.size());
      call.set_result(static_cast<std::int64_t>(shown.size()));
      return;
    }
    const ns::SocketAddress shown =
        shown_source(*call.shared().options.network, socket, source, static_cast<socklen_t>(room));
    (void)call.memory().write(size_at, &room, sizeof room);
    (void)write_address(call.memory(), shown.storage, shown.size, address, size_at);
  }
};

BEAM_ESCALATED(recvfrom, GuestFd fd, RemotePtr<void> data, std::uint64_t size, int, RemotePtr<sockaddr> address,
               RemotePtr<int> size_at) {
  auto progress = std::make_unique<ReceiveFrom>();
  progress->data = data.address();
  progress->size = size;
  progress->fd = fd.value();
  progress->address = address.address();
  progress->size_at = size_at.address();
  if (call.memory().read(size_at, progress->room) != 0 || progress->room < 0) {
    return Rewrite::pass();
  }
  return Rewrite::until_exit(std::move(progress));
}

}  // namespace
}  // namespace beam::interpose
