// Addresses that calls on sockets give to programs.
#pragma once

#include <sys/socket.h>

#include <cstdint>

#include "interpose/inet_socket.h"
#include "ns/network_space.h"

namespace beam::interpose {

// As move_addr_to_user of net/socket.c: as much as there is room for, and the whole length. 0 or an errno value.
[[nodiscard]] int write_address(const GuestMemory& memory, const sockaddr_storage& address, socklen_t length,
                                std::uint64_t to, std::uint64_t size_at);

// What getsockname(2) and getpeername(2) show of a translated socket.
[[nodiscard]] ns::SocketAddress shown_name(const ns::NetworkSpace& network, const InetSocket& socket, bool of_peer);

}  // namespace beam::interpose
