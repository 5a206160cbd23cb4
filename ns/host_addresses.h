// The addresses that realise a sandbox's network on this workstation. All of 127.0.0.0/8 is the workstation's loopback
// (RFC 1122 3.2.1.3; the kernel's local table routes the whole net to lo), so every sandbox gets addresses of its own
// in it, one for each part of its network, and its sockets keep their port numbers:
//
//     127 . <part: 3 bits><index: 21 bits>
//
// The workstation's own names lie in part 0. What reaches a socket at such an address comes from this workstation, at
// the speed of its loopback; and who is at the other end can be read off its address.
//
// The sandboxes of one group share a block of indices, and a sandbox's number in it is that of its address in the
// group's network. So translating between the two takes no look-up, and a packet's source tells whether it is of the
// group:
//
//     index = <block: 12 bits><member: 9 bits>
//
// An index is claimed on this workstation by holding an abstract UNIX socket of its name: it is free again the moment
// that the holder ends, whatever ends it, and no two supervisors have the same, whosever they are. A block is its
// group's for as long as one of them lives: who claims an index first holds it, and then looks whether all others in
// the block are of its own group; of two that come at once, one at least sees the other.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

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
inline constexpr std::uint32_t kMemberBits = 9;
inline constexpr std::uint32_t kMembers = 1U << kMemberBits;  // number 0 is nobody's
inline constexpr std::uint32_t kBlocks = 1U << (kIndexBits - kMemberBits);
[[nodiscard]] inline std::uint32_t block_of(std::uint32_t index) {
  return index >> kMemberBits;
}
[[nodiscard]] inline std::uint32_t member_of(std::uint32_t index) {
  return index & (kMembers - 1);
}
[[nodiscard]] inline std::uint32_t index_of(std::uint32_t block, std::uint32_t member) {
  return block << kMemberBits | member;
}

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
  // Claims one of a block that nobody has, for a group of one. Errors: EADDRINUSE when none of many tries was free.
  static Result<HostIndex> claim(std::uint32_t member = 1);
  // Claims one in the block of a group, which those with the same token are of. Errors: EADDRINUSE when somebody has
  // it; EBUSY when the block is another group's.
  static Result<HostIndex> claim(std::uint32_t block, std::uint32_t member, const std::string& token);
  // Whether somebody has it.
  [[nodiscard]] static bool is_claimed(std::uint32_t index);
  [[nodiscard]] std::uint32_t value() const { return value_; }
  // Somebody else may have it from now on.
  void release() {
    claim_.reset();
    token_.reset();
  }

 private:
  HostIndex(std::uint32_t value, UniqueFd token, UniqueFd claim)
      : value_(value), token_(std::move(token)), claim_(std::move(claim)) {}
  std::uint32_t value_;
  UniqueFd token_;
  UniqueFd claim_;
};

// What no two groups have.
[[nodiscard]] std::string random_token();
[[nodiscard]] std::uint32_t random_block();

}  // namespace beam::ns
