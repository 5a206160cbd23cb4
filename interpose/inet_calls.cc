#include "interpose/inet_calls.h"

#include <linux/filter.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <mutex>
#include <optional>

#include "base/log.h"

#ifndef IP_BIND_ADDRESS_NO_PORT
#define IP_BIND_ADDRESS_NO_PORT 24
#endif

namespace beam::interpose {
namespace {

using ns::Binding;
using ns::HostEndpoint;
using ns::IpAddress;
using ns::NetworkSpace;
using ns::VirtualEndpoint;

constexpr int kTriesForPort = 64;

// Whether the socket could be bound there as far as others go: tried with another one like it. Not `sharing`: whether
// nobody at all is there.
bool is_free(const InetSocket& socket, const HostEndpoint& place, bool sharing = true) {
  InetSocket probe;
  probe.fd.reset(::socket(socket.family, socket.type | SOCK_CLOEXEC, socket.protocol));
  probe.family = socket.family;
  for (const int option : {SO_REUSEADDR, SO_REUSEPORT}) {
    const int value = sharing ? socket.option(SOL_SOCKET, option) : 0;
    ::setsockopt(probe.fd.get(), SOL_SOCKET, option, &value, sizeof value);
  }
  return probe.bind(place) != EADDRINUSE;
}

bool all_free(const InetSocket& socket, const std::vector<HostEndpoint>& places) {
  return std::all_of(places.begin(), places.end(), [&](const HostEndpoint& place) { return is_free(socket, place); });
}

// A port number that is free at every place that the binding covers; 0: none was found.
std::uint16_t free_port(const NetworkSpace& network, const InetSocket& socket, Binding binding) {
  for (int i = 0; i < kTriesForPort; ++i) {
    InetSocket probe;
    probe.fd.reset(::socket(socket.family, socket.type | SOCK_CLOEXEC, socket.protocol));
    probe.family = socket.family;
    binding.port = 0;
    if (probe.bind(network.place_for(binding)) != 0) {
      return 0;
    }
    const auto own = probe.own();
    binding.port = own ? own->port : 0;
    probe.fd.reset();
    if (binding.port != 0 && all_free(socket, network.must_be_free(socket.protocol, binding))) {
      return binding.port;
    }
  }
  return 0;
}

int bind_to(NetworkSpace& network, const InetSocket& socket, Binding binding) {
  const std::lock_guard lock(network.bind_mutex());
  // A second bind is refused for that reason alone.
  if (const auto own = socket.own(); own && own->port != 0) {
    return EINVAL;
  }
  if (socket.protocol != IPPROTO_TCP && binding.port == 0 && binding.ip.is_any()) {
    return bind_datagrams(network, socket);
  }
  const bool any_port = binding.port == 0;
  if (any_port && binding.ip.is_any() && socket.option(IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT) != 1) {
    binding.port = free_port(network, socket, binding);
    if (binding.port == 0) {
      return EADDRINUSE;
    }
  }
  bool moved = false;
  if (!any_port && !all_free(socket, network.must_be_free(socket.protocol, binding))) {
    // An outsider who has the port at every address is none that the program could know of.
    moved = !is_free(socket, network.unused_place(binding.port)) &&
            all_free(socket, network.recorded_in_the_way(socket.protocol, binding));
    if (!moved) {
      return EADDRINUSE;
    }
  }
  int error = moved ? EADDRINUSE : socket.bind(network.place_for(binding));
  if (error == EADDRINUSE && !any_port && (moved || !is_free(socket, network.unused_place(binding.port)))) {
    error = socket.bind(network.moved_place());
    moved = true;
  }
  if (error != 0) {
    return error;
  }
  binding.host = socket.own().value_or(HostEndpoint());
  if (binding.host.port == 0) {
    return 0;  // the port comes with the connection (IP_BIND_ADDRESS_NO_PORT)
  }
  binding.port = any_port ? binding.host.port : binding.port;
  network.record(socket.protocol, binding);
  if (moved && network.moved_ports() != nullptr && !binding.ip.is_loopback()) {
    if (const auto told = network.moved_ports()->publish(socket.protocol, binding); !told.ok()) {
      BEAM_LOG_WARN(kInterpose, "port {} is hidden from the other sandboxes of the group: {}", binding.port,
                    told.error().message());
    }
  }
  if (!socket.is_stream()) {
    filter_datagrams(socket, network.index(), false);
  }
  return 0;
}

// Whether the kernel, or this file, has chosen the socket's address on the way to somewhere: it has no port then.
bool has_port(const InetSocket& socket) {
  const auto own = socket.own();
  return own && own->port != 0;
}

int disconnect(const InetSocket& socket) {
  const sockaddr nowhere{};  // AF_UNSPEC
  return ::connect(socket.fd.get(), &nowhere, sizeof nowhere) == 0 ? 0 : errno;
}

// Has a socket without a port come from `address` when it connects, with a port of the kernel's choice for that very
// connection.
void come_from(const InetSocket& socket, const IpAddress& address) {
  const int before = socket.option(IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT);
  const int on = 1;
  ::setsockopt(socket.fd.get(), IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof on);
  (void)socket.bind({address, 0});
  ::setsockopt(socket.fd.get(), IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &before, sizeof before);
}

// A datagram socket at all addresses keeps its port, and gets the address that it is to come from.
void come_from_with_port(const InetSocket& socket, const IpAddress& address) {
  const auto own = socket.own();
  if (own && own->ip.is_any() && disconnect(socket) == 0) {
    (void)socket.bind({address, own->port});
  }
}

Connecting connect_to(NetworkSpace& network, const InetSocket& socket, const HostEndpoint& place) {
  const auto address = ns::to_socket_address(place, socket.family);
  int error = 0;
  {
    std::optional<ShortTimeout> wait;
    if (socket.is_stream()) {
      wait.emplace(socket, SO_SNDTIMEO);
    }
    error = ::connect(socket.fd.get(), address.raw(), address.size) == 0 ? 0 : errno;
  }
  if ((error == 0 || error == EINPROGRESS) && socket.is_stream()) {
    // Of another sandbox, its own supervisor asks.
    if (const auto own = socket.own(); own && ns::parse_part(place.ip).index == network.index()) {
      network.expect(*own, place);
    }
  }
  // EALREADY: it was begun before, and a signal came between.
  if ((error == EINPROGRESS || error == EALREADY) && socket.is_blocking()) {
    return {Connect::kWaits, 0};
  }
  return {Connect::kDone, error};
}

// Where a port of another sandbox has moved to.
std::optional<HostEndpoint> look_up(NetworkSpace& network, const InetSocket& socket, const VirtualEndpoint& to) {
  const auto found = network.moved_ports() != nullptr ? network.moved_ports()->find(socket.protocol, to) : std::nullopt;
  if (found) {
    network.learn(socket.protocol, to, *found);
  }
  return found;
}

// What root's processes do under other ids is the sandbox's own, where it has recorded the place.
bool serves(const NetworkSpace& network, const InetSocket& socket, const VirtualEndpoint& to, const HostEndpoint& at,
            const HostEndpoint& from = {IpAddress::v4(INADDR_ANY), 0}) {
  const Receiver receiver = receiver_at(socket.protocol, at, from);
  const bool own =
      receiver == Receiver::kForeign && ::getuid() == 0 && network.place_of(to.ip) != NetworkSpace::Place::kGroup;
  return own || receiver == Receiver::kSix || (receiver == Receiver::kFour && to.ip.is_v4());
}

// Where somebody of the group listens: asked of the kernel, as something of the workstation's may have the port at all
// addresses.
std::vector<HostEndpoint> listeners(NetworkSpace& network, const InetSocket& socket, const VirtualEndpoint& to) {
  auto places = network.candidates(socket.protocol, to);
  std::erase_if(places, [&](const HostEndpoint& at) { return !serves(network, socket, to, at); });
  if (places.empty() && network.place_of(to.ip) == NetworkSpace::Place::kGroup) {
    if (const auto moved = look_up(network, socket, to); moved && serves(network, socket, to, *moved)) {
      places.push_back(*moved);
    }
  }
  return places;
}

// Where nobody is, to stand for an endpoint that nobody of the group has and an outsider would hear in its place.
HostEndpoint nowhere(NetworkSpace& network, const InetSocket& socket, const VirtualEndpoint& to) {
  HostEndpoint at = network.moved_place();
  for (at.port = 1; at.port < ns::kFirstUnprivileged; ++at.port) {
    const auto standing = network.outsider_at(socket.protocol, at);
    if (standing ? *standing == to : receiver_at(socket.protocol, at) == Receiver::kNobody) {
      network.set_outsider(socket.protocol, at, to);
      break;
    }
  }
  return at;
}

}  // namespace

std::vector<sock_filter> datagram_filter(std::uint32_t index, bool outside) {
  constexpr std::uint32_t kSource = 12;  // iphdr.saddr
  constexpr auto kNet = static_cast<std::uint32_t>(SKF_NET_OFF);
  const std::uint32_t group = ns::part_address(ns::Part::kNone, ns::index_of(ns::block_of(index), 0)).v4();
  return {
      BPF_STMT(BPF_LD | BPF_B | BPF_ABS, kNet),
      BPF_STMT(BPF_ALU | BPF_RSH | BPF_K, 4),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 4, 1, 0),
      BPF_STMT(BPF_RET | BPF_K, outside ? ~0U : 0U),  // IPv6 comes from outside
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, kNet + kSource),
      BPF_STMT(BPF_MISC | BPF_TAX, 0),
      BPF_STMT(BPF_ALU | BPF_RSH | BPF_K, 24),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, IN_LOOPBACKNET, 1, 0),
      BPF_STMT(BPF_RET | BPF_K, outside ? ~0U : 0U),
      // A part of a sandbox of this group: all but the bits that tell which.
      BPF_STMT(BPF_MISC | BPF_TXA, 0),
      BPF_STMT(BPF_ALU | BPF_AND | BPF_K, 0xff000000U | ((1U << ns::kIndexBits) - ns::kMembers)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, group, 0, 1),
      BPF_STMT(BPF_RET | BPF_K, ~0U),
      BPF_STMT(BPF_RET | BPF_K, 0),
  };
}

