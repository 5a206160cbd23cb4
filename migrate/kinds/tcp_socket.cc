// TCP sockets between processes of the sandbox. Ports are the workstation's own, and are the same after a thaw.
//
// The kernel lets an ordinary user neither see what a sender still holds nor set a connection up by hand (TCP_REPAIR).
// So what is under way is brought to the receiving end before anything is collected, and a thaw connects anew: from the
// connecting end's own port to a socket that listens at the accepting end's, which is the sandbox's own where it still
// has one. Then each queue is filled through the other end, and ends are closed as they were.
#include "migrate/kinds/tcp_socket.h"
#include "migrate/network.h"

#include <fcntl.h>
#include <linux/sockios.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>

#include "migrate/kinds/tcp_make.h"

namespace beam::migrate {
namespace {

constexpr int kKeptFlags = O_NONBLOCK | O_ASYNC;

struct CollectedTcp {
  struct Socket {
    VirtualPid vpid;
    int fd = -1;
    UniqueFd copy;
    InetAddress own;
    InetAddress peer;
    int family = 0;
    bool listening = false;
    bool v6_only = false;
    bool reuse_port = false;
  };
  bool asked = false;
  std::vector<TcpEntry> table;
  std::map<std::uint64_t, Socket> sockets;
  std::vector<UniqueFd> accepted;

  [[nodiscard]] const TcpEntry* find(const Endpoint& own, const Endpoint& peer) const {
    const auto it = std::find_if(table.begin(), table.end(),
                                 [&](const TcpEntry& entry) { return entry.own == own && entry.peer == peer; });
    return it == table.end() ? nullptr : &*it;
  }
  [[nodiscard]] const TcpEntry* find(std::uint64_t inode) const {
    const auto it =
        std::find_if(table.begin(), table.end(), [&](const TcpEntry& entry) { return entry.inode == inode; });
    return it == table.end() ? nullptr : &*it;
  }
  // The socket of the sandbox that listens where a connection to `address` arrives; 0: none.
  [[nodiscard]] std::uint64_t listener(const InetAddress& address) const {
    std::uint64_t found = 0;
    for (const auto& [key, socket] : sockets) {
      if (socket.listening && covers(socket.own, socket.v6_only, address)) {
        // One at the very address comes before one at all of them.
        if (found == 0 || !is_wildcard(socket.own)) {
          found = key;
        }
      }
    }
    return found;
  }
  [[nodiscard]] std::size_t connections_at(const InetAddress& address) const {
    return static_cast<std::size_t>(std::count_if(sockets.begin(), sockets.end(), [&](const auto& socket) {
      return !socket.second.peer.empty() && endpoint_of(socket.second.own) == endpoint_of(address);
    }));
  }
};

bool half_open(int state) {
  return state == TCP_FIN_WAIT1 || state == TCP_CLOSING || state == TCP_LAST_ACK;
}

// struct tcp_info of linux/tcp.h, which Debian 12's has only the first part of.
struct TcpInfo {
  tcp_info first;
  std::uint64_t pacing_rate;
  std::uint64_t max_pacing_rate;
  std::uint64_t bytes_acked;
  std::uint64_t bytes_received;
};
static_assert(sizeof(tcp_info) == 104);

TcpInfo info_of(int fd) {
  TcpInfo info{};
  socklen_t size = sizeof info;
  (void)::getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &size);
  return info;
}

short events_of(int fd) {
  pollfd poll{fd, POLLIN | POLLRDHUP, 0};
  return ::poll(&poll, 1, 0) > 0 ? poll.revents : short{0};
}

class TcpSocket : public KindOf<TcpSocketState> {
 public:
  std::string_view name() const override { return "tcp_socket"; }
  bool recognises(const CollectContext& /*context*/, const OpenFile& file) const override {
    const int fd = file.copy.get();
    const int family = S_ISSOCK(file.info.st_mode) && (file.flags & O_PATH) == 0
                           ? socket_option(fd, SOL_SOCKET, SO_DOMAIN)
                           : AF_UNSPEC;
    return (family == AF_INET || family == AF_INET6) && socket_option(fd, SOL_SOCKET, SO_TYPE) == SOCK_STREAM &&
           socket_option(fd, SOL_SOCKET, SO_PROTOCOL) == IPPROTO_TCP;
  }
  bool relates() const override { return true; }

