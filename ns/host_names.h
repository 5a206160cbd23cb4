// What the sandboxes of a group are called, as hosts(5) says it.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace beam::ns {

struct HostName {
  std::uint32_t address = 0;  // in the group's network, host byte order
  std::vector<std::string> names;
};

// The workstation's own text, behind lines with the IPv4 and the IPv6 address of each: who looks a name up takes the
// first. "localhost" stays what it is.
[[nodiscard]] std::string hosts_text(std::string_view workstation, const std::vector<HostName>& hosts);

}  // namespace beam::ns
