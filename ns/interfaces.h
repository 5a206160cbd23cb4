// The network interfaces that a sandbox has (netdevice(7)): its loopback, and one in the network of its group.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "ns/network_space.h"

namespace beam::ns {

struct InterfaceAddress {
  IpAddress ip;
  int prefix_length = 0;  // of an IPv4 address within 32 bits, of an IPv6 one within 128
};

struct Interface {
  std::string name;
  int index = 0;
  unsigned flags = 0;      // IFF_*
  std::uint16_t type = 0;  // ARPHRD_*
  std::uint32_t mtu = 0;
  std::array<std::uint8_t, 6> hardware{};
  InterfaceAddress address4;
  InterfaceAddress address6;
  [[nodiscard]] bool is_loopback() const { return index == 1; }
  [[nodiscard]] std::uint32_t netmask() const;    // of address4, host byte order
  [[nodiscard]] std::uint32_t broadcast() const;  // likewise
};

// In the order of their indices.
[[nodiscard]] std::vector<Interface> interfaces(const NetworkSpace& network);
[[nodiscard]] std::optional<Interface> find_interface(const NetworkSpace& network, std::string_view name);
[[nodiscard]] std::optional<Interface> find_interface(const NetworkSpace& network, int index);

}  // namespace beam::ns
