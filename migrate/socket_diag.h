// What the kernel tells about sockets only through sock_diag(7): who is connected with whom, and who waits to be
// accepted.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <vector>

#include "base/result.h"

namespace beam::migrate {

struct UnixDiag {
  std::uint8_t type = 0;      // SOCK_*
  std::uint8_t state = 0;     // TCP_ESTABLISHED, TCP_LISTEN, TCP_CLOSE
  std::uint8_t shutdown = 0;  // 1: receives nothing more, 2: sends nothing more
  // The inode of the socket that this one is connected to; 0: one that is closed, or not accepted yet.
  std::optional<std::uint64_t> peer;
  // Of a listening socket: the inodes of the clients that wait to be accepted, in order; 0: a client that is closed.
  std::vector<std::uint64_t> pending;
  std::uint32_t backlog = 0;
  std::uint64_t file = 0;  // the inode of the file that it is bound to; 0: none
};

// All UNIX sockets of this network namespace, by inode.
[[nodiscard]] Result<std::map<std::uint64_t, UnixDiag>> unix_diag();

}  // namespace beam::migrate
