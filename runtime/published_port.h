// A port of a sandbox that is to be reached from outside its group: what `beam run --publish` says of it.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "ns/inet_endpoint.h"
#include "ns/network_space.h"

namespace beam::runtime {

struct PublishedPort {
  std::optional<ns::IpAddress> address;  // none: all of the workstation's, of both families
  std::uint16_t port = 0;                // of the workstation
  std::uint16_t virtual_port = 0;        // of the sandbox
  ns::Protocol protocol = 0;             // IPPROTO_TCP or IPPROTO_UDP
};

// [ADDR:]PORT:VPORT[/udp], an IPv6 address in brackets. Errors quote the text.
[[nodiscard]] Result<PublishedPort> parse_published_port(const std::string& text);
[[nodiscard]] Result<std::vector<PublishedPort>> parse_published_ports(const std::vector<std::string>& texts);

}  // namespace beam::runtime
