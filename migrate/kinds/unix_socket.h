// UNIX sockets (unix(7)): what is kept of them, and what collecting and making them share. See unix_socket.cc.
#pragma once

#include <sys/socket.h>
#include <sys/un.h>

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "migrate/object_kind.h"
#include "migrate/socket_diag.h"
#include "migrate/socket_options.h"

namespace beam::migrate {

struct UnixName {
  std::vector<std::uint8_t> address;  // sockaddr_un as the kernel gives it; empty: no name
  std::uint64_t file = 0;             // inode of the file; 0: abstract
  std::string directory;              // of a relative path: where it begins; empty: nobody knows any more
  bool unlinked = false;              // the file is not at its path any more
  std::uint32_t mode = 0;
  // With a mount view, `address` is the path as the program gave it, and this is where the file is (image_path.h).
  std::string place;
};
BEAM_STATE_SINCE(UnixName, place, 2)
BEAM_STATE(UnixName, 2, address, file, directory, unlinked, mode, place)

struct UnixCredentials {
  std::int32_t pid = 0;  // virtual; 0: unknown
  std::uint32_t uid = 0;
  std::uint32_t gid = 0;
};
BEAM_STATE(UnixCredentials, 1, pid, uid, gid)

// A datagram or record, or a run of a stream's bytes with the same sender.
struct UnixMessage {
  std::vector<std::uint8_t> bytes;
  std::vector<std::uint32_t> descriptors;  // in flight: objects
  std::optional<UnixCredentials> sender;   // when the kernel has attached it
  std::vector<std::uint8_t> source;        // of a datagram: the sender's address; empty: it has none
};
BEAM_STATE(UnixMessage, 1, bytes, descriptors, sender, source)

// A connection that waits to be accepted.
struct UnixWaiting {
  std::uint64_t client = 0;  // a socket of the sandbox; 0: closed
  UnixName client_name;      // of one that is closed
  UnixCredentials credentials;
  std::vector<UnixMessage> queue;
};
BEAM_STATE(UnixWaiting, 1, client, client_name, credentials, queue)

struct UnixSocketState {
  std::uint64_t socket = 0;  // the inode, as a name
  std::int32_t type = 0;
  std::int32_t flags = 0;
  UnixName name;
  bool listening = false;
  std::uint32_t backlog = 0;
  std::vector<UnixWaiting> waiting;  // in order
  bool connected = false;
  std::uint64_t peer = 0;  // the socket at the other end; 0: closed
  bool mutual = false;     // which is connected to this one
  bool accepts = false;    // of a connection: this end was the accepting one
  bool waits = false;      // connected, but not accepted yet
  UnixName peer_name;
  UnixCredentials peer_credentials;  // SO_PEERCRED
  UnixCredentials own_credentials;   // what the peer's shows
  std::uint32_t shutdown = 0;        // 1: receives nothing more, 2: sends nothing more
  bool error = false;                // ECONNRESET waits to be told
  std::vector<UnixMessage> queue;
  SocketOptions options;
};
BEAM_STATE(UnixSocketState, 1, socket, type, flags, name, listening, backlog, waiting, connected, peer, mutual, accepts,
           waits, peer_name, peer_credentials, own_credentials, shutdown, error, queue, options)

inline bool is_stream(int type) {
  return type != SOCK_DGRAM;
}

// --- names (unix_name.cc) ---

[[nodiscard]] UnixName unix_name(const interpose::Shared& shared, int fd, bool of_peer, std::uint64_t file);
[[nodiscard]] std::string to_text(const UnixName& name);

// Addresses of bound sockets: by what connects to them.
using UnixNameKey = std::pair<std::vector<std::uint8_t>, std::uint64_t>;
inline UnixNameKey key_of(const UnixName& name) {
  return {name.address, name.file};
}

// Binds; of a path: keeps a descriptor of the file, by which it is reached also when it has been unlinked again.
[[nodiscard]] Result<UniqueFd> bind_unix_name(const interpose::Shared& shared, int fd, const UnixName& name);
// The address as the program knows it, of one as the kernel has it.
[[nodiscard]] std::vector<std::uint8_t> shown_unix_address(const interpose::Shared& shared,
                                                           std::vector<std::uint8_t> address);

// --- messages (unix_queue.cc) ---

// What a socket holds, which it holds still afterwards. `error`: one waits to be told, and would come first.
[[nodiscard]] Result<std::vector<UnixMessage>> peek_unix_messages(CollectContext& context, const OpenFile& file,
                                                                  int type, bool error);
// Sends a message from `writer`; `to` null: to what it is connected to.
[[nodiscard]] Result<> send_unix_message(LinkContext& context, int writer, const UnixMessage& message,
                                         const std::vector<std::uint8_t>* to);

}  // namespace beam::migrate
