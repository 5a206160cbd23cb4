// Making TCP sockets at a thaw (tcp_make.cc).
#pragma once

#include <map>
#include <utility>

#include "migrate/kinds/tcp_socket.h"

namespace beam::migrate {

struct MadeTcp {
  // Ends of connections whose other end was made first, by socket.
  std::map<std::uint64_t, UniqueFd> ends;
  // Listening sockets, of the sandbox by their name, others by family and address. Not owned: those that were handed
  // out.
  std::map<std::uint64_t, int> listeners;
  std::map<std::uint64_t, UniqueFd> listeners_ahead;  // made before their turn
  std::map<std::pair<std::int32_t, InetAddress>, UniqueFd> passing_listeners;
  std::vector<UniqueFd> passing_clients;  // of connections that nobody has accepted, and that are closed again
  // The other ends of sockets whose peer is closed, by socket.
  std::map<std::uint64_t, UniqueFd> closed;
  std::map<std::uint64_t, int> sockets;
  std::map<std::uint64_t, TcpSocketState> states;  // but for the queues
};

[[nodiscard]] Result<UniqueFd> make_tcp(MadeTcp& made, const TcpSocketState& state);
[[nodiscard]] Result<> link_tcp(MadeTcp& made, const TcpSocketState& state, int fd);
[[nodiscard]] Result<> finish_tcp(MadeTcp& made);

}  // namespace beam::migrate