  void check_all(CollectContext& context, std::vector<Obstacle>& obstacles) const override {
    auto& all = context.parts.get<CollectedTcp>(name(), 0);
    for (const auto& [key, socket] : all.sockets) {
      const auto refuse = [&, key = key](const std::string& why) {
        obstacles.push_back({socket.vpid.value(),
                             "fd " + std::to_string(socket.fd) + " (socket:[" + std::to_string(key) + "], TCP " +
                                 to_text(socket.own) + " to " + to_text(socket.peer) + ")",
                             why});
      };
      if (socket.listening) {
        check_listener(context, all, key, refuse);
        continue;
      }
      if (socket.peer.empty()) {
        continue;
      }
      const TcpEntry* other = all.find(endpoint_of(socket.peer), endpoint_of(socket.own));
      if (other != nullptr && other->inode != 0 ? !all.sockets.contains(other->inode) : !is_local(socket.peer)) {
        refuse("the other end of the connection is outside the sandbox");
      } else if (waits(other) && all.listener(socket.peer) == 0) {
        refuse("the connection waits to be accepted outside the sandbox");
      } else if (waits(other) && has_sent(socket.copy.get()) && !context.ends) {
        refuse(
            "the connection has sent data, or its end, but was not accepted yet: the sandbox can't run on after that");
      }
    }
  }

