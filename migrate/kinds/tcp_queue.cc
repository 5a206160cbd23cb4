// What a TCP connection carries: brought to the receiving end, looked at without being taken, and sent again.
#include <linux/sockios.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/ioctl.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <optional>

#include "migrate/kinds/tcp_socket.h"

namespace beam::migrate {
namespace {

using Clock = std::chrono::steady_clock;

int unsent(int fd) {
  int bytes = 0;
  return ::ioctl(fd, SIOCOUTQ, &bytes) == 0 ? bytes : 0;
}

bool set_int(int fd, int level, int option, int value) {
  return ::setsockopt(fd, level, option, &value, sizeof value) == 0;
}

// An ordinary user's sockets get no buffers beyond net.core.rmem_max, but the low-water mark makes room up to half of
// net.ipv4.tcp_rmem's greatest (net/ipv4/tcp.c tcp_set_rcvlowat); and a look at the queue tells the sender of it.
class WideWindow {
 public:
  explicit WideWindow(int fd) : fd_(fd), low_water_(socket_option(fd, SOL_SOCKET, SO_RCVLOWAT, 1)) {
    constexpr int kSoBufLock = 72;  // asm-generic/socket.h
    constexpr int kReceiveBuffer = 2;
    if ((socket_option(fd, SOL_SOCKET, kSoBufLock, kReceiveBuffer) & kReceiveBuffer) != 0) {
      buffer_ = socket_option(fd, SOL_SOCKET, SO_RCVBUF);
      constexpr int kLarge = 16 << 20;
      if (!set_int(fd, SOL_SOCKET, SO_RCVBUFFORCE, kLarge)) {
        set_int(fd, SOL_SOCKET, SO_RCVBUF, kLarge);
      }
    }
    set_int(fd, SOL_SOCKET, SO_RCVLOWAT, 1 << 30);
    tell();
  }
  ~WideWindow() {
    set_int(fd_, SOL_SOCKET, SO_RCVLOWAT, low_water_);
    if (buffer_ != 0) {
      set_int(fd_, SOL_SOCKET, SO_RCVBUF, buffer_ / 2);  // the kernel doubles it
    }
  }
  WideWindow(const WideWindow&) = delete;
  WideWindow& operator=(const WideWindow&) = delete;
  void tell() const {
    char byte = 0;
    int waiting = 0;
    if (::ioctl(fd_, FIONREAD, &waiting) == 0 && waiting > 0) {
      (void)::recv(fd_, &byte, 1, MSG_PEEK | MSG_DONTWAIT);
    }
  }

 private:
  int fd_;
  int low_water_;
  int buffer_ = 0;
};

// Waits for the kernel: on loopback it is done within microseconds, but for a window that opens by a timer.
template <typename Done>
bool wait_until(std::chrono::milliseconds patience, Done done) {
  const auto give_up = Clock::now() + patience;
  for (int pause = 0; !done(); pause = std::min(pause + 1, 10)) {
    if (Clock::now() > give_up) {
      return false;
    }
    ::poll(nullptr, 0, pause);
  }
  return true;
}

}  // namespace

int tcp_state(int fd) {
  tcp_info info{};
  socklen_t size = sizeof info;
  return ::getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &size) == 0 ? static_cast<int>(info.tcpi_state)
                                                                    : static_cast<int>(TCP_CLOSE);
}

bool drain_tcp(int from, int to) {
  if (unsent(from) == 0) {
    return true;
  }
  // What the sender holds back to fill a segment goes out first (tcp(7), TCP_CORK).
  const int cork = socket_option(from, IPPROTO_TCP, TCP_CORK);
  const int no_delay = socket_option(from, IPPROTO_TCP, TCP_NODELAY);
  if (cork != 0) {
    set_int(from, IPPROTO_TCP, TCP_CORK, 0);
  }
  if (no_delay == 0) {
    set_int(from, IPPROTO_TCP, TCP_NODELAY, 1);
  }
  bool done = wait_until(std::chrono::milliseconds(5), [from] { return unsent(from) == 0; });
  if (!done) {
    const WideWindow wide(to);
    done = wait_until(std::chrono::seconds(3), [&] {
      wide.tell();
      return unsent(from) == 0;
    });
  }
  if (no_delay == 0) {
    set_int(from, IPPROTO_TCP, TCP_NODELAY, 0);
  }
  if (cork != 0) {
    set_int(from, IPPROTO_TCP, TCP_CORK, 1);
  }
  return done;
}

