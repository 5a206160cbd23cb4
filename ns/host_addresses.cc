#include "ns/host_addresses.h"

#include <sys/random.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <cerrno>
#include <cstddef>
#include <cstring>
#include <string>

namespace beam::ns {
namespace {

constexpr std::uint32_t kIndexMask = (1U << kIndexBits) - 1;
constexpr std::uint16_t kFirstLowPort = 10000;  // below any ip_local_port_range that is in use
constexpr int kTries = 1000;

}  // namespace

IpAddress part_address(Part part, std::uint32_t index) {
  return IpAddress::v4(static_cast<std::uint32_t>(IN_LOOPBACKNET) << 24 |
                       static_cast<std::uint32_t>(part) << kIndexBits | (index & kIndexMask));
}

PartAddress parse_part(const IpAddress& address) {
  if (!address.is_v4() || address.v4() >> 24 != IN_LOOPBACKNET) {
    return {};
  }
  const std::uint32_t part = address.v4() >> kIndexBits & 7;
  if (part == 0 || part > static_cast<std::uint32_t>(Part::kMoved)) {
    return {};
  }
  return {static_cast<Part>(part), address.v4() & kIndexMask};
}

std::uint16_t moved_low_port(Part part, std::uint16_t port) {
  return static_cast<std::uint16_t>(kFirstLowPort + (static_cast<unsigned>(part) - 1) * kFirstUnprivileged + port);
}

std::optional<LowPort> parse_low_port(std::uint16_t host_port) {
  constexpr unsigned kParts = static_cast<unsigned>(Part::kMoved) - 1;
  if (host_port < kFirstLowPort || host_port >= kFirstLowPort + kParts * kFirstUnprivileged) {
    return std::nullopt;
  }
  const unsigned offset = static_cast<unsigned>(host_port - kFirstLowPort);
  return LowPort{static_cast<Part>(offset / kFirstUnprivileged + 1),
                 static_cast<std::uint16_t>(offset % kFirstUnprivileged)};
}

Result<HostIndex> HostIndex::claim() {
  UniqueFd socket(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  if (!socket) {
    return Error::from_errno("make a UNIX socket");
  }
  for (int i = 0; i < kTries; ++i) {
    std::uint32_t index = 0;
    if (::getrandom(&index, sizeof index, 0) != sizeof index) {
      return Error::from_errno("getrandom");
    }
    index &= kIndexMask;
    if (index == kNoIndex) {
      continue;
    }
    const std::string name = "beam/network/" + std::to_string(index);
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::memcpy(address.sun_path + 1, name.data(), name.size());
    const auto size = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + 1 + name.size());
    if (::bind(socket.get(), reinterpret_cast<const sockaddr*>(&address), size) == 0) {
      return HostIndex(index, std::move(socket));
    }
    if (errno != EADDRINUSE) {
      return Error::from_errno("claim a network of the workstation's loopback");
    }
  }
  return Error(EADDRINUSE, "claim a network of the workstation's loopback");
}

}  // namespace beam::ns
