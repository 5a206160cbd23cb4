#include "runtime/network.h"

#include <arpa/inet.h>

#include "ns/host_addresses.h"

namespace beam::runtime {

bool is_network_mode(const std::string& word) {
  return word == kNetworkGroup || word == kNetworkHost || word == kNetworkNone;
}

Result<Network> make_network(const std::string& home, bool joins, std::shared_ptr<ns::Store>& names,
                             SandboxRecord& record) {
  if (record.network == kNetworkHost) {
    return Network{};
  }
  ns::Member wanted{record.name, record.host_name, record.workstation, 0};
  if (!record.address.empty()) {
    in_addr parsed{};
    if (::inet_pton(AF_INET, record.address.c_str(), &parsed) == 1) {
      wanted.number = ns::NetworkSpace::member_at(ns::IpAddress::v4(ntohl(parsed.s_addr)));
    }
    if (wanted.number == 0) {
      return Error(0, record.name + ": its address " + record.address + " is none of the sandboxes' network");
    }
  }
  if (!joins) {
    const std::uint32_t number = wanted.number != 0 ? wanted.number : 1;
    auto index = ns::HostIndex::claim(number);
    if (!index.ok()) {
      return std::move(index).error().context(record.name).remedy("use the workstation's network: --net host");
    }
    const std::uint32_t address = ns::NetworkSpace::address_of_member(number);
    record.address = ns::IpAddress::v4(address).text();
    return Network{std::make_shared<ns::NetworkSpace>(std::move(*index), address), nullptr};
  }
  if (names == nullptr) {
    BEAM_TRY_ASSIGN(names, ns::open_embedded_store(home));
  }
  Network network;
  BEAM_TRY_ASSIGN(network.group, ns::Group::join(names, record.group, wanted));
  const std::uint32_t address = ns::NetworkSpace::address_of_member(network.group->self().number);
  record.address = ns::IpAddress::v4(address).text();
  network.space = std::make_shared<ns::NetworkSpace>(network.group->take_index(), address);
  network.space->set_moved_ports(network.group);
  return network;
}

}  // namespace beam::runtime
