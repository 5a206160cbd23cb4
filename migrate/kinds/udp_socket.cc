// UDP sockets (udp(7)): bound, connected, with datagrams that wait and where they came from, members of multicast
// groups.
//
// A datagram is sent again from the port that it came from, which may be another socket's of the sandbox. One whose
// source can't be taken on, as it came over the network, is lost, as datagrams may be, and the log says so.
#include <fcntl.h>
#include <net/if.h>
#include <netinet/in.h>
#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <map>

#include "base/log.h"
#include "migrate/kinds/inet.h"
#include "migrate/network.h"
#include "migrate/object_kind.h"
#include "migrate/socket_options.h"

namespace beam::migrate {

struct UdpDatagram {
  std::vector<std::uint8_t> bytes;
  InetAddress source;
  InetAddress target;  // the address that it was sent to
};
BEAM_STATE(UdpDatagram, 1, bytes, source, target)

struct UdpMembership {
  std::int32_t family = 0;
  std::string interface;
  std::vector<std::uint8_t> group;  // in_addr or in6_addr
  std::uint32_t mode = 0;           // MCAST_EXCLUDE, MCAST_INCLUDE
  std::vector<std::vector<std::uint8_t>> sources;
};
BEAM_STATE(UdpMembership, 1, family, interface, group, mode, sources)

struct UdpSocketState {
  std::uint64_t socket = 0;
  std::int32_t family = 0;
  std::int32_t flags = 0;
  InetAddress own_address;
  InetAddress peer_address;
  std::uint32_t shutdown = 0;  // 1: receives nothing more, 2: sends nothing more
  std::int32_t error = 0;      // waits to be told
  std::vector<UdpMembership> memberships;
  std::vector<UdpDatagram> queue;
  SocketOptions options;
};
BEAM_STATE(UdpSocketState, 1, socket, family, flags, own_address, peer_address, shutdown, error, memberships, queue,
           options)

namespace {

constexpr int kKeptFlags = O_NONBLOCK | O_ASYNC;
constexpr std::size_t kLongestDatagram = 65536;

struct MadeUdp {
  struct Made {
    int fd = -1;  // owned by the restorer
    UdpSocketState state;
  };
  std::map<std::uint64_t, Made> sockets;
};

bool set_int(int fd, int level, int option, int value) {
  return ::setsockopt(fd, level, option, &value, sizeof value) == 0;
}

// Options as looking needs them, and then as they were.
class OptionsForPeeking {
 public:
  OptionsForPeeking(int fd, int family) : fd_(fd) {
    set(SOL_SOCKET, SO_PEEK_OFF, 0);
    set(IPPROTO_IP, IP_PKTINFO, 1);
    if (family == AF_INET6) {
      set(IPPROTO_IPV6, IPV6_RECVPKTINFO, 1);
    }
  }
  ~OptionsForPeeking() {
    for (const auto& [level, option, value] : before_) {
      set_int(fd_, level, option, value);
    }
  }
  OptionsForPeeking(const OptionsForPeeking&) = delete;
  OptionsForPeeking& operator=(const OptionsForPeeking&) = delete;

