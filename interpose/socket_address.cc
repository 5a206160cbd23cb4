#include "interpose/socket_address.h"

#include <netinet/in.h>

#include <algorithm>
#include <cerrno>

namespace beam::interpose {

int write_address(const GuestMemory& memory, const sockaddr_storage& address, socklen_t length, std::uint64_t to,
                  std::uint64_t size_at) {
  int room = 0;
  if (memory.read(size_at, &room, sizeof room) != 0) {
    return EFAULT;
  }
  if (room < 0) {
    return EINVAL;
  }
  const auto size = std::min<std::size_t>(static_cast<std::size_t>(room), length);
  return (size != 0 && memory.write(to, &address, size) != 0) || memory.write(size_at, &length, sizeof length) != 0
             ? EFAULT
             : 0;
}

ns::SocketAddress shown_name(const ns::NetworkSpace& network, const InetSocket& socket, bool of_peer) {
  const ns::HostEndpoint own = socket.own().value_or(ns::HostEndpoint());
  const auto peer = socket.peer();
  ns::VirtualEndpoint shown;
  if (peer) {
    const auto ends = network.shown(socket.protocol, own, *peer);
    shown = of_peer ? ends.peer : ends.own;
  } else if (own.port == 0) {
    // Unbound to the program; the kernel may have an address for it already.
    shown.ip = socket.family == AF_INET6 ? ns::IpAddress() : ns::IpAddress::v4(INADDR_ANY);
  } else {
    shown = network.shown(socket.protocol, own);
  }
  // A socket of IPv6 that is bound to all addresses shows ::, not the mapped 0.0.0.0.
  return ns::to_socket_address(shown, socket.family);
}

}  // namespace beam::interpose
