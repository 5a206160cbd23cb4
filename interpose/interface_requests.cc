#include "interpose/interface_requests.h"

#include <linux/ethtool.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <net/if_arp.h>
#include <netinet/in.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <optional>
#include <string>
#include <vector>

#include "ns/interfaces.h"

namespace beam::interpose {
namespace {

using ns::Interface;

sockaddr in4(std::uint32_t address) {
  sockaddr_in value{};
  value.sin_family = AF_INET;
  value.sin_addr.s_addr = htonl(address);
  sockaddr generic{};
  std::memcpy(&generic, &value, sizeof generic);
  return generic;
}

void set_name(ifreq& entry, const std::string& name) {
  std::memset(entry.ifr_name, 0, sizeof entry.ifr_name);
  name.copy(entry.ifr_name, IFNAMSIZ - 1);
}

// SIOCGIFCONF: the interfaces that have an IPv4 address (dev_ifconf, net/core/dev_ioctl.c).
Answer list(const AnswerCall& call, const ns::NetworkSpace& network, std::uint64_t argument) {
  ifconf query{};
  if (call.memory().read(argument, &query, sizeof query) != 0) {
    return Answer::error(EFAULT);
  }
  const auto all = ns::interfaces(network);
  std::vector<ifreq> entries;
  for (const Interface& interface : all) {
    ifreq& entry = entries.emplace_back();
    entry = {};
    set_name(entry, interface.name);
    entry.ifr_addr = in4(interface.address4.ip.v4());
  }
  const auto whole = static_cast<int>(entries.size() * sizeof(ifreq));
  if (query.ifc_buf != nullptr) {
    const auto room = static_cast<std::size_t>(std::max(query.ifc_len, 0)) / sizeof(ifreq);
    entries.resize(std::min(entries.size(), room));
    if (!entries.empty() && call.memory().write(reinterpret_cast<std::uint64_t>(query.ifc_buf), entries.data(),
                                                entries.size() * sizeof(ifreq)) != 0) {
      return Answer::error(EFAULT);
    }
  }
  query.ifc_len = query.ifc_buf == nullptr ? whole : static_cast<int>(entries.size() * sizeof(ifreq));
  return Answer::error(call.memory().write(argument, &query, sizeof query) != 0 ? EFAULT : 0);
}

// 0 or an errno value.
int fill(const Interface& interface, std::uint64_t request, ifreq& entry) {
  switch (request) {
    case SIOCGIFFLAGS:
      entry.ifr_flags = static_cast<short>(interface.flags);
      return 0;
    case SIOCGIFADDR:
    case SIOCGIFDSTADDR:
      entry.ifr_addr = in4(interface.address4.ip.v4());
      return 0;
    case SIOCGIFBRDADDR:
      entry.ifr_broadaddr = in4(interface.is_loopback() ? 0 : interface.broadcast());
      return 0;
    case SIOCGIFNETMASK:
      entry.ifr_netmask = in4(interface.netmask());
      return 0;
    case SIOCGIFMETRIC:
      entry.ifr_metric = 0;
      return 0;
    case SIOCGIFMTU:
      entry.ifr_mtu = static_cast<int>(interface.mtu);
      return 0;
    case SIOCGIFHWADDR:
      entry.ifr_hwaddr = {};
      entry.ifr_hwaddr.sa_family = interface.type;
      std::memcpy(entry.ifr_hwaddr.sa_data, interface.hardware.data(), interface.hardware.size());
      return 0;
    case SIOCGIFINDEX:
      entry.ifr_ifindex = interface.index;
      return 0;
    case SIOCGIFTXQLEN:
      entry.ifr_qlen = 1000;
      return 0;
    case SIOCGIFMAP:
      entry.ifr_map = {};
      return 0;
    default:
      return EOPNOTSUPP;
  }
}

}  // namespace

bool is_interface_request(std::uint64_t request) {
  // linux/sockios.h: routes, then interfaces, up to those of drivers.
  return request >= SIOCADDRT && request <= SIOCGIFMAP + 0xff && (request & 0xff00) == 0x8900 &&
         request != SIOCGSTAMP_OLD && request != SIOCGSTAMPNS_OLD;
}

Answer answer_interface_request(const AnswerCall& call, const ns::NetworkSpace& network, std::uint64_t request,
                                std::uint64_t argument) {
  if (request == SIOCGIFCONF) {
    return list(call, network, argument);
  }
  ifreq entry{};
  if (call.memory().read(argument, &entry, sizeof entry) != 0) {
    return Answer::error(EFAULT);
  }
  std::optional<Interface> interface;
  if (request == SIOCGIFNAME) {
    interface = ns::find_interface(network, entry.ifr_ifindex);
    if (!interface) {
      return Answer::error(ENODEV);
    }
    set_name(entry, interface->name);
    return Answer::error(call.memory().write(argument, &entry, sizeof entry) != 0 ? EFAULT : 0);
  }
  std::string name(entry.ifr_name, ::strnlen(entry.ifr_name, IFNAMSIZ - 1));
  name = name.substr(0, name.find(':'));  // an alias of an interface
  ifreq answer = entry;
  interface = ns::find_interface(network, name);
  if (const int error = interface ? fill(*interface, request, answer) : ENODEV; error != 0) {
    // Whoever may not change anything is refused before the interface is looked for.
    return Answer::error(error == EOPNOTSUPP && request != SIOCETHTOOL ? EPERM : error);
  }
  return Answer::error(call.memory().write(argument, &answer, sizeof answer) != 0 ? EFAULT : 0);
}

}  // namespace beam::interpose
