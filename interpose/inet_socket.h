// Sockets of the internet families in the hands of the supervisor: what one is, where it is bound and connected on this
// workstation, and who owns its other end.
#pragma once

#include <sys/time.h>

#include <cstdint>
#include <optional>

#include "base/unique_fd.h"
#include "interpose/call.h"
#include "ns/network_space.h"

namespace beam::interpose {

// A copy of a program's socket: the same open file.
struct InetSocket {
  UniqueFd fd;
  int family = 0;
  int type = 0;
  ns::Protocol protocol = 0;

  // A transport whose addresses the network view translates.
  [[nodiscard]] bool is_translated() const;
  [[nodiscard]] bool is_stream() const { return type == SOCK_STREAM; }
  [[nodiscard]] bool is_datagram() const { return type == SOCK_DGRAM; }
  // Unbound: port 0. Nothing when the kernel does not say.
  [[nodiscard]] std::optional<ns::HostEndpoint> own() const;
  // Nothing when it is not connected.
  [[nodiscard]] std::optional<ns::HostEndpoint> peer() const;
  [[nodiscard]] bool is_blocking() const;
  [[nodiscard]] int option(int level, int name) const;  // -1 when there is none
  [[nodiscard]] std::uint64_t cookie() const;
  // 0 or an errno value.
  [[nodiscard]] int bind(const ns::HostEndpoint& to) const;
};

// While it lives, a call on a socket that waits (SO_SNDTIMEO for connect(2), SO_RCVTIMEO for accept(2)) does so for one
// tick of the kernel's: the caller's signals have to reach it. Nothing of a socket that doesn't wait.
class ShortTimeout {
 public:
  ShortTimeout(const InetSocket& socket, int option);
  ~ShortTimeout();
  ShortTimeout(const ShortTimeout&) = delete;
  ShortTimeout& operator=(const ShortTimeout&) = delete;

 private:
  int fd_;
  int option_;
  timeval before_{};
};

// Any descriptor of the caller that is a socket; `error` is the errno value when it is none.
[[nodiscard]] InetSocket open_socket(const AnswerCall& call, GuestFd fd, int& error);
[[nodiscard]] InetSocket open_socket(UniqueFd fd, int& error);

// Who has made the socket that is connected from `peer` to `own`, asked of the kernel (sock_diag(7)). Nothing when
// there is none any more.
[[nodiscard]] std::optional<uid_t> owner_of_peer(ns::Protocol protocol, const ns::HostEndpoint& own,
                                                 const ns::HostEndpoint& peer);

// Who takes what comes for a place, connections or datagrams, asked of the kernel (sock_diag(7)). `from`: where
// datagrams are to come from, as a socket that is connected takes none but its peer's.
enum class Receiver {
  kNobody,
  kOther,    // a socket at all of the workstation's addresses, or another user's there
  kForeign,  // another user's at that very place
  kAny,      // one of a sandbox that has its port at all of the workstation's addresses (mark_as_ours)
  kFour,     // one of this user's at that very place, of IPv4 alone
  kSix,      // likewise of IPv6, which may be bound to the addresses of both
};
[[nodiscard]] Receiver receiver_at(ns::Protocol protocol, const ns::HostEndpoint& place,
                                   const ns::HostEndpoint& from = {ns::IpAddress::v4(INADDR_ANY), 0});
// Whether somebody of this user's is bound to that very place. `six`: where an address of IPv6 leads there.
[[nodiscard]] bool is_served(ns::Protocol protocol, const ns::HostEndpoint& place, bool six,
                             const ns::HostEndpoint& from = {ns::IpAddress::v4(INADDR_ANY), 0});

// By two options that have no meaning for a socket with a port: sandboxes know each other's sockets by them where an
// address does not tell.
void mark_as_ours(const InetSocket& socket);

}  // namespace beam::interpose
