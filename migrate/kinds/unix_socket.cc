// UNIX sockets: stream, sequenced packets, datagrams; pairs and named ones; listening ones with those that wait.
//
// Connections are made as the first time: by a socketpair, or by connecting to a socket that listens at the accepting
// end's name, which is the sandbox's own where it still has one. Queues are filled through the other end, or through
// one that is closed again for a socket whose other end was closed. Both ends have to be in the sandbox.
#include "migrate/kinds/unix_socket.h"

#include <fcntl.h>
#include <linux/sockios.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>

#include "migrate/stand_in.h"

namespace beam::migrate {
namespace {

constexpr int kKeptFlags = O_NONBLOCK | O_ASYNC;
constexpr int kMostWaiting = 65535;

struct CollectedUnix {
  struct Socket {
    VirtualPid vpid;
    int fd = -1;
    UnixCredentials peer_credentials;
    bool has_sent_unread = false;  // what it sent waits at the other end
  };
  bool asked = false;
  std::map<std::uint64_t, UnixDiag> diag;
  std::map<std::uint64_t, std::uint64_t> pending;  // who waits to be accepted, and by whom
  std::map<std::uint64_t, Socket> sockets;
  std::vector<UniqueFd> accepted;
};

struct MadeUnix {
  const interpose::Shared* shared = nullptr;
  std::function<Result<UniqueFd>(int family, int type)> socket;  // MakeContext
  // Ends of connections whose other end was made first, and listening sockets that were needed before their turn.
  std::map<std::uint64_t, UniqueFd> ends;
  std::map<UnixNameKey, UniqueFd> listeners;
  struct Bound {
    int listener = -1;  // owned by `listeners`, or by whom it was made for
    UniqueFd file;      // how it is reached by path
  };
  std::map<UnixNameKey, Bound> names;
  // Ends whose other end is closed, until its queue is filled.
  struct ClosedPeer {
    UniqueFd fd;
    bool error = false;
  };
  std::map<std::uint64_t, ClosedPeer> closed;
  std::vector<UniqueFd> passing_clients;  // of connections that nobody has accepted, and that are closed again
  std::map<std::uint64_t, int> sockets;   // all that were made, owned by the restorer
  std::map<std::uint64_t, UnixSocketState> states;  // likewise, but for the queues
};

Result<UniqueFd> new_socket(int type) {
  UniqueFd fd(::socket(AF_UNIX, type | SOCK_CLOEXEC, 0));
  if (!fd) {
    return Error::from_errno("make a UNIX socket");
  }
  widen_socket_buffers(fd.get());
  return fd;
}

// One that is to be bound: by an abstract name, only processes of the same jail may connect or send to it.
Result<UniqueFd> new_bound_socket(const MadeUnix& made, int type, const UnixName& name) {
  constexpr std::size_t kPath = offsetof(sockaddr_un, sun_path);
  const bool abstract = name.address.size() > kPath && name.address[kPath] == 0;
  if (!abstract || !made.shared->view) {
    return new_socket(type);
  }
  BEAM_TRY_ASSIGN(UniqueFd fd, made.socket(AF_UNIX, type));
  widen_socket_buffers(fd.get());
  return fd;
}

// What connects and sends to a bound socket.
std::vector<std::uint8_t> address_of(const UnixNameKey& key, const MadeUnix::Bound& bound) {
  if (!bound.file) {
    return key.first;
  }
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  const int length = std::snprintf(address.sun_path, sizeof address.sun_path, "/proc/self/fd/%d", bound.file.get());
  const auto* bytes = reinterpret_cast<const std::uint8_t*>(&address);
  return {bytes, bytes + offsetof(sockaddr_un, sun_path) + length + 1};
}

Result<> bind_as(MadeUnix& made, int fd, const UnixName& name) {
  if (name.address.empty()) {
    return success();
  }
  BEAM_TRY_ASSIGN(UniqueFd file, bind_unix_name(*made.shared, fd, name));
  made.names[key_of(name)].file = std::move(file);
  return success();
}

int connect_to(int fd, const std::vector<std::uint8_t>& address) {
  return ::connect(fd, reinterpret_cast<const sockaddr*>(address.data()), static_cast<socklen_t>(address.size())) == 0
             ? 0
             : errno;
}

// Connected datagram sockets that can only be made together, as one of them has no name to connect to.
bool is_datagram_pair(const UnixSocketState& state) {
  return state.connected && (state.name.address.empty() || state.peer_name.address.empty()) &&
         (state.mutual || (state.peer == 0 && state.peer_name.address.empty()));
}

class UnixSocket : public KindOf<UnixSocketState> {
 public:
  std::string_view name() const override { return "unix_socket"; }
  bool recognises(const CollectContext& /*context*/, const OpenFile& file) const override {
    return S_ISSOCK(file.info.st_mode) && (file.flags & O_PATH) == 0 &&
           socket_option(file.copy.get(), SOL_SOCKET, SO_DOMAIN) == AF_UNIX;
  }
  bool relates() const override { return true; }
  bool made_after_processes(std::string_view /*state*/) const override { return true; }