 protected:
  Result<TcpSocketState> collect_state(CollectContext& context, const OpenFile& file) const override {
    auto& all = context.parts.get<CollectedTcp>(name(), 0);
    const int fd = file.copy.get();
    CollectedTcp::Socket socket;
    socket.vpid = file.vpid;
    socket.fd = file.fd;
    socket.copy.reset(::fcntl(fd, F_DUPFD_CLOEXEC, 3));
    if (!socket.copy) {
      return Error::from_errno("copy a TCP socket");
    }
    socket.own = inet_own_address(fd);
    socket.peer = inet_peer_address(fd);
    socket.family = socket_option(fd, SOL_SOCKET, SO_DOMAIN);
    socket.listening = tcp_state(fd) == TCP_LISTEN;
    socket.v6_only = socket.family == AF_INET6 && socket_option(fd, IPPROTO_IPV6, IPV6_V6ONLY) != 0;
    socket.reuse_port = socket_option(fd, SOL_SOCKET, SO_REUSEPORT) != 0;
    all.sockets[file.info.st_ino] = std::move(socket);
    if (context.contents()) {
      // Ended with the sandbox, the connection leaves nothing behind that would keep its port busy (TIME_WAIT).
      context.at_end.push_back([copy = std::make_shared<UniqueFd>(::fcntl(fd, F_DUPFD_CLOEXEC, 3))] {
        const linger at_once{1, 0};
        (void)::setsockopt(copy->get(), SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
      });
    }
    TcpSocketState state;
    BEAM_TRY_ASSIGN(state.options, read_socket_options(fd));
    collect_v6_only(context.shared.options.network.get(), fd, state.options);
    return state;
  }

  // All sockets that have descriptors are known now. What is under way arrives before states are read, as it may change
  // them.
  Result<> relate_state(CollectContext& context, const OpenFile& file, TcpSocketState& state) const override {
    auto& all = context.parts.get<CollectedTcp>(name(), 0);
    const std::uint64_t key = file.info.st_ino;
    const CollectedTcp::Socket& socket = all.sockets.at(key);
    if (!all.asked) {
      all.asked = true;
      BEAM_TRY(settle(all));
      BEAM_TRY_ASSIGN(all.table, list_tcp_sockets());
    }
    const int fd = file.copy.get();
    const int kernel_state = tcp_state(fd);
    const short events = events_of(fd);
    state.socket = key;
    state.family = socket.family;
    state.flags = file.flags & kKeptFlags;
    state.own_address = socket.own;
    state.peer_address = socket.peer;
    if (socket.listening) {
      state.phase = TcpPhase::kListening;
      state.backlog =
          info_of(fd).first.tcpi_sacked;  // of a listening socket: how many may wait (net/ipv4/tcp.c tcp_get_info)
      return relate_waiting(context, all, key, fd, state);
    }
    if (kernel_state == TCP_SYN_SENT) {
      return relate_connecting(all, key, state);
    }
    if (kernel_state == TCP_CLOSE) {
      if ((events & (POLLRDHUP | POLLERR)) == 0) {
        return success();
      }
      state.phase = TcpPhase::kEnded;
      const TcpInfo info = info_of(fd);
      // Options are agreed upon with the first answer.
      state.refused = info.first.tcpi_options == 0 && info.bytes_acked == 0 && info.bytes_received == 0;
      if ((events & POLLERR) != 0) {
        state.error = pending_error(context, fd, state.refused);
      }
      if (state.refused) {
        return success();
      }
      state.accepts = all.listener(state.own_address) != 0;
      state.acceptor = state.accepts ? binding(all, state.own_address, state.family) : TcpBinding();
      state.peer_family = state.family;
      BEAM_TRY_ASSIGN(state.queue, peek_tcp(fd));
      state.sends_no_more = true;
      return success();
    }
    const TcpEntry* other = all.find(endpoint_of(state.peer_address), endpoint_of(state.own_address));
    state.phase = waits(other) ? TcpPhase::kWaiting : TcpPhase::kConnected;
    state.peer = other != nullptr ? other->inode : 0;
    const auto peer = all.sockets.find(state.peer);
    state.peer_family = peer != all.sockets.end() ? peer->second.family : state.family;
    state.accepts = accepts(all, key, state);
    state.acceptor = state.accepts ? binding(all, state.own_address, state.family)
                                   : binding(all, state.peer_address, state.peer_family);
    state.sends_no_more = kernel_state == TCP_FIN_WAIT1 || kernel_state == TCP_FIN_WAIT2 ||
                          kernel_state == TCP_CLOSING || kernel_state == TCP_LAST_ACK;
    state.received_end = kernel_state == TCP_CLOSE_WAIT || kernel_state == TCP_LAST_ACK || kernel_state == TCP_CLOSING;
    state.receives_no_more = (events & POLLRDHUP) != 0 && !state.received_end;
    BEAM_TRY_ASSIGN(state.queue, peek_tcp(fd));
    return success();
  }

  Result<UniqueFd> make_from(MakeContext& context, const TcpSocketState& state) const override {
    ns::NetworkSpace* network = context.shared->options.network.get();
    auto fd = make_tcp(context.parts.get<MadeTcp>(name(), 0), carried_over(network, state));
    if (fd.ok()) {
      restore_v6_only(network, fd->get(), state.options);
    }
    return fd;
  }
  Result<> link_from(LinkContext& context, const TcpSocketState& state, int fd) const override {
    ns::NetworkSpace* network = context.shared.options.network.get();
    const TcpSocketState carried = carried_over(network, state);
    BEAM_TRY(link_tcp(context.made.parts.get<MadeTcp>(name(), 0), carried, fd));
    if (carried.phase == TcpPhase::kConnecting) {
      expect(network, inet_own_address(fd), carried.peer_address);
    }
    return success();
  }
  Result<> link_all(LinkContext& context) const override {
    auto& made = context.made.parts.get<MadeTcp>(name(), 0);
    for (const auto& [socket, state] : made.states) {
      for (const TcpWaiting& waiting : state.waiting) {
        const auto client = made.states.find(waiting.client);
        expect(context.shared.options.network.get(),
               client != made.states.end() ? client->second.own_address : waiting.client_address, waiting.address);
      }
    }
    return finish_tcp(made);
  }

 private:
  // The sandbox's own, whoever holds the connecting end when it is accepted.
  static void expect(ns::NetworkSpace* network, const InetAddress& from, const InetAddress& to) {
    const auto client = ns::parse_socket_address(from.data(), from.size());
    const auto server = ns::parse_socket_address(to.data(), to.size());
    if (network != nullptr && client && server) {
      network->expect({client->ip, client->port}, {server->ip, server->port});
    }
  }

  static TcpSocketState carried_over(const ns::NetworkSpace* network, TcpSocketState state) {
    carry_over(network, state.own_address);
    carry_over(network, state.peer_address);
    carry_over(network, state.acceptor.address);
    for (TcpWaiting& waiting : state.waiting) {
      carry_over(network, waiting.client_address);
      carry_over(network, waiting.address);
    }
    if (network != nullptr) {
      // The view's business (restore_v6_only).
      state.acceptor.v6_only = false;
      forget_v6_only(state.options);
    }
    return state;
  }

  static bool waits(const TcpEntry* other) {
    return other != nullptr && other->inode == 0 && (other->state == TCP_ESTABLISHED || other->state == TCP_CLOSE_WAIT);
  }

  // Whether a connection has sent anything that nobody can have read.
  static bool has_sent(int fd) {
    const TcpInfo info = info_of(fd);
    int unsent = 0;
    ::ioctl(fd, SIOCOUTQ, &unsent);
    return info.bytes_acked > 1 || unsent > 0 || info.first.tcpi_state != TCP_ESTABLISHED;  // 1: its SYN
  }

  // Those that nobody in the sandbox has the other end of: from outside, or closed.
  template <typename Refuse>
  static void check_listener(const CollectContext& context, const CollectedTcp& all, std::uint64_t key,
                             const Refuse& refuse) {
    for (const TcpEntry& entry : all.table) {
      if (!waits(&entry) || all.listener(address_of(entry.own, AF_INET6)) != key) {
        continue;
      }
      const TcpEntry* client = all.find(entry.peer, entry.own);
      if (client != nullptr && client->inode != 0 ? !all.sockets.contains(client->inode)
                                                  : !is_local(address_of(entry.peer, AF_INET6))) {
        refuse("a connection from outside the sandbox waits to be accepted");
      } else if ((client == nullptr || client->inode == 0) && !context.ends) {
        refuse("a connection that its client has closed waits to be accepted: the sandbox can't run on after that");
      }
    }
  }

  // Those that wait at a listening socket, the longest waiting one first.
  static std::vector<std::uint64_t> pending_at(const CollectedTcp& all, std::uint64_t listener) {
    std::vector<std::pair<std::uint32_t, std::uint64_t>> found;  // by how long ago
    for (const auto& [key, socket] : all.sockets) {
      if (socket.listening || socket.peer.empty() || all.listener(socket.peer) != listener ||
          !waits(all.find(endpoint_of(socket.peer), endpoint_of(socket.own)))) {
        continue;
      }
      // A connection that was not accepted has received nothing since it was made, and counts from there.
      found.emplace_back(info_of(socket.copy.get()).first.tcpi_last_data_recv, key);
    }
    std::sort(found.begin(), found.end(), [](const auto& a, const auto& b) {
      return a.first != b.first ? a.first > b.first : a.second < b.second;
    });
    std::vector<std::uint64_t> keys;
    for (const auto& [age, key] : found) {
      keys.push_back(key);
    }
    return keys;
  }

  // Everything that is under way between sockets of the sandbox arrives.
  static Result<> settle(CollectedTcp& all) {
    BEAM_TRY_ASSIGN(all.table, list_tcp_sockets());
    for (const auto& [key, socket] : all.sockets) {
      const TcpEntry* other = all.find(endpoint_of(socket.peer), endpoint_of(socket.own));
      const auto peer = other != nullptr ? all.sockets.find(other->inode) : all.sockets.end();
      if (socket.peer.empty() || peer == all.sockets.end()) {
        continue;
      }
      if (!drain_tcp(socket.copy.get(), peer->second.copy.get())) {
        return Error(kObstacle, "more has been sent over the TCP connection " + to_text(socket.own) + " to " +
                                    to_text(socket.peer) + " than its receiving end can hold")
            .remedy("see net.ipv4.tcp_rmem");
      }
    }
    // An end that was sent behind the data is acknowledged a moment after it.
    const auto give_up = std::chrono::steady_clock::now() + std::chrono::seconds(1);
    while (std::any_of(all.sockets.begin(), all.sockets.end(),
                       [](const auto& socket) { return half_open(tcp_state(socket.second.copy.get())); }) &&
           std::chrono::steady_clock::now() < give_up) {
      ::poll(nullptr, 0, 1);
    }
    return success();
  }

  // What has come with a connection shows only when it is accepted, which is done for those of a sandbox that ends.
  static Result<> relate_waiting(const CollectContext& context, CollectedTcp& all, std::uint64_t key, int fd,
                                 TcpSocketState& state) {
    const std::vector<std::uint64_t> clients = pending_at(all, key);
    const bool sent = std::any_of(clients.begin(), clients.end(),
                                  [&](std::uint64_t client) { return has_sent(all.sockets.at(client).copy.get()); });
    const auto waiting =
        static_cast<std::size_t>(std::count_if(all.table.begin(), all.table.end(), [&](const TcpEntry& entry) {
          return waits(&entry) && all.listener(address_of(entry.own, AF_INET6)) == key;
        }));
    if ((!sent && waiting == clients.size()) || !context.contents() || !context.ends) {
      for (const std::uint64_t client : clients) {
        const CollectedTcp::Socket& socket = all.sockets.at(client);
        state.waiting.push_back({client, socket.own, socket.peer, {}});
      }
      return success();
    }
    const int flags = ::fcntl(fd, F_GETFL);
    ::fcntl(fd, F_SETFL, flags | O_NONBLOCK);
    for (;;) {
      UniqueFd accepted(::accept4(fd, nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
      if (!accepted) {
        break;
      }
      TcpWaiting one;
      one.client_address = inet_peer_address(accepted.get());
      one.address = inet_own_address(accepted.get());
      const TcpEntry* client = all.find(endpoint_of(one.client_address), endpoint_of(one.address));
      one.client = client != nullptr && all.sockets.contains(client->inode) ? client->inode : 0;
      if (one.client != 0 && !drain_tcp(all.sockets.at(one.client).copy.get(), accepted.get())) {
        return Error(ENOBUFS, "take in what waits at " + to_text(state.own_address));
      }
      BEAM_TRY_ASSIGN(one.queue, peek_tcp(accepted.get()));
      state.waiting.push_back(std::move(one));
      all.accepted.push_back(std::move(accepted));  // or its client would see it closed
    }
    ::fcntl(fd, F_SETFL, flags);
    return success();
  }

  static Result<> relate_connecting(const CollectedTcp& all, std::uint64_t key, TcpSocketState& state) {
    const TcpEntry* entry = all.find(key);
    if (entry == nullptr) {
      return Error(kObstacle, "the kernel tells nothing about this TCP socket");
    }
    state.phase = TcpPhase::kConnecting;
    state.peer_address = address_of(entry->peer, state.family);
    if (all.listener(state.peer_address) == 0) {
      return Error(kObstacle, "it is connecting to " + to_text(state.peer_address) + ", outside the sandbox");
    }
    return success();
  }

  static InetAddress address_of(const Endpoint& endpoint, int family) {
    sockaddr_in6 address{};
    address.sin6_family = AF_INET6;
    std::copy(endpoint.begin(), endpoint.begin() + 16, address.sin6_addr.s6_addr);
    address.sin6_port = htons(static_cast<std::uint16_t>(endpoint[16] << 8 | endpoint[17]));
    const auto* bytes = reinterpret_cast<const std::uint8_t*>(&address);
    return in_family(InetAddress(bytes, bytes + sizeof address), family);
  }

  // Which end has accepted: the one at whose address somebody listens, or more connections are; else the younger
  // socket. The other end comes to the opposite.
  static bool accepts(const CollectedTcp& all, std::uint64_t key, const TcpSocketState& state) {
    const bool own = all.listener(state.own_address) != 0;
    const bool other = all.listener(state.peer_address) != 0;
    if (own != other) {
      return own;
    }
    if (state.peer == 0) {
      return false;
    }
    const std::size_t here = all.connections_at(state.own_address);
    const std::size_t there = all.connections_at(state.peer_address);
    return here != there ? here > there : key > state.peer;
  }

  static TcpBinding binding(const CollectedTcp& all, const InetAddress& address, int family) {
    TcpBinding found;
    found.listener = all.listener(address);
    if (found.listener == 0) {
      found.family = family;
      found.address = in_family(address, family);
      return found;
    }
    const CollectedTcp::Socket& listener = all.sockets.at(found.listener);
    found.family = listener.family;
    found.address = listener.own;
    found.v6_only = listener.v6_only;
    found.reuse_port = listener.reuse_port;
    return found;
  }

  // Asked for, an error is told only once: done only when the sandbox is about to end. Else it is told from what went
  // before.
  static std::int32_t pending_error(const CollectContext& context, int fd, bool refused) {
    if (context.contents() && context.ends) {
      return socket_option(fd, SOL_SOCKET, SO_ERROR);
    }
    return refused ? ECONNREFUSED : ECONNRESET;
  }
};

const KindRegistration kRegistration{std::make_unique<TcpSocket>()};

}  // namespace
}  // namespace beam::migrate
