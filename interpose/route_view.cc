#include "interpose/route_view.h"

#include <linux/if_addr.h>
#include <linux/if_link.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <sys/socket.h>

#include <algorithm>
#include <cstring>
#include <string>

#include "ns/interfaces.h"

namespace beam::interpose {
namespace {

using ns::Interface;
using ns::IpAddress;

constexpr std::uint8_t kUp = 6;         // IF_OPER_UP, linux/if.h, which can't be had beside net/if.h
constexpr std::uint8_t kUnknown = 0;    // IF_OPER_UNKNOWN
constexpr unsigned kLowerUp = 1 << 16;  // IFF_LOWER_UP, likewise

// Messages of a list, one behind the other.
class MessageWriter {
 public:
  MessageWriter(std::uint32_t sequence, std::uint32_t port, unsigned flags)
      : sequence_(sequence), port_(port), flags_(flags) {}

  template <typename Body>
  void begin(std::uint16_t type, const Body& body) {
    at_ = bytes_.size();
    nlmsghdr header{};
    header.nlmsg_type = type;
    header.nlmsg_flags = static_cast<std::uint16_t>(flags_);
    header.nlmsg_seq = sequence_;
    header.nlmsg_pid = port_;
    append(&header, sizeof header);
    append(&body, sizeof body);
  }
  void attribute(std::uint16_t type, const void* data, std::size_t size) {
    rtattr header{};
    header.rta_type = type;
    header.rta_len = static_cast<unsigned short>(RTA_LENGTH(size));
    append(&header, sizeof header);
    append(data, size);
  }
  template <typename T>
  void attribute(std::uint16_t type, const T& value) {
    attribute(type, &value, sizeof value);
  }
  void text(std::uint16_t type, const std::string& value) { attribute(type, value.c_str(), value.size() + 1); }
  void address(std::uint16_t type, const IpAddress& ip) {
    const std::size_t from = ip.is_v4() ? 12 : 0;
    attribute(type, ip.bytes.data() + from, ip.bytes.size() - from);
  }
  void end() {
    const auto size = static_cast<std::uint32_t>(bytes_.size() - at_);
    std::memcpy(bytes_.data() + at_ + offsetof(nlmsghdr, nlmsg_len), &size, sizeof size);
  }
  std::vector<std::byte> take() { return std::move(bytes_); }

