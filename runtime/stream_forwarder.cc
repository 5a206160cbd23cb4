#include "runtime/stream_forwarder.h"

#include <netinet/tcp.h>
#include <sys/resource.h>
#include <sys/socket.h>

#include <algorithm>
#include <asio/post.hpp>
#include <cerrno>

#include "base/log.h"
#include "interpose/inet_socket.h"

namespace beam::runtime {
namespace {

constexpr std::size_t kBuffer = 256U << 10U;
constexpr unsigned kTurns = 16;  // of one direction, before another one's turn
constexpr rlim_t kSpare = 256;   // descriptors, for what else this process does
constexpr unsigned kPerConnection = 2;
constexpr std::chrono::milliseconds kMoment{100};  // for the machine to have again what it has run out of

std::size_t most_connections() {
  rlimit files{};
  if (::getrlimit(RLIMIT_NOFILE, &files) != 0 || files.rlim_cur == RLIM_INFINITY) {
    return SIZE_MAX;
  }
  return static_cast<std::size_t>(std::max(files.rlim_cur, 2 * kSpare) - kSpare) / kPerConnection;
}

// close(2) then resets the connection.
void reset_at_close(int fd) {
  const linger now{1, 0};
  ::setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof now);
}

void set_option(int fd, int level, int option) {
  const int on = 1;
  ::setsockopt(fd, level, option, &on, sizeof on);
}

bool would_block(int code) {
  return code == EAGAIN || code == EWOULDBLOCK;
}

}  // namespace

std::optional<ns::HostEndpoint> find_published(const ns::NetworkSpace& network, const PublishedPort& port,
                                               const ns::HostEndpoint& from) {
  for (const ns::IpAddress& ip : {network.address4(), network.address6()}) {
    for (const ns::HostEndpoint& at : network.candidates(port.protocol, {ip, port.virtual_port})) {
      if (interpose::is_served(port.protocol, at, !ip.is_v4(), from)) {
        return at;
      }
    }
  }
  return std::nullopt;
}

class StreamForwarder::Connection : public std::enable_shared_from_this<Connection> {
 public:
  Connection(std::shared_ptr<StreamForwarder> owner, UniqueFd outside, UniqueFd inside,
             std::optional<ns::HostEndpoint> stand_in)
      : owner_(std::move(owner)),
        sockets_{asio::posix::stream_descriptor(owner_->io_, outside.release()),
                 asio::posix::stream_descriptor(owner_->io_, inside.release())},
        stand_in_(stand_in) {}
  ~Connection() {
    for (auto& socket : sockets_) {
      std::error_code ignored;
      socket.close(ignored);
    }
    if (stand_in_) {
      owner_->network_->forget_outsider(IPPROTO_TCP, *stand_in_);
    }
    owner_->ended();
  }
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;

  void start() {
    run(0);
    run(1);
  }
  // The connection into the sandbox is under way still.
  void start_connected() {
    sockets_[1].async_wait(asio::posix::stream_descriptor::wait_write,
                           [self = shared_from_this()](const std::error_code& fault) {
                             int error = 0;
                             socklen_t size = sizeof error;
                             ::getsockopt(self->fd(1), SOL_SOCKET, SO_ERROR, &error, &size);
                             fault || error != 0 ? self->reset() : self->start();
                           });
  }

 private:
  // What comes from one end and goes to the other.
  struct Direction {
    std::vector<char> pending;  // read, and not written yet
    std::size_t written = 0;    // of it
    bool ended = false;
  };

  [[nodiscard]] int fd(std::size_t side) { return sockets_[side].native_handle(); }