  void check_all(CollectContext& context, std::vector<Obstacle>& obstacles) const override {
    auto& all = context.parts.get<CollectedUnix>(name(), 0);
    for (const auto& [key, socket] : all.sockets) {
      const auto found = all.diag.find(key);
      const UnixDiag* diag = found != all.diag.end() ? &found->second : nullptr;
      if (diag == nullptr) {
        continue;  // an obstacle already
      }
      const auto refuse = [&, vpid = socket.vpid, fd = socket.fd, key = key](const char* why) {
        obstacles.push_back(
            {vpid.value(), "fd " + std::to_string(fd) + " (socket:[" + std::to_string(key) + "])", why});
      };
      if (diag->peer && *diag->peer != 0 && !all.sockets.contains(*diag->peer)) {
        refuse("the other end of the UNIX socket is outside the sandbox");
      }
      if (const auto waits = all.pending.find(key); waits != all.pending.end()) {
        if (!all.sockets.contains(waits->second)) {
          refuse("the UNIX socket waits to be accepted outside the sandbox");
        } else if (socket.has_sent_unread && !context.ends) {
          refuse("the UNIX socket has sent data, but was not accepted yet: the sandbox can't run on after that");
        }
      }
      for (const std::uint64_t client : diag->pending) {
        if (client == 0 && !context.ends) {
          refuse("a connection that its client has closed waits to be accepted: the sandbox can't run on after that");
        } else if (client != 0 && !all.sockets.contains(client)) {
          refuse("a connection from outside the sandbox waits to be accepted");
        }
      }
    }
  }

  Result<> link_all(LinkContext& context) const override {
    auto& made = context.made.parts.get<MadeUnix>(name(), 0);
    made.passing_clients.clear();
    for (auto& [key, peer] : made.closed) {
      if (peer.error) {
        // Closed with something unread, which is what its other end is told (unix(7), ECONNRESET).
        ::send(made.sockets.at(key), "", 1, MSG_DONTWAIT | MSG_NOSIGNAL);
      }
      peer.fd.reset();
    }
    for (const auto& [key, state] : made.states) {
      BEAM_TRY(finish(context, made, state, made.sockets.at(key)));
    }
    made.listeners.clear();
    made.names.clear();
    return success();
  }

 protected:
  Result<UnixSocketState> collect_state(CollectContext& context, const OpenFile& file) const override {
    auto& all = context.parts.get<CollectedUnix>(name(), 0);
    if (!all.asked) {
      BEAM_TRY_ASSIGN(all.diag, unix_diag());
      all.asked = true;
      for (const auto& [listener, diag] : all.diag) {
        for (const std::uint64_t client : diag.pending) {
          all.pending[client] = listener;
        }
      }
    }
    const std::uint64_t key = file.info.st_ino;
    const auto found = all.diag.find(key);
    if (found == all.diag.end()) {
      return Error(kObstacle, "the kernel tells nothing about this UNIX socket");
    }
    const UnixDiag& diag = found->second;
    const int fd = file.copy.get();
    UnixSocketState state;
    state.socket = key;
    state.type = socket_option(fd, SOL_SOCKET, SO_TYPE);
    state.flags = file.flags & kKeptFlags;
    state.name = unix_name(context.shared, fd, false, diag.file);
    state.listening = diag.state == TCP_LISTEN;
    state.backlog = diag.backlog;
    state.shutdown = diag.shutdown;
    // A datagram socket shows as connected also when only others have connected to it (net/unix/af_unix.c).
    state.connected = is_stream(state.type) ? diag.state == TCP_ESTABLISHED : diag.peer.has_value();
    if (state.connected) {
      state.peer = diag.peer.value_or(0);
      state.waits = state.peer == 0 && all.pending.contains(key);
      const auto peer = all.diag.find(state.peer);
      const bool known = state.peer != 0 && peer != all.diag.end();
      state.mutual = known && peer->second.peer == key;
      state.peer_name = unix_name(context.shared, fd, true, known ? peer->second.file : 0);
      const bool own = !state.name.address.empty();
      const bool theirs = !state.peer_name.address.empty();
      state.accepts = own && (!theirs || state.peer == 0 || accepts(all, key, state.peer));
    }
    pollfd poll{fd, 0, 0};
    state.error = ::poll(&poll, 1, 0) > 0 && (poll.revents & POLLERR) != 0;
    ucred peer{};
    socklen_t size = sizeof peer;
    if (::getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) == 0) {
      state.peer_credentials = {context.shared.pids.to_virtual(HostPid(peer.pid)).value(), peer.uid, peer.gid};
    }
    BEAM_TRY_ASSIGN(state.options, read_socket_options(fd));
    int unread_there = 0;
    ::ioctl(fd, SIOCOUTQ, &unread_there);
    all.sockets[key] = {file.vpid, file.fd, state.peer_credentials, unread_there != 0};
    return state;
  }

