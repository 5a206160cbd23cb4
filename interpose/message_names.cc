#include "interpose/message_names.h"

#include <poll.h>

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <vector>

#include "interpose/datagrams.h"
#include "interpose/route_view.h"
#include "interpose/shared.h"

namespace beam::interpose {
namespace {

constexpr std::size_t kMostBytes = 65536;    // more than any datagram has
constexpr std::size_t kMostControl = 65536;  // far above what datagrams carry
constexpr std::size_t kMostParts = 1024;     // UIO_MAXIOV, linux/uio.h
constexpr unsigned kMostMessages = 1024;     // likewise

std::optional<InetSocket> socket_of(const RewriteCall& call, GuestFd fd, bool (*wanted)(const InetSocket&)) {
  if (call.shared().options.network == nullptr) {
    return std::nullopt;
  }
  int error = 0;
  InetSocket socket = open_socket(copy_descriptor(call.task().tid, *call.task().process, fd.value(), error), error);
  return error == 0 && wanted(socket) ? std::optional<InetSocket>(std::move(socket)) : std::nullopt;
}

bool has_datagrams(const InetSocket& socket) {
  return socket.is_translated() && !socket.is_stream();
}
bool is_looked_at(const InetSocket& socket) {
  return has_datagrams(socket) || RouteView::is_about(socket);
}

struct Message {
  msghdr header{};
  AddressBytes to;
  std::vector<std::byte> data;
  std::vector<std::byte> control;
};

// 0 or an errno value.
int read_message(const GuestMemory& memory, std::uint64_t address, Message& message) {
  if (memory.read(address, &message.header, sizeof message.header) != 0) {
    return EFAULT;
  }
  const msghdr& header = message.header;
  if (header.msg_name != nullptr) {
    // Longer ones the kernel cuts (copy_msghdr_from_user, net/socket.c).
    const int size = static_cast<int>(std::min<std::size_t>(header.msg_namelen, sizeof(sockaddr_storage)));
    if (const int error = read_address(memory, reinterpret_cast<std::uint64_t>(header.msg_name), size, message.to);
        error != 0) {
      return error;
    }
  }
  if (header.msg_iovlen > kMostParts) {
    return EMSGSIZE;
  }
  std::vector<iovec> parts(header.msg_iovlen);
  if (!parts.empty() &&
      memory.read(reinterpret_cast<std::uint64_t>(header.msg_iov), parts.data(), parts.size() * sizeof(iovec)) != 0) {
    return EFAULT;
  }
  for (const iovec& part : parts) {
    if (part.iov_len > kMostBytes - message.data.size()) {
      return EMSGSIZE;
    }
    const std::size_t at = message.data.size();
    message.data.resize(at + part.iov_len);
    if (part.iov_len != 0 &&
        memory.read(reinterpret_cast<std::uint64_t>(part.iov_base), message.data.data() + at, part.iov_len) != 0) {
      return EFAULT;
    }
  }
  if (header.msg_control != nullptr && header.msg_controllen != 0) {
    if (header.msg_controllen > kMostControl) {
      return ENOBUFS;
    }
    message.control.resize(header.msg_controllen);
    if (memory.read(reinterpret_cast<std::uint64_t>(header.msg_control), message.control.data(),
                    message.control.size()) != 0) {
      return EFAULT;
    }
  }
  return 0;
}

bool carries_addresses(const GuestMemory& memory, std::uint64_t address) {
  msghdr header{};
  return memory.read(address, &header, sizeof header) == 0 &&
         (header.msg_name != nullptr || (header.msg_control != nullptr && header.msg_controllen != 0));
}

std::int64_t send(const RewriteCall& call, const InetSocket& socket, std::uint64_t address, int flags) {
  Message message;
  if (const int error = read_message(call.memory(), address, message); error != 0) {
    return -error;
  }
  const Datagram datagram{message.data, message.to, message.control};
  const auto once = [&] {
    return send_datagram(*call.shared().options.network, call.shared().options.outside, socket, datagram, flags);
  };
  std::int64_t sent = once();
  if (sent == -EAGAIN && (flags & MSG_DONTWAIT) == 0 && socket.is_blocking()) {
    // The loopback delivers as fast as it takes. Whom it keeps longer is told so, as the event thread can't wait.
    constexpr int kMoment = 50;  // milliseconds
    pollfd room{socket.fd.get(), POLLOUT, 0};
    ::poll(&room, 1, kMoment);
    sent = once();
  }
  return sent;
}

struct Receiving {
  std::uint64_t header = 0;
  std::uint64_t name = 0;
  socklen_t name_size = 0;
  std::uint64_t control = 0;
  std::size_t control_size = 0;
  std::vector<iovec> parts;
};

struct ReceiveNamed : CallInProgress {
  std::vector<Receiving> messages;
  int fd = -1;
  bool many = false;

