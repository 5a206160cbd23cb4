#include "ns/host_addresses.h"

#include <sys/random.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <cerrno>
#include <cstddef>
#include <cstring>
#include <string>
#include <string_view>

namespace beam::ns {
namespace {

constexpr std::uint32_t kIndexMask = (1U << kIndexBits) - 1;
constexpr std::uint16_t kFirstLowPort = 10000;  // below any ip_local_port_range that is in use
constexpr int kTries = 1000;
constexpr const char* kClaim = "claim a network of the workstation's loopback";

std::string name_of(std::uint32_t index) {
  return "beam/network/" + std::to_string(index);
}

struct AbstractName {
  sockaddr_un address{};
  socklen_t size = 0;
  explicit AbstractName(const std::string& name) {
    address.sun_family = AF_UNIX;
    std::memcpy(address.sun_path + 1, name.data(), name.size());
    size = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + 1 + name.size());
  }
  [[nodiscard]] const sockaddr* raw() const { return reinterpret_cast<const sockaddr*>(&address); }
};

// Nothing, with errno, when it can't be had.
UniqueFd hold(const std::string& name) {
  UniqueFd socket(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  const AbstractName at(name);
  if (socket && ::bind(socket.get(), at.raw(), at.size) != 0) {
    const int error = errno;
    socket.reset();
    errno = error;
  }
  return socket;
}

// A datagram socket's connect only looks whether somebody is there. EPERM: it is, and is connected elsewhere.
bool is_held(int probe, const std::string& name) {
  const AbstractName at(name);
  return ::connect(probe, at.raw(), at.size) == 0 || errno != ECONNREFUSED;
}

std::uint64_t random_number() {
  std::uint64_t value = 0;
  while (::getrandom(&value, sizeof value, 0) != sizeof value) {
  }
  return value;
}

std::string hexadecimal(std::uint64_t value) {
  constexpr std::string_view kDigits = "0123456789abcdef";
  std::string text;
  for (int shift = 60; shift >= 0; shift -= 4) {
    text += kDigits[value >> shift & 15];
  }
  return text;
}

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

Result<HostIndex> HostIndex::claim(std::uint32_t block, std::uint32_t member, const std::string& token) {
  const std::uint32_t index = index_of(block, member);
  // The token's first: whoever sees the index sees whose it is.
  UniqueFd of_token = hold(name_of(index) + "/" + token);
  UniqueFd claim = of_token ? hold(name_of(index)) : UniqueFd();
  if (!claim) {
    return errno == EADDRINUSE ? Error(EADDRINUSE, kClaim) : Error::from_errno(kClaim);
  }
  UniqueFd probe(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  if (!probe) {
    return Error::from_errno(kClaim);
  }
  for (std::uint32_t other = 0; other < kMembers; ++other) {
    const std::string name = name_of(index_of(block, other));
    // Gone since it was seen: nobody's.
    if (other != member && is_held(probe.get(), name) && !is_held(probe.get(), name + "/" + token) &&
        is_held(probe.get(), name)) {
      return Error(EBUSY, kClaim);
    }
  }
  return HostIndex(index, std::move(of_token), std::move(claim));
}

Result<HostIndex> HostIndex::claim(std::uint32_t member) {
  const std::string token = random_token();
  for (int i = 0; i < kTries; ++i) {
    auto claimed = claim(random_block(), member, token);
    if (claimed.ok() || (claimed.error().code() != EADDRINUSE && claimed.error().code() != EBUSY)) {
      return claimed;
    }
  }
  return Error(EADDRINUSE, kClaim);
}

bool HostIndex::is_claimed(std::uint32_t index) {
  const UniqueFd probe(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  return !probe || is_held(probe.get(), name_of(index));
}

std::string random_token() {
  return hexadecimal(random_number()) + hexadecimal(random_number());
}

std::uint32_t random_block() {
  return static_cast<std::uint32_t>(random_number() % kBlocks);
}

}  // namespace beam::ns
