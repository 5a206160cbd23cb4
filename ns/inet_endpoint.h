// Addresses and ports of the internet families (ip(7), ipv6(7)): those that programs of a sandbox hold, and those that
// realise them on this workstation. IPv4 addresses are kept as IPv6-mapped ones, so one type serves both families.
#pragma once

#include <netinet/in.h>
#include <sys/socket.h>

#include <array>
#include <compare>
#include <cstdint>
#include <optional>
#include <string>

namespace beam::ns {

// Network byte order; ::ffff:a.b.c.d for an IPv4 one.
struct IpAddress {
  std::array<std::uint8_t, 16> bytes{};

  static IpAddress v4(std::uint32_t host_order);
  static IpAddress v6(const in6_addr& address);
  static IpAddress loopback4() { return v4(INADDR_LOOPBACK); }
  static IpAddress loopback6() { return v6(in6addr_loopback); }

  [[nodiscard]] bool is_v4() const;        // mapped
  [[nodiscard]] std::uint32_t v4() const;  // host byte order
  [[nodiscard]] bool is_any() const;       // 0.0.0.0, mapped or not, or ::
  [[nodiscard]] bool is_loopback() const;  // 127.0.0.0/8 or ::1
  [[nodiscard]] bool is_for_many() const;  // multicast, or 255.255.255.255
  [[nodiscard]] std::string text() const;
  auto operator<=>(const IpAddress&) const = default;
};

// The same fields under two types, which never convert into each other by themselves.
template <typename Tag>
struct BasicEndpoint {
  IpAddress ip;
  std::uint16_t port = 0;  // host byte order
  [[nodiscard]] std::string text() const {
    return (ip.is_v4() ? ip.text() : "[" + ip.text() + "]") + ":" + std::to_string(port);
  }
  auto operator<=>(const BasicEndpoint&) const = default;
};
using VirtualEndpoint = BasicEndpoint<struct VirtualEndpointTag>;
using HostEndpoint = BasicEndpoint<struct HostEndpointTag>;

// As the kernel takes and gives them. `scope` is sin6_scope_id.
struct SocketAddress {
  sockaddr_storage storage{};
  socklen_t size = 0;
  [[nodiscard]] const sockaddr* raw() const { return reinterpret_cast<const sockaddr*>(&storage); }
};
// In the given family; an IPv6 address that is not mapped has no form in AF_INET, and comes back empty.
[[nodiscard]] SocketAddress to_socket_address(const IpAddress& ip, std::uint16_t port, int family);
template <typename Tag>
[[nodiscard]] SocketAddress to_socket_address(const BasicEndpoint<Tag>& endpoint, int family) {
  return to_socket_address(endpoint.ip, endpoint.port, family);
}
struct IpAndPort {
  IpAddress ip;
  std::uint16_t port = 0;
};
// Nothing when it is of another family, or too short.
[[nodiscard]] std::optional<IpAndPort> parse_socket_address(const void* address, std::size_t size);
// What getsockname(2) or getpeername(2) says of a socket; nothing, too, when it fails.
[[nodiscard]] std::optional<HostEndpoint> host_endpoint(int fd, decltype(::getsockname)* ask);

}  // namespace beam::ns