  void at_exit(ExitCall& call) override {
    if (call.result() < 0) {
      return;
    }
    int error = 0;
    const InetSocket socket = open_socket(copy_descriptor(call.task().tid, *call.task().process, fd, error), error);
    if (error != 0) {
      return;
    }
    const std::size_t got = many ? static_cast<std::size_t>(call.result()) : 1;
    for (std::size_t i = 0; i < std::min(got, messages.size()); ++i) {
      if (socket.family == AF_NETLINK) {
        show_answer(call, socket, messages[i], many);
      } else {
        show(call, socket, messages[i]);
      }
    }
  }

 private:
  static void show_answer(ExitCall& call, const InetSocket& socket, const Receiving& message, bool many) {
    std::size_t length = static_cast<std::size_t>(call.result());
    const std::uint64_t length_at = message.header + offsetof(mmsghdr, msg_len);
    unsigned one = 0;
    if (many && call.memory().read(length_at, &one, sizeof one) == 0) {
      length = one;
    }
    std::vector<std::byte> answer;
    std::size_t room = 0;
    for (const iovec& part : message.parts) {
      const std::size_t here = std::min(part.iov_len, length - answer.size());
      const std::size_t at = answer.size();
      answer.resize(at + here);
      if (call.memory().read(reinterpret_cast<std::uint64_t>(part.iov_base), answer.data() + at, here) != 0) {
        return;
      }
      room += part.iov_len;
    }
    const auto shown = call.shared().routes->shown(socket, answer, room);
    if (answer.empty()) {
      return;  // the program only wants to know how much there is
    }
    std::size_t at = 0;
    for (const iovec& part : message.parts) {
      const std::size_t here = std::min(part.iov_len, shown.size() - at);
      (void)call.memory().write(reinterpret_cast<std::uint64_t>(part.iov_base), shown.data() + at, here);
      at += here;
    }
    if (many) {
      one = static_cast<unsigned>(shown.size());
      (void)call.memory().write(length_at, &one, sizeof one);
    } else {
      call.set_result(static_cast<std::int64_t>(shown.size()));
    }
  }