  // From `side`, until it has to wait.
  void run(std::size_t side) {
    Direction& direction = directions_[side];
    for (unsigned turn = 0; turn < kTurns; ++turn) {
      if (reset_ || direction.ended) {
        return;
      }
      if (!direction.pending.empty()) {
        const ssize_t sent = ::send(fd(1 - side), direction.pending.data() + direction.written,
                                    direction.pending.size() - direction.written, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (sent < 0) {
          would_block(errno) ? wait(side, 1 - side, asio::posix::stream_descriptor::wait_write) : reset();
          return;
        }
        direction.written += static_cast<std::size_t>(sent);
        if (direction.written == direction.pending.size()) {
          direction.pending = {};
          direction.written = 0;
        }
        continue;
      }
      auto& buffer = owner_->buffer_;
      const ssize_t got = ::recv(fd(side), buffer.data(), buffer.size(), MSG_DONTWAIT);
      if (got < 0) {
        would_block(errno) ? wait(side, side, asio::posix::stream_descriptor::wait_read) : reset();
        return;
      }
      if (got == 0) {
        direction.ended = true;
        ::shutdown(fd(1 - side), SHUT_WR);
        return;
      }
      const ssize_t sent =
          ::send(fd(1 - side), buffer.data(), static_cast<std::size_t>(got), MSG_NOSIGNAL | MSG_DONTWAIT);
      if (sent < 0 && !would_block(errno)) {
        reset();
        return;
      }
      if (sent < got) {
        direction.pending.assign(buffer.data() + std::max<ssize_t>(sent, 0), buffer.data() + got);
      }
    }
    asio::post(owner_->io_, [self = shared_from_this(), side] { self->run(side); });
  }

  void wait(std::size_t side, std::size_t at, asio::posix::stream_descriptor::wait_type what) {
    sockets_[at].async_wait(what, [self = shared_from_this(), side](const std::error_code& fault) {
      if (!fault) {
        self->run(side);
      }
    });
  }

  // Whoever still waits lets go of it.
  void reset() {
    reset_ = true;
    for (auto& socket : sockets_) {
      std::error_code ignored;
      reset_at_close(socket.native_handle());
      socket.close(ignored);
    }
  }

  const std::shared_ptr<StreamForwarder> owner_;
  std::array<asio::posix::stream_descriptor, 2> sockets_;  // outside, inside
  const std::optional<ns::HostEndpoint> stand_in_;
  std::array<Direction, 2> directions_;
  bool reset_ = false;
};

StreamForwarder::StreamForwarder(asio::io_context& io, std::shared_ptr<ns::NetworkSpace> network,
                                 const PublishedPort& port, UniqueFd listener)
    : io_(io),
      network_(std::move(network)),
      port_(port),
      listener_(io, listener.release()),
      later_(io),
      buffer_(kBuffer),
      most_(most_connections()) {}

void StreamForwarder::start() {
  wait();
}

void StreamForwarder::close() {
  closed_ = true;
  later_.cancel();
  std::error_code ignored;
  listener_.close(ignored);
}

void StreamForwarder::wait() {
  // At the limit, those who come wait in the kernel's queue.
  if (closed_ || waiting_ || connections_ >= most_) {
    return;
  }
  waiting_ = true;
  // Not kept alive by it: it waits in the loop that its owner ends first.
  listener_.async_wait(asio::posix::stream_descriptor::wait_read, [this](const std::error_code& fault) {
    waiting_ = false;
    if (!fault) {
      accept();
    }
  });
}

void StreamForwarder::accept() {
  UniqueFd outside(::accept4(listener_.native_handle(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
  if (outside) {
    connect(std::move(outside));
  } else if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
    BEAM_LOG_WARN(kRuntime, "published port {}: {}", port_.port, Error::from_errno("accept a connection").message());
    later_.expires_after(kMoment);
    later_.async_wait([this](const std::error_code&) { wait(); });
    return;
  }
  wait();
}

void StreamForwarder::connect(UniqueFd outside) {
  const auto client = ns::host_endpoint(outside.get(), ::getpeername);
  const auto place = find_published(*network_, port_);
  UniqueFd inside(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!client || !place || !inside) {
    reset_at_close(outside.get());  // refused, as far as that can be said now
    return;
  }
  // Whom the sandbox is to see at the other end, as far as its socket can name it.
  const auto binding = network_->binding_at(IPPROTO_TCP, *place);
  const bool shown = client->ip.is_v4() || (binding && !binding->ip.is_v4());
  const ns::HostEndpoint source =
      shown ? network_->moved_place() : ns::HostEndpoint{network_->source_for(network_->address4()), 0};
  const auto source_name = ns::to_socket_address(source, AF_INET);
  set_option(inside.get(), SOL_SOCKET, SO_REUSEADDR);  // ports of connections that linger in TIME_WAIT
  const bool bound = ::bind(inside.get(), source_name.raw(), source_name.size) == 0;
  const auto own = bound ? ns::host_endpoint(inside.get(), ::getsockname) : std::nullopt;
  if (!own) {
    reset_at_close(outside.get());
    return;
  }
  if (shown) {
    network_->set_outsider(IPPROTO_TCP, *own, {client->ip, client->port});
  }
  for (const int fd : {outside.get(), inside.get()}) {
    set_option(fd, IPPROTO_TCP, TCP_NODELAY);
  }
  set_option(outside.get(), SOL_SOCKET, SO_KEEPALIVE);
  network_->expect(*own, *place);
  const auto to = ns::to_socket_address(*place, AF_INET);
  const int error = ::connect(inside.get(), to.raw(), to.size) == 0 ? 0 : errno;
  if (error != 0 && error != EINPROGRESS) {
    reset_at_close(outside.get());
  }
  ++connections_;
  const auto connection = std::make_shared<Connection>(shared_from_this(), std::move(outside), std::move(inside),
                                                       shown ? own : std::nullopt);
  if (error == 0) {
    connection->start();
  } else if (error == EINPROGRESS) {
    connection->start_connected();
  }
}

void StreamForwarder::ended() {
  --connections_;
  wait();
}

}  // namespace beam::runtime
