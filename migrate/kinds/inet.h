// Addresses of the internet families, as sockets have them, and the kernel's list of TCP sockets (proc_net_tcp in
// proc(5)).
#pragma once

#include <sys/socket.h>

#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "base/result.h"

namespace beam::migrate {

using InetAddress = std::vector<std::uint8_t>;  // sockaddr_in or sockaddr_in6; empty: none

[[nodiscard]] InetAddress inet_own_address(int fd);
[[nodiscard]] InetAddress inet_peer_address(int fd);
[[nodiscard]] bool is_inet_address(const InetAddress& address);  // one that may be handed to the kernel
[[nodiscard]] std::uint16_t port_of(const InetAddress& address);
void set_port(InetAddress& address, std::uint16_t port);
[[nodiscard]] std::string to_text(const InetAddress& address);
// IPv4 and IPv6-mapped into each other; unchanged where that can't be.
[[nodiscard]] InetAddress in_family(const InetAddress& address, int family);
[[nodiscard]] bool is_wildcard(const InetAddress& address);
// Of this workstation: loopback, or of one of its interfaces.
[[nodiscard]] bool is_local(const InetAddress& address);
[[nodiscard]] const sockaddr* raw(const InetAddress& address);
[[nodiscard]] socklen_t raw_size(const InetAddress& address);
// What a socket that is bound to `bound` gets: IPv4 as mapped, the wildcard covers every address.
[[nodiscard]] bool covers(const InetAddress& bound, bool v6_only, const InetAddress& address);

// An address and port that compare equal in either family.
using Endpoint = std::array<std::uint8_t, 18>;
[[nodiscard]] Endpoint endpoint_of(const InetAddress& address);

struct TcpEntry {
  Endpoint own{};
  Endpoint peer{};
  int state = 0;            // TCP_ESTABLISHED, ...
  std::uint64_t inode = 0;  // 0: closed by its process, or not accepted yet
};
[[nodiscard]] Result<std::vector<TcpEntry>> list_tcp_sockets();

}  // namespace beam::migrate