void filter_datagrams(const InetSocket& socket, std::uint32_t index, bool outside) {
  auto code = datagram_filter(index, outside);
  const sock_fprog program{static_cast<unsigned short>(code.size()), code.data()};
  ::setsockopt(socket.fd.get(), SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof program);
}

int read_address(const GuestMemory& memory, std::uint64_t address, int size, AddressBytes& bytes) {
  if (size < 0 || static_cast<std::size_t>(size) > sizeof(sockaddr_storage)) {
    return EINVAL;
  }
  bytes.resize(static_cast<std::size_t>(size));
  return size != 0 && memory.read(address, bytes.data(), bytes.size()) != 0 ? EFAULT : 0;
}

bool take_v6_only(NetworkSpace& network, const InetSocket& socket) {
  if (socket.family != AF_INET6) {
    return false;
  }
  if (socket.option(IPPROTO_IPV6, IPV6_V6ONLY) == 1) {
    const int off = 0;
    // Refused once the socket has a port, which it then had before it came here: by a thaw, or the workstation's
    // network.
    ::setsockopt(socket.fd.get(), IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof off);
    network.set_v6_only(socket.cookie(), true);
    return true;
  }
  return network.v6_only(socket.cookie());
}

int bind_datagrams(NetworkSpace& network, const InetSocket& socket) {
  if (const int error = socket.bind({socket.family == AF_INET6 ? IpAddress() : IpAddress::v4(INADDR_ANY), 0});
      error != 0) {
    return error;
  }
  filter_datagrams(socket, network.index(), false);
  mark_as_ours(socket);
  const auto own = socket.own();
  if (own) {
    Binding binding{own->ip, own->port, socket.family == AF_INET6 && network.v6_only(socket.cookie()), {}};
    binding.host = {network.place_for(binding).ip, own->port};
    network.record(socket.protocol, binding);
  }
  return 0;
}