  Result<> relate_state(CollectContext& context, const OpenFile& file, UnixSocketState& state) const override {
    auto& all = context.parts.get<CollectedUnix>(name(), 0);
    const auto peer = all.sockets.find(state.peer);
    if (peer != all.sockets.end()) {
      state.own_credentials = peer->second.peer_credentials;
    } else {
      state.own_credentials = {file.vpid.value(), ::geteuid(), ::getegid()};
    }
    if (state.listening) {
      return relate_waiting(context, all, file, state);
    }
    if (is_stream(state.type) && !state.connected) {
      return success();
    }
    BEAM_TRY_ASSIGN(state.queue, peek_unix_messages(context, file, state.type, state.error));
    return success();
  }

  Result<UniqueFd> make_from(MakeContext& context, const UnixSocketState& state) const override {
    if (state.type != SOCK_STREAM && state.type != SOCK_SEQPACKET && state.type != SOCK_DGRAM) {
      return Error(kDamaged, "a UNIX socket of type " + std::to_string(state.type));
    }
    auto& made = context.parts.get<MadeUnix>(name(), 0);
    made.shared = context.shared;
    made.socket = context.socket;
    BEAM_TRY_ASSIGN(UniqueFd fd, make_socket(context, made, state));
    BEAM_TRY(set_socket_options(fd.get(), state.options, OptionTime::kBeforeNames));
    made.sockets[state.socket] = fd.get();
    UnixSocketState rest = state;
    rest.queue.clear();
    made.states[state.socket] = std::move(rest);
    return fd;
  }

  Result<> link_from(LinkContext& context, const UnixSocketState& state, int fd) const override {
    auto& made = context.made.parts.get<MadeUnix>(name(), 0);
    if (state.listening) {
      return connect_pending(context, made, state);
    }
    return state.type == SOCK_DGRAM ? fill_datagrams(context, made, state, fd) : fill_connection(context, made, state);
  }

 private:
  // Which of two ends with names has accepted: the one that shares its file with its listener, or with others that were
  // accepted there. Nobody else can be bound to the file of the end that has connected.
  static bool accepts(const CollectedUnix& all, std::uint64_t own, std::uint64_t peer) {
    const auto shares = [&all](std::uint64_t key) {
      const auto found = all.diag.find(key);
      return found != all.diag.end() && found->second.file != 0 &&
             std::any_of(all.diag.begin(), all.diag.end(), [&](const auto& other) {
               return other.first != key && other.second.file == found->second.file;
             });
    };
    const bool here = shares(own);
    // Else the younger one, as far as the numbers tell: each processor has its own (get_next_ino, fs/inode.c).
    return here != shares(peer) ? here : own > peer;
  }

