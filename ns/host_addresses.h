// The addresses that realise a sandbox's network on this workstation. All of 127.0.0.0/8 is the workstation's loopback
// (RFC 1122 3.2.1.3; the kernel's local table routes the whole net to lo), so every sandbox gets addresses of its own
// in it, one for each part of its network, and its sockets keep their port numbers:
//
//     127 . <part: 3 bits><index: 21 bits>
//
// The workstation's own names lie in part 0. What reaches a socket at such an address comes from this workstation, at
// the speed of its loopback; and who is at the other end can be read off its address.
//
// An index is claimed on this workstation by holding an abstract UNIX socket of its name: it is free again the moment
// that the holder ends, whatever ends it, and no two supervisors have the same, whosever they are.
#pragma once

#include <cstdint>
#include <optional>

#include "base/result.h"
#include "base/unique_fd.h"
#include "ns/inet_endpoint.h"

namespace beam::ns {

enum class Part : std::uint8_t {
  kNone = 0,       // no sandbox's
  kGroup4 = 1,     // the sandbox's IPv4 address, and what is bound to all addresses
  kLoopback4 = 2,  // its 127.0.0.1
  kGroup6 = 3,     // its IPv6 address
  kLoopback6 = 4,  // its ::1
  kMoved = 5,      // ports that can't be had by their own number
};

struct PartAddress {
  Part part = Part::kNone;
  std::uint32_t index = 0;
};

// No sandbox has it.
inline constexpr std::uint32_t kNoIndex = 0;
inline constexpr std::uint32_t kIndexBits = 21;

[[nodiscard]] IpAddress part_address(Part part, std::uint32_t index);
[[nodiscard]] PartAddress parse_part(const IpAddress& address);
[[nodiscard]] inline bool is_loopback(Part part) {
  return part == Part::kLoopback4 || part == Part::kLoopback6;
}
[[nodiscard]] inline bool is_v6(Part part) {
  return part == Part::kGroup6 || part == Part::kLoopback6;
}

// Port numbers below 1024 need a privilege on the workstation (ip_unprivileged_port_start in ip(7)) and none in a
// sandbox: they are realised above, at the address of moved ports.
inline constexpr std::uint16_t kFirstUnprivileged = 1024;
[[nodiscard]] std::uint16_t moved_low_port(Part part, std::uint16_t port);
struct LowPort {
  Part part = Part::kNone;
  std::uint16_t port = 0;
};
// Nothing when a moved port is no such one.
[[nodiscard]] std::optional<LowPort> parse_low_port(std::uint16_t host_port);

class HostIndex {
 public:
  // Claims a free one. Errors: EADDRINUSE when none of many tries was free.
  static Result<HostIndex> claim();
  [[nodiscard]] std::uint32_t value() const { return value_; }

 private:
  HostIndex(std::uint32_t value, UniqueFd claim) : value_(value), claim_(std::move(claim)) {}
  std::uint32_t value_;
  UniqueFd claim_;
};

}  // namespace beam::ns
