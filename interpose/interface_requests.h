// ioctl(2) requests about network interfaces (netdevice(7)), of any socket.
#pragma once

#include <cstdint>

#include "interpose/call.h"
#include "ns/network_space.h"

namespace beam::interpose {

// Whether the request asks for or changes something about interfaces, addresses or routes.
[[nodiscard]] bool is_interface_request(std::uint64_t request);
[[nodiscard]] Answer answer_interface_request(const AnswerCall& call, const ns::NetworkSpace& network,
                                              std::uint64_t request, std::uint64_t argument);

}  // namespace beam::interpose
