// The network's part of sendmsg(2), recvmsg(2) and their plurals: the addresses of datagrams in message headers. On the
// event thread, as those calls are trapped for what their control data says too (message_traps.h).
#pragma once

#include <sys/socket.h>

#include <optional>

#include "interpose/call.h"

namespace beam::interpose {

// The whole call, where it is on a datagram socket of the internet families and carries addresses. Nothing: it is
// another's. Whether it would connect a stream by the address in a message (tcp(7) TCP_FASTOPEN), past connect(2).
[[nodiscard]] bool opens_fast(const RewriteCall& call, GuestFd fd, int flags);
[[nodiscard]] std::optional<Rewrite> send_named(RewriteCall& call, GuestFd fd, std::uint64_t message, int flags);
[[nodiscard]] std::optional<Rewrite> send_many_named(RewriteCall& call, GuestFd fd, std::uint64_t messages,
                                                     unsigned count, int flags);
[[nodiscard]] std::optional<Rewrite> receive_named(RewriteCall& call, GuestFd fd, std::uint64_t message);
[[nodiscard]] std::optional<Rewrite> receive_many_named(RewriteCall& call, GuestFd fd, std::uint64_t messages,
                                                        unsigned count);

}  // namespace beam::interpose