 private:
  void set(int level, int option, int value) {
    before_.emplace_back(level, option, socket_option(fd_, level, option, -1));
    set_int(fd_, level, option, value);
  }
  int fd_;
  std::vector<std::tuple<int, int, int>> before_;
};

template <typename T>
InetAddress bytes_of(const T& value) {
  const auto* bytes = reinterpret_cast<const std::uint8_t*>(&value);
  return {bytes, bytes + sizeof value};
}

Result<std::vector<UdpDatagram>> peek_datagrams(int fd, int family, const InetAddress& own) {
  std::vector<UdpDatagram> datagrams;
  const OptionsForPeeking options(fd, family);
  std::vector<std::uint8_t> buffer(kLongestDatagram);
  for (;;) {
    sockaddr_storage source{};
    alignas(cmsghdr) char control[256];
    iovec part{buffer.data(), buffer.size()};
    msghdr header{};
    header.msg_name = &source;
    header.msg_namelen = sizeof source;
    header.msg_iov = &part;
    header.msg_iovlen = 1;
    header.msg_control = control;
    header.msg_controllen = sizeof control;
    const ssize_t got = ::recvmsg(fd, &header, MSG_PEEK | MSG_DONTWAIT);
    if (got < 0 || header.msg_namelen == 0) {
      return datagrams;
    }
    UdpDatagram datagram;
    datagram.bytes.assign(buffer.begin(), buffer.begin() + got);
    const auto* name = reinterpret_cast<const std::uint8_t*>(&source);
    datagram.source.assign(name, name + header.msg_namelen);
    for (cmsghdr* at = CMSG_FIRSTHDR(&header); at != nullptr; at = CMSG_NXTHDR(&header, at)) {
      if (at->cmsg_level == IPPROTO_IP && at->cmsg_type == IP_PKTINFO && family == AF_INET) {
        in_pktinfo info{};
        std::memcpy(&info, CMSG_DATA(at), sizeof info);
        sockaddr_in target{};
        target.sin_family = AF_INET;
        target.sin_addr = info.ipi_addr;
        datagram.target = bytes_of(target);
      } else if (at->cmsg_level == IPPROTO_IPV6 && at->cmsg_type == IPV6_PKTINFO) {
        in6_pktinfo info{};
        std::memcpy(&info, CMSG_DATA(at), sizeof info);
        sockaddr_in6 target{};
        target.sin6_family = AF_INET6;
        target.sin6_addr = info.ipi6_addr;
        if (IN6_IS_ADDR_LINKLOCAL(&target.sin6_addr)) {
          target.sin6_scope_id = info.ipi6_ifindex;
        }
        datagram.target = bytes_of(target);
      }
    }
    if (datagram.target.empty()) {
      datagram.target = own;
    } else {
      set_port(datagram.target, port_of(own));
    }
    datagrams.push_back(std::move(datagram));
  }
}

// --- multicast ---
// The kernel lists a machine's groups, not a socket's; but it tells of each whether a socket is a member (ip(7),
// MCAST_MSFILTER).

struct Group {
  int family;
  unsigned interface;
  std::vector<std::uint8_t> address;
};

std::vector<Group> groups_of_workstation() {
  std::vector<Group> groups;
  std::ifstream four("/proc/net/igmp");
  std::string line;
  unsigned index = 0;
  while (std::getline(four, line)) {
    unsigned number = 0;
    std::uint32_t address = 0;
    if (!line.empty() && line[0] != '\t' && line[0] != ' ' && std::sscanf(line.c_str(), "%u", &number) == 1) {
      index = number;
    } else if (std::sscanf(line.c_str(), " %8x", &address) == 1) {
      groups.push_back({AF_INET, index, bytes_of(address)});
    }
  }
  std::ifstream six("/proc/net/igmp6");
  while (std::getline(six, line)) {
    char text[33];
    if (std::sscanf(line.c_str(), "%u %*s %32s", &index, text) != 2) {
      continue;
    }
    std::vector<std::uint8_t> address(16);
    for (std::size_t i = 0; i < 16; ++i) {
      std::sscanf(text + 2 * i, "%2hhx", &address[i]);
    }
    groups.push_back({AF_INET6, index, address});
  }
  return groups;
}

sockaddr_storage group_address(int family, const std::vector<std::uint8_t>& bytes) {
  sockaddr_storage storage{};
  if (family == AF_INET && bytes.size() == sizeof(in_addr)) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    std::memcpy(&address.sin_addr, bytes.data(), bytes.size());
    std::memcpy(&storage, &address, sizeof address);
  } else if (family == AF_INET6 && bytes.size() == sizeof(in6_addr)) {
    sockaddr_in6 address{};
    address.sin6_family = AF_INET6;
    std::memcpy(&address.sin6_addr, bytes.data(), bytes.size());
    std::memcpy(&storage, &address, sizeof address);
  }
  return storage;
}

std::vector<UdpMembership> memberships_of(int fd, int family) {
  std::vector<UdpMembership> found;
  for (const Group& group : groups_of_workstation()) {
    if (family == AF_INET && group.family != AF_INET) {
      continue;
    }
    constexpr std::size_t kMostSources = 64;
    std::vector<char> room(GROUP_FILTER_SIZE(kMostSources));
    auto* filter = reinterpret_cast<group_filter*>(room.data());
    filter->gf_interface = group.interface;
    filter->gf_group = group_address(group.family, group.address);
    filter->gf_numsrc = kMostSources;
    socklen_t size = static_cast<socklen_t>(room.size());
    const int level = group.family == AF_INET ? IPPROTO_IP : IPPROTO_IPV6;
    if (::getsockopt(fd, level, MCAST_MSFILTER, filter, &size) != 0) {
      continue;  // EADDRNOTAVAIL: no member
    }
    UdpMembership membership;
    membership.family = group.family;
    char name[IF_NAMESIZE] = "";
    membership.interface = ::if_indextoname(group.interface, name) != nullptr ? name : "";
    membership.group = group.address;
    membership.mode = filter->gf_fmode;
    for (std::size_t i = 0; i < std::min<std::size_t>(filter->gf_numsrc, kMostSources); ++i) {
      const auto* bytes = reinterpret_cast<const std::uint8_t*>(&filter->gf_slist[i]);
      membership.sources.emplace_back(bytes,
                                      bytes + (group.family == AF_INET ? sizeof(sockaddr_in) : sizeof(sockaddr_in6)));
    }
    found.push_back(std::move(membership));
  }
  return found;
}

Result<> join(int fd, const UdpMembership& membership) {
  const unsigned index = ::if_nametoindex(membership.interface.c_str());
  if (index == 0) {
    return Error::from_errno("join a multicast group at interface " + membership.interface);
  }
  const int level = membership.family == AF_INET ? IPPROTO_IP : IPPROTO_IPV6;
  const sockaddr_storage group = group_address(membership.family, membership.group);
  if (membership.sources.empty()) {
    group_req request{};
    request.gr_interface = index;
    request.gr_group = group;
    return ::setsockopt(fd, level, MCAST_JOIN_GROUP, &request, sizeof request) == 0
               ? success()
               : Result<>(Error::from_errno("join a multicast group at interface " + membership.interface));
  }
  if (membership.mode == MCAST_EXCLUDE) {
    group_req request{};
    request.gr_interface = index;
    request.gr_group = group;
    if (::setsockopt(fd, level, MCAST_JOIN_GROUP, &request, sizeof request) != 0) {
      return Error::from_errno("join a multicast group at interface " + membership.interface);
    }
  }
  for (const auto& source : membership.sources) {
    group_source_req request{};
    request.gsr_interface = index;
    request.gsr_group = group;
    std::memcpy(&request.gsr_source, source.data(), std::min(source.size(), sizeof request.gsr_source));
    const int option = membership.mode == MCAST_EXCLUDE ? MCAST_BLOCK_SOURCE : MCAST_JOIN_SOURCE_GROUP;
    if (::setsockopt(fd, level, option, &request, sizeof request) != 0) {
      return Error::from_errno("choose the sources of a multicast group at interface " + membership.interface);
    }
  }
  return success();
}

class UdpSocket : public KindOf<UdpSocketState> {
 public:
  std::string_view name() const override { return "udp_socket"; }
  bool recognises(const CollectContext& /*context*/, const OpenFile& file) const override {
    const int fd = file.copy.get();
    const int family = S_ISSOCK(file.info.st_mode) && (file.flags & O_PATH) == 0
                           ? socket_option(fd, SOL_SOCKET, SO_DOMAIN)
                           : AF_UNSPEC;
    return (family == AF_INET || family == AF_INET6) && socket_option(fd, SOL_SOCKET, SO_TYPE) == SOCK_DGRAM &&
           socket_option(fd, SOL_SOCKET, SO_PROTOCOL) == IPPROTO_UDP;
  }