  // What has come with a connection shows only when it is accepted, which is done for those of a sandbox that ends.
  static Result<> relate_waiting(CollectContext& context, CollectedUnix& all, const OpenFile& file,
                                 UnixSocketState& state) {
    const std::vector<std::uint64_t>& clients = all.diag.at(state.socket).pending;
    const auto has_sent = [&all](std::uint64_t client) {
      const auto socket = all.sockets.find(client);
      return socket == all.sockets.end() || socket->second.has_sent_unread;
    };
    const bool accept = context.contents() && context.ends && std::any_of(clients.begin(), clients.end(), has_sent);
    const int flags = ::fcntl(file.copy.get(), F_GETFL);
    ::fcntl(file.copy.get(), F_SETFL, flags | O_NONBLOCK);
    for (const std::uint64_t client : clients) {
      UnixWaiting one;
      const auto socket = all.sockets.find(client);
      one.client = client;
      if (socket != all.sockets.end()) {
        one.credentials = {socket->second.vpid.value(), ::geteuid(), ::getegid()};
      }
      if (accept) {
        OpenFile accepted;
        accepted.vpid = file.vpid;
        accepted.copy.reset(::accept4(file.copy.get(), nullptr, nullptr, SOCK_CLOEXEC));
        if (!accepted.copy) {
          return Error::from_errno("take in what waits at the UNIX socket " + to_text(state.name));
        }
        ucred peer{};
        socklen_t size = sizeof peer;
        if (::getsockopt(accepted.copy.get(), SOL_SOCKET, SO_PEERCRED, &peer, &size) == 0) {
          one.credentials = {context.shared.pids.to_virtual(HostPid(peer.pid)).value(), peer.uid, peer.gid};
        }
        one.client_name = unix_name(context.shared, accepted.copy.get(), true, 0);
        BEAM_TRY_ASSIGN(one.queue, peek_unix_messages(context, accepted, state.type, false));
        all.accepted.push_back(std::move(accepted.copy));  // or its client would see it closed
      }
      state.waiting.push_back(std::move(one));
    }
    ::fcntl(file.copy.get(), F_SETFL, flags);
    return success();
  }

  static Result<UniqueFd> make_socket(MakeContext& context, MadeUnix& made, const UnixSocketState& state) {
    const auto end = made.ends.find(state.socket);
    if (end != made.ends.end()) {
      UniqueFd fd = std::move(end->second);
      made.ends.erase(end);
      return fd;
    }
    if (state.listening) {
      BEAM_TRY(listener_at(context, made, state.type, state.name, state.peer_credentials));
      UniqueFd fd = std::move(made.listeners.at(key_of(state.name)));
      if (!fd) {
        return Error(kDamaged, "two UNIX sockets listen at " + to_text(state.name));
      }
      return fd;
    }
    const bool pair = state.type == SOCK_DGRAM ? is_datagram_pair(state) : state.connected && !state.waits;
    UniqueFd own;
    UniqueFd other;
    if (pair) {
      BEAM_TRY(connect_pair(context, made, state, own, other));
    } else {
      BEAM_TRY_ASSIGN(own, new_bound_socket(made, state.type, state.name));
      BEAM_TRY(bind_as(made, own.get(), state.name));
      if (state.type == SOCK_DGRAM && state.connected && state.peer == 0) {
        // Connected to a name whose socket is closed.
        BEAM_TRY_ASSIGN(other, new_socket(state.type));
        UnixName gone = state.peer_name;
        gone.unlinked = true;
        BEAM_TRY(bind_as(made, other.get(), gone));
      }
    }
    if (other && state.peer != 0) {
      made.ends[state.peer] = std::move(other);
    } else if (other) {
      made.closed[state.socket] = {std::move(other), state.error};
    }
    return own;
  }

  // Makes sure that somebody listens at a name.
  static Result<> listener_at(MakeContext& context, MadeUnix& made, int type, const UnixName& name,
                              const UnixCredentials& who) {
    auto& bound = made.names[key_of(name)];
    const bool fresh = bound.listener < 0;
    if (fresh) {
      BEAM_TRY_ASSIGN(UniqueFd fd, new_bound_socket(made, type, name));
      BEAM_TRY(bind_as(made, fd.get(), name));
      bound.listener = fd.get();
      made.listeners[key_of(name)] = std::move(fd);
    }
    // A client is shown who has listened last (net/unix/af_unix.c unix_listen).
    return stand_in(context.shared, VirtualPid(who.pid), "listen at the UNIX socket " + to_text(name),
                    [&bound] { return ::listen(bound.listener, kMostWaiting) == 0 ? 0 : errno; });
  }

