#include "interpose/inet_socket.h"

#include <fcntl.h>
#include <linux/inet_diag.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <linux/sock_diag.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#ifndef IP_BIND_ADDRESS_NO_PORT
#define IP_BIND_ADDRESS_NO_PORT 24
#endif
#ifndef IPPROTO_MPTCP
#define IPPROTO_MPTCP 262
#endif

namespace beam::interpose {
namespace {

struct FoundOptions {
  bool marked = false;  // mark_as_ours
};

// struct inet_diag_sockopt, which is younger than some headers (Linux 5.10).
constexpr int kSocketOptions = 22;  // INET_DIAG_SOCKOPT
constexpr unsigned char kFreebind = 1U << 2U;
constexpr unsigned char kBindAddressNoPort = 1U << 0U;  // of the second byte

void read_options(const nlmsghdr* header, FoundOptions& options) {
  constexpr int kBefore = NLMSG_ALIGN(sizeof(inet_diag_msg));
  const auto* at = reinterpret_cast<const rtattr*>(static_cast<const char*>(NLMSG_DATA(header)) + kBefore);
  for (int left = static_cast<int>(NLMSG_PAYLOAD(header, 0)) - kBefore; RTA_OK(at, left); at = RTA_NEXT(at, left)) {
    if (at->rta_type == kSocketOptions && RTA_PAYLOAD(at) >= 2) {
      const auto* bits = static_cast<const unsigned char*>(RTA_DATA(at));
      options.marked = (bits[0] & kFreebind) != 0 && (bits[1] & kBindAddressNoPort) != 0;
    }
  }
}

// Asked of the kernel (sock_diag(7)) by both its ends.
std::optional<inet_diag_msg> find_socket(ns::Protocol protocol, const ns::HostEndpoint& own,
                                         const ns::HostEndpoint& peer, FoundOptions* options = nullptr) {
  thread_local const UniqueFd diag(::socket(AF_NETLINK, SOCK_DGRAM | SOCK_CLOEXEC, NETLINK_SOCK_DIAG));
  struct {
    nlmsghdr header{};
    inet_diag_req_v2 request{};
  } query;
  query.header.nlmsg_len = sizeof query;
  query.header.nlmsg_type = SOCK_DIAG_BY_FAMILY;
  query.header.nlmsg_flags = NLM_F_REQUEST;
  query.request.sdiag_family = AF_INET;
  query.request.sdiag_protocol = static_cast<std::uint8_t>(protocol);
  query.request.idiag_states = ~0U;
  query.request.id.idiag_sport = htons(own.port);
  query.request.id.idiag_dport = htons(peer.port);
  query.request.id.idiag_src[0] = htonl(own.ip.v4());
  query.request.id.idiag_dst[0] = htonl(peer.ip.v4());
  query.request.id.idiag_cookie[0] = query.request.id.idiag_cookie[1] = INET_DIAG_NOCOOKIE;
  if (::send(diag.get(), &query, sizeof query, 0) != sizeof query) {
    return std::nullopt;
  }
  alignas(nlmsghdr) char buffer[1024];
  const ssize_t got = ::recv(diag.get(), buffer, sizeof buffer, 0);
  const auto* header = reinterpret_cast<const nlmsghdr*>(buffer);
  if (got < 0 || !NLMSG_OK(header, static_cast<std::size_t>(got)) || header->nlmsg_type != SOCK_DIAG_BY_FAMILY) {
    return std::nullopt;
  }
  inet_diag_msg found{};
  std::memcpy(&found, NLMSG_DATA(header), sizeof found);
  if (options != nullptr) {
    read_options(header, *options);
  }
  return found;
}

}  // namespace

bool InetSocket::is_translated() const {
  return (family == AF_INET || family == AF_INET6) &&
         (protocol == IPPROTO_TCP || protocol == IPPROTO_UDP || protocol == IPPROTO_UDPLITE);
}

std::optional<ns::HostEndpoint> InetSocket::own() const {
  return ns::host_endpoint(fd.get(), ::getsockname);
}
std::optional<ns::HostEndpoint> InetSocket::peer() const {
  return ns::host_endpoint(fd.get(), ::getpeername);
}

bool InetSocket::is_blocking() const {
  return (::fcntl(fd.get(), F_GETFL) & O_NONBLOCK) == 0;
}

int InetSocket::option(int level, int name) const {
  int value = 0;
  socklen_t size = sizeof value;
  return ::getsockopt(fd.get(), level, name, &value, &size) == 0 ? value : -1;
}

std::uint64_t InetSocket::cookie() const {
  std::uint64_t value = 0;
  socklen_t size = sizeof value;
  ::getsockopt(fd.get(), SOL_SOCKET, SO_COOKIE, &value, &size);
  return value;
}

int InetSocket::bind(const ns::HostEndpoint& to) const {
  const auto address = ns::to_socket_address(to, family);
  return ::bind(fd.get(), address.raw(), address.size) == 0 ? 0 : errno;
}

ShortTimeout::ShortTimeout(const InetSocket& socket, int option)
    : fd_(socket.is_blocking() ? socket.fd.get() : -1), option_(option) {
  socklen_t size = sizeof before_;
  const timeval moment{0, 1};
  if (fd_ >= 0 && (::getsockopt(fd_, SOL_SOCKET, option_, &before_, &size) != 0 ||
                   ::setsockopt(fd_, SOL_SOCKET, option_, &moment, sizeof moment) != 0)) {
    fd_ = -1;
  }
}

ShortTimeout::~ShortTimeout() {
  if (fd_ >= 0) {
    ::setsockopt(fd_, SOL_SOCKET, option_, &before_, sizeof before_);
  }
}

InetSocket open_socket(UniqueFd fd, int& error) {
  InetSocket socket;
  socket.fd = std::move(fd);
  const int family = socket.option(SOL_SOCKET, SO_DOMAIN);
  if (family < 0) {
    error = errno;  // ENOTSOCK, or EBADF of one that was opened with O_PATH
    return socket;
  }
  error = 0;
  socket.family = family;
  if (family == AF_UNIX) {
    socket.type = socket.option(SOL_SOCKET, SO_TYPE);
  } else if (family == AF_INET || family == AF_INET6) {
    socket.type = socket.option(SOL_SOCKET, SO_TYPE);
    socket.protocol = socket.option(SOL_SOCKET, SO_PROTOCOL);
    if (socket.protocol == IPPROTO_MPTCP) {
      socket.protocol = IPPROTO_TCP;  // one space of ports
    }
  }
  return socket;
}

InetSocket open_socket(const AnswerCall& call, GuestFd fd, int& error) {
  UniqueFd copy = call.descriptor(fd, error);
  if (!copy) {
    error = -error;
    return {};
  }
  return open_socket(std::move(copy), error);
}

std::optional<uid_t> owner_of_peer(ns::Protocol protocol, const ns::HostEndpoint& own, const ns::HostEndpoint& peer) {
  // The socket that is asked for is the one at the other end.
  const auto found = find_socket(protocol, peer, own);
  // What is left of a socket in TIME_WAIT has no owner.
  return found && found->idiag_state != TCP_TIME_WAIT && found->idiag_inode != 0 ? std::optional(found->idiag_uid)
                                                                                 : std::nullopt;
}

Receiver receiver_at(ns::Protocol protocol, const ns::HostEndpoint& place, const ns::HostEndpoint& from) {
  const bool stream = protocol == IPPROTO_TCP;
  // Of UDP the kernel has the two ends the other way round (udp_dump_one, net/ipv4/udp_diag.c).
  FoundOptions options;
  const auto found = stream ? find_socket(protocol, place, from) : find_socket(protocol, from, place, &options);
  if (!found || (stream && found->idiag_state != TCP_LISTEN)) {
    return Receiver::kNobody;
  }
  ns::IpAddress at;
  if (found->idiag_family == AF_INET) {
    at = ns::IpAddress::v4(ntohl(found->id.idiag_src[0]));
  } else {
    std::memcpy(at.bytes.data(), found->id.idiag_src, at.bytes.size());
  }
  if (at == place.ip) {
    return found->idiag_uid != ::getuid()    ? Receiver::kForeign
           : found->idiag_family == AF_INET6 ? Receiver::kSix
                                             : Receiver::kFour;
  }
  return options.marked && found->idiag_uid == ::getuid() ? Receiver::kAny : Receiver::kOther;
}

bool is_served(ns::Protocol protocol, const ns::HostEndpoint& place, bool six, const ns::HostEndpoint& from) {
  const Receiver receiver = receiver_at(protocol, place, from);
  return receiver == Receiver::kSix || (receiver == Receiver::kFour && !six);
}

void mark_as_ours(const InetSocket& socket) {
  const int on = 1;
  for (const int option : {IP_FREEBIND, IP_BIND_ADDRESS_NO_PORT}) {
    ::setsockopt(socket.fd.get(), IPPROTO_IP, option, &on, sizeof on);
  }
}

}  // namespace beam::interpose
