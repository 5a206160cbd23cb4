#include "ns/interfaces.h"

#include <ifaddrs.h>
#include <net/if.h>
#include <net/if_arp.h>

namespace beam::ns {
namespace {

template <typename Match>
std::optional<Interface> find(const NetworkSpace& network, Match match) {
  for (Interface& interface : interfaces(network)) {
    if (match(interface)) {
      return std::move(interface);
    }
  }
  return std::nullopt;
}

// Called as the workstation calls its own, so that what /sys/class/net and the kernel's answers about single interfaces
// say fits: the first that is up and no loopback.
std::pair<int, std::string> outer_interface() {
  std::pair<int, std::string> found{2, "eth0"};
  ifaddrs* list = nullptr;
  if (::getifaddrs(&list) != 0) {
    return found;
  }
  for (const ifaddrs* at = list; at != nullptr; at = at->ifa_next) {
    if ((at->ifa_flags & IFF_LOOPBACK) == 0 && (at->ifa_flags & IFF_UP) != 0) {
      found = {static_cast<int>(::if_nametoindex(at->ifa_name)), at->ifa_name};
      break;
    }
  }
  ::freeifaddrs(list);
  return found;
}

}  // namespace

std::uint32_t Interface::netmask() const {
  return ~0U << (32 - address4.prefix_length);
}

std::uint32_t Interface::broadcast() const {
  return address4.ip.v4() | ~netmask();
}

std::vector<Interface> interfaces(const NetworkSpace& network) {
  Interface lo;
  lo.name = "lo";
  lo.index = 1;
  lo.flags = IFF_UP | IFF_LOOPBACK | IFF_RUNNING;
  lo.type = ARPHRD_LOOPBACK;
  lo.mtu = 65536;
  lo.address4 = {IpAddress::loopback4(), 8};
  lo.address6 = {IpAddress::loopback6(), 128};
  Interface own;
  const auto [index, name] = outer_interface();
  own.name = name;
  own.index = index;
  own.flags = IFF_UP | IFF_BROADCAST | IFF_RUNNING | IFF_MULTICAST;
  own.type = ARPHRD_ETHER;
  own.mtu = 65535;
  // Locally administered, and the address itself: unique in the network.
  const std::uint32_t ip = network.address4().v4();
  own.hardware = {0x02,
                  0x00,
                  static_cast<std::uint8_t>(ip >> 24),
                  static_cast<std::uint8_t>(ip >> 16),
                  static_cast<std::uint8_t>(ip >> 8),
                  static_cast<std::uint8_t>(ip)};
  own.address4 = {network.address4(), NetworkSpace::kPrefixLength};
  own.address6 = {network.address6(), 48};
  return {lo, own};
}

std::optional<Interface> find_interface(const NetworkSpace& network, std::string_view name) {
  return find(network, [&](const Interface& interface) { return interface.name == name; });
}

std::optional<Interface> find_interface(const NetworkSpace& network, int index) {
  return find(network, [&](const Interface& interface) { return interface.index == index; });
}

}  // namespace beam::ns