  Result<> link_all(LinkContext& context) const override {
    auto& made = context.made.parts.get<MadeUdp>(name(), 0);
    for (const auto& [key, socket] : made.sockets) {
      BEAM_TRY(finish(socket.fd, socket.state));
    }
    return success();
  }

 protected:
  Result<UdpSocketState> collect_state(CollectContext& context, const OpenFile& file) const override {
    const int fd = file.copy.get();
    UdpSocketState state;
    state.socket = file.info.st_ino;
    state.family = socket_option(fd, SOL_SOCKET, SO_DOMAIN);
    state.flags = file.flags & kKeptFlags;
    state.own_address = inet_own_address(fd);
    state.peer_address = inet_peer_address(fd);
    BEAM_TRY_ASSIGN(state.options, read_socket_options(fd));
    collect_v6_only(context.shared.options.network.get(), fd, state.options);
    pollfd poll{fd, POLLIN | POLLRDHUP, 0};
    const short events = ::poll(&poll, 1, 0) > 0 ? poll.revents : short{0};
    state.shutdown = (events & POLLHUP) != 0 ? 3U : (events & POLLRDHUP) != 0 ? 1U : 0U;
    if ((events & POLLERR) != 0) {
      char byte = 0;
      msghdr none{};
      iovec part{&byte, 1};
      none.msg_iov = &part;
      none.msg_iovlen = 1;
      if (::recvmsg(fd, &none, MSG_ERRQUEUE | MSG_PEEK | MSG_DONTWAIT) >= 0) {
        return Error(kObstacle, "errors with their packets (IP_RECVERR) that wait to be read can't be frozen");
      }
      // ICMP's answer to a datagram that nobody takes; asked for, it is told only once.
      state.error = context.contents() && context.ends ? socket_option(fd, SOL_SOCKET, SO_ERROR) : ECONNREFUSED;
      if (!context.contents() || !context.ends) {
        return state;  // a look at the queue would tell it
      }
    }
    if (context.contents()) {
      BEAM_TRY_ASSIGN(state.queue, peek_datagrams(fd, state.family, state.own_address));
      state.memberships = memberships_of(fd, state.family);
    }
    return state;
  }

