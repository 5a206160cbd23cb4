// Datagrams with addresses where the sandbox has a network of its own: the supervisor sends and receives them on its
// copy of the program's socket.
#pragma once

#include <sys/socket.h>

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "interpose/inet_calls.h"

namespace beam::interpose {

struct Datagram {
  std::span<const std::byte> data;
  AddressBytes to;                     // empty: where the socket is connected to
  std::span<const std::byte> control;  // IP_PKTINFO and its like, in the program's addresses
};
// The bytes sent, or a negative errno value. -EAGAIN even of a socket that would wait.
[[nodiscard]] std::int64_t send_datagram(ns::NetworkSpace& network, bool outside, const InetSocket& socket,
                                         const Datagram& datagram, int flags);

// What a program is shown of where a datagram came from, as the kernel says it. Empty stays empty.
[[nodiscard]] ns::SocketAddress shown_source(const ns::NetworkSpace& network, const InetSocket& socket,
                                             const sockaddr_storage& source, socklen_t size);
// The addresses in a received message's control data.
void show_control(const ns::NetworkSpace& network, std::span<std::byte> control);

}  // namespace beam::interpose
