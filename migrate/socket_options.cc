#include "migrate/socket_options.h"

#include <linux/filter.h>
#include <net/if.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <netinet/udp.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>

#include "base/log.h"
#include "migrate/codec.h"
#include "migrate/object_kind.h"

namespace beam::migrate {
namespace {

// Newer than Debian 12's headers (asm-generic/socket.h, linux/tcp.h, linux/in.h).
constexpr int kSoPassPidfd = 76;
constexpr int kSoPassRights = 83;
constexpr int kSoBufLock = 72;
constexpr int kSoReserveMem = 73;
constexpr int kSoTxRehash = 74;
constexpr int kSoRcvMark = 75;
constexpr int kSoRcvPriority = 82;
constexpr int kIpLocalPortRange = 51;
constexpr int kTcpRtoMaxMs = 44;

using enum OptionTime;

struct KnownOption {
  int level;
  int option;
  const char* name;
  OptionTime when;
};

#define OPTION(level, option, when) \
  KnownOption {                     \
    level, option, #option, when    \
  }

// Each applies to the sockets that have it: others answer ENOPROTOOPT or the like, and it is left out.
constexpr KnownOption kKnown[] = {
    OPTION(SOL_SOCKET, SO_REUSEADDR, kBeforeNames),
    OPTION(SOL_SOCKET, SO_REUSEPORT, kBeforeNames),
    OPTION(SOL_SOCKET, SO_BINDTODEVICE, kBeforeNames),
    OPTION(SOL_SOCKET, SO_DONTROUTE, kBeforeNames),
    OPTION(SOL_SOCKET, SO_BROADCAST, kBeforeNames),
    OPTION(SOL_SOCKET, SO_OOBINLINE, kBeforeNames),
    OPTION(SOL_SOCKET, SO_KEEPALIVE, kAtEnd),
    OPTION(SOL_SOCKET, SO_PRIORITY, kAtEnd),
    OPTION(SOL_SOCKET, SO_LINGER, kAtEnd),
    OPTION(SOL_SOCKET, SO_RCVLOWAT, kAtEnd),
    OPTION(SOL_SOCKET, SO_RCVTIMEO, kAtEnd),
    OPTION(SOL_SOCKET, SO_SNDTIMEO, kAtEnd),
    OPTION(SOL_SOCKET, SO_PASSCRED, kAtEnd),
    OPTION(SOL_SOCKET, SO_PASSSEC, kAtEnd),
    OPTION(SOL_SOCKET, kSoPassPidfd, kAtEnd),
    OPTION(SOL_SOCKET, kSoPassRights, kAtEnd),
    OPTION(SOL_SOCKET, SO_PEEK_OFF, kAtEnd),
    OPTION(SOL_SOCKET, SO_TIMESTAMP_OLD, kAtEnd),
    OPTION(SOL_SOCKET, SO_TIMESTAMPNS_OLD, kAtEnd),
    OPTION(SOL_SOCKET, SO_TIMESTAMPING_OLD, kAtEnd),
    OPTION(SOL_SOCKET, SO_TIMESTAMP_NEW, kAtEnd),
    OPTION(SOL_SOCKET, SO_TIMESTAMPNS_NEW, kAtEnd),
    OPTION(SOL_SOCKET, SO_TIMESTAMPING_NEW, kAtEnd),
    OPTION(SOL_SOCKET, SO_RXQ_OVFL, kAtEnd),
    OPTION(SOL_SOCKET, SO_INCOMING_CPU, kAtEnd),
    OPTION(SOL_SOCKET, SO_MARK, kBeforeNames),
    OPTION(SOL_SOCKET, SO_NOFCS, kAtEnd),
    OPTION(SOL_SOCKET, SO_NO_CHECK, kAtEnd),
    OPTION(SOL_SOCKET, SO_SELECT_ERR_QUEUE, kAtEnd),
    OPTION(SOL_SOCKET, SO_BUSY_POLL, kAtEnd),
    OPTION(SOL_SOCKET, SO_MAX_PACING_RATE, kAtEnd),
    OPTION(SOL_SOCKET, SO_ZEROCOPY, kAtEnd),
    OPTION(SOL_SOCKET, SO_TXTIME, kAtEnd),
    OPTION(SOL_SOCKET, kSoReserveMem, kAtEnd),
    OPTION(SOL_SOCKET, kSoTxRehash, kAtEnd),
    OPTION(SOL_SOCKET, kSoRcvMark, kAtEnd),
    OPTION(SOL_SOCKET, kSoRcvPriority, kAtEnd),

    OPTION(IPPROTO_IP, IP_TOS, kBeforeNames),
    OPTION(IPPROTO_IP, IP_TTL, kBeforeNames),
    OPTION(IPPROTO_IP, IP_FREEBIND, kBeforeNames),
    OPTION(IPPROTO_IP, IP_TRANSPARENT, kBeforeNames),
    OPTION(IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, kBeforeNames),
    OPTION(IPPROTO_IP, kIpLocalPortRange, kBeforeNames),
    OPTION(IPPROTO_IP, IP_MTU_DISCOVER, kBeforeNames),
    OPTION(IPPROTO_IP, IP_RECVERR, kAtEnd),
    OPTION(IPPROTO_IP, IP_PKTINFO, kAtEnd),
    OPTION(IPPROTO_IP, IP_RECVTTL, kAtEnd),
    OPTION(IPPROTO_IP, IP_RECVTOS, kAtEnd),
    OPTION(IPPROTO_IP, IP_RECVOPTS, kAtEnd),
    OPTION(IPPROTO_IP, IP_RETOPTS, kAtEnd),
    OPTION(IPPROTO_IP, IP_RECVORIGDSTADDR, kAtEnd),
    OPTION(IPPROTO_IP, IP_CHECKSUM, kAtEnd),
    OPTION(IPPROTO_IP, IP_RECVFRAGSIZE, kAtEnd),
    OPTION(IPPROTO_IP, IP_PASSSEC, kAtEnd),
    OPTION(IPPROTO_IP, IP_MINTTL, kAtEnd),
    OPTION(IPPROTO_IP, IP_NODEFRAG, kAtEnd),
    OPTION(IPPROTO_IP, IP_MULTICAST_TTL, kAtEnd),
    OPTION(IPPROTO_IP, IP_MULTICAST_LOOP, kAtEnd),
    OPTION(IPPROTO_IP, IP_MULTICAST_ALL, kAtEnd),
    OPTION(IPPROTO_IP, IP_UNICAST_IF, kAtEnd),

    OPTION(IPPROTO_IPV6, IPV6_V6ONLY, kBeforeNames),
    OPTION(IPPROTO_IPV6, IPV6_UNICAST_HOPS, kBeforeNames),
    OPTION(IPPROTO_IPV6, IPV6_TCLASS, kBeforeNames),
    OPTION(IPPROTO_IPV6, IPV6_FREEBIND, kBeforeNames),
    OPTION(IPPROTO_IPV6, IPV6_MTU_DISCOVER, kBeforeNames),
    OPTION(IPPROTO_IPV6, IPV6_DONTFRAG, kAtEnd),
    OPTION(IPPROTO_IPV6, IPV6_AUTOFLOWLABEL, kAtEnd),
    OPTION(IPPROTO_IPV6, IPV6_MULTICAST_HOPS, kAtEnd),
    OPTION(IPPROTO_IPV6, IPV6_MULTICAST_LOOP, kAtEnd),
    OPTION(IPPROTO_IPV6, IPV6_MULTICAST_IF, kAtEnd),
    OPTION(IPPROTO_IPV6, IPV6_MULTICAST_ALL, kAtEnd),
    OPTION(IPPROTO_IPV6, IPV6_UNICAST_IF, kAtEnd),
    OPTION(IPPROTO_IPV6, IPV6_RECVERR, kAtEnd),
    OPTION(IPPROTO_IPV6, IPV6_RECVPKTINFO, kAtEnd),
    OPTION(IPPROTO_IPV6, IPV6_RECVHOPLIMIT, kAtEnd),
    OPTION(IPPROTO_IPV6, IPV6_RECVTCLASS, kAtEnd),
    OPTION(IPPROTO_IPV6, IPV6_RECVPATHMTU, kAtEnd),
    OPTION(IPPROTO_IPV6, IPV6_RECVORIGDSTADDR, kAtEnd),
    OPTION(IPPROTO_IPV6, IPV6_MINHOPCOUNT, kAtEnd),

    OPTION(IPPROTO_TCP, TCP_NODELAY, kAtEnd),
    OPTION(IPPROTO_TCP, TCP_CORK, kAtEnd),
    OPTION(IPPROTO_TCP, TCP_MAXSEG, kBeforeNames),
    OPTION(IPPROTO_TCP, TCP_KEEPIDLE, kAtEnd),
    OPTION(IPPROTO_TCP, TCP_KEEPINTVL, kAtEnd),
    OPTION(IPPROTO_TCP, TCP_KEEPCNT, kAtEnd),
    OPTION(IPPROTO_TCP, TCP_SYNCNT, kAtEnd),
    OPTION(IPPROTO_TCP, TCP_LINGER2, kAtEnd),
    OPTION(IPPROTO_TCP, TCP_DEFER_ACCEPT, kAtEnd),
    OPTION(IPPROTO_TCP, TCP_WINDOW_CLAMP, kAtEnd),
    OPTION(IPPROTO_TCP, TCP_CONGESTION, kBeforeNames),
    OPTION(IPPROTO_TCP, TCP_USER_TIMEOUT, kAtEnd),
    OPTION(IPPROTO_TCP, TCP_FASTOPEN, kAtEnd),
    OPTION(IPPROTO_TCP, TCP_FASTOPEN_CONNECT, kBeforeNames),
    OPTION(IPPROTO_TCP, TCP_FASTOPEN_NO_COOKIE, kBeforeNames),
    OPTION(IPPROTO_TCP, TCP_NOTSENT_LOWAT, kAtEnd),
    OPTION(IPPROTO_TCP, TCP_SAVE_SYN, kBeforeNames),
    OPTION(IPPROTO_TCP, TCP_THIN_LINEAR_TIMEOUTS, kAtEnd),
    OPTION(IPPROTO_TCP, TCP_INQ, kAtEnd),
    OPTION(IPPROTO_TCP, TCP_TX_DELAY, kAtEnd),
    OPTION(IPPROTO_TCP, kTcpRtoMaxMs, kAtEnd),

    OPTION(IPPROTO_UDP, UDP_CORK, kAtEnd),
    OPTION(IPPROTO_UDP, UDP_NO_CHECK6_TX, kAtEnd),
    OPTION(IPPROTO_UDP, UDP_NO_CHECK6_RX, kAtEnd),
    OPTION(IPPROTO_UDP, UDP_SEGMENT, kAtEnd),
    OPTION(IPPROTO_UDP, UDP_GRO, kAtEnd),
};

const KnownOption* find_known(const SocketOption& option) {
  const auto* found = std::find_if(std::begin(kKnown), std::end(kKnown), [&](const KnownOption& known) {
    return known.level == option.level && known.option == option.option;
  });
  return found == std::end(kKnown) ? nullptr : found;
}

// Read from a connection, these are what has come of it, which need not be what may be set (tcp(7), ipv6(7)).
bool follows_connection(const SocketOption& option) {
  return (option.level == IPPROTO_TCP && (option.option == TCP_MAXSEG || option.option == TCP_WINDOW_CLAMP)) ||
         (option.level == IPPROTO_IPV6 && option.option == IPV6_V6ONLY);
}

// These a stream socket shows, but takes from nobody.
bool for_datagrams_only(const KnownOption& known) {
  switch (known.option) {
    case IP_MULTICAST_TTL:
    case IP_MULTICAST_LOOP:
    case IP_MULTICAST_ALL:
      return known.level == IPPROTO_IP;
    case IPV6_MULTICAST_HOPS:
    case IPV6_MULTICAST_LOOP:
    case IPV6_MULTICAST_IF:
    case IPV6_MULTICAST_ALL:
      return known.level == IPPROTO_IPV6;
    default:
      return false;
  }
}

std::optional<std::vector<std::uint8_t>> get(int fd, int level, int option) {
  std::vector<std::uint8_t> value(64);
  socklen_t size = static_cast<socklen_t>(value.size());
  if (::getsockopt(fd, level, option, value.data(), &size) != 0 || size > value.size()) {
    return std::nullopt;
  }
  value.resize(size);
  return value;
}

bool set_int(int fd, int level, int option, int value) {
  return ::setsockopt(fd, level, option, &value, sizeof value) == 0;
}

// The kernel doubles what is asked for, for its own bookkeeping, and bounds it by net.core.[rw]mem_max (socket(7)).
void set_buffer(int fd, int option, int force, std::int32_t wanted) {
  if (socket_option(fd, SOL_SOCKET, option) == wanted) {
    return;
  }
  if (!set_int(fd, SOL_SOCKET, option, wanted / 2) || socket_option(fd, SOL_SOCKET, option) < wanted) {
    set_int(fd, SOL_SOCKET, force, wanted / 2);
  }
  if (const int now = socket_option(fd, SOL_SOCKET, option); now < wanted) {
    BEAM_LOG_WARN(kMigrate, "a socket's buffer of {} bytes could only be made {}: see net.core.rmem_max and wmem_max",
                  wanted, now);
  }
}

Result<> set_filter(int fd, const SocketOptions& options) {
  if (options.filter.empty()) {
    return success();
  }
  if (options.filter.size() % sizeof(sock_filter) != 0 || options.filter.size() / sizeof(sock_filter) > BPF_MAXINSNS) {
    return Error(kDamaged, "the filter of a socket");
  }
  std::vector<sock_filter> code(options.filter.size() / sizeof(sock_filter));
  std::memcpy(code.data(), options.filter.data(), options.filter.size());
  const sock_fprog program{static_cast<unsigned short>(code.size()), code.data()};
  if (::setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof program) != 0) {
    return Error::from_errno("attach the filter of a socket");
  }
  if (options.filter_locked && !set_int(fd, SOL_SOCKET, SO_LOCK_FILTER, 1)) {
    return Error::from_errno("lock the filter of a socket");
  }
  return success();
}

}  // namespace