Result<std::vector<TcpPiece>> peek_tcp(int fd) {
  std::vector<TcpPiece> pieces;
  // More than the greatest of net.ipv4.tcp_rmem on most machines; a queue that is longer comes in several runs.
  constexpr std::size_t kRun = 8U << 20;
  const bool in_line = socket_option(fd, SOL_SOCKET, SO_OOBINLINE) != 0;
  std::uint8_t urgent_byte = 0;
  const bool urgent = !in_line && ::recv(fd, &urgent_byte, 1, MSG_OOB | MSG_PEEK | MSG_DONTWAIT) == 1;
  int at_mark = 0;
  ::ioctl(fd, SIOCATMARK, &at_mark);
  pollfd poll{fd, 0, 0};
  const bool error = ::poll(&poll, 1, 0) > 0 && (poll.revents & POLLERR) != 0;
  const int offset_before = socket_option(fd, SOL_SOCKET, SO_PEEK_OFF, -1);
  const bool with_offset = set_int(fd, SOL_SOCKET, SO_PEEK_OFF, 0);  // of TCP since Linux 6.9
  int waiting = 0;
  ::ioctl(fd, FIONREAD, &waiting);
  std::vector<std::uint8_t> buffer(kRun);
  std::vector<std::vector<std::uint8_t>> runs;
  for (;;) {
    // An error that waits would come, and be gone, behind the last byte.
    const std::size_t room = error ? std::min<std::size_t>(static_cast<std::size_t>(waiting), kRun) : kRun;
    const ssize_t got = room == 0 ? 0 : ::recv(fd, buffer.data(), room, MSG_PEEK | MSG_DONTWAIT);
    if (got <= 0) {
      break;
    }
    runs.emplace_back(buffer.begin(), buffer.begin() + got);
    // Behind an urgent byte that is not in line the kernel counts the offset without it, and would come to the last
    // byte again.
    const bool behind_urgent = urgent && (at_mark != 0 || runs.size() == 2);
    if (!with_offset || error || behind_urgent) {
      break;
    }
  }
  if (with_offset) {
    set_int(fd, SOL_SOCKET, SO_PEEK_OFF, offset_before);
  } else if (urgent && at_mark == 0) {
    return Error(kObstacle, "an urgent byte behind other data can't be frozen").remedy("use Linux 6.9 or newer");
  }
  // A run ends where the urgent byte is, which itself shows only in line.
  const std::size_t length = kRun;
  for (std::size_t i = 0; i < runs.size(); ++i) {
    const bool behind_mark = i > 0 ? runs[i - 1].size() < length : at_mark != 0;
    if (behind_mark && urgent) {
      pieces.push_back({{urgent_byte}, true});
    } else if (behind_mark && in_line) {
      pieces.push_back({{runs[i].front()}, true});
      runs[i].erase(runs[i].begin());
    }
    if (!runs[i].empty()) {
      pieces.push_back({std::move(runs[i]), false});
    }
  }
  const bool placed = std::any_of(pieces.begin(), pieces.end(), [](const TcpPiece& piece) { return piece.urgent; });
  if (urgent && !placed) {
    pieces.push_back({{urgent_byte}, true});
  }
  return pieces;
}

Result<> refill_tcp(int from, int to, const std::vector<TcpPiece>& pieces) {
  std::optional<WideWindow> wide;
  if (to >= 0) {
    wide.emplace(to);
  }
  const auto tell = [&wide] {
    if (wide) {
      wide->tell();
    }
  };
  const auto give_up = Clock::now() + std::chrono::seconds(20);
  for (const TcpPiece& piece : pieces) {
    for (std::size_t done = 0; done < piece.bytes.size();) {
      const ssize_t now = ::send(from, piece.bytes.data() + done, piece.bytes.size() - done,
                                 MSG_DONTWAIT | MSG_NOSIGNAL | (piece.urgent ? MSG_OOB : 0));
      if (now > 0) {
        done += static_cast<std::size_t>(now);
      } else if ((errno == EAGAIN || errno == ENOBUFS || errno == EINTR) && Clock::now() < give_up) {
        tell();
        pollfd poll{from, POLLOUT, 0};
        ::poll(&poll, 1, 10);
      } else {
        return Error::from_errno("fill the queue of a TCP socket");
      }
    }
  }
  if (!wait_until(std::chrono::seconds(20), [&] {
        tell();
        return unsent(from) == 0;
      })) {
    return Error(ENOBUFS, "fill the queue of a TCP socket").remedy("see net.ipv4.tcp_rmem");
  }
  return success();
}

}  // namespace beam::migrate
