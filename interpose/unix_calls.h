// What bind(2) and connect(2) do to a UNIX socket where the sandbox has a mount view: its path is found there.
#pragma once

#include <sys/socket.h>
#include <sys/un.h>

#include <memory>
#include <string>

#include "interpose/call.h"
#include "interpose/inet_calls.h"
#include "interpose/socket_names.h"

namespace beam::interpose {

// Whether the address has a path; abstract and empty names are the kernel's business.
[[nodiscard]] bool unix_path(const AddressBytes& bytes, std::string& path);
[[nodiscard]] Answer bind_unix(const AnswerCall& call, const UniqueFd& socket, const std::string& path);
// What a path leads to, as the kernel has to be told.
struct UnixTarget {
  sockaddr_un address{};
  socklen_t size = 0;
  std::unique_ptr<SocketNames::Alias> alias;  // to be kept until the call has been made
};
// 0 or an errno value.
[[nodiscard]] int find_unix_target(Shared& shared, const Caller& caller, const std::string& path, UnixTarget& target);
// A connect is the caller's own: its peer sees who it is. So is a datagram.
[[nodiscard]] Rewrite connect_unix(RewriteCall& call, const std::string& path);
[[nodiscard]] Rewrite send_to_unix(RewriteCall& call, const std::string& path);
// The name that the program has given it, in place of the one that the kernel knows. Whether there is such a name.
bool show_unix_name(const Shared& shared, sockaddr_storage& name, socklen_t& length);

// The kernel gets a copy of an address, so that what it sees is what was looked at.
[[nodiscard]] Rewrite with_address_copy(RewriteCall& call, const AddressBytes& bytes);

}  // namespace beam::interpose