int socket_option(int fd, int level, int option, int otherwise) {
  int value = otherwise;
  socklen_t size = sizeof value;
  return ::getsockopt(fd, level, option, &value, &size) == 0 ? value : otherwise;
}

Result<SocketOptions> read_socket_options(int fd) {
  SocketOptions options;
  const bool stream = socket_option(fd, SOL_SOCKET, SO_TYPE) == SOCK_STREAM;
  for (const KnownOption& known : kKnown) {
    if (stream && for_datagrams_only(known)) {
      continue;
    }
    if (auto value = get(fd, known.level, known.option)) {
      options.list.push_back({known.level, known.option, std::move(*value)});
    }
  }
  options.send_buffer = socket_option(fd, SOL_SOCKET, SO_SNDBUF);
  options.receive_buffer = socket_option(fd, SOL_SOCKET, SO_RCVBUF);
  options.buffers_set = socket_option(fd, SOL_SOCKET, kSoBufLock, 3);
  // The length of a filter counts instructions (net/core/filter.c sk_get_filter).
  std::vector<sock_filter> code(BPF_MAXINSNS);
  socklen_t instructions = BPF_MAXINSNS;
  if (::getsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, code.data(), &instructions) == 0) {
    options.filter.resize(instructions * sizeof(sock_filter));
    std::memcpy(options.filter.data(), code.data(), options.filter.size());
  } else if (errno == EACCES) {
    return Error(kObstacle, "its filter is an eBPF program, which can't be read back");
  }
  options.filter_locked = socket_option(fd, SOL_SOCKET, SO_LOCK_FILTER) != 0;
  return options;
}

