#include "migrate/kinds/inet.h"

#include <arpa/inet.h>
#include <ifaddrs.h>
#include <netinet/in.h>

#include <algorithm>
#include <cinttypes>
#include <cstdio>
#include <cstring>
#include <fstream>

namespace beam::migrate {
namespace {

InetAddress address_by(int fd, decltype(::getsockname)* ask) {
  sockaddr_storage storage{};
  socklen_t size = sizeof storage;
  if (ask(fd, reinterpret_cast<sockaddr*>(&storage), &size) != 0 || size > sizeof storage) {
    return {};
  }
  const auto* bytes = reinterpret_cast<const std::uint8_t*>(&storage);
  InetAddress address(bytes, bytes + size);
  return is_inet_address(address) ? address : InetAddress();
}

template <typename T>
T as(const InetAddress& address) {
  T value{};
  std::memcpy(&value, address.data(), std::min(sizeof value, address.size()));
  return value;
}

template <typename T>
InetAddress bytes_of(const T& value) {
  const auto* bytes = reinterpret_cast<const std::uint8_t*>(&value);
  return {bytes, bytes + sizeof value};
}

int family_of(const InetAddress& address) {
  return raw(address)->sa_family;
}

// Words of eight hexadecimal digits, each in the machine's byte order.
bool parse_endpoint(const char* text, Endpoint& endpoint) {
  const char* colon = std::strchr(text, ':');
  if (colon == nullptr || (colon - text != 8 && colon - text != 32)) {
    return false;
  }
  const auto words = static_cast<std::size_t>(colon - text) / 8;
  std::array<std::uint8_t, 16> ip{};
  for (std::size_t i = 0; i < words; ++i) {
    std::uint32_t word = 0;
    if (std::sscanf(text + i * 8, "%8" SCNx32, &word) != 1) {
      return false;
    }
    std::memcpy(ip.data() + i * 4, &word, sizeof word);
  }
  if (words == 1) {
    std::memcpy(ip.data() + 12, ip.data(), 4);
    std::fill(ip.begin(), ip.begin() + 10, std::uint8_t{0});
    ip[10] = ip[11] = 0xff;
  }
  unsigned port = 0;
  if (std::sscanf(colon + 1, "%x", &port) != 1) {
    return false;
  }
  std::copy(ip.begin(), ip.end(), endpoint.begin());
  endpoint[16] = static_cast<std::uint8_t>(port >> 8);
  endpoint[17] = static_cast<std::uint8_t>(port);
  return true;
}

}  // namespace

const sockaddr* raw(const InetAddress& address) {
  return reinterpret_cast<const sockaddr*>(address.data());
}
socklen_t raw_size(const InetAddress& address) {
  return static_cast<socklen_t>(address.size());
}

bool is_inet_address(const InetAddress& address) {
  return (address.size() == sizeof(sockaddr_in) && family_of(address) == AF_INET) ||
         (address.size() == sizeof(sockaddr_in6) && family_of(address) == AF_INET6);
}

InetAddress inet_own_address(int fd) {
  return address_by(fd, ::getsockname);
}
InetAddress inet_peer_address(int fd) {
  return address_by(fd, ::getpeername);
}

std::uint16_t port_of(const InetAddress& address) {
  return address.empty() ? 0 : ntohs(as<sockaddr_in>(address).sin_port);  // at the same place in both families
}

void set_port(InetAddress& address, std::uint16_t port) {
  const std::uint16_t swapped = htons(port);
  std::memcpy(address.data() + offsetof(sockaddr_in, sin_port), &swapped, sizeof swapped);
}

std::string to_text(const InetAddress& address) {
  if (address.empty()) {
    return "no address";
  }
  char text[INET6_ADDRSTRLEN] = "?";
  if (family_of(address) == AF_INET) {
    const auto value = as<sockaddr_in>(address);
    ::inet_ntop(AF_INET, &value.sin_addr, text, sizeof text);
    return std::string(text) + ":" + std::to_string(port_of(address));
  }
  const auto value = as<sockaddr_in6>(address);
  ::inet_ntop(AF_INET6, &value.sin6_addr, text, sizeof text);
  return "[" + std::string(text) + "]:" + std::to_string(port_of(address));
}

InetAddress in_family(const InetAddress& address, int family) {
  if (address.empty() || family_of(address) == family) {
    return address;
  }
  if (family == AF_INET6) {
    const auto from = as<sockaddr_in>(address);
    sockaddr_in6 to{};
    to.sin6_family = AF_INET6;
    to.sin6_port = from.sin_port;
    if (from.sin_addr.s_addr != INADDR_ANY) {
      to.sin6_addr.s6_addr[10] = to.sin6_addr.s6_addr[11] = 0xff;
      std::memcpy(to.sin6_addr.s6_addr + 12, &from.sin_addr, 4);
    }
    return bytes_of(to);
  }
  const auto from = as<sockaddr_in6>(address);
  if (!IN6_IS_ADDR_V4MAPPED(&from.sin6_addr) && !IN6_IS_ADDR_UNSPECIFIED(&from.sin6_addr)) {
    return address;
  }
  sockaddr_in to{};
  to.sin_family = AF_INET;
  to.sin_port = from.sin6_port;
  std::memcpy(&to.sin_addr, from.sin6_addr.s6_addr + 12, 4);
  return bytes_of(to);
}

bool is_wildcard(const InetAddress& address) {
  if (address.empty()) {
    return true;
  }
  if (family_of(address) == AF_INET) {
    return as<sockaddr_in>(address).sin_addr.s_addr == INADDR_ANY;
  }
  const auto value = as<sockaddr_in6>(address);
  return IN6_IS_ADDR_UNSPECIFIED(&value.sin6_addr);
}

bool is_local(const InetAddress& address) {
  const InetAddress plain = in_family(address, AF_INET);
  if (plain.empty()) {
    return false;
  }
  if (family_of(plain) == AF_INET && (ntohl(as<sockaddr_in>(plain).sin_addr.s_addr) >> 24) == IN_LOOPBACKNET) {
    return true;
  }
  ifaddrs* list = nullptr;
  if (::getifaddrs(&list) != 0) {
    return false;
  }
  bool found = false;
  for (const ifaddrs* at = list; at != nullptr && !found; at = at->ifa_next) {
    if (at->ifa_addr == nullptr || at->ifa_addr->sa_family != family_of(plain)) {
      continue;
    }
    if (family_of(plain) == AF_INET) {
      found =
          reinterpret_cast<const sockaddr_in*>(at->ifa_addr)->sin_addr.s_addr == as<sockaddr_in>(plain).sin_addr.s_addr;
    } else {
      const auto value = as<sockaddr_in6>(plain);
      found = IN6_ARE_ADDR_EQUAL(&reinterpret_cast<const sockaddr_in6*>(at->ifa_addr)->sin6_addr, &value.sin6_addr);
    }
  }
  ::freeifaddrs(list);
  return found;
}

bool covers(const InetAddress& bound, bool v6_only, const InetAddress& address) {
  if (bound.empty() || address.empty() || port_of(bound) != port_of(address)) {
    return false;
  }
  const InetAddress plain = in_family(address, AF_INET);
  if (is_wildcard(bound)) {
    return family_of(bound) == AF_INET ? family_of(plain) == AF_INET : family_of(plain) == AF_INET6 || !v6_only;
  }
  return endpoint_of(bound) == endpoint_of(address);
}

Endpoint endpoint_of(const InetAddress& address) {
  Endpoint endpoint{};
  if (address.empty()) {
    return endpoint;
  }
  if (family_of(address) == AF_INET) {
    const auto value = as<sockaddr_in>(address);
    endpoint[10] = endpoint[11] = 0xff;
    std::memcpy(endpoint.data() + 12, &value.sin_addr, 4);
  } else {
    const auto value = as<sockaddr_in6>(address);
    std::memcpy(endpoint.data(), &value.sin6_addr, 16);
  }
  endpoint[16] = static_cast<std::uint8_t>(port_of(address) >> 8);
  endpoint[17] = static_cast<std::uint8_t>(port_of(address));
  return endpoint;
}

Result<std::vector<TcpEntry>> list_tcp_sockets() {
  std::vector<TcpEntry> entries;
  for (const char* path : {"/proc/net/tcp", "/proc/net/tcp6"}) {
    std::ifstream file(path);
    std::string line;
    std::getline(file, line);
    while (std::getline(file, line)) {
      char own[64];
      char peer[64];
      TcpEntry entry;
      if (std::sscanf(line.c_str(), " %*d: %63s %63s %x %*s %*s %*s %*u %*d %" SCNu64, own, peer,
                      reinterpret_cast<unsigned*>(&entry.state), &entry.inode) == 4 &&
          parse_endpoint(own, entry.own) && parse_endpoint(peer, entry.peer)) {
        entries.push_back(entry);
      }
    }
  }
  return entries;
}

}  // namespace beam::migrate