int bind_inet(NetworkSpace& network, const InetSocket& socket, const AddressBytes& bytes) {
  sa_family_t family = AF_UNSPEC;
  const std::size_t least = socket.family == AF_INET ? sizeof(sockaddr_in) : offsetof(sockaddr_in6, sin6_scope_id);
  if (bytes.size() < least) {
    return EINVAL;
  }
  std::memcpy(&family, bytes.data(), sizeof family);
  AddressBytes copy = bytes;
  if (family != socket.family) {
    // AF_UNSPEC with no address is taken for AF_INET (__inet_bind, net/ipv4/af_inet.c).
    const sa_family_t meant = AF_INET;
    std::memcpy(copy.data(), &meant, sizeof meant);
    const auto parsed = ns::parse_socket_address(copy.data(), copy.size());
    if (socket.family != AF_INET || family != AF_UNSPEC || !parsed || !parsed->ip.is_any()) {
      return EAFNOSUPPORT;
    }
  }
  const auto parsed = ns::parse_socket_address(copy.data(), copy.size());
  if (!parsed) {
    return EINVAL;
  }
  const bool v6_only = take_v6_only(network, socket);
  if (parsed->ip.is_v4() && v6_only) {
    return EINVAL;
  }
  if (parsed->ip.is_for_many() && !socket.is_stream()) {
    return socket.bind({parsed->ip, parsed->port});
  }
  if (!network.is_own(parsed->ip)) {
    return EADDRNOTAVAIL;
  }
  // The wildcard of IPv4, mapped or not, is the same.
  Binding binding{parsed->ip, parsed->port, v6_only && !parsed->ip.is_v4(), {}};
  return bind_to(network, socket, binding);
}