  static Result<> connect_pair(MakeContext& context, MadeUnix& made, const UnixSocketState& state, UniqueFd& own,
                               UniqueFd& other) {
    const bool own_named = !state.name.address.empty();
    const bool other_named = !state.peer_name.address.empty();
    if (state.type == SOCK_DGRAM || (!own_named && !other_named)) {
      int ends[2] = {-1, -1};
      BEAM_TRY(stand_in(context.shared, VirtualPid(state.peer_credentials.pid), "make a pair of UNIX sockets",
                        [&] { return ::socketpair(AF_UNIX, state.type | SOCK_CLOEXEC, 0, ends) == 0 ? 0 : errno; }));
      own.reset(ends[0]);
      other.reset(ends[1]);
      widen_socket_buffers(own.get());
      widen_socket_buffers(other.get());
      BEAM_TRY(bind_as(made, own.get(), state.name));
      return bind_as(made, other.get(), state.peer_name);
    }
    const UnixName& at = state.accepts ? state.name : state.peer_name;
    const UnixName& from = state.accepts ? state.peer_name : state.name;
    // The connecting end is shown who listens, the accepting end who has connected.
    const UnixCredentials& listens = state.accepts ? state.own_credentials : state.peer_credentials;
    const UnixCredentials& connects = state.accepts ? state.peer_credentials : state.own_credentials;
    BEAM_TRY(listener_at(context, made, state.type, at, listens));
    BEAM_TRY_ASSIGN(UniqueFd client, new_socket(state.type));
    BEAM_TRY(bind_as(made, client.get(), from));
    const MadeUnix::Bound& bound = made.names.at(key_of(at));
    const auto address = address_of(key_of(at), bound);
    BEAM_TRY(stand_in(context.shared, VirtualPid(connects.pid), "connect to the UNIX socket " + to_text(at),
                      [&] { return connect_to(client.get(), address); }));
    UniqueFd server(::accept4(bound.listener, nullptr, nullptr, SOCK_CLOEXEC));
    if (!server) {
      return Error::from_errno("accept a connection at the UNIX socket " + to_text(at));
    }
    widen_socket_buffers(server.get());
    own = std::move(state.accepts ? server : client);
    other = std::move(state.accepts ? client : server);
    return success();
  }

  static Result<> connect_pending(LinkContext& context, MadeUnix& made, const UnixSocketState& state) {
    const MadeUnix::Bound& bound = made.names.at(key_of(state.name));
    const auto address = address_of(key_of(state.name), bound);
    for (const UnixWaiting& waiting : state.waiting) {
      int client = -1;
      if (waiting.client != 0) {
        const auto known = made.sockets.find(waiting.client);
        if (known == made.sockets.end() || !made.states.at(waiting.client).waits) {
          return Error(kDamaged, "a connection that waits at the UNIX socket " + to_text(state.name));
        }
        client = known->second;
      } else {
        BEAM_TRY_ASSIGN(UniqueFd passing, new_socket(state.type));
        BEAM_TRY(bind_as(made, passing.get(), waiting.client_name));
        client = passing.get();
        made.passing_clients.push_back(std::move(passing));
      }
      // What the accepting end will be shown.
      BEAM_TRY(stand_in(&context.shared, VirtualPid(waiting.credentials.pid),
                        "connect to the UNIX socket " + to_text(state.name),
                        [&] { return connect_to(client, address); }));
      for (const UnixMessage& message : waiting.queue) {
        BEAM_TRY(send_unix_message(context, client, message, nullptr));
      }
    }
    return success();
  }

  static Result<> fill_connection(LinkContext& context, MadeUnix& made, const UnixSocketState& state) {
    if (state.queue.empty()) {
      return success();
    }
    const auto peer = made.sockets.find(state.peer);
    const auto closed = made.closed.find(state.socket);
    const int writer = peer != made.sockets.end()    ? peer->second
                       : closed != made.closed.end() ? closed->second.fd.get()
                                                     : -1;
    if (writer < 0) {
      return Error(kDamaged, "a UNIX socket with messages from nobody");
    }
    for (const UnixMessage& message : state.queue) {
      BEAM_TRY(send_unix_message(context, writer, message, nullptr));
    }
    return success();
  }