 private:
  void append(const void* data, std::size_t size) {
    const auto* bytes = static_cast<const std::byte*>(data);
    bytes_.insert(bytes_.end(), bytes, bytes + size);
    bytes_.resize(NLMSG_ALIGN(bytes_.size()));
  }
  std::uint32_t sequence_;
  std::uint32_t port_;
  unsigned flags_;
  std::size_t at_ = 0;
  std::vector<std::byte> bytes_;
};

void write_link(MessageWriter& out, const Interface& interface) {
  ifinfomsg body{};
  body.ifi_type = interface.type;
  body.ifi_index = interface.index;
  body.ifi_flags = interface.flags | kLowerUp;
  out.begin(RTM_NEWLINK, body);
  out.text(IFLA_IFNAME, interface.name);
  out.attribute(IFLA_TXQLEN, std::uint32_t{1000});
  out.attribute(IFLA_OPERSTATE, interface.is_loopback() ? kUnknown : kUp);
  out.attribute(IFLA_LINKMODE, std::uint8_t{0});
  out.attribute(IFLA_MTU, interface.mtu);
  out.attribute(IFLA_GROUP, std::uint32_t{0});
  out.attribute(IFLA_CARRIER, std::uint8_t{1});
  out.text(IFLA_QDISC, "noqueue");
  out.attribute(IFLA_ADDRESS, interface.hardware.data(), interface.hardware.size());
  std::array<std::uint8_t, 6> all{};
  all.fill(interface.is_loopback() ? 0 : 0xff);
  out.attribute(IFLA_BROADCAST, all.data(), all.size());
  out.attribute(IFLA_STATS64, rtnl_link_stats64{});
  out.attribute(IFLA_STATS, rtnl_link_stats{});
  out.end();
}

void write_address(MessageWriter& out, const Interface& interface, const ns::InterfaceAddress& address) {
  const bool v4 = address.ip.is_v4();
  ifaddrmsg body{};
  body.ifa_family = v4 ? AF_INET : AF_INET6;
  body.ifa_prefixlen = static_cast<std::uint8_t>(address.prefix_length);
  body.ifa_flags = IFA_F_PERMANENT;
  body.ifa_scope = interface.is_loopback() ? RT_SCOPE_HOST : RT_SCOPE_UNIVERSE;
  body.ifa_index = static_cast<unsigned>(interface.index);
  out.begin(RTM_NEWADDR, body);
  out.address(IFA_ADDRESS, address.ip);
  if (v4) {
    out.address(IFA_LOCAL, address.ip);
    if (!interface.is_loopback()) {
      out.address(IFA_BROADCAST, IpAddress::v4(interface.broadcast()));
    }
    out.text(IFA_LABEL, interface.name);
  }
  out.attribute(IFA_FLAGS, std::uint32_t{IFA_F_PERMANENT});
  const ifa_cacheinfo for_ever{~0U, ~0U, 0, 0};
  out.attribute(IFA_CACHEINFO, for_ever);
  out.end();
}

void write_route(MessageWriter& out, const Interface& interface, const ns::InterfaceAddress& address, bool whole) {
  const bool v4 = address.ip.is_v4();
  rtmsg body{};
  body.rtm_family = v4 ? AF_INET : AF_INET6;
  body.rtm_dst_len = static_cast<std::uint8_t>(whole ? 0 : address.prefix_length);
  body.rtm_table = RT_TABLE_MAIN;
  body.rtm_protocol = whole ? RTPROT_BOOT : RTPROT_KERNEL;
  body.rtm_scope = RT_SCOPE_LINK;
  body.rtm_type = RTN_UNICAST;
  out.begin(RTM_NEWROUTE, body);
  out.attribute(RTA_TABLE, std::uint32_t{RT_TABLE_MAIN});
  if (!whole) {
    IpAddress net = address.ip;
    const int first = (v4 ? 96 : 0) + address.prefix_length;
    for (int bit = first; bit < 128; ++bit) {
      net.bytes[static_cast<std::size_t>(bit / 8)] &= static_cast<std::uint8_t>(~(0x80 >> (bit % 8)));
    }
    out.address(RTA_DST, net);
    if (v4) {
      out.address(RTA_PREFSRC, address.ip);
    }
  }
  out.attribute(RTA_OIF, static_cast<std::uint32_t>(interface.index));
  out.end();
}

bool is_of_interest(std::uint16_t type) {
  return type == RTM_NEWLINK || type == RTM_NEWADDR || type == RTM_NEWROUTE;
}

}  // namespace

bool RouteView::is_about(const InetSocket& socket) {
  return socket.family == AF_NETLINK && socket.option(SOL_SOCKET, SO_PROTOCOL) == NETLINK_ROUTE;
}

std::vector<std::byte> RouteView::list(const Listing& listing, std::uint32_t port) const {
  MessageWriter out(listing.sequence, port, NLM_F_MULTI);
  for (const Interface& interface : ns::interfaces(network_)) {
    if (listing.type == RTM_NEWLINK) {
      write_link(out, interface);
    } else if (listing.type == RTM_NEWADDR) {
      if (listing.v4) {
        write_address(out, interface, interface.address4);
      }
      if (listing.v6) {
        write_address(out, interface, interface.address6);
      }
    } else if (listing.type == RTM_NEWROUTE && !interface.is_loopback()) {
      if (listing.v4) {
        write_route(out, interface, interface.address4, true);
        write_route(out, interface, interface.address4, false);
      }
      if (listing.v6) {
        write_route(out, interface, interface.address6, false);
      }
    }
  }
  return out.take();
}

// The answer to a question about one thing.
std::vector<std::byte> RouteView::one(std::span<const std::byte> message) const {
  nlmsghdr header{};
  std::memcpy(&header, message.data(), sizeof header);
  const auto own = ns::interfaces(network_).back();
  if (header.nlmsg_type == RTM_NEWLINK && message.size() >= NLMSG_LENGTH(sizeof(ifinfomsg))) {
    ifinfomsg body{};
    std::memcpy(&body, message.data() + NLMSG_HDRLEN, sizeof body);
    MessageWriter out(header.nlmsg_seq, header.nlmsg_pid, 0);
    if (const auto interface = ns::find_interface(network_, body.ifi_index)) {
      write_link(out, *interface);
    }
    return out.take();
  }
  std::vector<std::byte> copy(message.begin(), message.end());
  std::size_t at = NLMSG_LENGTH(sizeof(rtmsg));
  while (header.nlmsg_type == RTM_NEWROUTE && at + sizeof(rtattr) <= copy.size()) {
    rtattr attribute{};
    std::memcpy(&attribute, copy.data() + at, sizeof attribute);
    if (attribute.rta_len < sizeof attribute || attribute.rta_len > copy.size() - at) {
      break;
    }
    const std::size_t size = RTA_PAYLOAD(&attribute);
    if (attribute.rta_type == RTA_PREFSRC && (size == 4 || size == 16)) {
      const IpAddress& ip = size == 4 ? own.address4.ip : own.address6.ip;
      std::memcpy(copy.data() + at + RTA_LENGTH(0), ip.bytes.data() + ip.bytes.size() - size, size);
    }
    at += RTA_ALIGN(attribute.rta_len);
  }
  return copy;
}

std::vector<std::byte> RouteView::shown(const InetSocket& socket, std::span<const std::byte> answer, std::size_t room) {
  const std::lock_guard lock(mutex_);
  const std::uint64_t cookie = socket.cookie();
  Listing& listing = listings_[cookie];
  std::vector<std::byte> kept;
  const auto keep = [&](std::span<const std::byte> message) {
    if (kept.size() + NLMSG_ALIGN(message.size()) <= room) {
      kept.insert(kept.end(), message.begin(), message.end());
      kept.resize(NLMSG_ALIGN(kept.size()));
    }
  };
  std::size_t at = 0;
  bool done = false;
  while (at + sizeof(nlmsghdr) <= answer.size()) {
    nlmsghdr header{};
    std::memcpy(&header, answer.data() + at, sizeof header);
    if (header.nlmsg_len < sizeof header || header.nlmsg_len > answer.size() - at) {
      break;
    }
    const auto message = answer.subspan(at, header.nlmsg_len);
    at += std::min<std::size_t>(NLMSG_ALIGN(header.nlmsg_len), answer.size() - at);
    if (header.nlmsg_seq != listing.sequence) {
      listing = {0, header.nlmsg_seq, false, false};
    }
    if (header.nlmsg_type == NLMSG_DONE) {
      keep(list(listing, header.nlmsg_pid));
      keep(message);
      done = true;
    } else if (!is_of_interest(header.nlmsg_type)) {
      keep(message);
    } else if ((header.nlmsg_flags & NLM_F_MULTI) == 0) {
      keep(one(message));
    } else {
      listing.type = header.nlmsg_type;
      const auto family = message.size() > NLMSG_HDRLEN ? std::to_integer<int>(message[NLMSG_HDRLEN]) : AF_UNSPEC;
      listing.v4 = listing.v4 || family == AF_INET;
      listing.v6 = listing.v6 || family == AF_INET6;
    }
  }
  if (done || listing.type == 0) {
    listings_.erase(cookie);
  }
  if (kept.empty() && !answer.empty()) {
    // Nothing is no answer; this one is nobody's.
    nlmsghdr nothing{};
    nothing.nlmsg_len = sizeof nothing;
    nothing.nlmsg_type = NLMSG_NOOP;
    const auto* bytes = reinterpret_cast<const std::byte*>(&nothing);
    kept.assign(bytes, bytes + std::min(sizeof nothing, room));
  }
  return kept;
}

}  // namespace beam::interpose