int listen_inet(NetworkSpace& network, const InetSocket& socket, int backlog) {
  if (socket.is_stream() && !has_port(socket)) {
    const bool v6_only = take_v6_only(network, socket);
    const bool v6 = socket.family == AF_INET6;
    if (const int error = bind_to(network, socket, {v6 ? IpAddress() : IpAddress::v4(INADDR_ANY), 0, v6_only, {}});
        error != 0) {
      return error;
    }
  }
  return ::listen(socket.fd.get(), backlog) == 0 ? 0 : errno;
}

HostEndpoint datagram_place(NetworkSpace& network, const InetSocket& socket, const VirtualEndpoint& to) {
  const auto own = socket.own();
  const HostEndpoint from{own && !own->ip.is_any() ? own->ip : network.source_for(to.ip),
                          own ? own->port : std::uint16_t{0}};
  auto places = network.candidates(socket.protocol, to);
  const bool in_group = network.place_of(to.ip) == NetworkSpace::Place::kGroup;
  const auto there = std::find_if(places.begin(), places.end(),
                                  [&](const HostEndpoint& at) { return serves(network, socket, to, at, from); });
  if (there != places.end()) {
    return *there;
  }
  const auto moved = in_group ? look_up(network, socket, to) : std::nullopt;
  const HostEndpoint place = moved ? *moved : network.unrecorded_place(to);
  const Receiver receiver = receiver_at(socket.protocol, place, from);
  return receiver == Receiver::kOther || (receiver == Receiver::kForeign && in_group) ? nowhere(network, socket, to)
                                                                                      : place;
}

Connecting connect_inet(NetworkSpace& network, const InetSocket& socket, const AddressBytes& bytes) {
  const auto parsed = ns::parse_socket_address(bytes.data(), bytes.size());
  const int family = bytes.size() < sizeof(sa_family_t) ? AF_UNSPEC : bytes[0] + (bytes[1] << 8);
  // A datagram socket of IPv6 takes addresses of IPv4 as they are (__ip6_datagram_connect, net/ipv6/datagram.c).
  const bool of_ipv4 = socket.family == AF_INET6 && family == AF_INET && !socket.is_stream();
  if (!parsed || (family != socket.family && !of_ipv4)) {
    // AF_UNSPEC, or nothing that any kernel connects to: it says so itself.
    const int result = ::connect(socket.fd.get(), reinterpret_cast<const sockaddr*>(bytes.data()),
                                 static_cast<socklen_t>(bytes.size()));
    return {Connect::kDone, result == 0 ? 0 : errno};
  }
  const bool v6_only = take_v6_only(network, socket);
  if (v6_only && parsed->ip.is_v4()) {
    return {Connect::kDone, of_ipv4 ? EAFNOSUPPORT : ENETUNREACH};
  }
  const VirtualEndpoint to{parsed->ip, parsed->port};
  const auto place = network.place_of(to.ip);
  if (place == NetworkSpace::Place::kOutside) {
    const auto own = socket.own();
    if (!socket.is_stream() && own && own->port != 0) {
      filter_datagrams(socket, network.index(), true);
    } else if (own && own->port == 0 && ns::parse_part(own->ip).part != ns::Part::kNone) {
      come_from(socket, socket.family == AF_INET6 ? IpAddress() : IpAddress::v4(INADDR_ANY));
    }
    return {Connect::kOutside, 0};
  }
  if (const auto peer = socket.peer(); socket.is_stream() && peer) {
    // The kernel knows whether a connection that was begun has been reported, and says EISCONN only then
    // (net/ipv4/af_inet.c, SS_CONNECTING).
    return connect_to(network, socket, *peer);
  }
  const IpAddress source = network.source_for(to.ip);
  if (!socket.is_stream() && has_port(socket)) {
    come_from_with_port(socket, source);
  } else if (!has_port(socket)) {
    come_from(socket, source);
  }
  if (!socket.is_stream()) {
    return connect_to(network, socket, datagram_place(network, socket, to));
  }
  const bool in_group = place == NetworkSpace::Place::kGroup;
  auto places = listeners(network, socket, to);
  Connecting result{Connect::kDone, EHOSTUNREACH};
  if (places.empty() && (!in_group || network.is_inhabited(to.ip))) {
    // The kernel refuses, in its own way.
    const HostEndpoint empty = network.unrecorded_place(to);
    places.push_back(receiver_at(socket.protocol, empty) == Receiver::kNobody ? empty : nowhere(network, socket, to));
  }
  for (const HostEndpoint& at : places) {
    result = connect_to(network, socket, at);
    if (result.how != Connect::kDone || result.error != ECONNREFUSED) {
      break;
    }
  }
  return result;
}

}  // namespace beam::interpose
