#include "runtime/network.h"

#include <arpa/inet.h>

#include "ns/host_addresses.h"

namespace beam::runtime {

bool is_network_mode(const std::string& word) {
  return word == kNetworkGroup || word == kNetworkHost || word == kNetworkNone;
}

Result<std::shared_ptr<ns::NetworkSpace>> make_network(SandboxRecord& record) {
  if (record.network == kNetworkHost) {
    return std::shared_ptr<ns::NetworkSpace>();
  }
  std::uint32_t address = ns::NetworkSpace::kFirstAddress;
  if (!record.address.empty()) {
    in_addr parsed{};
    if (::inet_pton(AF_INET, record.address.c_str(), &parsed) != 1 ||
        !ns::NetworkSpace::in_network(ns::IpAddress::v4(ntohl(parsed.s_addr)))) {
      return Error(0, record.name + ": its address " + record.address + " is none of the sandboxes' network");
    }
    address = ntohl(parsed.s_addr);
  }
  auto index = ns::HostIndex::claim();
  if (!index.ok()) {
    return std::move(index).error().context(record.name).remedy("use the workstation's network: --net host");
  }
  record.address = ns::IpAddress::v4(address).text();
  return std::make_shared<ns::NetworkSpace>(std::move(*index), address);
}

}  // namespace beam::runtime
