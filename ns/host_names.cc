#include "ns/host_names.h"

#include "ns/network_space.h"

namespace beam::ns {

std::string hosts_text(std::string_view workstation, const std::vector<HostName>& hosts) {
  std::string text;
  for (const HostName& host : hosts) {
    std::string names;
    for (const std::string& name : host.names) {
      names += name.empty() || name == "localhost" ? "" : " " + name;
    }
    if (!names.empty()) {
      text += IpAddress::v4(host.address).text() + names + "\n";
      text += NetworkSpace::v6_of(host.address).text() + names + "\n";
    }
  }
  return text + std::string(workstation);
}

}  // namespace beam::ns
