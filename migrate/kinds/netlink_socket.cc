// Netlink sockets (netlink(7)) that wait for nothing: made again under their own port id, in their groups. What they
// would be told of the new workstation, a program has to ask as it had to of the old one.
#include <fcntl.h>
#include <linux/netlink.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cinttypes>
#include <cstdio>
#include <fstream>

#include "migrate/object_kind.h"
#include "migrate/socket_options.h"

namespace beam::migrate {

struct NetlinkOption {
  std::int32_t option = 0;
  std::int32_t value = 0;
};
BEAM_STATE(NetlinkOption, 1, option, value)

struct NetlinkSocketState {
  std::int32_t type = 0;
  std::int32_t protocol = 0;
  std::int32_t flags = 0;
  std::uint32_t port = 0;  // 0: not bound
  std::vector<std::uint32_t> groups;
  bool connected = false;
  std::uint32_t peer_port = 0;
  std::uint32_t peer_groups = 0;
  std::vector<NetlinkOption> netlink_options;
  SocketOptions options;
};
BEAM_STATE(NetlinkSocketState, 1, type, protocol, flags, port, groups, connected, peer_port, peer_groups,
           netlink_options, options)

namespace {

constexpr int kKeptFlags = O_NONBLOCK | O_ASYNC;
// Those of which a socket that waits for nothing has no more to it than what is kept here.
constexpr int kKnownProtocols[] = {NETLINK_ROUTE, NETLINK_SOCK_DIAG, NETLINK_KOBJECT_UEVENT, NETLINK_GENERIC,
                                   NETLINK_AUDIT, NETLINK_SELINUX,   NETLINK_CONNECTOR,      NETLINK_NETFILTER,
                                   NETLINK_XFRM,  NETLINK_USERSOCK,  NETLINK_FIB_LOOKUP,     NETLINK_CRYPTO};
constexpr int kOptions[] = {NETLINK_PKTINFO, NETLINK_BROADCAST_ERROR, NETLINK_NO_ENOBUFS,
                            NETLINK_CAP_ACK, NETLINK_EXT_ACK,         NETLINK_GET_STRICT_CHK};

// Whether an answer in several parts is under way (net/netlink/af_netlink.c netlink_native_seq_show).
bool is_dumping(ino_t inode) {
  std::ifstream file("/proc/net/netlink");
  std::string line;
  std::getline(file, line);
  while (std::getline(file, line)) {
    int dumping = 0;
    std::uint64_t number = 0;
    if (std::sscanf(line.c_str(), "%*s %*d %*u %*x %*d %*d %d %*d %*u %" SCNu64, &dumping, &number) == 2 &&
        number == inode) {
      return dumping != 0;
    }
  }
  return false;
}

class NetlinkSocket : public KindOf<NetlinkSocketState> {
 public:
  std::string_view name() const override { return "netlink_socket"; }
  bool recognises(const CollectContext& /*context*/, const OpenFile& file) const override {
    return S_ISSOCK(file.info.st_mode) && (file.flags & O_PATH) == 0 &&
           socket_option(file.copy.get(), SOL_SOCKET, SO_DOMAIN) == AF_NETLINK;
  }

