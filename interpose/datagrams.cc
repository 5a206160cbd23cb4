#include "interpose/datagrams.h"

#include <netinet/in.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <optional>

namespace beam::interpose {
namespace {

using ns::HostEndpoint;
using ns::IpAddress;
using ns::NetworkSpace;
using ns::VirtualEndpoint;

// Calls `each(level, type, data)` with every part of control data.
template <typename Each>
void for_control(std::span<std::byte> control, Each each) {
  std::size_t at = 0;
  while (at + sizeof(cmsghdr) <= control.size()) {
    cmsghdr header{};
    std::memcpy(&header, control.data() + at, sizeof header);
    if (header.cmsg_len < sizeof header || header.cmsg_len > control.size() - at) {
      return;
    }
    each(header.cmsg_level, header.cmsg_type, control.subspan(at + CMSG_LEN(0), header.cmsg_len - CMSG_LEN(0)));
    at += CMSG_ALIGN(header.cmsg_len);
  }
}

template <typename T, typename Change>
void change(std::span<std::byte> data, Change how) {
  T value{};
  if (data.size() >= sizeof value) {
    std::memcpy(&value, data.data(), sizeof value);
    how(value);
    std::memcpy(data.data(), &value, sizeof value);
  }
}

IpAddress ip_of(const in_addr& address) {
  return IpAddress::v4(ntohl(address.s_addr));
}
void set(in_addr& address, const IpAddress& ip) {
  address.s_addr = htonl(ip.v4());
}
void set(in6_addr& address, const IpAddress& ip) {
  std::memcpy(address.s6_addr, ip.bytes.data(), ip.bytes.size());
}

// The address that a socket at all of the sandbox's addresses is to be seen to send from, on its way to `to`, which is
// realised at `place`; nothing when that is the address it is realised at itself.
std::optional<IpAddress> source_of(const NetworkSpace& network, const InetSocket& socket, const IpAddress& to,
                                   const HostEndpoint& place) {
  const auto own = socket.own();
  // The number of a port that has moved means something at the address of such ports alone.
  if (!own || ns::parse_part(own->ip).part == ns::Part::kMoved) {
    return std::nullopt;
  }
  const auto binding = network.binding_at(socket.protocol, *own);
  if (!own->ip.is_any() && (!binding || !binding->ip.is_any())) {
    return std::nullopt;
  }
  const IpAddress source = network.source_for(to);
  // Who is connected here is so to the address where this socket is realised, and hears nothing from another.
  const bool connected = !own->ip.is_any() && source != own->ip &&
                         !is_served(socket.protocol, place, false, {source, own->port}) &&
                         is_served(socket.protocol, place, false, *own);
  return connected ? std::nullopt : std::optional(source);
}

// What the kernel takes the source from (ip(7) IP_PKTINFO), at the front of the rest.
std::vector<std::byte> with_source(const InetSocket& socket, const IpAddress& source) {
  std::vector<std::byte> control;
  const auto put = [&](int level, int type, const auto& info) {
    control.resize(CMSG_SPACE(sizeof info));
    cmsghdr header{};
    header.cmsg_level = level;
    header.cmsg_type = type;
    header.cmsg_len = CMSG_LEN(sizeof info);
    std::memcpy(control.data(), &header, sizeof header);
    std::memcpy(control.data() + CMSG_LEN(0), &info, sizeof info);
  };
  if (socket.family == AF_INET6) {
    in6_pktinfo info{};
    set(info.ipi6_addr, source);
    put(IPPROTO_IPV6, IPV6_PKTINFO, info);
  } else {
    in_pktinfo info{};
    set(info.ipi_spec_dst, source);
    put(IPPROTO_IP, IP_PKTINFO, info);
  }
  return control;
}

bool is_packet_info(int level, int type) {
  return (level == IPPROTO_IP && type == IP_PKTINFO) || (level == IPPROTO_IPV6 && type == IPV6_PKTINFO);
}

// The program's own, less its choice of a source, which is another address here.
std::vector<std::byte> without_packet_info(std::span<const std::byte> control) {
  std::vector<std::byte> copy(control.begin(), control.end());
  std::vector<std::byte> rest;
  for_control(copy, [&](int level, int type, std::span<std::byte> data) {
    if (is_packet_info(level, type)) {
      return;
    }
    const std::size_t size = CMSG_ALIGN(CMSG_LEN(data.size()));
    rest.resize(rest.size() + size);
    cmsghdr header{};
    header.cmsg_level = level;
    header.cmsg_type = type;
    header.cmsg_len = CMSG_LEN(data.size());
    std::byte* at = rest.data() + rest.size() - size;
    std::memcpy(at, &header, sizeof header);
    std::memcpy(at + CMSG_LEN(0), data.data(), data.size());
  });
  return rest;
}

std::int64_t send_to(const InetSocket& socket, const Datagram& datagram, const ns::SocketAddress& to,
                     const std::vector<std::byte>& control, int flags) {
  iovec part{const_cast<std::byte*>(datagram.data.data()), datagram.data.size()};  // NOLINT: only read
  msghdr message{};
  sockaddr_storage name = to.storage;
  if (to.size != 0) {
    message.msg_name = &name;
    message.msg_namelen = to.size;
  }
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  std::vector<std::byte> copy = control;
  message.msg_control = copy.empty() ? nullptr : copy.data();
  message.msg_controllen = copy.size();
  const ssize_t sent = ::sendmsg(socket.fd.get(), &message, flags | MSG_DONTWAIT | MSG_NOSIGNAL);
  return sent >= 0 ? sent : -errno;
}

}  // namespace

std::int64_t send_datagram(NetworkSpace& network, bool outside, const InetSocket& socket, const Datagram& datagram,
                           int flags) {
  const auto parsed = ns::parse_socket_address(datagram.to.data(), datagram.to.size());
  if (datagram.to.empty() || !parsed) {
    // Where it is connected to; or an address that the kernel refuses in its own words.
    ns::SocketAddress as_it_is;
    std::memcpy(&as_it_is.storage, datagram.to.data(), std::min(datagram.to.size(), sizeof as_it_is.storage));
    as_it_is.size = static_cast<socklen_t>(datagram.to.size());
    const bool harmless = datagram.to.empty() || as_it_is.storage.ss_family != AF_UNSPEC;
    return harmless ? send_to(socket, datagram, as_it_is, without_packet_info(datagram.control), flags) : -EINVAL;
  }
  if (socket.family == AF_INET && !parsed->ip.is_v4()) {
    return -EAFNOSUPPORT;
  }
  const bool v6_only = take_v6_only(network, socket);
  if (v6_only && parsed->ip.is_v4()) {
    return -ENETUNREACH;
  }
  if (parsed->port == 0) {
    return -EINVAL;
  }
  const VirtualEndpoint to{parsed->ip, parsed->port};
  const auto own = socket.own();
  if (network.place_of(to.ip) == NetworkSpace::Place::kOutside) {
    if (!outside) {
      return -ENETUNREACH;
    }
    if (own && own->port != 0 && ns::parse_part(own->ip).part != ns::Part::kNone) {
      // Bound to a port by its number: it is realised at an address that leads nowhere else.
      return -ENETUNREACH;
    }
    filter_datagrams(socket, network.index(), true);
    mark_as_ours(socket);  // the kernel is about to give it a port at all addresses
    return send_to(socket, datagram, ns::to_socket_address(to, socket.family),
                   {datagram.control.begin(), datagram.control.end()}, flags);
  }
  if (!own || own->port == 0) {
    if (const int error = bind_datagrams(network, socket); error != 0) {
      return -error;
    }
  }
  std::vector<std::byte> control = without_packet_info(datagram.control);
  const HostEndpoint place = datagram_place(network, socket, to);
  if (const auto source = source_of(network, socket, to.ip, place)) {
    const auto front = with_source(socket, *source);
    control.insert(control.begin(), front.begin(), front.end());
  }
  return send_to(socket, datagram, ns::to_socket_address(place, socket.family), control, flags);
}

ns::SocketAddress shown_source(const NetworkSpace& network, const InetSocket& socket, const sockaddr_storage& source,
                               socklen_t size) {
  const auto parsed = ns::parse_socket_address(&source, size);
  if (!parsed) {
    return {source, size};
  }
  const auto ends = network.shown(socket.protocol, socket.own().value_or(HostEndpoint()), {parsed->ip, parsed->port});
  return ns::to_socket_address(ends.peer, source.ss_family);
}

void show_control(const NetworkSpace& network, std::span<std::byte> control) {
  const auto shown = [&](const IpAddress& ip) {
    const ns::PartAddress at = ns::parse_part(ip);
    if (at.part == ns::Part::kNone) {
      return ip;
    }
    const bool v6 = ns::is_v6(at.part);
    return ns::is_loopback(at.part) ? (v6 ? IpAddress::loopback6() : IpAddress::loopback4())
                                    : (v6 ? network.address6() : network.address4());
  };
  for_control(control, [&](int level, int type, std::span<std::byte> data) {
    if (level == IPPROTO_IP && type == IP_PKTINFO) {
      change<in_pktinfo>(data, [&](in_pktinfo& info) {
        set(info.ipi_spec_dst, shown(ip_of(info.ipi_spec_dst)));
        set(info.ipi_addr, shown(ip_of(info.ipi_addr)));
      });
    } else if (level == IPPROTO_IPV6 && type == IPV6_PKTINFO) {
      change<in6_pktinfo>(data, [&](in6_pktinfo& info) { set(info.ipi6_addr, shown(IpAddress::v6(info.ipi6_addr))); });
    } else if (level == IPPROTO_IP && type == IP_ORIGDSTADDR) {
      change<sockaddr_in>(data, [&](sockaddr_in& at) { set(at.sin_addr, shown(ip_of(at.sin_addr))); });
    } else if (level == IPPROTO_IPV6 && type == IPV6_ORIGDSTADDR) {
      change<sockaddr_in6>(data, [&](sockaddr_in6& at) { set(at.sin6_addr, shown(IpAddress::v6(at.sin6_addr))); });
    }
  });
}

}  // namespace beam::interpose
