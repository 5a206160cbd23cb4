// Sockets that no freeze can keep, refused by name.
#include <fcntl.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include "migrate/object_kind.h"
#include "migrate/socket_options.h"

namespace beam::migrate {

struct OtherSocketState {
  std::int32_t family = 0;
};
BEAM_STATE(OtherSocketState, 1, family)

namespace {

std::string family_name(int family) {
  switch (family) {
    case AF_PACKET:
      return "packet socket";
    case AF_VSOCK:
      return "vsock socket";
    case AF_ALG:
      return "socket of the kernel's ciphers (AF_ALG)";
    case AF_BLUETOOTH:
      return "Bluetooth socket";
    case AF_CAN:
      return "CAN socket";
    case AF_XDP:
      return "XDP socket";
    case AF_TIPC:
      return "TIPC socket";
    case AF_KEY:
      return "key management socket";
    default:
      return "socket of family " + std::to_string(family);
  }
}

std::string inet_name(int type, int protocol) {
  constexpr int kMptcp = 262;  // IPPROTO_MPTCP
  if (type == SOCK_RAW) {
    return "raw socket";
  }
  switch (protocol) {
    case IPPROTO_ICMP:
      return "ICMP socket";
    case IPPROTO_ICMPV6:
      return "ICMPv6 socket";
    case IPPROTO_UDPLITE:
      return "UDP-Lite socket";
    case IPPROTO_SCTP:
      return "SCTP socket";
    case IPPROTO_DCCP:
      return "DCCP socket";
    case kMptcp:
      return "multipath TCP socket";
    default:
      return "socket of IP protocol " + std::to_string(protocol);
  }
}

class OtherSocket : public KindOf<OtherSocketState> {
 public:
  std::string_view name() const override { return "other_socket"; }
  // Behind all kinds of sockets that are kept.
  int order() const override { return 1000; }
  bool recognises(const CollectContext& /*context*/, const OpenFile& file) const override {
    return S_ISSOCK(file.info.st_mode) && (file.flags & O_PATH) == 0;
  }

 protected:
  Result<OtherSocketState> collect_state(CollectContext& /*context*/, const OpenFile& file) const override {
    const int fd = file.copy.get();
    const int family = socket_option(fd, SOL_SOCKET, SO_DOMAIN);
    const bool inet = family == AF_INET || family == AF_INET6;
    const std::string what =
        inet ? inet_name(socket_option(fd, SOL_SOCKET, SO_TYPE), socket_option(fd, SOL_SOCKET, SO_PROTOCOL))
             : family_name(family);
    return Error(kObstacle, "a " + what + " can't be frozen");
  }
  Result<UniqueFd> make_from(MakeContext& /*context*/, const OtherSocketState& /*state*/) const override {
    return Error(kDamaged, "a socket that can't be frozen");
  }
};

const KindRegistration kRegistration{std::make_unique<OtherSocket>()};

}  // namespace
}  // namespace beam::migrate
