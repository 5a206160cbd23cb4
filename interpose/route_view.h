// What rtnetlink(7) tells about interfaces, addresses and routes, where the sandbox has a network of its own. The
// kernel is asked as the program asks it, and answers about the workstation; on the way to the program that is taken
// out, and what the sandbox has is put in at the end of the list.
//
// Not seen: answers that are read with recv(2) or read(2), which are not trapped.
// Safe to use from any thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <mutex>
#include <span>
#include <vector>

#include "interpose/inet_socket.h"

namespace beam::interpose {

class RouteView {
 public:
  explicit RouteView(const ns::NetworkSpace& network) : network_(network) {}

  // Whether the socket speaks rtnetlink.
  [[nodiscard]] static bool is_about(const InetSocket& socket);
  // What the kernel has answered, as the program is to get it: never longer than `room`.
  [[nodiscard]] std::vector<std::byte> shown(const InetSocket& socket, std::span<const std::byte> answer,
                                             std::size_t room);

 private:
  // A list that has begun, as far as it tells what was asked for.
  struct Listing {
    std::uint16_t type = 0;  // RTM_NEWLINK, RTM_NEWADDR or RTM_NEWROUTE; 0: nothing of these yet
    std::uint32_t sequence = 0;
    bool v4 = false;
    bool v6 = false;
  };
  [[nodiscard]] std::vector<std::byte> list(const Listing& listing, std::uint32_t port) const;
  [[nodiscard]] std::vector<std::byte> one(std::span<const std::byte> message) const;

  const ns::NetworkSpace& network_;
  std::mutex mutex_;
  std::map<std::uint64_t, Listing> listings_;  // by the socket's cookie, until their end
};

}  // namespace beam::interpose
