#include "migrate/kinds/tcp_make.h"
#include "migrate/patience.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "base/log.h"

namespace beam::migrate {
namespace {

constexpr int kKeptFlags = O_NONBLOCK | O_ASYNC;
constexpr int kMostWaiting = 65535;

bool set_int(int fd, int level, int option, int value) {
  return ::setsockopt(fd, level, option, &value, sizeof value) == 0;
}

Result<UniqueFd> new_socket(int family) {
  if (family != AF_INET && family != AF_INET6) {
    return Error(kDamaged, "a TCP socket of family " + std::to_string(family));
  }
  UniqueFd fd(::socket(family, SOCK_STREAM | SOCK_CLOEXEC, IPPROTO_TCP));
  if (!fd) {
    return Error::from_errno("make a TCP socket");
  }
  return fd;
}

// While sockets are made, several may need the same port; what the program had set returns at the end. `waits`: for the
// sandbox that has just ended to let go of it.
Result<> bind_to(int fd, const InetAddress& address, bool waits = true) {
  if (address.empty() || (port_of(address) == 0 && is_wildcard(address))) {
    return success();
  }
  if (!is_inet_address(address)) {
    return Error(kDamaged, "the address of a TCP socket");
  }
  set_int(fd, SOL_SOCKET, SO_REUSEADDR, 1);
  int failure = 0;
  const auto bind_once = [&] {
    failure = ::bind(fd, raw(address), raw_size(address)) == 0 ? 0 : errno;
    return failure != EADDRINUSE;
  };
  if (waits ? !soon(bind_once) : !bind_once()) {
    failure = EADDRINUSE;
  }
  if (failure != 0) {
    Error error(failure, "bind a TCP socket to " + to_text(address));
    return error.code() == EADDRINUSE ? std::move(error).remedy("something else has the port on this workstation")
                                      : std::move(error);
  }
  return success();
}

// For the connecting end. A port that a connection of before keeps busy still (TIME_WAIT) can't be bound, but the
// kernel may choose it at connect(2), as it did the first time, where it has no other choice (ip(7),
// IP_LOCAL_PORT_RANGE, Linux 6.3).
Result<> bind_client(int fd, const InetAddress& address) {
  auto bound = bind_to(fd, address, false);
  if (bound.ok() || bound.error().code() != EADDRINUSE) {
    return bound;
  }
  constexpr int kIpLocalPortRange = 51;
  const std::uint32_t port = port_of(address);
  const std::uint32_t range = port << 16 | port;
  InetAddress without_port = address;
  set_port(without_port, 0);
  if (!set_int(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, 1) ||
      ::setsockopt(fd, IPPROTO_IP, kIpLocalPortRange, &range, sizeof range) != 0 ||
      ::bind(fd, raw(without_port), raw_size(without_port)) != 0) {
    return bound;
  }
  return success();
}

Result<UniqueFd> listen_at(const TcpBinding& binding) {
  BEAM_TRY_ASSIGN(UniqueFd fd, new_socket(binding.family));
  if (binding.family == AF_INET6) {
    set_int(fd.get(), IPPROTO_IPV6, IPV6_V6ONLY, binding.v6_only ? 1 : 0);
  }
  if (binding.reuse_port) {
    set_int(fd.get(), SOL_SOCKET, SO_REUSEPORT, 1);
  }
  BEAM_TRY(bind_to(fd.get(), binding.address));
  if (::listen(fd.get(), kMostWaiting) != 0) {
    auto error = Error::from_errno("listen at " + to_text(binding.address));
    return error.code() == EADDRINUSE ? std::move(error).remedy("something else has the port on this workstation")
                                      : std::move(error);
  }
  return fd;
}

Result<int> listener_for(MadeTcp& made, const TcpBinding& binding) {
  if (binding.listener != 0) {
    const auto known = made.listeners.find(binding.listener);
    if (known != made.listeners.end()) {
      return known->second;
    }
    BEAM_TRY_ASSIGN(UniqueFd fd, listen_at(binding));
    const int number = fd.get();
    made.listeners[binding.listener] = number;
    made.listeners_ahead[binding.listener] = std::move(fd);
    return number;
  }
  UniqueFd& fd = made.passing_listeners[{binding.family, binding.address}];
  if (!fd) {
    BEAM_TRY_ASSIGN(fd, listen_at(binding));
  }
  return fd.get();
}

// The connection of `client` at `listener`, past those that strangers may have made meanwhile.
Result<UniqueFd> accept_from(int listener, int client) {
  const Endpoint wanted = endpoint_of(inet_own_address(client));
  for (;;) {
    pollfd poll{listener, POLLIN, 0};
    if (::poll(&poll, 1, 5000) == 0) {
      return Error(ETIMEDOUT, "accept the connection from " + to_text(inet_own_address(client)));
    }
    UniqueFd fd(::accept4(listener, nullptr, nullptr, SOCK_CLOEXEC));
    if (!fd) {
      return Error::from_errno("accept the connection from " + to_text(inet_own_address(client)));
    }
    if (endpoint_of(inet_peer_address(fd.get())) == wanted) {
      return fd;
    }
  }
}

Result<> connect_pair(MadeTcp& made, const TcpSocketState& state, UniqueFd& own, UniqueFd& other) {
  const int client_family = state.accepts ? state.peer_family : state.family;
  BEAM_TRY_ASSIGN(UniqueFd client, new_socket(client_family));
  BEAM_TRY(set_socket_options(client.get(), state.options, OptionTime::kBeforeNames));
  const InetAddress from = in_family(state.accepts ? state.peer_address : state.own_address, client_family);
  const InetAddress to = in_family(state.accepts ? state.own_address : state.peer_address, client_family);
  BEAM_TRY(bind_client(client.get(), from));
  BEAM_TRY_ASSIGN(const int listener, listener_for(made, state.acceptor));
  if (!is_inet_address(to) || ::connect(client.get(), raw(to), raw_size(to)) != 0) {
    return Error::from_errno("connect " + to_text(from) + " to " + to_text(to));
  }
  BEAM_TRY_ASSIGN(UniqueFd server, accept_from(listener, client.get()));
  own = std::move(state.accepts ? server : client);
  other = std::move(state.accepts ? client : server);
  return success();
}

// A connection that has ended: like one whose other end is about to be closed, with whom it was is not known any more.
Result<> make_ended(MadeTcp& made, const TcpSocketState& state, UniqueFd& own, UniqueFd& other) {
  TcpSocketState connection = state;
  if (is_wildcard(connection.own_address)) {
    sockaddr_in loopback{};
    loopback.sin_family = AF_INET;
    loopback.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    const auto* bytes = reinterpret_cast<const std::uint8_t*>(&loopback);
    connection.own_address = in_family(InetAddress(bytes, bytes + sizeof loopback), state.family);
  }
  TcpBinding somewhere;
  somewhere.family = state.family;
  somewhere.address = connection.own_address;
  set_port(somewhere.address, 0);
  if (state.accepts) {
    connection.peer_address = somewhere.address;
    return connect_pair(made, connection, own, other);
  }
  BEAM_TRY_ASSIGN(const UniqueFd listener, listen_at(somewhere));
  connection.peer_address = inet_own_address(listener.get());
  const auto connect_from = [&](const InetAddress& from) -> Result<int> {
    BEAM_TRY_ASSIGN(own, new_socket(state.family));
    BEAM_TRY(bind_client(own.get(), from));
    return ::connect(own.get(), raw(connection.peer_address), raw_size(connection.peer_address)) == 0 ? 0 : errno;
  };
  BEAM_TRY_ASSIGN(int error, connect_from(connection.own_address));
  if (error == EADDRNOTAVAIL || error == EADDRINUSE) {
    // The connection that it was is still in TIME_WAIT and has the port, which nobody can take from it. Of an ended
    // connection the port is but a name that getsockname(2) tells.
    BEAM_LOG_WARN(kMigrate, "an ended TCP connection of {} comes back with another port",
                  to_text(connection.own_address));
    set_port(connection.own_address, 0);
    BEAM_TRY_ASSIGN(error, connect_from(connection.own_address));
  }
  if (error != 0) {
    errno = error;
    return Error::from_errno("connect " + to_text(connection.own_address) + " to " + to_text(connection.peer_address));
  }
  BEAM_TRY_ASSIGN(other, accept_from(listener.get(), own.get()));
  return success();
}

Result<UniqueFd> make_socket(MadeTcp& made, const TcpSocketState& state) {
  const auto end = made.ends.find(state.socket);
  if (end != made.ends.end()) {
    UniqueFd fd = std::move(end->second);
    made.ends.erase(end);
    return fd;
  }
  if (state.phase == TcpPhase::kListening) {
    TcpBinding binding;
    binding.listener = state.socket;
    binding.family = state.family;
    binding.address = state.own_address;
    const auto of = [&](int level, int option) {
      const auto it = std::find_if(state.options.list.begin(), state.options.list.end(),
                                   [&](const SocketOption& one) { return one.level == level && one.option == option; });
      return it != state.options.list.end() &&
             std::any_of(it->value.begin(), it->value.end(), [](auto b) { return b != 0; });
    };
    binding.v6_only = of(IPPROTO_IPV6, IPV6_V6ONLY);
    binding.reuse_port = of(SOL_SOCKET, SO_REUSEPORT);
    BEAM_TRY(listener_for(made, binding));
    return std::move(made.listeners_ahead.at(state.socket));
  }
  UniqueFd own;
  UniqueFd other;
  if (state.phase == TcpPhase::kConnected) {
    BEAM_TRY(connect_pair(made, state, own, other));
  } else if (state.phase == TcpPhase::kEnded && !state.refused) {
    BEAM_TRY(make_ended(made, state, own, other));
  } else {
    BEAM_TRY_ASSIGN(own, new_socket(state.family));
    BEAM_TRY(set_socket_options(own.get(), state.options, OptionTime::kBeforeNames));
    BEAM_TRY(bind_to(own.get(), state.own_address));
  }
  if (other && state.peer != 0) {
    made.ends[state.peer] = std::move(other);
  } else if (other) {
    made.closed[state.socket] = std::move(other);
  }
  return own;
}

// Without waiting for its end.
Result<> begin_connect(int fd, const InetAddress& to) {
  ::fcntl(fd, F_SETFL, O_NONBLOCK);
  if (!is_inet_address(to) || (::connect(fd, raw(to), raw_size(to)) != 0 && errno != EINPROGRESS)) {
    return Error::from_errno("connect to " + to_text(to));
  }
  return success();
}

// A connection that nobody takes: the kernel has the refusal wait for whoever asks.
Result<> be_refused(int fd, const TcpSocketState& state) {
  BEAM_TRY_ASSIGN(UniqueFd nobody, new_socket(state.family));
  sockaddr_in loopback{};
  loopback.sin_family = AF_INET;
  loopback.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  const auto* bytes = reinterpret_cast<const std::uint8_t*>(&loopback);
  const InetAddress here = in_family(InetAddress(bytes, bytes + sizeof loopback), state.family);
  if (::bind(nobody.get(), raw(here), raw_size(here)) != 0) {
    return Error::from_errno("bind a TCP socket to " + to_text(here));
  }
  (void)begin_connect(fd, inet_own_address(nobody.get()));
  if (state.error == 0) {
    pollfd poll{fd, 0, 0};
    ::poll(&poll, 1, 1000);
    (void)socket_option(fd, SOL_SOCKET, SO_ERROR);  // told already
  }
  return success();
}

// On loopback the kernel is there within microseconds.
void await_state(int fd, int wanted) {
  for (int i = 0; i < 1000 && tcp_state(fd) != wanted; ++i) {
    ::poll(nullptr, 0, 1);
  }
}

void close_other_end(UniqueFd& other, const TcpSocketState& state, int fd) {
  if (state.error == EPIPE) {
    ::shutdown(other.get(), SHUT_WR);  // reset after its end
  }
  if (state.error != 0) {
    if (state.error != ECONNRESET && state.error != EPIPE) {
      BEAM_LOG_WARN(kMigrate, "a TCP connection that had failed with error {} shows ECONNRESET", state.error);
    }
    const linger at_once{1, 0};
    (void)::setsockopt(other.get(), SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
  } else if (state.phase == TcpPhase::kEnded) {
    // The other end first: who ends last leaves nothing that would keep its port busy (TIME_WAIT).
    ::shutdown(other.get(), SHUT_WR);
    await_state(fd, TCP_CLOSE_WAIT);
    ::shutdown(fd, SHUT_WR);
    await_state(fd, TCP_CLOSE);
  }
  other.reset();
}

Result<> finish(MadeTcp& made, const TcpSocketState& state, int fd) {
  if (state.phase == TcpPhase::kListening &&
      ::listen(fd, static_cast<int>(std::min<std::uint32_t>(state.backlog, kMostWaiting))) != 0) {
    return Error::from_errno("listen at " + to_text(state.own_address));
  }
  if (state.sends_no_more && state.phase != TcpPhase::kEnded && ::shutdown(fd, SHUT_WR) != 0 && errno != ENOTCONN) {
    return Error::from_errno("shut a TCP socket down");
  }
  if (state.receives_no_more) {
    ::shutdown(fd, SHUT_RD);
  }
  const auto other = made.closed.find(state.socket);
  if (other != made.closed.end()) {
    close_other_end(other->second, state, fd);
  }
  if (state.phase == TcpPhase::kConnecting) {
    BEAM_TRY(begin_connect(fd, state.peer_address));
  } else if (state.phase == TcpPhase::kEnded && state.refused) {
    BEAM_TRY(be_refused(fd, state));
  }
  return success();
}

Result<> connect_waiting(MadeTcp& made, const TcpSocketState& state, const TcpWaiting& waiting) {
  int client = -1;
  if (waiting.client != 0) {
    const auto known = made.states.find(waiting.client);
    if (known == made.states.end() || known->second.phase != TcpPhase::kWaiting) {
      return Error(kDamaged, "a connection that waits at " + to_text(state.own_address));
    }
    client = made.sockets.at(waiting.client);
  } else {
    const int family = is_inet_address(waiting.client_address) ? raw(waiting.client_address)->sa_family : AF_UNSPEC;
    BEAM_TRY_ASSIGN(UniqueFd passing, new_socket(family));
    BEAM_TRY(bind_to(passing.get(), waiting.client_address));
    client = passing.get();
    made.passing_clients.push_back(std::move(passing));
  }
  const InetAddress to = in_family(waiting.address, socket_option(client, SOL_SOCKET, SO_DOMAIN));
  if (!is_inet_address(to) || ::connect(client, raw(to), raw_size(to)) != 0) {
    return Error::from_errno("connect to " + to_text(to));
  }
  return waiting.queue.empty() ? success() : refill_tcp(client, -1, waiting.queue);
}

}  // namespace

Result<UniqueFd> make_tcp(MadeTcp& made, const TcpSocketState& state) {
  BEAM_TRY_ASSIGN(UniqueFd fd, make_socket(made, state));
  made.sockets[state.socket] = fd.get();
  TcpSocketState rest = state;
  rest.queue.clear();
  made.states[state.socket] = std::move(rest);
  return fd;
}

Result<> link_tcp(MadeTcp& made, const TcpSocketState& state, int fd) {
  for (const TcpWaiting& waiting : state.waiting) {
    BEAM_TRY(connect_waiting(made, state, waiting));
  }
  if (state.queue.empty()) {
    return success();
  }
  const auto peer = made.sockets.find(state.peer);
  const auto closed = made.closed.find(state.socket);
  const int from = peer != made.sockets.end() ? peer->second : closed != made.closed.end() ? closed->second.get() : -1;
  if (from < 0) {
    return Error(kDamaged, "a TCP socket with data from nobody");
  }
  set_int(fd, SOL_SOCKET, SO_OOBINLINE, 0);
  BEAM_TRY(set_socket_options(fd, state.options, OptionTime::kBeforeNames));
  return refill_tcp(from, fd, state.queue);
}

Result<> finish_tcp(MadeTcp& made) {
  made.passing_clients.clear();
  for (const auto& [key, state] : made.states) {
    BEAM_TRY(finish(made, state, made.sockets.at(key)));
  }
  // Last: what lets several share a port, and what would have held data back.
  for (const auto& [key, state] : made.states) {
    const int fd = made.sockets.at(key);
    BEAM_TRY(set_socket_options(fd, state.options, OptionTime::kBeforeNames));
    BEAM_TRY(set_socket_options(fd, state.options, OptionTime::kAtEnd));
    if (::fcntl(fd, F_SETFL, state.flags & kKeptFlags) != 0) {
      return Error::from_errno("set the flags of a TCP socket");
    }
  }
  made.passing_listeners.clear();
  return success();
}

}  // namespace beam::migrate