  Result<UniqueFd> make_from(MakeContext& context, const UdpSocketState& stored) const override {
    ns::NetworkSpace* network = context.shared->options.network.get();
    UdpSocketState state = carried_over(network, stored);
    if (state.family != AF_INET && state.family != AF_INET6) {
      return Error(kDamaged, "a UDP socket of family " + std::to_string(state.family));
    }
    UniqueFd fd(::socket(state.family, SOCK_DGRAM | SOCK_CLOEXEC, IPPROTO_UDP));
    if (!fd) {
      return Error::from_errno("make a UDP socket");
    }
    widen_socket_buffers(fd.get());
    BEAM_TRY(set_socket_options(fd.get(), state.options, OptionTime::kBeforeNames));
    if (port_of(state.own_address) != 0) {
      if (!is_inet_address(state.own_address)) {
        return Error(kDamaged, "the address of a UDP socket");
      }
      // Several may need the port while sockets are made; what the program had set returns at the end.
      set_int(fd.get(), SOL_SOCKET, SO_REUSEADDR, 1);
      if (::bind(fd.get(), raw(state.own_address), raw_size(state.own_address)) != 0) {
        auto error = Error::from_errno("bind a UDP socket to " + to_text(state.own_address));
        return error.code() == EADDRINUSE ? std::move(error).remedy("something else has the port on this workstation")
                                          : std::move(error);
      }
    }
    for (const UdpMembership& membership : state.memberships) {
      BEAM_TRY(join(fd.get(), membership));
    }
    restore_v6_only(network, fd.get(), stored.options);
    mark_datagrams(network, fd.get());
    UdpSocketState rest = state;
    rest.queue.clear();
    context.parts.get<MadeUdp>(name(), 0).sockets[state.socket] = {fd.get(), std::move(rest)};
    return fd;
  }

  Result<> link_from(LinkContext& context, const UdpSocketState& stored, int /*fd*/) const override {
    const UdpSocketState state = carried_over(context.shared.options.network.get(), stored);
    auto& made = context.made.parts.get<MadeUdp>(name(), 0);
    for (const UdpDatagram& datagram : state.queue) {
      BEAM_TRY(send_again(made, state, datagram));
    }
    return success();
  }

