// TCP sockets (tcp(7)): what is kept of them, and what collecting and making them share. See tcp_socket.cc.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "migrate/kinds/inet.h"
#include "migrate/object_kind.h"
#include "migrate/socket_options.h"

namespace beam::migrate {

// Where a socket listens, enough to have another one accept there.
struct TcpBinding {
  std::uint64_t listener = 0;  // a socket of the sandbox; 0: none that is there still
  std::int32_t family = 0;
  InetAddress address;
  bool v6_only = false;
  bool reuse_port = false;
};
BEAM_STATE(TcpBinding, 1, listener, family, address, v6_only, reuse_port)

// A run of what waits to be read; an urgent byte (MSG_OOB) is one of its own.
struct TcpPiece {
  std::vector<std::uint8_t> bytes;
  bool urgent = false;
};
BEAM_STATE(TcpPiece, 1, bytes, urgent)

enum class TcpPhase : std::uint8_t {
  kIdle,  // not connected; bound or not
  kListening,
  kConnecting,  // waits for the listener to have room
  kWaiting,     // connected, but not accepted yet
  kConnected,   // in one direction at least, on this side
  kEnded,       // was connected
  kLast = kEnded,
};
inline const char* to_string(TcpPhase phase) {
  switch (phase) {
    case TcpPhase::kIdle:
      return "idle";
    case TcpPhase::kListening:
      return "listening";
    case TcpPhase::kConnecting:
      return "connecting";
    case TcpPhase::kWaiting:
      return "waiting to be accepted";
    case TcpPhase::kConnected:
      return "connected";
    case TcpPhase::kEnded:
      return "ended";
  }
  return "?";
}

// A connection that waits to be accepted, the longest waiting one first.
struct TcpWaiting {
  std::uint64_t client = 0;  // a socket of the sandbox; 0: closed
  InetAddress client_address;
  InetAddress address;  // that it has connected to
  std::vector<TcpPiece> queue;
};
BEAM_STATE(TcpWaiting, 1, client, client_address, address, queue)

struct TcpSocketState {
  std::uint64_t socket = 0;  // the inode, as a name
  std::int32_t family = 0;
  std::int32_t flags = 0;
  TcpPhase phase = TcpPhase::kIdle;
  InetAddress own_address;
  InetAddress peer_address;
  std::uint32_t backlog = 0;
  std::vector<TcpWaiting> waiting;
  bool accepts = false;    // of a connection: this end was the accepting one
  TcpBinding acceptor;     // where it was accepted, by whichever end
  std::uint64_t peer = 0;  // the socket at the other end; 0: closed
  std::int32_t peer_family = 0;
  bool sends_no_more = false;     // shut down for sending
  bool receives_no_more = false;  // shut down for receiving, by itself
  bool received_end = false;      // the other end sends nothing more
  bool refused = false;           // of one that ended: it never was connected
  std::int32_t error = 0;         // waits to be told
  std::vector<TcpPiece> queue;
  SocketOptions options;
};
BEAM_STATE(TcpSocketState, 1, socket, family, flags, phase, own_address, peer_address, backlog, waiting, accepts,
           acceptor, peer, peer_family, sends_no_more, receives_no_more, received_end, refused, error, queue, options)

// --- queues (tcp_queue.cc) ---

[[nodiscard]] int tcp_state(int fd);  // TCP_ESTABLISHED, ...
// Has what one end has sent arrive at the other, whose queue is made larger for it. False when it does not fit.
[[nodiscard]] bool drain_tcp(int from, int to);
// What waits to be read, and still does afterwards.
[[nodiscard]] Result<std::vector<TcpPiece>> peek_tcp(int fd);
// Fills the queue of `to` from its other end; -1: one that nobody has accepted yet.
[[nodiscard]] Result<> refill_tcp(int from, int to, const std::vector<TcpPiece>& pieces);

}  // namespace beam::migrate
