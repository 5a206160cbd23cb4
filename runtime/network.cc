#include "runtime/network.h"

#include <arpa/inet.h>

#include "base/log.h"
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

std::function<std::vector<ns::HostName>()> names_in(const Network& network, const SandboxRecord& record) {
  const ns::Member self{record.name, record.host_name, record.workstation,
                        ns::NetworkSpace::member_at(network.space->address4())};
  return [group = network.group, self] {
    std::vector<ns::Member> members{self};
    if (group) {
      auto living = group->members();
      if (living.ok()) {
        members = std::move(*living);
      } else {
        BEAM_LOG_WARN(kRuntime, "the group's names are not known: {}", living.error().message());
      }
    }
    std::vector<ns::HostName> names;
    for (const ns::Member& member : members) {
      ns::HostName host{ns::NetworkSpace::address_of_member(member.number), {member.name}};
      if (member.host_name != member.workstation && member.host_name != member.name) {
        host.names.push_back(member.host_name);
      }
      names.push_back(std::move(host));
    }
    return names;
  };
}

}  // namespace beam::runtime
