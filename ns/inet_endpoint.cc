#include "ns/inet_endpoint.h"

#include <arpa/inet.h>

#include <algorithm>
#include <cstring>

namespace beam::ns {
namespace {

constexpr std::size_t kMappedPrefix = 12;

}  // namespace

IpAddress IpAddress::v4(std::uint32_t host_order) {
  IpAddress address;
  address.bytes[10] = address.bytes[11] = 0xff;
  const std::uint32_t swapped = htonl(host_order);
  std::memcpy(address.bytes.data() + kMappedPrefix, &swapped, sizeof swapped);
  return address;
}

IpAddress IpAddress::v6(const in6_addr& from) {
  IpAddress address;
  std::memcpy(address.bytes.data(), from.s6_addr, address.bytes.size());
  return address;
}

bool IpAddress::is_v4() const {
  return std::all_of(bytes.begin(), bytes.begin() + 10, [](std::uint8_t byte) { return byte == 0; }) &&
         bytes[10] == 0xff && bytes[11] == 0xff;
}

std::uint32_t IpAddress::v4() const {
  std::uint32_t value = 0;
  std::memcpy(&value, bytes.data() + kMappedPrefix, sizeof value);
  return ntohl(value);
}

bool IpAddress::is_any() const {
  return is_v4() ? v4() == INADDR_ANY : bytes == std::array<std::uint8_t, 16>{};
}

bool IpAddress::is_loopback() const {
  return is_v4() ? v4() >> 24 == IN_LOOPBACKNET : *this == loopback6();
}

bool IpAddress::is_for_many() const {
  return is_v4() ? IN_MULTICAST(v4()) || v4() == INADDR_BROADCAST : bytes[0] == 0xff;
}

std::string IpAddress::text() const {
  char text[INET6_ADDRSTRLEN] = "?";
  if (is_v4()) {
    ::inet_ntop(AF_INET, bytes.data() + kMappedPrefix, text, sizeof text);
  } else {
    ::inet_ntop(AF_INET6, bytes.data(), text, sizeof text);
  }
  return text;
}

SocketAddress to_socket_address(const IpAddress& ip, std::uint16_t port, int family) {
  SocketAddress address;
  if (family == AF_INET6) {
    sockaddr_in6 value{};
    value.sin6_family = AF_INET6;
    value.sin6_port = htons(port);
    std::memcpy(value.sin6_addr.s6_addr, ip.bytes.data(), ip.bytes.size());
    std::memcpy(&address.storage, &value, sizeof value);
    address.size = sizeof value;
  } else if (ip.is_v4() || ip.is_any()) {
    sockaddr_in value{};
    value.sin_family = AF_INET;
    value.sin_port = htons(port);
    value.sin_addr.s_addr = ip.is_v4() ? htonl(ip.v4()) : INADDR_ANY;
    std::memcpy(&address.storage, &value, sizeof value);
    address.size = sizeof value;
  }
  return address;
}

std::optional<IpAndPort> parse_socket_address(const void* address, std::size_t size) {
  sa_family_t family = AF_UNSPEC;
  if (size < sizeof family) {
    return std::nullopt;
  }
  std::memcpy(&family, address, sizeof family);
  if (family == AF_INET && size >= sizeof(sockaddr_in)) {
    sockaddr_in value{};
    std::memcpy(&value, address, sizeof value);
    return IpAndPort{IpAddress::v4(ntohl(value.sin_addr.s_addr)), ntohs(value.sin_port)};
  }
  // The kernel takes an IPv6 address without its scope too (SIN6_LEN_RFC2133, net/ipv6.h).
  constexpr std::size_t kWithoutScope = 24;
  if (family == AF_INET6 && size >= kWithoutScope) {
    sockaddr_in6 value{};
    std::memcpy(&value, address, std::min(size, sizeof value));
    return IpAndPort{IpAddress::v6(value.sin6_addr), ntohs(value.sin6_port)};
  }
  return std::nullopt;
}

std::optional<HostEndpoint> host_endpoint(int fd, decltype(::getsockname)* ask) {
  sockaddr_storage storage{};
  socklen_t size = sizeof storage;
  if (ask(fd, reinterpret_cast<sockaddr*>(&storage), &size) != 0) {
    return std::nullopt;
  }
  const auto parsed = parse_socket_address(&storage, size);
  return parsed ? std::optional<HostEndpoint>({parsed->ip, parsed->port}) : std::nullopt;
}

}  // namespace beam::ns