 protected:
  Result<NetlinkSocketState> collect_state(CollectContext& /*context*/, const OpenFile& file) const override {
    const int fd = file.copy.get();
    NetlinkSocketState state;
    state.type = socket_option(fd, SOL_SOCKET, SO_TYPE);
    state.protocol = socket_option(fd, SOL_SOCKET, SO_PROTOCOL);
    if (std::find(std::begin(kKnownProtocols), std::end(kKnownProtocols), state.protocol) ==
        std::end(kKnownProtocols)) {
      return Error(kObstacle, "a netlink socket of protocol " + std::to_string(state.protocol) + " can't be frozen");
    }
    pollfd poll{fd, POLLIN, 0};
    if ((::poll(&poll, 1, 0) > 0 && (poll.revents & (POLLIN | POLLERR)) != 0) || is_dumping(file.info.st_ino)) {
      return Error(kObstacle, "a netlink socket with unread answers can't be frozen");
    }
    state.flags = file.flags & kKeptFlags;
    sockaddr_nl address{};
    socklen_t size = sizeof address;
    if (::getsockname(fd, reinterpret_cast<sockaddr*>(&address), &size) == 0) {
      state.port = address.nl_pid;
    }
    std::vector<std::uint32_t> words(64);
    size = static_cast<socklen_t>(words.size() * sizeof(std::uint32_t));
    if (::getsockopt(fd, SOL_NETLINK, NETLINK_LIST_MEMBERSHIPS, words.data(), &size) == 0) {
      words.resize(std::min<std::size_t>(words.size(), size / sizeof(std::uint32_t)));
      for (std::uint32_t i = 0; i < words.size() * 32; ++i) {
        if ((words[i / 32] >> (i % 32) & 1) != 0) {
          state.groups.push_back(i + 1);
        }
      }
    }
    size = sizeof address;
    if (::getpeername(fd, reinterpret_cast<sockaddr*>(&address), &size) == 0 &&
        (address.nl_pid != 0 || address.nl_groups != 0)) {
      state.connected = true;
      state.peer_port = address.nl_pid;
      state.peer_groups = address.nl_groups;
    }
    for (const int option : kOptions) {
      if (const int value = socket_option(fd, SOL_NETLINK, option, -1); value >= 0) {
        state.netlink_options.push_back({option, value});
      }
    }
    BEAM_TRY_ASSIGN(state.options, read_socket_options(fd));
    return state;
  }

  Result<UniqueFd> make_from(MakeContext& /*context*/, const NetlinkSocketState& state) const override {
    const bool known =
        std::find(std::begin(kKnownProtocols), std::end(kKnownProtocols), state.protocol) != std::end(kKnownProtocols);
    if (!known || (state.type != SOCK_RAW && state.type != SOCK_DGRAM)) {
      return Error(kDamaged, "a netlink socket of protocol " + std::to_string(state.protocol));
    }
    UniqueFd fd(::socket(AF_NETLINK, state.type | SOCK_CLOEXEC, state.protocol));
    if (!fd) {
      return Error::from_errno("make a netlink socket");
    }
    BEAM_TRY(set_socket_options(fd.get(), state.options, OptionTime::kBeforeNames));
    sockaddr_nl address{};
    address.nl_family = AF_NETLINK;
    address.nl_pid = state.port;
    if (state.port != 0 && ::bind(fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) != 0) {
      return Error::from_errno("bind a netlink socket to port id " + std::to_string(state.port));
    }
    for (const std::uint32_t group : state.groups) {
      if (::setsockopt(fd.get(), SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, &group, sizeof group) != 0) {
        return Error::from_errno("join netlink group " + std::to_string(group));
      }
    }
    if (state.connected) {
      address.nl_pid = state.peer_port;
      address.nl_groups = state.peer_groups;
      if (::connect(fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) != 0) {
        return Error::from_errno("connect a netlink socket to port id " + std::to_string(state.peer_port));
      }
    }
    for (const NetlinkOption& option : state.netlink_options) {
      if (socket_option(fd.get(), SOL_NETLINK, option.option, -1) != option.value &&
          ::setsockopt(fd.get(), SOL_NETLINK, option.option, &option.value, sizeof option.value) != 0) {
        return Error::from_errno("set option " + std::to_string(option.option) + " of a netlink socket");
      }
    }
    BEAM_TRY(set_socket_options(fd.get(), state.options, OptionTime::kAtEnd));
    if (::fcntl(fd.get(), F_SETFL, state.flags & kKeptFlags) != 0) {
      return Error::from_errno("set the flags of a netlink socket");
    }
    return fd;
  }
};

const KindRegistration kRegistration{std::make_unique<NetlinkSocket>()};

}  // namespace
}  // namespace beam::migrate
