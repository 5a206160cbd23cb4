// The network view in an image: what a sandbox has bound, and the addresses of its sockets, which are those of this
// workstation that realise the sandbox's (ns/host_addresses.h). A thaw has others, so each is carried over.
#pragma once

#include "base/result.h"
#include "migrate/kinds/inet.h"
#include "migrate/socket_options.h"
#include "migrate/state.h"
#include "ns/network_space.h"

namespace beam::migrate {

[[nodiscard]] NetworkState collect_network(const ns::NetworkSpace* network);
// Before any socket is made. kDamaged where an address has not its length.
[[nodiscard]] Result<> restore_network(ns::NetworkSpace* network, const NetworkState& state);
// An address of the image, as it is now. Null: it stays what it is.
void carry_over(const ns::NetworkSpace* network, InetAddress& address);

// IPV6_V6ONLY of a socket of a sandbox with a network of its own is kept by the view, and only shows in the options
// that an image has of it.
void collect_v6_only(const ns::NetworkSpace* network, int fd, SocketOptions& options);
void forget_v6_only(SocketOptions& options);
void restore_v6_only(ns::NetworkSpace* network, int fd, const SocketOptions& options);
// A datagram socket at all of the workstation's addresses is known as a sandbox's (interpose::mark_as_ours); those of
// older images are not.
void mark_datagrams(const ns::NetworkSpace* network, int fd);
// The filter of a datagram socket that the network view has given it names the addresses of then.
void carry_over_filter(const ns::NetworkSpace* network, SocketOptions& options);

}  // namespace beam::migrate