  static void show(const ExitCall& call, const InetSocket& socket, const Receiving& message) {
    const ns::NetworkSpace& network = *call.shared().options.network;
    const GuestMemory memory = call.memory();
    msghdr header{};
    if (memory.read(message.header, &header, sizeof header) != 0) {
      return;
    }
    if (message.name != 0 && header.msg_namelen != 0) {
      sockaddr_storage source{};
      const std::size_t size = std::min<std::size_t>({message.name_size, header.msg_namelen, sizeof source});
      if (memory.read(message.name, &source, size) == 0) {
        const ns::SocketAddress shown = shown_source(network, socket, source, static_cast<socklen_t>(size));
        (void)memory.write(message.name, &shown.storage, std::min<std::size_t>(size, shown.size));
      }
    }
    std::vector<std::byte> control(std::min<std::size_t>(message.control_size, header.msg_controllen));
    if (message.control != 0 && !control.empty() && memory.read(message.control, control.data(), control.size()) == 0) {
      show_control(network, control);
      (void)memory.write(message.control, control.data(), control.size());
    }
  }
};

std::optional<Receiving> receiving(const GuestMemory& memory, std::uint64_t address) {
  msghdr header{};
  if (memory.read(address, &header, sizeof header) != 0) {
    return std::nullopt;
  }
  Receiving message{address,
                    reinterpret_cast<std::uint64_t>(header.msg_name),
                    header.msg_namelen,
                    reinterpret_cast<std::uint64_t>(header.msg_control),
                    std::min<std::size_t>(header.msg_controllen, kMostControl),
                    std::vector<iovec>(std::min<std::size_t>(header.msg_iovlen, kMostParts))};
  if (!message.parts.empty() && memory.read(reinterpret_cast<std::uint64_t>(header.msg_iov), message.parts.data(),
                                            message.parts.size() * sizeof(iovec)) != 0) {
    return std::nullopt;
  }
  return message;
}

}  // namespace

bool opens_fast(const RewriteCall& call, GuestFd fd, int flags) {
  return (flags & MSG_FASTOPEN) != 0 && socket_of(call, fd, [](const InetSocket& socket) {
                                          return socket.is_translated() && socket.is_stream();
                                        }).has_value();
}

std::optional<Rewrite> send_named(RewriteCall& call, GuestFd fd, std::uint64_t message, int flags) {
  if (!carries_addresses(call.memory(), message)) {
    return std::nullopt;
  }
  const auto socket = socket_of(call, fd, has_datagrams);
  return socket ? std::optional<Rewrite>(Rewrite::skip(send(call, *socket, message, flags))) : std::nullopt;
}

std::optional<Rewrite> send_many_named(RewriteCall& call, GuestFd fd, std::uint64_t messages, unsigned count,
                                       int flags) {
  count = std::min(count, kMostMessages);
  bool any = false;
  for (unsigned i = 0; i < count && !any; ++i) {
    any = carries_addresses(call.memory(), messages + i * sizeof(mmsghdr));
  }
  const auto socket = any ? socket_of(call, fd, has_datagrams) : std::nullopt;
  if (!socket) {
    return std::nullopt;
  }
  for (unsigned i = 0; i < count; ++i) {
    const std::int64_t sent = send(call, *socket, messages + i * sizeof(mmsghdr), flags);
    if (sent < 0) {
      return Rewrite::skip(i == 0 ? sent : static_cast<std::int64_t>(i));
    }
    const auto length = static_cast<unsigned>(sent);
    (void)call.memory().write(messages + i * sizeof(mmsghdr) + offsetof(mmsghdr, msg_len), &length, sizeof length);
  }
  return Rewrite::skip(count);
}

std::optional<Rewrite> receive_named(RewriteCall& call, GuestFd fd, std::uint64_t message) {
  const auto one = receiving(call.memory(), message);
  if (!one || !socket_of(call, fd, is_looked_at)) {
    return std::nullopt;
  }
  auto progress = std::make_unique<ReceiveNamed>();
  progress->fd = fd.value();
  progress->messages.push_back(*one);
  return Rewrite::until_exit(std::move(progress));
}

std::optional<Rewrite> receive_many_named(RewriteCall& call, GuestFd fd, std::uint64_t messages, unsigned count) {
  if (!socket_of(call, fd, is_looked_at)) {
    return std::nullopt;
  }
  auto progress = std::make_unique<ReceiveNamed>();
  progress->fd = fd.value();
  progress->many = true;
  for (unsigned i = 0; i < std::min(count, kMostMessages); ++i) {
    const auto one = receiving(call.memory(), messages + i * sizeof(mmsghdr));
    if (!one) {
      break;
    }
    progress->messages.push_back(*one);
  }
  return Rewrite::until_exit(std::move(progress));
}

}  // namespace beam::interpose