  // A datagram comes from a bound socket, which may be there still, or from one without a name. A socket that is
  // connected receives from its peer only, so what came from others had come before.
  static Result<> fill_datagrams(LinkContext& context, MadeUnix& made, const UnixSocketState& state, int fd) {
    const auto peer = made.sockets.find(state.peer);
    const auto closed = made.closed.find(state.socket);
    const bool paired = is_datagram_pair(state);
    std::vector<std::uint8_t> to;
    if (!state.name.address.empty()) {
      to = address_of(key_of(state.name), made.names.at(key_of(state.name)));
    }
    std::vector<std::uint8_t> peer_address;
    if (!state.peer_name.address.empty()) {
      const auto bound = made.names.find(key_of(state.peer_name));
      peer_address = bound != made.names.end() ? address_of(bound->first, bound->second) : state.peer_name.address;
    }
    const auto from_peer = [&](const UnixMessage& message) {
      return state.connected && message.source == state.peer_name.address;
    };
    const auto last_other = std::find_if(state.queue.rbegin(), state.queue.rend(),
                                         [&](const UnixMessage& message) { return !from_peer(message); });
    const std::size_t before = static_cast<std::size_t>(state.queue.rend() - last_other);
    UniqueFd nobody;
    std::map<std::vector<std::uint8_t>, UniqueFd> gone;
    for (std::size_t i = 0; i <= state.queue.size(); ++i) {
      if (i == before && state.connected && !paired) {
        if (const int error = connect_to(fd, peer_address); error != 0) {
          return Error(error, "connect to the UNIX socket " + to_text(state.peer_name));
        }
      }
      if (i == state.queue.size()) {
        break;
      }
      const UnixMessage& message = state.queue[i];
      int writer = -1;
      if (from_peer(message) || (paired && to.empty())) {
        writer = peer != made.sockets.end() ? peer->second : closed != made.closed.end() ? closed->second.fd.get() : -1;
      }
      if (writer < 0 && message.source.empty()) {
        if (!nobody) {
          BEAM_TRY_ASSIGN(nobody, new_socket(SOCK_DGRAM));
        }
        writer = nobody.get();
      }
      if (writer < 0) {
        BEAM_TRY_ASSIGN(writer, bound_at(made, message.source, gone));
      }
      BEAM_TRY(send_unix_message(context, writer, message, to.empty() ? nullptr : &to));
    }
    return success();
  }

  // A socket with an address: one of the sandbox's, or one that is there for the moment.
  static Result<int> bound_at(MadeUnix& made, const std::vector<std::uint8_t>& address,
                              std::map<std::vector<std::uint8_t>, UniqueFd>& gone) {
    for (const auto& [key, state] : made.states) {
      if (state.type == SOCK_DGRAM && state.name.address == address) {
        return made.sockets.at(key);
      }
    }
    UniqueFd& fd = gone[address];
    if (!fd) {
      BEAM_TRY_ASSIGN(fd, new_socket(SOCK_DGRAM));
      UnixName name;
      name.address = address;
      name.unlinked = true;
      BEAM_TRY(bind_unix_name(*made.shared, fd.get(), name));
    }
    return fd.get();
  }

  static Result<> finish(LinkContext& context, const MadeUnix& made, const UnixSocketState& state, int fd) {
    if (state.listening) {
      // Also how often it was listened decides what its clients are shown: once more as the last time.
      BEAM_TRY(stand_in(&context.shared, VirtualPid(state.peer_credentials.pid), "listen at a UNIX socket", [&] {
        return ::listen(fd, static_cast<int>(std::min<std::uint32_t>(state.backlog, INT32_MAX))) == 0 ? 0 : errno;
      }));
    }
    if (state.shutdown != 0 && !made.closed.contains(state.socket) && state.shutdown <= 3) {
      const int how = state.shutdown == 3 ? SHUT_RDWR : state.shutdown == 1 ? SHUT_RD : SHUT_WR;
      if (::shutdown(fd, how) != 0 && errno != ENOTCONN) {
        return Error::from_errno("shut a UNIX socket down");
      }
    }
    BEAM_TRY(set_socket_options(fd, state.options, OptionTime::kAtEnd));
    if (::fcntl(fd, F_SETFL, state.flags & kKeptFlags) != 0) {
      return Error::from_errno("set the flags of a UNIX socket");
    }
    return success();
  }
};

const KindRegistration kRegistration{std::make_unique<UnixSocket>()};

}  // namespace
}  // namespace beam::migrate
