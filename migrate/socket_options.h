// Options of sockets (socket(7), ip(7), ipv6(7), tcp(7), udp(7)): read at freeze, set at thaw where a new socket's
// differ.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/result.h"
#include "migrate/fields.h"

namespace beam::migrate {

struct SocketOption {
  std::int32_t level = 0;
  std::int32_t option = 0;
  std::vector<std::uint8_t> value;
};
BEAM_STATE(SocketOption, 1, level, option, value)

struct SocketOptions {
  std::vector<SocketOption> list;
  std::int32_t send_buffer = 0;      // SO_SNDBUF as the kernel shows it
  std::int32_t receive_buffer = 0;   // SO_RCVBUF likewise
  std::int32_t buffers_set = 0;      // SO_BUF_LOCK: 1 the first, 2 the second was set by the program
  std::vector<std::uint8_t> filter;  // SO_ATTACH_FILTER: instructions
  bool filter_locked = false;
};
BEAM_STATE(SocketOptions, 1, list, send_buffer, receive_buffer, buffers_set, filter, filter_locked)

[[nodiscard]] Result<SocketOptions> read_socket_options(int fd);

enum class OptionTime {
  kBeforeNames,  // those that decide how it binds, connects and receives
  kAtEnd,        // those that would stand in the way of filling its queues
};
// kDamaged for an option that is not of the known ones.
[[nodiscard]] Result<> set_socket_options(int fd, const SocketOptions& options, OptionTime when);
// Buffers as large as this user may have, for filling queues.
void widen_socket_buffers(int fd);

[[nodiscard]] int socket_option(int fd, int level, int option, int otherwise = 0);

}  // namespace beam::migrate