 private:
  static UdpSocketState carried_over(const ns::NetworkSpace* network, UdpSocketState state) {
    carry_over(network, state.own_address);
    carry_over(network, state.peer_address);
    for (UdpDatagram& datagram : state.queue) {
      carry_over(network, datagram.source);
      carry_over(network, datagram.target);
    }
    if (network != nullptr) {
      forget_v6_only(state.options);
      carry_over_filter(network, state.options);
    }
    return state;
  }

  static Result<> send_again(const MadeUdp& made, const UdpSocketState& state, const UdpDatagram& datagram) {
    if (!is_inet_address(datagram.source)) {
      return Error(kDamaged, "the source of a datagram");
    }
    // One for the group that it came to would reach every member once more.
    InetAddress target = datagram.target;
    if (!is_local(target)) {
      target = is_local(state.own_address) ? state.own_address : loopback(state);
    }
    const auto of_ours = std::find_if(made.sockets.begin(), made.sockets.end(), [&](const auto& other) {
      return endpoint_of(other.second.state.own_address) == endpoint_of(datagram.source);
    });
    UniqueFd passing;
    int from = of_ours != made.sockets.end() ? of_ours->second.fd : -1;
    if (from < 0) {
      passing.reset(::socket(state.family, SOCK_DGRAM | SOCK_CLOEXEC, IPPROTO_UDP));
      if (!passing) {
        return Error::from_errno("make a UDP socket");
      }
      const InetAddress source = in_family(datagram.source, state.family);
      if (::bind(passing.get(), raw(source), raw_size(source)) != 0) {
        // A bound socket of the sandbox has the port at all addresses: from there it is the same source.
        set_int(passing.get(), SOL_SOCKET, SO_REUSEADDR, 1);
        if (::bind(passing.get(), raw(source), raw_size(source)) != 0) {
          BEAM_LOG_WARN(kMigrate, "a datagram from {} that waited at {} is lost", to_text(source),
                        to_text(state.own_address));
          return success();
        }
      }
      from = passing.get();
    }
    const int family = socket_option(from, SOL_SOCKET, SO_DOMAIN);
    const InetAddress to = in_family(target, family);
    if (::sendto(from, datagram.bytes.data(), datagram.bytes.size(), MSG_DONTWAIT, raw(to), raw_size(to)) < 0) {
      return Error::from_errno("send a datagram from " + to_text(datagram.source) + " to " + to_text(to) + " again");
    }
    return success();
  }

  static InetAddress loopback(const UdpSocketState& state) {
    InetAddress address;
    if (state.family == AF_INET) {
      sockaddr_in four{};
      four.sin_family = AF_INET;
      four.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
      address = bytes_of(four);
    } else {
      sockaddr_in6 six{};
      six.sin6_family = AF_INET6;
      six.sin6_addr = IN6ADDR_LOOPBACK_INIT;
      address = bytes_of(six);
    }
    set_port(address, port_of(state.own_address));
    return address;
  }

  static Result<> finish(int fd, const UdpSocketState& state) {
    if (!state.peer_address.empty()) {
      if (!is_inet_address(state.peer_address) ||
          ::connect(fd, raw(state.peer_address), raw_size(state.peer_address)) != 0) {
        return Error::from_errno("connect a UDP socket to " + to_text(state.peer_address));
      }
      if (state.error == ECONNREFUSED && is_local(state.peer_address)) {
        ::send(fd, "", 0, MSG_DONTWAIT);  // refused once more
      }
    }
    if (state.shutdown != 0 && state.shutdown <= 3) {
      ::shutdown(fd, state.shutdown == 3 ? SHUT_RDWR : state.shutdown == 1 ? SHUT_RD : SHUT_WR);
    }
    BEAM_TRY(set_socket_options(fd, state.options, OptionTime::kBeforeNames));
    BEAM_TRY(set_socket_options(fd, state.options, OptionTime::kAtEnd));
    return ::fcntl(fd, F_SETFL, state.flags & kKeptFlags) == 0
               ? success()
               : Result<>(Error::from_errno("set the flags of a UDP socket"));
  }
};

const KindRegistration kRegistration{std::make_unique<UdpSocket>()};

}  // namespace
}  // namespace beam::migrate