Result<> set_socket_options(int fd, const SocketOptions& options, OptionTime when) {
  for (const SocketOption& option : options.list) {
    const KnownOption* known = find_known(option);
    if (known == nullptr) {
      return Error(kDamaged, "option " + std::to_string(option.option) + " of a socket");
    }
    if (known->when != when || get(fd, option.level, option.option) == option.value) {
      continue;
    }
    if (::setsockopt(fd, option.level, option.option, option.value.data(),
                     static_cast<socklen_t>(option.value.size())) != 0 &&
        !follows_connection(option)) {
      return Error::from_errno(std::string("set ") + known->name + " of a socket");
    }
  }
  if (when == OptionTime::kAtEnd) {
    // One that neither the program nor widen_socket_buffers() has set, the kernel sizes as it likes (tcp(7)).
    const int set = options.buffers_set | socket_option(fd, SOL_SOCKET, kSoBufLock);
    if ((set & 1) != 0) {
      set_buffer(fd, SO_SNDBUF, SO_SNDBUFFORCE, options.send_buffer);
    }
    if ((set & 2) != 0) {
      set_buffer(fd, SO_RCVBUF, SO_RCVBUFFORCE, options.receive_buffer);
    }
    set_int(fd, SOL_SOCKET, kSoBufLock, options.buffers_set);
    return set_filter(fd, options);
  }
  return success();
}

void widen_socket_buffers(int fd) {
  constexpr int kLarge = 16 << 20;
  for (const auto& [option, force] : {std::pair{SO_SNDBUF, SO_SNDBUFFORCE}, std::pair{SO_RCVBUF, SO_RCVBUFFORCE}}) {
    if (!set_int(fd, SOL_SOCKET, force, kLarge)) {
      set_int(fd, SOL_SOCKET, option, kLarge);
    }
  }
}

}  // namespace beam::migrate
