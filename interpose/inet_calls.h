// What bind(2), connect(2) and their like do to a socket of the internet families where the sandbox has a network of
// its own: the supervisor does them on its copy of the socket, at the places that realise the program's addresses.
#pragma once

#include <linux/filter.h>

#include <cstddef>
#include <cstdint>
#include <vector>

#include "interpose/inet_socket.h"
#include "ns/network_space.h"

namespace beam::interpose {

// An address argument, as it lay in the program's memory.
using AddressBytes = std::vector<std::uint8_t>;
// 0, or the errno value with which the kernel refuses such an argument (move_addr_to_kernel, net/socket.c).
[[nodiscard]] int read_address(const GuestMemory& memory, std::uint64_t address, int size, AddressBytes& bytes);

// All of them: 0 or an errno value.
[[nodiscard]] int bind_inet(ns::NetworkSpace& network, const InetSocket& socket, const AddressBytes& bytes);
// An unbound socket gets a port at all of the sandbox's addresses, as the kernel gives it one at all of the machine's.
[[nodiscard]] int listen_inet(ns::NetworkSpace& network, const InetSocket& socket, int backlog);

enum class Connect {
  kDone,     // `error` is the call's result
  kOutside,  // the kernel does it, as the program asked
  kWaits,    // begun; the kernel goes on with it
};
struct Connecting {
  Connect how = Connect::kDone;
  int error = 0;
};
[[nodiscard]] Connecting connect_inet(ns::NetworkSpace& network, const InetSocket& socket, const AddressBytes& bytes);

// What lets datagrams from the addresses of the sandbox's group in, and with `outside` also those that don't come from
// a loopback: a socket at all of the workstation's addresses is not to hear those who have no business with the
// sandbox.
[[nodiscard]] std::vector<sock_filter> datagram_filter(std::uint32_t index, bool outside);

// Where a datagram for the endpoint, one of the sandbox's own or of its group's, is to go.
[[nodiscard]] ns::HostEndpoint datagram_place(ns::NetworkSpace& network, const InetSocket& socket,
                                              const ns::VirtualEndpoint& to);
void filter_datagrams(const InetSocket& socket, std::uint32_t index, bool outside);

// Gives a datagram socket without a port one of the kernel's choice at all addresses.
[[nodiscard]] int bind_datagrams(ns::NetworkSpace& network, const InetSocket& socket);
// The kernel's own IPV6_V6ONLY would keep an IPv6 socket from the IPv4 addresses that realise the sandbox's.
[[nodiscard]] bool take_v6_only(ns::NetworkSpace& network, const InetSocket& socket);

}  // namespace beam::interpose
